"""TypingMind exports: ``{"data": {"chats": [{"chatID", "chatTitle", "messages"}]}}``.

Large exports have the chats in further files, each with a list. Messages are as OpenAI's, with the
names of TypingMind for ids, times and files.
"""

from collections.abc import Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_object, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.prologue import PROMPTS, take_prompts
from faceplate.importers.source import Message, Piece, SourceChat

_CHAT_FIELDS: Final = ("chatID", "chatTitle", "messages", "createdAt", "updatedAt")
_PROMPTS: Final = {*PROMPTS, "instruction"}
_FILES: Final = {"tm_image_file": "image", "tm_text_file": "text/plain"}


def fits(value: JsonObject) -> int:
    """Return 3 for a chat with messages that have TypingMind's names, 2 for one without."""
    messages = value.get("messages")
    if not isinstance(value.get("chatID"), str) or not isinstance(messages, list):
        return 0
    if not all(isinstance(message, dict) for message in messages):
        return 0
    is_sure = "chatTitle" in value or any("uuid" in message for message in messages)
    return 3 if is_sure else 2


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    chat_id = first_text(value.get("chatID"), value.get("id"))
    rest = without(value, *_CHAT_FIELDS)
    if rest.get("id") == chat_id:
        del rest["id"]
    prompts = take_prompts(rest, _PROMPTS, inside=("chatParams", "character"))
    yield SourceChat(
        (_read_message(message, value.get("model")) for message in messages),
        id=chat_id,
        title=value.get("chatTitle"),
        created=value.get("createdAt"),
        updated=value.get("updatedAt"),
        prologue=prompts,
        rest=rest,
    )


def _read_message(message: JsonObject, model: object) -> Message:
    content, files = message.get("content"), list[Piece]()
    if isinstance(content, list):
        files = [_file(part) for part in content if _is_file(part)]
        content = [part for part in content if not _is_file(part)]
    read = openai.read_message({**message, "content": content})
    return read._replace(
        pieces=[*read.pieces, *files],
        id=first_text(message.get("uuid"), read.id),
        model=read.model or model,
        rest=without(read.rest or {}, "uuid"),
        original=message,
    )


def _is_file(part: object) -> bool:
    return first_text(as_object(part).get("type")) in _FILES


def _file(part: JsonObject) -> Piece:
    inner = next((field for field in part.values() if isinstance(field, dict)), {})
    found = attachment({**inner, **part}, _FILES[part["type"]])
    text = first_text(inner.get("text"), inner.get("content"), part.get("text"))
    return found._replace(text=first_text(found.text, text), part=part)


FORMAT: Final = Format(
    "typingmind",
    "TypingMind export",
    fits,
    read,
    known=("chatParams", "preview", "character", "linkedPlugins"),
)
