"""Where a chat belongs that may have been imported before, and have changed since.

An import only adds. What is stored and is still how the chat begins is gone on with. Where the two
differ, be it that the chat was edited or that its copy here was, the chat as it is now becomes a
conversation of its own, whose name follows from the first message that differs: the next import
finds it, and goes on with that.
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
from faceplate.services import conversations, message_statements, messages
from faceplate.services.chats import NewChat, message_ids, store
from faceplate.services.messages import NewMessage


class Stored(NamedTuple):
    """What an import made of a chat: is its conversation new, and how many messages are?"""

    is_new: bool
    messages: int


class _Target(NamedTuple):
    """The conversation that is to hold a chat."""

    conversation_id: UUID
    stored: int | None
    """How many of the chat's messages it has already; None where there is no such conversation."""
    changed_from: JsonObject | None
    """The conversation whose beginning it shares, and the last position that is the same."""


async def import_chat(scope: Scope, chat: Chat) -> Stored:
    """Store what is not there yet of a chat: a conversation, or the messages that came since.

    The ids follow from the user, the chat's id and each message's place in it, so that two
    imports of one chat meet in the same rows, whichever way they race. Raises InvalidInput where
    a value breaks a rule of its column, and Conflict where another import has just stored it.
    """
    (made,) = await import_chats(scope, [chat])
    return made


async def import_chats(scope: Scope, chats: Sequence[Chat]) -> list[Stored]:
    """Store up to 1,000 chats as `import_chat` does, all or none; return what was made of each.

    Those that are new are stored together. Raises as `import_chat` does, and InvalidInput where
    two of them have the same id.
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
        else await _go_on(scope, chat)
        for id_, chat in zip(ids, chats, strict=True)
    ]


async def _go_on(scope: Scope, chat: Chat) -> Stored:
    """Add to a conversation what the chat has more, or store the chat anew beside it."""
    conversation_id, stored, changed_from = await _find_target(scope, chat)
    if stored is None:
        metadata = describe(scope.user_id, chat)
        if changed_from is not None:
            metadata["changed_from"] = changed_from
        anew = NewChat(conversation_id, chat.title, chat.messages, metadata)
        if not await store(scope, [anew]):
            return await _go_on(scope, chat)  # another import has stored it meanwhile
        return Stored(is_new=True, messages=len(chat.messages))
    numbered = (
        message._replace(id=id_)
        for message, id_ in zip(chat.messages, message_ids(conversation_id), strict=False)
    )
    for batch in _batches(islice(numbered, stored, None)):
        await messages.append_many(scope, conversation_id, batch)
    return Stored(is_new=False, messages=len(chat.messages) - stored)


def derive_id(user_id: UUID, name: str) -> UUID:
    """The id of the conversation that a chat of this name has for a user."""
    return uuid5(user_id, f"conversation:{name}")


def describe(user_id: UUID, chat: Chat) -> JsonObject:
    """A chat's metadata, with a link to the conversation that it branched from."""
    metadata = dict(chat.metadata)
    if chat.fork:
        metadata["forked_from"] = {
            "conversation_id": str(derive_id(user_id, chat.fork.chat_id)),
            "position": chat.fork.position,
            "message_id": chat.fork.message_id,
        }
    return metadata


async def _find_target(scope: Scope, chat: Chat) -> _Target:
    """Where a chat belongs; that conversation is locked if messages are to be added to it."""
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
        elif await scope.first(message_statements.LOCK, conversation_id=conversation_id):
            locked = await conversations.get(scope, conversation_id)
            if locked.message_count == shared:
                return _Target(conversation_id, shared, changed_from)
            # Else somebody appended or removed messages since we looked.


async def _compare(
    scope: Scope, conversation_id: UUID, chat: Sequence[NewMessage]
) -> tuple[int, bool]:
    """How many messages are the same from the first one on, and is the one after these another?"""
    shared = 0
    while shared < len(chat):
        upto = shared + MAX_LIMIT + 1
        page = await messages.before(scope, conversation_id, upto, limit=MAX_LIMIT)
        news = [message for message in page if message.position > shared]
        for message, said in zip(news, chat[shared:], strict=False):
            if _words_of(message) != _words_of(said):
                return shared, True
            shared += 1
        if len(news) < MAX_LIMIT:
            break
    return shared, False


def _words_of(message: NewMessage | records.Message) -> tuple[object, ...]:
    """What was said. Metadata change with every version of an exporting program."""
    return (message.role, message.content, message.tool_calls, message.tool_results)


def _digest(message: NewMessage) -> str:
    words = json.dumps(_words_of(message), sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def _batches(items: Iterable[NewMessage]) -> Iterator[list[NewMessage]]:
    """The messages in lists that `messages.append_many` takes."""
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
