"""What messages of the scope's user took to write: tokens, summed by day or by conversation.

A message counts if it has a number of tokens, whichever branch it is in. A message that was removed
no longer counts: an application that bills keeps the sums of days that are over.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func

from faceplate import records
from faceplate.models import Message
from faceplate.pagination import DEFAULT_LIMIT, Page, check_limit, page_of, unseal
from faceplate.scope import Scope, one_statement, read_only
from faceplate.services import conversations
from faceplate.statement import Statement

MAX_LIMIT = 1_000

_limit = bindparam("limit", type_=sa.Integer())
_EMPTY: Any = sa.literal_column("''")
_UTC: Any = sa.literal_column("'UTC'")
_NEVER: Any = sa.literal_column("'infinity'::timestamptz")
# As text: the driver sends the first and the last day of Python's calendar as infinite.
_after_day: Any = sa.cast(bindparam("after_day", type_=sa.Text()), sa.Date())
_after_model: Any = bindparam("after_model", type_=sa.Text())
_used = sa.or_(Message.input_tokens.is_not(None), Message.output_tokens.is_not(None))
# Without a model it is '', which no model is, so that it has a place in the order.
_model = func.coalesce(Message.model, _EMPTY)


def _moment(name: str, *, is_optional: bool = False) -> Any:
    """Return the parameter for a time that a caller gives: its errors name the argument."""
    given: Any = Message.created_at.type
    rule = given.optional() if is_optional else given.copy()
    rule.field = name
    return bindparam(name, type_=rule)


_in_time = (
    Message.created_at >= _moment("since"),
    Message.created_at < func.coalesce(_moment("until", is_optional=True), _NEVER),
)


def _sums(row: Any) -> list[Any]:
    """Return the sums of a record; PostgreSQL sums integers as bigint."""
    return [
        func.count().label("messages"),
        func.coalesce(func.sum(row.input_tokens), sa.literal_column("0")).label("input_tokens"),
        func.coalesce(func.sum(row.output_tokens), sa.literal_column("0")).label("output_tokens"),
    ]


def _in_utc(moment: Any) -> Any:
    """Convert a time with a zone to one without it, in UTC, or the reverse."""
    return moment.op("AT TIME ZONE")(_UTC)


def _by_day(*conditions: Any) -> sa.Select[Any]:
    day = sa.cast(_in_utc(Message.created_at), sa.Date())
    begins = _in_utc(sa.cast(_after_day, sa.DateTime()))
    # A fork has the messages that it copied, by the same ids: they were written once.
    written = (
        sa.select(
            Message.id,
            day.label("day"),
            _model.label("model"),
            Message.input_tokens,
            Message.output_tokens,
        )
        .distinct()
        .where(_used, *_in_time, Message.created_at >= begins, *conditions)
        .subquery("written")
    )
    place = sa.tuple_(written.c.day, written.c.model)
    return (
        sa.select(
            written.c.day, func.nullif(written.c.model, _EMPTY).label("model"), *_sums(written.c)
        )
        .where(place > sa.tuple_(_after_day, _after_model))
        .group_by(written.c.day, written.c.model)
        .order_by(written.c.day, written.c.model)
        .limit(_limit)
    )


def _by_conversation() -> sa.Select[Any]:
    sums = (
        sa.select(Message.conversation_id, _model.label("model"), *_sums(Message))
        .where(_used, *_in_time)
        .group_by(Message.conversation_id, _model)
        .subquery("sums")
    )
    total = sums.c.input_tokens + sums.c.output_tokens
    key = (total, sums.c.conversation_id, sums.c.model)
    return (
        sa.select(
            sums.c.conversation_id,
            func.nullif(sums.c.model, _EMPTY).label("model"),
            *(sums.c.messages, sums.c.input_tokens, sums.c.output_tokens),
        )
        .where(
            sa.tuple_(*key)
            < sa.tuple_(
                bindparam("after_total", type_=sa.BigInteger()),
                bindparam("after_id", type_=Message.conversation_id.type),
                _after_model,
            )
        )
        .order_by(*(column.desc() for column in key))
        .limit(_limit)
    )


BY_DAY = Statement(records.DailyUsage, _by_day())
OF_CONVERSATION = Statement(
    records.DailyUsage, _by_day(Message.conversation_id == bindparam("conversation_id"))
)
BY_CONVERSATION = Statement(records.ConversationUsage, _by_conversation())


def _record() -> Any:
    """Return an UPDATE that fills what is empty; the message says the same as before."""
    columns = (Message.model, Message.input_tokens, Message.output_tokens)
    return (
        sa.update(Message)
        .where(
            Message.conversation_id == bindparam("conversation_id"),
            Message.id == bindparam("id"),
        )
        .values(
            {
                **{
                    column: func.coalesce(column, bindparam(f"new_{column.key}", type_=column.type))
                    for column in columns
                },
                Message.updated_at: Message.updated_at,
            }
        )
        .returning(*Message.columns())
    )


RECORD = Statement(records.Message, _record())


@one_statement
async def record(
    scope: Scope,
    conversation_id: UUID,
    message_id: UUID,
    *,
    model: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> records.Message:
    """Say what it took to write a message, after it was stored; return the message.

    What the message has already stays as it is, so that a second call changes nothing. A program
    that knows the numbers in time gives them to `messages.append`.

    Raises NotFound if the message does not exist, InvalidInput.
    """
    return await scope.one(
        RECORD,
        conversation_id=conversation_id,
        id=message_id,
        new_model=model,
        new_input_tokens=input_tokens,
        new_output_tokens=output_tokens,
    )


@read_only
async def by_day(
    scope: Scope,
    *,
    since: datetime,
    until: datetime | None = None,
    conversation_id: UUID | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[records.DailyUsage]:
    """Return the tokens of each day and model, up to ``limit`` rows (1 to 1,000), oldest day first.

    The messages are those written from ``since`` on and before ``until``, in all conversations or
    in one; days are those of UTC. Within a day, models are in alphabetical order, and messages
    without a model come first. A message that a fork has copied counts once. ``cursor`` is the
    ``next_cursor`` of the page before.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    listing = f"usage by day {conversation_id}"
    after_day, after_model = "-infinity", ""
    if cursor is not None:
        after_day, _, after_model = unseal(scope, listing, cursor).partition(" ")
    values: dict[str, Any] = {
        "since": since,
        "until": until,
        "after_day": after_day,
        "after_model": after_model,
        "limit": check_limit(limit, MAX_LIMIT) + 1,
    }
    if conversation_id is None:
        rows = await scope.all(BY_DAY, **values)
    else:
        rows = await scope.all(OF_CONVERSATION, conversation_id=conversation_id, **values)
        if not rows:
            await conversations.get(scope, conversation_id)
    return page_of(scope, listing, rows, limit, lambda row: f"{row.day} {row.model or ''}")


@read_only
async def by_conversation(
    scope: Scope,
    *,
    since: datetime,
    until: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[records.ConversationUsage]:
    """Return the tokens of each conversation and model, up to ``limit`` rows (1 to 1,000).

    The row with the most tokens comes first. The messages are those written from ``since`` on and
    before ``until``. A message that a fork copied counts in the fork, too. ``cursor`` is the
    ``next_cursor`` of the page before, and a row whose sum has grown since may be left out of the
    later pages.

    Raises InvalidInput.
    """
    listing = "usage by conversation"
    after_total, after_id, after_model = 2**63 - 1, UUID(int=0), ""
    if cursor is not None:
        total, id_, after_model = unseal(scope, listing, cursor).split(" ", 2)
        after_total, after_id = int(total), UUID(id_)
    rows = await scope.all(
        BY_CONVERSATION,
        since=since,
        until=until,
        after_total=after_total,
        after_id=after_id,
        after_model=after_model,
        limit=check_limit(limit, MAX_LIMIT) + 1,
    )
    return page_of(scope, listing, rows, limit, _place)


def _place(row: records.ConversationUsage) -> str:
    total = row.input_tokens + row.output_tokens
    return f"{total} {row.conversation_id} {row.model or ''}"
