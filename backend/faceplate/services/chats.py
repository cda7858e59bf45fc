"""Whole conversations of the scope's user, stored with all their messages."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.models import Conversation, Message
from faceplate.scope import Scope
from faceplate.services import tool_calls
from faceplate.services._activity import at
from faceplate.services._arguments import check_kind
from faceplate.services._new_messages import NewMessage, check_shape
from faceplate.services.message_statements import unnest
from faceplate.statement import Statement

MAX_CHATS: Final = 1_000

# The driver sends 128 KB at a time; the server works on one part while the next is encoded.
_BATCH_CHARS: Final = 32 * 1024
_ROW_CHARS: Final = 64  # what a message without content counts as
_BATCHES_AT_ONCE: Final = 100  # per command, which has a time limit

_COLUMNS: Final = ("conversation_id", "position", "id", *NewMessage._fields[:5])


_VERSION_8: Final = 8 << 76
_REST: Final = 2**80 - 1 ^ 0xF << 76


class NewChat(NamedTuple):
    """A conversation to store, with all its messages in order.

    A message without an id gets one that is derived from the chat's id and the message's place.
    """

    id: UUID
    title: str
    messages: Sequence[NewMessage]
    metadata: JsonObject | None = None

    def __repr__(self) -> str:
        return f"NewChat(id={self.id}, messages={len(self.messages)})"


def _create() -> Statement[UUID]:
    """Return the statement that inserts each chat that is not stored.

    The last one becomes the newest. It inserts in the order of the ids, so that two calls with the
    same chats do not deadlock.
    """
    names = ("id", "title", "message_count", "metadata")
    new, values = unnest(Conversation.__table__, names)
    user_id = bindparam("user_id", type_=Conversation.user_id.type)
    microsecond: Any = sa.literal_column("interval '1 microsecond'")
    moment = func.statement_timestamp() + new.c.number * microsecond
    return Statement(
        UUID,
        insert(Conversation)
        .from_select(
            ["user_id", *names, "created_at", *at(moment)],
            sa.select(user_id, *values, moment, *at(moment).values()).order_by(new.c.id),
        )
        .on_conflict_do_nothing(constraint="pk_conversations")
        .returning(Conversation.id),
    )


def _fill() -> Statement[Any]:
    new, values = unnest(Message.__table__, _COLUMNS, optional=("metadata",))
    user_id = bindparam("user_id", type_=Message.user_id.type)
    values[-1] = func.coalesce(values[-1], sa.literal_column("'{}'::jsonb"))
    return Statement(
        int,
        sa.insert(Message).from_select(
            ["user_id", *_COLUMNS], sa.select(user_id, *values).select_from(new)
        ),
    )


CREATE = _create()
FILL = _fill()


async def store(scope: Scope, chats: Sequence[NewChat]) -> list[UUID]:
    """Store up to 1,000 conversations with their messages, all or none.

    Return the ids of the new ones. A chat whose id exists already is left unchanged, and its id is
    not returned. The last new chat becomes the first in the list of conversations. The number of
    messages is not limited; a few hundred are sent at a time.

    Raises InvalidInput for a value that breaks a rule, and for tool calls and results that do not
    match; Conflict if two messages of a chat have the same id.
    """
    check_kind("chats", chats, Sequence)
    if len(chats) > MAX_CHATS:
        raise InvalidInput("chats", f"at most {MAX_CHATS:,}; {len(chats):,} were given")
    if len({chat.id for chat in chats}) < len(chats):
        raise InvalidInput("chats.id", "the ids must be distinct")
    for chat in chats:
        _check_tools(chat)
    created = await scope.all(
        CREATE,
        ids=[chat.id for chat in chats],
        titles=[chat.title for chat in chats],
        message_counts=[len(chat.messages) for chat in chats],
        metadatas=[{} if chat.metadata is None else chat.metadata for chat in chats],
    )
    new_ids = set(created)
    new = [chat for chat in chats if chat.id in new_ids]
    batches = _batches(new)
    while await scope.execute_many(FILL, islice(batches, _BATCHES_AT_ONCE)):
        pass
    return [chat.id for chat in new]


def _check_tools(chat: NewChat) -> None:
    pending: set[str] = set()
    for message in chat.messages:
        check_shape(message)
        if message.tool_calls or message.tool_results:
            tool_calls.update_pending(pending, message.tool_calls, message.tool_results)


def _batches(chats: Sequence[NewChat]) -> Iterator[dict[str, Sequence[Any]]]:
    """Yield the columns of all messages, in batches of about one network write each."""
    rows: list[tuple[Any, ...]] = []
    chars = 0
    for chat in chats:
        ids = message_ids(chat.id)
        for position, message in enumerate(chat.messages, start=1):
            *body, metadata, id_ = message[:6]
            derived = next(ids)
            rows.append(
                (chat.id, position, id_ or derived, *body, None if metadata == {} else metadata)
            )
            chars += _ROW_CHARS + (len(body[1]) if isinstance(body[1], str) else 0)
            if chars >= _BATCH_CHARS:
                yield _arrays(rows)
                rows, chars = [], 0
    if rows:
        yield _arrays(rows)


def message_ids(conversation_id: UUID) -> Iterator[UUID]:
    """Yield the ids of a conversation's messages by place, without end.

    They are UUIDv8: 48 bits of the place, then bits that are derived from the conversation's id.
    Each id thus goes to the end of its conversation's part of the index.
    """
    rest = uuid5(conversation_id, "messages").int & _REST
    return (UUID(int=place << 80 | rest | _VERSION_8) for place in count())


def _arrays(rows: list[tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
    columns = zip(_COLUMNS, zip(*rows, strict=True), strict=True)
    return {f"{name}s": values for name, values in columns}
