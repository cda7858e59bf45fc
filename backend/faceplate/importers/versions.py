"""The import of chats that may have been imported before and changed since.

An import only adds. The id of a message is derived from the message before it, its name in the
source and its content. So the import finds the messages that are stored, whatever was done to their
copies, and appends the others where they belong: an edited message begins a branch, with all that
follows it in the source.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID

from faceplate import records
from faceplate.errors import NotFound
from faceplate.importers.chats import Chat
from faceplate.importers.fitting import digest, fit
from faceplate.importers.prologue import is_of_prologue
from faceplate.scope import Scope
from faceplate.services import _chat_rows as sql
from faceplate.services import conversations
from faceplate.services._chat_rows import Row, insert_messages
from faceplate.services._new_messages import newest_time
from faceplate.services.chats import NewChat, place_of, predecessors, store, uuid8

SHOWN: Final = "shown_position"
"""The key in a conversation's metadata of the position at which the source's path ended."""


class Stored(NamedTuple):
    """The result for a chat: whether it is new, and its new messages."""

    is_new: bool
    messages: int


_MIN_OWN_KEY_CHARS: Final = 16  # another chat may have a shorter one, such as a number
_COMPARED_MESSAGES: Final = 50


class _Given(NamedTuple):
    """A chat of the file, and the ids of its messages."""

    read: Chat
    chat: NewChat
    ids: list[UUID]

    @property
    def end(self) -> UUID:
        """The message at which its path ends; not for a chat without messages."""
        return self.ids[(self.chat.head or len(self.ids)) - 1]


class _Changes(NamedTuple):
    """What a chat has that its conversation does not have."""

    conversation: records.Conversation
    positions: dict[UUID, int]
    """The stored messages."""
    end: int | None
    """The position at which the path ends; None without messages."""
    missing: list[int]
    """The indexes in the chat of the messages that are not stored."""
    is_followed: bool
    """Whether the path is to end where the chat's does."""

    def is_nothing(self, given: _Given) -> bool:
        """Return whether there is nothing to store and the path stays."""
        is_there = not self.is_followed or self.positions.get(given.end) == self.end
        return not self.missing and is_there


async def import_chat(scope: Scope, chat: Chat) -> Stored:
    """Store the new part of a chat: all of it, or the messages added since.

    The ids are derived, so that concurrent imports of one chat use the same rows. Raises
    InvalidInput if a value breaks a rule of its column.
    """
    (made,) = await import_chats(scope, [chat])
    return made


async def import_chats(scope: Scope, chats: Sequence[Chat]) -> list[Stored]:
    """Store up to 1,000 chats as `import_chat` does, all or none.

    Return the result for each. New chats are stored together. Raises the errors of `import_chat`,
    and InvalidInput if two chats have the same source and key.
    """
    given = [_give_ids(scope.user_id, chat) for chat in chats]
    new = set(await store(scope, [item.chat for item in given]))
    return [
        Stored(is_new=True, messages=len(item.ids))
        if item.chat.id in new
        else await _continue(scope, item)
        for item in given
    ]


def _give_ids(user_id: UUID, chat: Chat) -> _Given:
    metadata = chat.metadata
    if chat.parents is not None or chat.head is not None:
        metadata, _ = fit({**metadata, SHOWN: chat.head or len(chat.messages)})
    new = NewChat(
        id=conversations.id_of(user_id, source=chat.source, key=chat.key),
        title=chat.title,
        messages=chat.messages,
        metadata=metadata,
        parents=chat.parents,
        head=chat.head,
        created_at=chat.created_at,
        updated_at=chat.updated_at,
        source=chat.source,
        key=chat.key,
    )
    ids = _message_ids(new, chat.names)
    return _Given(chat, new._replace(ids=ids), ids)


def _message_ids(chat: NewChat, names: Sequence[str] | None) -> list[UUID]:
    """Return the id of each message, derived from its parent, its name and its content.

    What stands before the first message of the source is no parent, so that a message keeps its id
    when a system prompt was changed.

    An id begins with the number of messages before it on its path, so that the ids of a
    conversation go into the index nearly in order.
    """
    ids: list[UUID] = []
    parents: list[UUID | None] = []
    """For each message, the parent that its followers get."""
    for index, (message, parent) in enumerate(zip(chat.messages, predecessors(chat), strict=True)):
        before = parents[parent - 1] if parent else None
        name, role, content = names[index] if names else "", message.role, message.content
        text = f"{len(name)} {name} {role} {len(content)} {content}"
        if message.tool_calls or message.tool_results:
            text += json.dumps([message.tool_calls, message.tool_results], sort_keys=True)
        path = (before or chat.id).bytes
        hashed = blake2b(path + text.encode("utf-8", "surrogatepass"), digest_size=10)
        depth = 1 if before is None else place_of(before) + 1
        ids.append(uuid8(depth, int.from_bytes(hashed.digest(), "big")))
        parents.append(before if is_of_prologue(name.partition(":")[2]) else ids[-1])
    return ids


async def _continue(scope: Scope, given: _Given) -> Stored:
    """Add the messages that a stored chat does not have, and move its path to them."""
    changes = await _compare(scope, given)
    if changes is not None and (other := await _as_another(scope, given, changes)):
        return await import_chat(scope, other)
    if changes is None or not changes.is_nothing(given):
        last_position = await scope.first(sql.LOCK_LAST_POSITION, conversation_id=given.chat.id)
        changes = await _compare(scope, given)  # nobody changes it any more
        if last_position is None or changes is None:
            return await _store_again(scope, given)
        await _add(scope, given, changes, last_position)
    return Stored(is_new=False, messages=len(changes.missing))


async def _as_another(scope: Scope, given: _Given, changes: _Changes) -> Chat | None:
    """Return the chat with a key of its own if the conversation with its key is another chat's.

    The files of a data set, and two programs of one kind, number their chats alike.
    """
    is_imported = any(id_.version == 8 for id_ in changes.positions)
    other = with_longer_key(given.read)
    if other is None or not is_imported or not changes.missing or _has_said(given, changes):
        return None
    id_ = conversations.id_of(scope.user_id, source=other.source, key=other.key)
    is_there = await scope.all(sql.PLACES, conversation_id=id_)
    if is_there or not await _says_the_same(scope, given):
        return other
    return None


def _has_said(given: _Given, changes: _Changes) -> bool:
    """Return whether a message is stored under its id; many chats have one system prompt."""
    missing = set(changes.missing)
    messages = enumerate(given.chat.messages)
    return any(message.role != "system" and at not in missing for at, message in messages)


def with_longer_key(chat: Chat) -> Chat | None:
    """Return a chat with its first message in its key, None if the key is long or it has none."""
    if len(chat.key) >= _MIN_OWN_KEY_CHARS or not chat.messages:
        return None
    first = next((m for m in chat.messages if m.role != "system"), chat.messages[0])
    return chat._replace(key=f"{chat.key} {digest([first.role, first.content])}")


async def _says_the_same(scope: Scope, given: _Given) -> bool:
    """Return whether its conversation says most of it, or some words of it, at the same positions.

    The messages have other ids there, if one before them was edited. Many chats have one answer of
    a single word, such as "Yes".
    """
    stored = await scope.all(sql.SAID, conversation_id=given.chat.id, last=_COMPARED_MESSAGES)
    said = {each.position: (each.role, each.content) for each in stored}
    compared = {
        position: (message.role, message.content)
        for position, message in enumerate(given.chat.messages[:_COMPARED_MESSAGES], start=1)
        if message.role != "system" and message.content
    }
    same = [text for at, (role, text) in compared.items() if said.get(at) == (role, text)]
    return 2 * len(same) > len(compared) or any(" " in text for text in same)


async def _store_again(scope: Scope, given: _Given) -> Stored:
    """Store a chat whose conversation was deleted since the import found it."""
    if await store(scope, [given.chat]):
        return Stored(is_new=True, messages=len(given.ids))
    return await _continue(scope, given)


async def _compare(scope: Scope, given: _Given) -> _Changes | None:
    """Return what is new in a chat, or None if its conversation does not exist.

    The path follows the source if it ends where the last import left it, and if the file is not
    older than the conversation.
    """
    try:
        conversation = await conversations.get(scope, given.chat.id)
    except NotFound:
        return None
    places = await scope.all(sql.PLACES, conversation_id=given.chat.id)
    positions = {place.id: place.position for place in places}
    missing = [index for index, id_ in enumerate(given.ids) if id_ not in positions]
    end = conversation.head or max(positions.values(), default=None)
    # Without a record, the last import left the path at the last message with an id of `uuid8`.
    imported = [position for id_, position in positions.items() if id_.version == 8]
    is_untouched = end == conversation.metadata.get(SHOWN, max(imported, default=None))
    is_newer = bool(missing) or len(positions) == len(given.ids)
    is_followed = bool(given.ids) and is_untouched and is_newer
    return _Changes(conversation, positions, end, missing, is_followed)


async def _add(scope: Scope, given: _Given, changes: _Changes, last_position: int) -> None:
    """Store the missing messages of a locked conversation behind ``last_position``."""
    _, chat, ids = given
    positions = dict(changes.positions)
    newest = max(positions.values(), default=0)
    follows = list(predecessors(chat))
    rows: list[Row] = []
    for position, index in enumerate(changes.missing, start=last_position + 1):
        parent = positions[ids[follows[index] - 1]] if follows[index] else 0
        explicit = None if parent == newest else parent or position
        rows.append((chat.id, position, explicit, ids[index], chat.messages[index]))
        positions[ids[index]] = newest = position
    if rows:
        await insert_messages(scope, rows)
        times = [] if chat.updated_at is None else [chat.updated_at]
        moment = newest_time([chat.messages[index] for index in changes.missing], *times)
        await scope.execute(sql.EXTEND, conversation_id=chat.id, count=len(rows), active_at=moment)
    end = positions[given.end] if changes.is_followed else changes.end
    if end is not None and (end != newest or not rows):
        await conversations.switch(scope, chat.id, end)
    metadata = changes.conversation.metadata
    has_branches = any(parent is not None for _, _, parent, *_ in rows)
    if changes.is_followed and (has_branches or end != newest or SHOWN in metadata):
        fitting, _ = fit({**metadata, SHOWN: end})
        await conversations.replace_metadata(scope, chat.id, fitting)
