"""The statements of `faceplate.services.messages`."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import aliased

from faceplate import records
from faceplate.column_types import Json, JsonText
from faceplate.models import Conversation, Message
from faceplate.statement import Statement

_columns = Message.columns()
_in_conversation = Message.conversation_id == bindparam("conversation_id")
_conversation = Conversation.id == bindparam("conversation_id")
_is_draft = Message.status == sa.literal_column("'streaming'")  # as the index has it
_is_stale = Message.updated_at < func.now() - bindparam("older_than", type_=sa.Interval())
_locked = (
    sa.select(Conversation.user_id, Conversation.id, Conversation.message_count)
    .where(_conversation)
    .with_for_update(key_share=True)
    .cte("locked")
)
_BODY = ("role", "content", "tool_calls", "tool_results", "metadata")


def _type(name: str) -> Any:
    return Message.__table__.c[name].type


def _item(name: str) -> Any:
    return JsonText(_type(name)) if isinstance(_type(name), Json) else _type(name)


def _appending(
    columns: dict[str, Any], position: Any, source: sa.FromClause = _locked
) -> Statement[records.Message]:
    """Lock the conversation, insert after its last message, and count up what was inserted.

    In this order, so that a message that is there already changes nothing: no row comes back.
    """
    values = {
        "user_id": _locked.c.user_id,
        "conversation_id": _locked.c.id,
        "position": position,
        **columns,
    }
    appended = (
        insert(Message)
        .from_select(list(values), sa.select(*values.values()).select_from(source))
        .on_conflict_do_nothing(constraint="pk_messages")
        .returning(Message.user_id, *_columns)
        .cte("appended")
    )
    last = sa.select(func.max(appended.c.position)).scalar_subquery()
    counted = (
        sa.update(Conversation)
        .where(_conversation, last.is_not(None))
        .values(message_count=last, updated_at=func.clock_timestamp())
        .cte("counted")
    )
    stored = aliased(Message, appended)
    return Statement(records.Message, sa.select(*Message.columns(stored)).add_cte(counted))


def _append() -> Statement[records.Message]:
    values = {name: bindparam(name, type_=_type(name)) for name in ("id", *_BODY)}
    return _appending(values, _locked.c.message_count + sa.literal_column("1"))


def _append_many() -> Statement[records.Message]:
    arrays = {
        name: bindparam(f"{name}s", type_=ARRAY(_item(name), dimensions=1))
        for name in ("id", *_BODY)
    }
    columns = [sa.column(name, _item(name)) for name in arrays]
    new = (
        func.unnest(*arrays.values())
        .table_valued(*columns, with_ordinality="number", name="new")
        .render_derived()
    )
    values = {name: sa.cast(new.c[name], _type(name)) for name in arrays}
    position = _locked.c.message_count + sa.cast(new.c.number, sa.Integer)
    return _appending(values, position, sa.join(_locked, new, sa.true()))


def _append_draft() -> Statement[records.Message]:
    values = {
        "id": bindparam("id", type_=_type("id")),
        "role": sa.literal_column("'assistant'"),
        "metadata": bindparam("metadata", type_=_type("metadata")),
        "status": sa.literal_column("'streaming'"),
    }
    return _appending(values, _locked.c.message_count + sa.literal_column("1"))


APPEND = _append()
APPEND_MANY = _append_many()
APPEND_DRAFT = _append_draft()
LOCK = Statement(UUID, sa.select(Conversation.id).where(_conversation).with_for_update())
STORED = Statement(
    records.Message,
    sa.select(*_columns).where(
        _in_conversation, Message.id == sa.any_(bindparam("ids", type_=ARRAY(_type("id"))))
    ),
)
GET = Statement(
    records.Message, sa.select(*_columns).where(_in_conversation, Message.id == bindparam("id"))
)
BEFORE = Statement(
    records.Message,
    sa.select(*_columns)
    .where(_in_conversation, Message.position < bindparam("before"))
    .order_by(Message.position.desc())
    .limit(bindparam("limit", type_=sa.Integer())),
)
WALK = Statement(
    records.Message, sa.select(*_columns).where(_in_conversation).order_by(Message.position)
)
TRUNCATE = Statement(
    int,
    sa.update(Conversation)
    .where(_conversation)
    .values(
        message_count=func.least(
            Conversation.message_count, bindparam("position", type_=sa.Integer())
        ),
        updated_at=func.clock_timestamp(),
    ),
)
DELETE_AFTER = Statement(
    records.Message,
    sa.delete(Message).where(
        _in_conversation, Message.position > bindparam("position", type_=sa.Integer())
    ),
)
SHORTEN = Statement(
    int,
    sa.update(Conversation)
    .where(_conversation, Conversation.message_count > 0)
    .values(message_count=Conversation.message_count - 1, updated_at=func.clock_timestamp())
    .returning(Conversation.message_count),
)
DELETE_LAST = Statement(
    records.Message,
    sa.delete(Message)
    .where(_in_conversation, Message.position > bindparam("position", type_=sa.Integer()))
    .returning(*_columns),
)
SAVE_DRAFT = Statement(
    records.Message,
    sa.update(Message)
    .where(_in_conversation, Message.id == bindparam("id"), _is_draft)
    .values(
        content=bindparam("content"),
        status=bindparam("new_status", type_=_type("status")),
        updated_at=func.clock_timestamp(),
    )
    .returning(*_columns),
)
# In two steps, since Citus locks no rows for a LIMIT across shards.
STALE_DRAFTS = Statement(
    UUID,
    sa.select(Message.id)
    .where(_is_draft, _is_stale)
    .order_by(Message.created_at)
    .limit(bindparam("limit", type_=sa.Integer())),
)
CLOSE_DRAFTS = Statement(
    int,
    sa.update(Message)
    .where(Message.id == sa.any_(bindparam("ids", type_=ARRAY(_type("id")))), _is_draft, _is_stale)
    .values(status="interrupted", updated_at=func.clock_timestamp()),
)
