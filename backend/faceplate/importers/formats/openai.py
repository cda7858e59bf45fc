"""OpenAI chat messages: ``{"id", "title", "messages": [{"role", "content", ...}]}``.

Programs and datasets write them in every shape: calls without ids or with objects as arguments, the
older ``function_call`` and ``function``, roles with capitals, and the parts of newer interfaces.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import (
    as_list,
    as_object,
    first_of,
    first_text,
    read_content,
    read_part,
    without,
)
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Message, Piece, Result, SourceChat

ROLES: Final = {"user", "assistant", "system", "developer", "tool", "function"}
_MESSAGE_FIELDS: Final = (
    *("role", "content", "tool_calls", "tool_call_id", "function_call", "id", "model"),
    *("created_at", "createdAt", "timestamp"),
)


def fits(value: JsonObject) -> int:
    """Return 1 for a list of messages with these roles."""
    messages = value.get("messages")
    return int(isinstance(messages, list) and all(map(is_message, messages)))


def is_message(value: object) -> bool:
    """Return whether a value is a message of a chat."""
    return (
        isinstance(value, dict)
        and isinstance(role := value.get("role"), str)
        and role.lower() in ROLES
        and any(key in value for key in ("content", "tool_calls", "function_call", "parts"))
    )


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message that is a value of its own."""
    if not is_message(value):
        return None
    return first_text(value.get("conversation_id"), value.get("thread_id"))


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    yield SourceChat(
        [read_message(message) for message in messages],
        id=read_id(value.get("id")),
        title=value.get("title"),
        created=first_of(value, "created_at", "createdAt", "created"),
        updated=first_of(value, "updated_at", "updatedAt"),
        is_exact=True,
        rest=without(value, "messages", "id", "title", "created_at", "updated_at"),
    )


def read_message(message: JsonObject) -> Message:
    """Return a message with its calls, or with the result that it is."""
    role = message.get("role")
    name = role.lower() if isinstance(role, str) else "unknown"
    rest = without(message, *_MESSAGE_FIELDS)
    pieces = read_content(message.get("content"))
    if name in ("tool", "function"):
        tool = first_text(rest.pop("name", None))
        pieces = [Result(message.get("content"), first_text(message.get("tool_call_id")), tool)]
    pieces += _calls(message)
    return Message(
        "tool" if name == "function" else name,
        pieces,
        id=read_id(message.get("id")),
        created=first_of(message, "created_at", "createdAt", "timestamp"),
        model=message.get("model"),
        rest=rest,
        original=message,
    )


def _calls(message: JsonObject) -> list[Piece]:
    calls: list[Any] = [
        {**as_object(call), "type": "tool_call"} for call in as_list(message.get("tool_calls"))
    ]
    if isinstance(function := message.get("function_call"), dict):
        calls.append({"type": "function_call", **function})
    return [piece for call in calls for piece in read_part(call)]


def read_id(value: object) -> str:
    """Return an id that is text or a whole number as text, else empty text."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


FORMAT: Final = Format("openai", "OpenAI chat messages", fits, read, joins=joins)
