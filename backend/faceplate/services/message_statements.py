"""The statements of `faceplate.services.messages`."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY, insert

from faceplate import records
from faceplate.column_types import Json, JsonText
from faceplate.models import Conversation, Message
from faceplate.scope import Statement

_columns = Message.columns()
_in_conversation = Message.conversation_id == bindparam("conversation_id")
_conversation = Conversation.id == bindparam("conversation_id")
_BODY = ("role", "content", "tool_calls", "tool_results", "metadata")


def _type(name: str) -> Any:
    return Message.__table__.c[name].type


def _item(name: str) -> Any:
    return JsonText(_type(name)) if isinstance(_type(name), Json) else _type(name)


def _counted(by: Any) -> sa.CTE:
    """Lock the conversation, count its messages up, and mark the activity."""
    return (
        sa.update(Conversation)
        .where(_conversation)
        .values(
            message_count=Conversation.message_count + by,
            updated_at=func.clock_timestamp(),
        )
        .returning(Conversation.user_id, Conversation.id, Conversation.message_count)
        .cte("counted")
    )


def _insert(source: sa.Select[Any]) -> Statement[records.Message]:
    names = ["user_id", "conversation_id", "position", "id", *_BODY]
    return Statement(
        records.Message,
        insert(Message)
        .from_select(names, source)
        .on_conflict_do_nothing(constraint="pk_messages")
        .returning(*_columns),
    )


def _append() -> Statement[records.Message]:
    counted = _counted(1)
    values = [bindparam(name, type_=_type(name)) for name in ("id", *_BODY)]
    return _insert(sa.select(counted.c.user_id, counted.c.id, counted.c.message_count, *values))


def _append_many() -> Statement[records.Message]:
    arrays = {
        name: bindparam(f"{name}s", type_=ARRAY(_item(name), dimensions=1))
        for name in ("id", *_BODY)
    }
    size = func.cardinality(arrays["id"])
    counted = _counted(size)
    columns = [sa.column(name, _item(name)) for name in arrays]
    new = (
        func.unnest(*arrays.values())
        .table_valued(*columns, with_ordinality="number", name="new")
        .render_derived()
    )
    position = counted.c.message_count - size + sa.cast(new.c.number, sa.Integer)
    values = [sa.cast(new.c[name], _type(name)) for name in arrays]
    return _insert(
        sa.select(counted.c.user_id, counted.c.id, position, *values).select_from(
            sa.join(counted, new, sa.true())
        )
    )


APPEND = _append()
APPEND_MANY = _append_many()
LOCK = Statement(UUID, sa.select(Conversation.id).where(_conversation).with_for_update())
STORED = Statement(
    records.Message,
    sa.select(*_columns).where(
        _in_conversation, Message.id == sa.any_(bindparam("ids", type_=ARRAY(_type("id"))))
    ),
)
RECOUNT = Statement(
    int,
    sa.update(Conversation)
    .where(_conversation)
    .values(
        message_count=sa.select(func.coalesce(func.max(Message.position), 0))
        .where(_in_conversation)
        .scalar_subquery()
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
