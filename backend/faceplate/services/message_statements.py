"""The statements of `faceplate.services.messages`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY

from faceplate import records
from faceplate.column_types import ArrayOf, Json
from faceplate.models import Conversation, Message
from faceplate.statement import Statement

_columns = Message.columns()
_in_conversation = Message.conversation_id == bindparam("conversation_id")
_conversation = Conversation.id == bindparam("conversation_id")
_is_draft = Message.status == sa.literal_column("'streaming'")  # a literal, to match the index
_is_stale = Message.updated_at < func.now() - bindparam("older_than", type_=sa.Interval())
_ONE: Any = sa.literal_column("1")
_TRUE = sa.true()
_BODY = ("role", "content", "tool_calls", "tool_results", "metadata")


def _type(name: str) -> Any:
    return Message.__table__.c[name].type


def unnest(
    table: Any, names: Sequence[str], *, optional: Sequence[str] = ()
) -> tuple[Any, list[Any]]:
    """Return rows from arrays as a FROM, and the values for the columns.

    There is one array per column, ``ids`` for ``id`` and so on. The rows keep their order and have
    a ``number`` from 1. A value of an ``optional`` column may be None although the column is NOT
    NULL.
    """
    rules = {name: table.c[name].type for name in names}
    rules |= {name: rules[name].optional() for name in optional}
    arrays: list[Any] = [bindparam(f"{name}s", type_=ArrayOf(rules[name])) for name in names]
    items = [array.type.impl_instance.item_type for array in arrays]
    columns = [sa.column(name, item) for name, item in zip(names, items, strict=True)]
    rows = (
        func.unnest(*arrays)
        .table_valued(*columns, with_ordinality="number", name="new")
        .render_derived()
    )
    return rows, [_value(rows.c[name], table.c[name].type) for name in names]


def _value(item: Any, rule: Any) -> Any:
    return sa.cast(item, rule.impl_instance) if isinstance(rule, Json) else item


class Stamp(NamedTuple):
    """The columns of a message that the server fills in."""

    position: int
    status: str
    created_at: datetime
    updated_at: datetime


def _appending(
    columns: dict[str, Any],
    is_there: sa.ColumnElement[bool],
    *,
    where: sa.ColumnElement[bool] = _TRUE,
    count: Any = _ONE,
    position: Callable[[Any], Any] = lambda end: end,
    source: Any = None,
) -> Statement[Stamp]:
    """Return a statement that counts the conversation up and inserts at its new end.

    It does nothing if ``is_there`` finds the message. Concurrent appends to one conversation wait
    for its row. If two of them append the same message, the second has looked before the first
    committed, and violates the primary key.
    """
    counted = (
        sa.update(Conversation)
        .where(_conversation, ~sa.exists(Message.id).where(_in_conversation, is_there), where)
        .values(message_count=Conversation.message_count + count, updated_at=func.clock_timestamp())
        .returning(Conversation.user_id, Conversation.id, Conversation.message_count)
        .cte("counted")
    )
    values = {
        "user_id": counted.c.user_id,
        "conversation_id": counted.c.id,
        "position": position(counted.c.message_count),
        **columns,
    }
    new = sa.select(*values.values()).select_from(
        counted if source is None else sa.join(counted, source, sa.true())
    )
    stamps = [getattr(Message, name) for name in Stamp._fields]
    return Statement(Stamp, sa.insert(Message).from_select([*values], new).returning(*stamps))


def _append() -> Statement[Stamp]:
    values = {name: bindparam(name, type_=_type(name)) for name in ("id", *_BODY)}
    return _appending(values, Message.id == values["id"])


def _append_many() -> Statement[Stamp]:
    names = ("id", *_BODY)
    new, values = unnest(Message.__table__, names)
    ids = bindparam("ids", type_=ArrayOf(_type("id")))
    count = func.cardinality(ids)
    return _appending(
        dict(zip(names, values, strict=True)),
        Message.id == sa.any_(ids),
        count=count,
        position=lambda end: end - count + sa.cast(new.c.number, sa.Integer),
        source=new,
    )


def _append_draft() -> Statement[Stamp]:
    values = {
        "id": bindparam("id", type_=_type("id")),
        "role": sa.literal_column("'assistant'"),
        "metadata": bindparam("metadata", type_=_type("metadata")),
        "status": sa.literal_column("'streaming'"),
    }
    after = bindparam("after", type_=sa.Integer())
    is_last = sa.or_(after.is_(None), Conversation.message_count == after)
    return _appending(values, Message.id == values["id"], where=is_last)


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
AFTER = Statement(
    records.Message,
    sa.select(*_columns)
    .where(_in_conversation, Message.position > bindparam("position", type_=sa.Integer()))
    .order_by(Message.position)
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
