"""Chatbot UI exports of versions 1 to 4: ``{"history": [{"name", "messages", "prompt"}]}``.

The first version has the list alone. A dump of the browser's storage has it as JSON text.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.prologue import PROMPTS, take_prompts
from faceplate.importers.source import SourceChat

_DUMPED: Final = "conversationHistory"
_FIRST_VERSION: Final = {"id", "name", "messages"}


def fits(value: JsonObject) -> int:
    """Return 2 for a chat with its name and prompt, or for a dump that has such chats."""
    if _DUMPED in value:
        return 2 if any(_is_chat(chat) for chat in _dumped(value)) else 0
    return 2 if _is_chat(value) else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, or the chats of a dump."""
    chats = _dumped(value) if _DUMPED in value else [value]
    for chat in chats:
        messages = as_object(chat).get("messages")
        if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
            raise Unreadable("messages must be a list of objects")
        yield _read_chat(chat, messages)


def _dumped(value: JsonObject) -> list[Any]:
    try:
        return as_list(json.loads(first_text(value.get(_DUMPED))))
    except (ValueError, RecursionError):
        return []


def _is_chat(value: object) -> bool:
    fields = as_object(value)
    messages = fields.get("messages")
    is_named = isinstance(fields.get("name"), str) and isinstance(messages, list)
    if not is_named or not all(openai.is_message(message) for message in as_list(messages)):
        return False
    return "folderId" in fields or "prompt" in fields or fields.keys() == _FIRST_VERSION


def _read_chat(chat: JsonObject, listed: list[JsonObject]) -> SourceChat:
    model = as_object(chat.get("model")).get("id") or chat.get("model")
    messages = [openai.read_message(message) for message in listed]
    messages = [each._replace(model=each.model or model) for each in messages]
    rest = without(chat, "id", "name", "messages")
    return SourceChat(
        messages,
        id=openai.read_id(chat.get("id")),
        title=chat.get("name"),
        prologue=take_prompts(rest, ("prompt", *PROMPTS)),
        rest=rest,
    )


FORMAT: Final = Format("chatbot-ui", "Chatbot UI export", fits, read)
