"""The import of chats that may have been imported before and changed since.

An import only adds. If the stored messages are the beginning of the chat, the import appends the
rest. If they differ, because the chat or its stored copy was edited, the chat becomes another
conversation, whose id is derived from the first message that differs: the next import finds that
conversation and appends to it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple
from uuid import UUID, uuid5

from faceplate import records
from faceplate.column_types import JsonObject
from faceplate.errors import NotFound
from faceplate.importers.chats import Chat
from faceplate.pagination import MAX_LIMIT
from faceplate.scope import Scope
from faceplate.services import _path_statements, conversations, messages
from faceplate.services.chats import NewChat, message_ids, store
from faceplate.services.messages import NewMessage


class Stored(NamedTuple):
    """The result for a chat: whether it is new, and its new messages."""

    is_new: bool
    messages: int


class _Target(NamedTuple):
    """The conversation of a chat."""

    conversation_id: UUID
    stored: int | None
    """How many of the chat's messages it has already; None if the conversation does not exist."""
    changed_from: JsonObject | None
    """The conversation that begins with the same messages, and the last equal position."""


async def import_chat(scope: Scope, chat: Chat) -> Stored:
    """Store the new part of a chat: all of it, or the messages added since.

    The ids are derived from the user, the chat's id and each message's place, so that concurrent
    imports of one chat use the same rows. Raises InvalidInput if a value breaks a rule of its
    column, and Conflict if a concurrent import has just stored the chat.
    """
    (made,) = await import_chats(scope, [chat])
    return made


async def import_chats(scope: Scope, chats: Sequence[Chat]) -> list[Stored]:
    """Store up to 1,000 chats as `import_chat` does, all or none.

    Return the result for each. New chats are stored together. Raises the errors of `import_chat`,
    and InvalidInput if two chats have the same id.
    """
    ids = [derive_id(scope.user_id, chat.id) for chat in chats]
    whole = [
        NewChat(id_, chat.title, chat.messages, describe(scope.user_id, chat))
        for id_, chat in zip(ids, chats, strict=True)
    ]
    new = set(await store(scope, whole))
    return [
        Stored(is_new=True, messages=len(chat.messages))
        if id_ in new
        else await _continue(scope, chat)
        for id_, chat in zip(ids, chats, strict=True)
    ]


async def _continue(scope: Scope, chat: Chat) -> Stored:
    """Append a chat's new messages, or store it as another conversation."""
    conversation_id, stored, changed_from = await _find_target(scope, chat)
    if stored is None:
        metadata = describe(scope.user_id, chat)
        if changed_from is not None:
            metadata["changed_from"] = changed_from
        new_chat = NewChat(conversation_id, chat.title, chat.messages, metadata)
        if not await store(scope, [new_chat]):
            return await _continue(scope, chat)  # a concurrent import has stored it
        return Stored(is_new=True, messages=len(chat.messages))
    numbered = (
        message._replace(id=id_)
        for message, id_ in zip(chat.messages, message_ids(conversation_id), strict=False)
    )
    for batch in _batches(islice(numbered, stored, None)):
        await messages.append_many(scope, conversation_id, batch)
    return Stored(is_new=False, messages=len(chat.messages) - stored)


def derive_id(user_id: UUID, name: str) -> UUID:
    """Return the id of the conversation of a user for the chat ``name``."""
    return uuid5(user_id, f"conversation:{name}")


def describe(user_id: UUID, chat: Chat) -> JsonObject:
    """Return a chat's metadata, with a link to where it branches off."""
    metadata = dict(chat.metadata)
    if chat.fork:
        metadata["forked_from"] = {
            "conversation_id": str(derive_id(user_id, chat.fork.chat_id)),
            "position": chat.fork.position,
            "message_id": chat.fork.message_id,
        }
    return metadata


async def _find_target(scope: Scope, chat: Chat) -> _Target:
    """Return the chat's conversation, and lock its row if messages will be appended."""
    name, changed_from = chat.id, None
    while True:
        conversation_id = derive_id(scope.user_id, name)
        try:
            await conversations.get(scope, conversation_id)
            shared, differs = await _compare(scope, conversation_id, chat.messages)
        except NotFound:
            return _Target(conversation_id, None, changed_from)
        if shared == len(chat.messages):
            return _Target(conversation_id, shared, changed_from)
        if differs:
            changed_from = {"conversation_id": str(conversation_id), "position": shared}
            name = f"{name}:{shared}:{_digest(chat.messages[shared])}"
        elif await scope.first(_path_statements.LOCK, conversation_id=conversation_id):
            locked = await conversations.get(scope, conversation_id)
            if locked.message_count == shared:
                return _Target(conversation_id, shared, changed_from)
            # Otherwise messages were appended or removed since the comparison: compare again.


async def _compare(
    scope: Scope, conversation_id: UUID, chat: Sequence[NewMessage]
) -> tuple[int, bool]:
    """Return how many messages are equal, and whether the next differs."""
    shared = 0
    while shared < len(chat):
        upto = shared + MAX_LIMIT + 1
        page = await messages.before(scope, conversation_id, upto, limit=MAX_LIMIT)
        news = [message for message in page if message.position > shared]
        for message, imported in zip(news, chat[shared:], strict=False):
            if _content_of(message) != _content_of(imported):
                return shared, True
            shared += 1
        if len(news) < MAX_LIMIT:
            break
    return shared, False


def _content_of(message: NewMessage | records.Message) -> tuple[object, ...]:
    """Return the fields to compare.

    Metadata change with each version of an exporting program.
    """
    return (message.role, message.content, message.tool_calls, message.tool_results)


def _digest(message: NewMessage) -> str:
    text = json.dumps(_content_of(message), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _batches(items: Iterable[NewMessage]) -> Iterator[list[NewMessage]]:
    """Yield the messages in lists that `messages.append_many` accepts."""
    batch: list[NewMessage] = []
    chars = 0
    for item in items:
        chars += len(item.content)
        if batch and (len(batch) == messages.MAX_BATCH or chars > messages.MAX_BATCH_CHARS):
            yield batch
            batch, chars = [], len(item.content)
        batch.append(item)
    if batch:
        yield batch
