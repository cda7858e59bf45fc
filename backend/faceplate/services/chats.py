"""Whole conversations of the scope's user, stored with all their messages."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.scope import Scope
from faceplate.services import _chat_rows, conversations, tool_calls
from faceplate.services._arguments import check_kind
from faceplate.services._bodies import body_errors, check_body
from faceplate.services._chat_rows import MESSAGE_BODY, Row, insert_messages
from faceplate.services._new_messages import NewMessage, check_shape, newest_time

MAX_CHATS: Final = 1_000

_VERSION_8: Final = 8 << 76 | 2 << 62  # and the variant of RFC 9562
_REST: Final = 2**80 - 1 ^ 0xF << 76 ^ 3 << 62


class NewChat(NamedTuple):
    """A conversation to store, with all its messages in the order of their positions."""

    id: UUID
    title: str
    messages: Sequence[NewMessage]
    metadata: JsonObject | None = None
    parents: Sequence[int | None] | None = None
    """The position that each message follows, from 1: None for the one before it, its own position
    for none. Without ``parents`` the chat has no branches."""
    head: int | None = None
    """The position at which the path ends; None: the last one."""
    created_at: datetime | None = None
    source: str | None = None
    key: str | None = None
    """The name at ``source``: `conversations.open` finds the chat by it if ``id`` is the `id_of`
    both."""
    body: str | None = None
    updated_at: datetime | None = None
    """When it was last changed where it comes from, if that was after its newest message."""
    ids: Sequence[UUID] | None = None
    """The ids of the messages, where they have none themselves. Without ``ids`` they are derived
    from the chat's id and the places of the messages."""

    def __repr__(self) -> str:
        return f"NewChat(id={self.id}, messages={len(self.messages)})"


async def store(scope: Scope, chats: Sequence[NewChat]) -> list[UUID]:
    """Store up to 1,000 conversations with their messages, all or none.

    Return the ids of the new ones. A chat whose id exists already is left unchanged, and its id is
    not returned. The number of messages is not limited; a few hundred are sent at a time.

    A chat and a message keep their ``created_at``; without one, it is now. The activity of the
    conversation is the newest of these times and of ``updated_at``. Of the chats without times, the
    last new one becomes the first in the list of conversations.

    Raises InvalidInput for a value that breaks a rule, for parents that are no tree, and for tool
    calls and results that do not match along a path; Conflict if two messages of a chat have the
    same id.
    """
    check_kind("chats", chats, Sequence)
    if len(chats) > MAX_CHATS:
        raise InvalidInput("chats", f"at most {MAX_CHATS:,}; {len(chats):,} were given")
    for chat in chats:
        check_kind("chats", chat, NewChat)
        check_kind("conversations.id", chat.id, UUID)
        check_kind("chats.messages", chat.messages, Sequence)
        for name, value in (("chats.parents", chat.parents), ("chats.ids", chat.ids)):
            check_kind(name, () if value is None else value, Sequence)
    if len({chat.id for chat in chats}) < len(chats):
        raise InvalidInput("chats.id", "the ids must be distinct")
    for chat in chats:
        if (chat.source is None) != (chat.key is None):
            raise InvalidInput("chats.key", "must be given with a source, or neither of them")
        if chat.source is not None and chat.key is not None:
            named = conversations.id_of(scope.user_id, source=chat.source, key=chat.key)
            if chat.id != named:
                raise InvalidInput("chats.id", "must be conversations.id_of the source and the key")
        _check_tree(chat)
        _check_messages(scope, chat)
    with body_errors(scope, conversations.BODY, *(chat.body for chat in chats)):
        created = await scope.all(
            _chat_rows.CREATE,
            ids=[chat.id for chat in chats],
            titles=[chat.title for chat in chats],
            message_counts=[len(chat.messages) for chat in chats],
            heads=[None if chat.head == len(chat.messages) else chat.head for chat in chats],
            metadatas=[{} if chat.metadata is None else chat.metadata for chat in chats],
            sources=[chat.source for chat in chats],
            keys=[chat.key for chat in chats],
            bodys=[chat.body for chat in chats],
            created_ats=[chat.created_at for chat in chats],
            updated_ats=[newest_time(chat.messages, *_times(chat)) for chat in chats],
        )
    new_ids = set(created)
    new = [chat for chat in chats if chat.id in new_ids]
    await insert_messages(scope, (row for chat in new for row in _rows(chat)))
    return [chat.id for chat in new]


def _times(chat: NewChat) -> list[datetime | None]:
    return [chat.created_at, *([] if chat.updated_at is None else [chat.updated_at])]


def predecessors(chat: NewChat) -> Iterator[int]:
    """Yield the position that each message follows, or 0."""
    parents = [None] * len(chat.messages) if chat.parents is None else chat.parents
    for position, parent in enumerate(parents, start=1):
        yield position - 1 if parent is None else parent if parent < position else 0


def _check_tree(chat: NewChat) -> None:
    """Raise InvalidInput unless each message follows an earlier one, and the head exists."""
    size = len(chat.messages)
    if chat.head is not None and not (_is_position(chat.head) and chat.head <= size):
        raise InvalidInput("chats.head", "must be the position of a message")
    if chat.ids is not None and len(chat.ids) != size:
        raise InvalidInput("chats.ids", "must be as many as the messages")
    if chat.parents is None:
        return
    if len(chat.parents) != size:
        raise InvalidInput("chats.parents", "must be as many as the messages")
    for position, parent in enumerate(chat.parents, start=1):
        if parent is not None and not (_is_position(parent) and parent <= position):
            raise InvalidInput("chats.parents", "must be earlier positions, or the message's own")


def _check_messages(scope: Scope, chat: NewChat) -> None:
    """Raise InvalidInput for a body too large, and tool calls that do not fit their path."""
    branch_points = {parent for parent in chat.parents or () if parent is not None}
    pending_at: dict[int, set[str]] = {0: set()}
    pending: set[str] = set()
    for position, (message, parent) in enumerate(
        zip(chat.messages, predecessors(chat), strict=True), start=1
    ):
        check_kind("chats.messages", message, NewMessage)
        check_shape(message)
        check_body(scope, MESSAGE_BODY, message.body)
        if parent != position - 1:
            pending = set(pending_at[parent])
        if message.tool_calls or message.tool_results:
            tool_calls.update_pending(pending, message.tool_calls, message.tool_results)
        if position in branch_points:
            pending_at[position] = set(pending)


def uuid8(place: int, rest: int) -> UUID:
    """Return an id of 48 bits of the place, then bits of ``rest``.

    The ids of a conversation's messages thus go into the index in the order of the messages.
    """
    return UUID(int=place << 80 | rest & _REST | _VERSION_8)


def place_of(id_: UUID) -> int:
    """Return the place in an id of `uuid8`."""
    return id_.int >> 80


def _rows(chat: NewChat) -> Iterator[Row]:
    size = len(chat.messages)
    is_moved = chat.head is not None and chat.head != size
    placed = zip(chat.messages, chat.ids or _derive_ids(chat), predecessors(chat), strict=True)
    for position, (message, id_, parent) in enumerate(placed, start=1):
        # The newest message tells by its parent that the path may end elsewhere.
        is_marked = is_moved and position == size
        explicit = None if parent == position - 1 and not is_marked else parent or position
        yield chat.id, position, explicit, message.id or id_, message


def _derive_ids(chat: NewChat) -> Iterator[UUID]:
    rest = uuid5(chat.id, "messages").int
    return (uuid8(position, rest) for position in range(1, len(chat.messages) + 1))


def _is_position(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
