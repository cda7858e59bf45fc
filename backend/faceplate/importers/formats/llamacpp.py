"""Exports of llama.cpp's web UI: ``{"conv", "messages"}``, a list of these, or JSON lines.

A chat is a tree under a root that is no message; ``conv.currNode`` is its visible leaf. In JSON
lines a line of type ``session`` is the chat, and each line of type ``message`` is a message of it;
or the lines are what ``conv`` is, and its messages.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.prologue import take_prompts
from faceplate.importers.source import Aside, Call, Message, Piece, Result, SourceChat, Text

_CONV_FIELDS: Final = ("id", "name", "lastModified", "currNode", "type", "harness")
_FIELDS: Final = (
    *("id", "convId", "type", "role", "content", "parent", "children", "timestamp", "model"),
    *("thinking", "reasoningContent", "reasoning_content", "toolCalls", "tool_calls"),
    *("toolCallId", "extra"),
)
_REASONING: Final = ("reasoningContent", "reasoning_content", "thinking")
_KINDS: Final = {"textfile": "text", "imagefile": "image", "audiofile": "audio", "pdffile": "pdf"}
_FILE_DATA: Final = ("base64Url", "base64Data", "uri")
# Versions of winter 2025 wrote reasoning and calls into the text.
_MARKS: Final = re.compile(
    "<<<(reasoning_content_start|reasoning_content_end|AGENTIC_TOOL_CALL_START|"
    "AGENTIC_TOOL_CALL_END|TOOL_ARGS_START|TOOL_ARGS_END|TOOL_NAME:[^<>\n]{0,200})>>>\n?"
)


def fits(value: JsonObject) -> int:
    """Return 3 for a chat with its messages, or for the lines of one."""
    conv, messages = _take_apart(value)
    if not all(isinstance(message, dict) for message in messages):
        return 0
    is_named = "currNode" in conv or "lastModified" in conv
    return 3 if is_named or (messages and all(_is_message(each) for each in messages)) else 0


def joins(value: JsonObject) -> str | None:
    """Return the chat of a line: a message, or what is said about the chat."""
    if "currNode" in value and ("lastModified" in value or value.get("type") == "session"):
        return first_text(value.get("id"))
    message = as_object(value.get("message")) if value.get("type") == "message" else value
    return first_text(message.get("convId")) if _is_message(message) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    conv, messages = _take_apart(value)
    if not all(isinstance(message, dict) for message in messages):
        raise Unreadable("messages must be a list of objects")
    rest = without(conv, *_CONV_FIELDS) | without(value, "conv", "messages", "id")
    yield SourceChat(
        map(_read_message, messages),
        id=first_text(conv.get("id"), value.get("id")),
        title=conv.get("name"),
        updated=conv.get("lastModified"),
        is_tree=True,
        current=_id(conv.get("currNode")),
        prologue=take_prompts(rest),
        rest=rest,
    )


def _take_apart(value: JsonObject) -> tuple[JsonObject, list[Any]]:
    """Return what is said about the chat, and its messages."""
    listed = as_list(value.get("messages"))
    if isinstance(value.get("conv"), dict):
        return value["conv"], listed
    lines = [as_object(line) for line in listed]
    if not any(joins(line) is not None for line in lines):
        return {}, []
    conv = next((line for line in lines if "currNode" in line), {})
    said = [line for line in lines if line is not conv]
    return conv, [
        line.get("message", line) if line.get("type") == "message" else line for line in said
    ]


def _is_message(message: JsonObject) -> bool:
    return isinstance(message.get("convId"), str) and "role" in message and "parent" in message


def _id(value: object) -> str:
    """Return an id, which was a number in early versions."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _read_message(message: JsonObject) -> Message:
    timings = as_object(message.get("timings"))
    place = Message(
        id=_id(message.get("id")),
        parent=_id(message.get("parent")) or None,
        children=[name for child in as_list(message.get("children")) if (name := _id(child))],
        created=message.get("timestamp"),
    )
    if message.get("type") == "root" and not message.get("content"):
        return place
    role = first_text(message.get("role"), "unknown")
    return place._replace(
        role=role,
        pieces=_result(message) if role == "tool" else _pieces(message),
        model=message.get("model"),
        input_tokens=timings.get("prompt_n"),
        output_tokens=timings.get("predicted_n"),
        rest=without(message, *_FIELDS),
        original=message,
    )


def _result(message: JsonObject) -> list[Piece]:
    text = {"type": "text", "text": first_text(message.get("content"))}
    files = [_file(extra) for extra in as_list(message.get("extra"))]
    return [Result([text, *files], first_text(message.get("toolCallId")))]


def _pieces(message: JsonObject) -> list[Piece]:
    pieces: list[Piece] = []
    if reasoning := first_text(*(message.get(key) for key in _REASONING)):
        pieces.append(Aside("reasoning", {"text": reasoning}))
    content = message.get("content")
    has_calls = False
    if isinstance(content, str) and message.get("role") == "assistant" and "<<<" in content:
        marked = list(_read_marks(content))
        has_calls = any(isinstance(piece, Call) for piece in marked)
        pieces += marked
    elif content is not None:
        pieces += read_part(content)
    if not has_calls:
        pieces += _calls(first_of(message, "toolCalls", "tool_calls"))
    for extra in as_list(message.get("extra")):
        file = _file(extra)
        pieces.append(attachment(file, file["type"])._replace(part=extra))
    return pieces


def _calls(calls: object) -> list[Piece]:
    """Return the calls of a message: a list, or its JSON."""
    if isinstance(calls, str):
        try:
            calls = json.loads(calls) if calls.strip() else []
        except (ValueError, RecursionError):
            return [Call("function", calls)]
    listed = calls if isinstance(calls, list) else [] if calls is None else [calls]
    objects = [call if isinstance(call, dict) else {"function": call} for call in listed]
    return [piece for call in objects for piece in read_part({**call, "type": "tool_call"})]


def _file(extra: object) -> JsonObject:
    """Return a file as a part with the names that formats share."""
    fields = dict(extra) if isinstance(extra, dict) else {"name": str(extra)}
    kind = first_text(fields.pop("type", None), "file").lower()
    return {
        **without(fields, "content", *_FILE_DATA),
        "type": "file",
        "file_type": first_text(fields.get("mimeType"), _KINDS.get(kind, kind)),
        "extracted_content": first_text(fields.get("content")),
        "data": first_text(*(fields.get(key) for key in _FILE_DATA)),
    }


def _read_marks(content: str) -> Iterator[Piece]:
    """Yield what the marks in a text set apart: reasoning, calls and their results."""
    parts = _MARKS.split(content)
    tool, state = "", "AGENTIC_TOOL_CALL_END"
    for mark, text in zip(["", *parts[1::2]], parts[::2], strict=True):
        if mark.startswith("TOOL_NAME:"):
            tool = mark.removeprefix("TOOL_NAME:")
        elif mark:
            state = mark
        said = text.strip("\n")
        if state == "TOOL_ARGS_START":
            yield Call(tool or "function", said)
        elif state == "TOOL_ARGS_END":
            yield Result(said, tool=tool)
        elif said and state == "reasoning_content_start":
            yield Aside("reasoning", {"text": said})
        elif said:
            yield Text(said)


def unmark(text: str) -> Iterator[str]:
    """Yield the texts in a text with marks."""
    for piece in _read_marks(text) if "<<<" in text else (Text(text),):
        if isinstance(piece, Aside):
            yield first_text(as_object(piece.value).get("text"))
        else:
            yield from (part for part in piece if isinstance(part, str))


FORMAT: Final = Format(
    "llama-cpp",
    "llama.cpp web UI export",
    fits,
    read,
    joins=joins,
    unmark=unmark,
)
