"""pydantic-ai's message histories, as ``ModelMessagesTypeAdapter`` writes them.

A chat is a list of requests and responses, each with parts. A request has the parts of several
roles: the system's prompt, the user's, and the results of the calls before it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)

_LISTS: Final = ("messages", "message_history", "history")
_IDS: Final = ("id", "conversation_id", "session_id")
_FILES: Final = {
    "image-url": "image",
    "audio-url": "audio",
    "video-url": "video",
    "document-url": "file",
    "binary": "file",
    "uploaded-file": "file",
}
_MESSAGE_FIELDS: Final = ("kind", "parts", "timestamp", "model_name", "instructions")
_PART_FIELDS: Final = (
    *("part_kind", "content", "timestamp", "tool_name", "tool_call_id", "args", "transcript"),
    *("audio", "speaker"),
)
_ASIDES: Final = {
    "thinking": "reasoning",
    "compaction": "summaries",
    "tool-availability-delta": "settings",
}
_ROLES: Final = {
    "system-prompt": "system",
    "instruction": "system",
    "user-prompt": "user",
    "speech": "user",
    "retry-prompt": "user",
    "retry-feedback": "user",
    "tool-return": "tool",
}


def fits(value: JsonObject) -> int:
    """Return 4 for a list of requests and responses with parts, 3 for most of one."""
    are_messages = [_is_message(message) for message in _messages(value)]
    if not any(are_messages):
        return 0
    return 4 if all(are_messages) else 3 * (2 * are_messages.count(False) <= len(are_messages))


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message that is a value of its own."""
    return first_text(value.get("conversation_id")) if _is_message(value) else None


def _messages(value: JsonObject) -> list[Any]:
    return next((value[key] for key in _LISTS if isinstance(value.get(key), list)), [])


def _is_message(value: object) -> bool:
    message = as_object(value)
    parts = message.get("parts")
    return (
        message.get("kind") in ("request", "response")
        and isinstance(parts, list)
        and (not parts or any("part_kind" in as_object(part) for part in parts))
    )


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = _messages(value)
    first = next((message for message in messages if isinstance(message, dict)), None)
    if first is None:
        raise Unreadable("messages must be a list of requests and responses")
    yield SourceChat(
        _read_messages(message for message in messages if isinstance(message, dict)),
        id=_read_id(value, first),
        title=value.get("title"),
        created=first_of(value, "created_at", "timestamp"),
        rest=without(value, *_LISTS, *_IDS, "title", "created_at"),
    )


def _read_id(value: JsonObject, first: JsonObject) -> str:
    """Return the id of a chat: its own, or that of the run with which it begins.

    A conversation may be in several lists, one for each run, so its id names none of them.
    """
    conversation = first_text(first.get("conversation_id"))
    given = openai.read_id(first_of(value, *_IDS))
    own = "" if given == conversation else given
    return first_text(own, first.get("run_id"), conversation)


def _read_messages(messages: Iterable[JsonObject]) -> Iterator[Message]:
    instructions = ""
    for message in messages:
        if message.get("kind") == "response":
            yield _read_response(message)
            continue
        given = first_text(message.get("instructions"))
        if given and given != instructions:  # each request repeats them
            instructions = given
            yield Message("system", [Text(given)], created=message.get("timestamp"))
        yield from _read_request(message)


def _read_request(message: JsonObject) -> Iterator[Message]:
    rest = without(message, *_MESSAGE_FIELDS)
    for part in map(as_object, as_list(message.get("parts"))):
        kind = first_text(part.get("part_kind"))
        is_answer = kind == "retry-prompt" and isinstance(part.get("tool_name"), str)
        yield Message(
            "tool" if is_answer else _ROLES.get(kind, kind),
            list(read_part("tool-return" if is_answer else kind, part)),
            created=first_of(part, "timestamp") or message.get("timestamp"),
            rest=rest,
            original=part,
        )
        rest = {}


def _read_response(message: JsonObject) -> Message:
    usage = as_object(message.get("usage"))
    parts = map(as_object, as_list(message.get("parts")))
    is_whole = message.get("state") in (None, "complete")
    return Message(
        "assistant",
        [piece for part in parts for piece in read_part(first_text(part.get("part_kind")), part)],
        created=message.get("timestamp"),
        model=message.get("model_name"),
        input_tokens=first_of(usage, "input_tokens", "request_tokens"),
        output_tokens=first_of(usage, "output_tokens", "response_tokens"),
        status=None if is_whole else "interrupted",
        rest=without(message, *_MESSAGE_FIELDS),
        original=message,
    )


def read_part(kind: str, part: JsonObject) -> Iterator[Piece]:
    """Yield the pieces of a part of this kind, and what else it says."""
    call_id, tool = first_text(part.get("tool_call_id")), first_text(part.get("tool_name"))
    if kind in _ASIDES:
        yield Aside(_ASIDES[kind], without(part, "part_kind"))
        return
    if kind in ("tool-call", "builtin-tool-call"):
        yield Call(tool or "function", first_of(part, "args") or {}, call_id)
    elif kind in ("tool-return", "builtin-tool-return"):
        yield Result(_typed(part.get("content")), call_id, tool)
    elif kind == "speech":
        yield from _content([part.get("transcript"), part.get("audio")])
    elif kind in ("retry-prompt", "retry-feedback"):
        yield Text(to_text(part.get("content")))
    elif kind in (*_ROLES, "text", "file"):
        yield from _content(part.get("content"))
    else:
        yield Unknown(part)
        return
    notes = without(part, *_PART_FIELDS)
    if notes := {key: note for key, note in notes.items() if note and note != "success"}:
        yield Aside("notes of parts", notes)


def _content(content: object) -> Iterator[Piece]:
    """Yield the pieces of what a user wrote or a model answered."""
    for part in content if isinstance(content, list) else [content]:
        fields = as_object(part)
        kind, text = first_text(fields.get("kind")), fields.get("content")
        if isinstance(part, str):
            yield Text(part)
        elif kind == "text-content" and isinstance(text, str):
            yield Text(text)
        elif kind in _FILES:
            yield attachment(fields, _FILES[kind])
        elif kind != "cache-point" and part is not None:
            yield Unknown(part)


def _typed(content: object) -> object:
    """Return the content of a result with its files as parts of the kinds that formats share."""
    if isinstance(content, list):
        return [_typed_part(part) for part in content]
    part = _typed_part(content)
    return content if part is content else [part]


def _typed_part(part: object) -> object:
    fields = as_object(part)
    kind = first_text(fields.get("kind"))
    return {**fields, "type": _FILES[kind]} if kind in _FILES else part


FORMAT: Final = Format(
    "pydantic-ai",
    "pydantic-ai messages",
    fits,
    read,
    known=(
        *("part_kind", "timestamp", "tool_call_id", "tool_kind", "outcome", "dynamic_ref"),
        *("provider_name", "identifier", "media_type", "speaker"),
    ),
    joins=joins,
)
