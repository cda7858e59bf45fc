"""Where a chat belongs that may have been imported before, and have changed since.

An import only adds. What is stored and is still how the chat begins is gone on with. Where the two
differ, be it that the chat was edited or that its copy here was, the chat as it is now becomes a
conversation of its own, whose name follows from the first message that differs: the next import
finds it, and goes on with that.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from faceplate import records
from faceplate.column_types import JsonObject
from faceplate.errors import NotFound
from faceplate.importers.chats import Chat
from faceplate.pagination import MAX_LIMIT
from faceplate.scope import Scope
from faceplate.services import conversations, message_statements, messages
from faceplate.services.messages import NewMessage


class Target(NamedTuple):
    """The conversation that is to hold a chat."""

    conversation_id: UUID
    stored: int | None
    """How many of the chat's messages it has already; None where there is no such conversation."""
    changed_from: JsonObject | None
    """The conversation whose beginning it shares, and the last position that is the same."""


async def find_target(scope: Scope, chat: Chat) -> Target:
    """Return where a chat belongs, and lock that conversation if messages are to be added to it."""
    name, changed_from = chat.id, None
    while True:
        conversation_id = derive_conversation_id(scope.user_id, name)
        try:
            await conversations.get(scope, conversation_id)
            shared, differs = await _compare(scope, conversation_id, chat.messages)
        except NotFound:
            return Target(conversation_id, None, changed_from)
        if shared == len(chat.messages):
            return Target(conversation_id, shared, changed_from)
        if differs:
            changed_from = {"conversation_id": str(conversation_id), "position": shared}
            name = f"{name}:{shared}:{_digest(chat.messages[shared])}"
        elif await scope.first(message_statements.LOCK, conversation_id=conversation_id):
            locked = await conversations.get(scope, conversation_id)
            if locked.message_count == shared:
                return Target(conversation_id, shared, changed_from)
            # Else somebody appended or removed messages since we looked.


def derive_conversation_id(user_id: UUID, name: str) -> UUID:
    """The id of the conversation that a chat of this name has for a user."""
    return uuid5(user_id, f"conversation:{name}")


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
