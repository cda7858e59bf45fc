"""What a message holds, as every format of an export needs it."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from faceplate.column_types import JsonObject
from faceplate.importers import contents
from faceplate.records import Message

MAX_NAMES: Final = 1_000
MAX_ATTACHMENTS_CHARS: Final = 1_000_000
_ATTACHMENTS: Final = '{"attachments": ['

_UNSEEN: Final = (*range(128, 160), *range(0xFDD0, 0xFDF0))  # C1, and codes that are no characters
_ENDS: Final = [plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)]
_CONTROLS: Final = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"},
    127: 0x2421,
    **dict.fromkeys([*_UNSEEN, *_ENDS], 0xFFFD),
}


class Call(NamedTuple):
    """A tool call."""

    id: str
    name: str
    text: str
    """The arguments of a function, or the input of a custom tool."""
    is_function: bool


class Result(NamedTuple):
    """What a tool answered."""

    call_id: str
    text: str
    is_error: bool


class Attachment(NamedTuple):
    """A file or a picture."""

    kind: str
    name: str
    """Its name, or else its address."""
    part: JsonObject
    """What its source says about it, without a text that the content has."""


def calls_of(message: Message) -> Iterator[Call]:
    """Yield the tool calls of a message."""
    for call in message.tool_calls or ():
        is_function = call.get("type", "function") == "function"
        body = call["function" if is_function else "custom"]
        text = body["arguments" if is_function else "input"]
        yield Call(call["id"], body["name"], text, is_function)


def results_of(message: Message) -> Iterator[Result]:
    """Yield the tool results of a message; of what is no text, the JSON."""
    for result in message.tool_results or ():
        content = result.get("content")
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        is_error = result.get("is_error") is True
        yield Result(result["tool_call_id"], "" if content is None else text, is_error)


def text_beside_results(message: Message) -> str:
    """Return the content of a message, without that of its results."""
    is_result = any(result.text == message.content for result in results_of(message))
    return "" if is_result else message.content


def parts_of(message: Message) -> list[JsonObject]:
    """Return the parts of the content that the import did not know."""
    given = message.metadata.get("content_parts")
    parts = [item.get("part") for item in _objects(given)]
    return [part for part in parts if isinstance(part, dict)]


def attachments_of(message: Message) -> list[Attachment]:
    """Return the files and pictures of a message, which an import keeps in its body."""
    body = message.body or ""
    if not body.startswith(_ATTACHMENTS) or len(body) > MAX_ATTACHMENTS_CHARS:
        return []
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return []
    return [_attachment(item) for item in _objects(found.get("attachments"))]


def has_other_body(message: Message) -> bool:
    """Return whether a message has a body that holds no attachments."""
    return message.body is not None and not attachments_of(message)


def _attachment(item: JsonObject) -> Attachment:
    kind, name, reference = (str(item.get(key, "")) for key in ("kind", "name", "reference"))
    part = item.get("part")
    # The content has the text of a file already, and an import would add it once more.
    if not isinstance(part, dict) or contents.attachment(part, kind).text:
        fields = {"mime_type": kind, "name": name, "id": reference}
        part = {key: value for key, value in fields.items() if value}
    return Attachment(kind, name or reference, part)


def _objects(value: Any) -> list[JsonObject]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def to_json(value: Any) -> bytes:
    """Return a value as JSON, an id as text."""
    return orjson.dumps(value, default=str)


def visible(text: str) -> str:
    """Return text in which each control character is one that is seen, with ``\\n`` for lines."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)


class Names:
    """The names of the tools of the last calls, by the ids of the calls."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()

    def add(self, call: Call) -> None:
        """Remember the name of a called tool."""
        self._names[call.id] = call.name
        self._names.move_to_end(call.id)
        if len(self._names) > MAX_NAMES:
            self._names.popitem(last=False)

    def get(self, result: Result) -> str | None:
        """Return the name of the tool that answered; None if its call was too long ago."""
        return self._names.get(result.call_id)
