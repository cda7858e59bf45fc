"""The reader of OpenAI chat messages.

A chat is ``{"id", "title", "messages": [{"role", "content", ...}]}``. Text, tool calls and results,
times and models go into their columns. Every other key goes into the metadata of its chat or
message, and so does every content part that is not text, with its index in the list.
"""

import hashlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from faceplate.errors import InvalidInput
from faceplate.importers.chats import Chat, Refusal, Unreadable, derive_title
from faceplate.importers.json_values import Value, encode, read_values
from faceplate.importers.reading import model_name
from faceplate.importers.turns import to_time
from faceplate.models import ROLES
from faceplate.services import tool_calls
from faceplate.services.messages import NewMessage

T = TypeVar("T")


def read(
    path: Path, on_progress: Callable[[int], None] | None = None
) -> Generator[Chat | Refusal, None, None]:
    """Yield the chats of a file in order, and a Refusal for each that cannot be read.

    One chat is in memory at a time. ``on_progress`` is called with the number of bytes read.
    Raises OSError if the file cannot be read.
    """
    for item in read_values(path, on_progress):
        if isinstance(item, Refusal):
            yield item
            continue
        try:
            yield _read_chat(item)
        except Unreadable as error:
            yield Refusal(item.place, str(error))


def _read_chat(item: Value) -> Chat:
    if not isinstance(item.value, dict):
        raise Unreadable("not an object")
    encoded = encode(item.value)
    fields: dict[str, Any] = dict(item.value)
    given_id = _take_id(fields)
    title = _take_text(fields, "title")
    messages = fields.pop("messages", None)
    if not _is_list_of_objects(messages):
        raise Unreadable("messages must be a list of objects")

    pending_calls: set[str] = set()
    read_messages: list[NewMessage] = []
    for number, message in enumerate(messages, start=1):
        try:
            read_messages.append(_read_message(message, pending_calls))
        except (Unreadable, InvalidInput) as error:
            raise Unreadable(f"message {number}: {error}") from None

    return Chat(
        place=item.place,
        source="openai",
        key=given_id or f"sha256:{hashlib.sha256(encoded).hexdigest()}",
        title=title if title and not title.isspace() else derive_title(read_messages),
        messages=read_messages,
        created_at=_take(fields, "created_at", to_time),
        metadata=fields,
    )


def _read_message(message: dict[str, Any], pending_calls: set[str]) -> NewMessage:
    fields = dict(message)
    role = fields.pop("role", None)
    if role not in ROLES:
        raise Unreadable(f"role must be one of {', '.join(ROLES)}")
    content, other_parts = _read_content(fields.pop("content", None))
    if other_parts:
        fields["content_parts"] = other_parts

    calls = fields.pop("tool_calls", None) or None
    results = None
    if calls is not None:
        if role != "assistant" or not _is_list_of_objects(calls):
            raise Unreadable("tool_calls must be a list of objects, in an assistant's message")
        tool_calls.check_calls(calls)
    if role == "tool":
        results = [{"tool_call_id": fields.pop("tool_call_id", None), "content": content}]
        tool_calls.check_results(results)
    tool_calls.update_pending(pending_calls, calls, results)
    return NewMessage(
        role=role,
        content=content,
        tool_calls=calls,
        tool_results=results,
        created_at=_take(fields, "created_at", to_time),
        model=_take(fields, "model", model_name),
        metadata=fields,
    )


def _read_content(content: object) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of a message, and the other fields of its parts."""
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not _is_list_of_objects(content):
        raise Unreadable("content must be text, null, or a list of content parts")
    texts: list[str] = []
    others: list[dict[str, Any]] = []
    for index, part in enumerate(content):
        text = part.get("text")
        if part.get("type") != "text" or not isinstance(text, str):
            others.append({"index": index, "part": part})
            continue
        texts.append(text)
        if extra := {key: value for key, value in part.items() if key not in {"type", "text"}}:
            others.append({"index": index, "part": extra})
    return "\n".join(texts), others


def _take_id(fields: dict[str, Any]) -> str | None:
    value = fields.pop("id", None)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise Unreadable("id must be text or a whole number")
    return value or None


def _take(fields: dict[str, Any], name: str, read: Callable[[object], T | None]) -> T | None:
    """Remove a value that has a column and return it; any other value stays."""
    value = read(fields[name]) if name in fields else None
    if value is not None:
        del fields[name]
    return value


def _take_text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise Unreadable(f"{name} must be text")
    return value


def _is_list_of_objects(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(element, dict) for element in value)
