"""The statements that store whole conversations, and the rows of their messages."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate.models import Conversation, Message
from faceplate.scope import Scope
from faceplate.services._activity import active_at, activity, given_or
from faceplate.services._bodies import body_errors
from faceplate.services._new_messages import NewMessage
from faceplate.services._unnest import unnest
from faceplate.statement import Statement

# The driver sends 128 KB at a time; the server works on one part while the next is encoded.
_BATCH_CHARS: Final = 32 * 1024
_ROW_CHARS: Final = 64  # what a message without content counts as
_BATCHES_AT_ONCE: Final = 100  # per command, which has a time limit

MESSAGE_BODY: Final = "messages.body"
_COLUMNS: Final = ("conversation_id", "position", "parent_position", *NewMessage._fields)

Row = tuple[UUID, int, int | None, UUID, NewMessage]
"""The conversation, the position, the parent's position, the id of the message, and the rest."""


class Placed(NamedTuple):
    """Where a message is."""

    id: UUID
    position: int


class Said(NamedTuple):
    """What a message says, and where it is."""

    position: int
    role: str
    content: str


def _create() -> Statement[UUID]:
    """Return the statement that inserts each chat that is not stored.

    Of the chats that have no time of their own, the last one becomes the newest. It inserts in the
    order of the ids, so that two calls with the same chats do not deadlock.
    """
    names = ("id", "title", "message_count", "head", "metadata", "source", "key", "body")
    times = ("created_at", "updated_at")
    new, values = unnest(Conversation.__table__, (*names, *times), optional=times)
    user_id = bindparam("user_id", type_=Conversation.user_id.type)
    microsecond: Any = sa.literal_column("interval '1 microsecond'")
    moment = func.statement_timestamp() + new.c.number * microsecond
    *values, created_at, updated_at = values
    values.append(given_or(created_at, moment))
    activity_values = active_at(given_or(updated_at, moment))
    return Statement(
        UUID,
        insert(Conversation)
        .from_select(
            ["user_id", *names, "created_at", *activity_values],
            sa.select(user_id, *values, *activity_values.values()).order_by(new.c.id),
        )
        .on_conflict_do_nothing(constraint="pk_conversations")
        .returning(Conversation.id),
    )


def _fill() -> Statement[Any]:
    new, items = unnest(Message.__table__, _COLUMNS, optional=("metadata", "created_at"))
    values = dict(zip(_COLUMNS, items, strict=True))
    values["metadata"] = func.coalesce(values["metadata"], sa.literal_column("'{}'::jsonb"))
    values["created_at"] = given_or(values["created_at"], func.now())
    user_id = bindparam("user_id", type_=Message.user_id.type)
    return Statement(
        int,
        sa.insert(Message)
        .from_select(["user_id", *_COLUMNS], sa.select(user_id, *values.values()).select_from(new))
        .returning(sa.literal_column("1")),  # else Citus would COPY, which knows no policies
    )


_conversation = Conversation.id == bindparam("conversation_id")
_active_at: Any = bindparam("active_at", type_=Message.created_at.type.optional())

CREATE = _create()
FILL = _fill()
PLACES = Statement(
    Placed,
    sa.select(Message.id, Message.position)
    .where(Message.conversation_id == bindparam("conversation_id"))
    .order_by(Message.position),
)
SAID = Statement(
    Said,
    sa.select(Message.position, Message.role, Message.content)
    .where(
        Message.conversation_id == bindparam("conversation_id"),
        Message.position <= bindparam("last", type_=sa.Integer()),
    )
    .order_by(Message.position),
)
# The last position that was given: no other transaction gives the next one until this one ends.
LOCK_LAST_POSITION = Statement(
    int,
    sa.select(Conversation.message_count + Conversation.removed_count)
    .where(_conversation)
    .with_for_update(),
)
EXTEND = Statement(
    int,
    sa.update(Conversation)
    .where(_conversation)
    .values(
        message_count=Conversation.message_count + bindparam("count", type_=sa.Integer()),
        head=sa.null(),
        **activity(given_or(_active_at, func.statement_timestamp())),
    ),
)


async def insert_messages(scope: Scope, rows: Iterable[Row]) -> None:
    """Insert any number of messages, a few hundred at a time."""
    batches = _batches(rows)
    with body_errors(scope, MESSAGE_BODY):
        while await scope.execute_many(FILL, islice(batches, _BATCHES_AT_ONCE)):
            pass


def _batches(rows: Iterable[Row]) -> Iterator[dict[str, Sequence[Any]]]:
    """Yield the columns of all messages, in batches of about one network write each."""
    batch: list[tuple[Any, ...]] = []
    chars = 0
    for conversation_id, position, parent, id_, message in rows:
        role, content, calls, results, metadata, _, body, *rest = message
        stored_metadata = None if metadata == {} else metadata
        batch.append(
            (
                *(conversation_id, position, parent),
                *(role, content, calls, results, stored_metadata, id_, body, *rest),
            )
        )
        chars += _ROW_CHARS + (len(content) if isinstance(content, str) else 0)
        if isinstance(body, str):
            chars += len(body)
        if chars >= _BATCH_CHARS:
            yield _arrays(batch)
            batch, chars = [], 0
    if batch:
        yield _arrays(batch)


def _arrays(batch: list[tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
    columns = zip(_COLUMNS, zip(*batch, strict=True), strict=True)
    # UNNEST fills up a shorter array with NULLs.
    return {f"{name}s": () if _is_unused(values) else values for name, values in columns}


def _is_unused(values: tuple[Any, ...]) -> bool:
    return values[0] is None and values.count(None) == len(values)
