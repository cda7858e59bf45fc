"""The turns of a source's chat, which every reader makes, and their tool calls and times."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text

MAX_TOOL_CHARS: Final = MAX_CONTENT_CHARS - 1_000  # leaves room for the id of the call
_MAX_NAME_CHARS: Final = 255
_MAX_SECONDS: Final = 10**11  # in the year 5138; a larger number counts ms, us or ns
_MAX_NANOSECONDS: Final = _MAX_SECONDS * 10**9


class Turn(NamedTuple):
    """A message of the source."""

    id: str
    role: str
    """user, assistant, system, developer or tool; any other is stored as an assistant's text."""
    content: str
    parts: list[JsonObject] | None = None
    """The parts of the content that are not text: ``{"index", "part"}``."""
    calls: Sequence[JsonObject] = ()
    """Tool calls, in the shape of `tool_calls.check_calls`."""
    call_id: str | None = None
    """The id of the call that a tool's result answers, if the source has it."""
    tool: str | None = None
    """The name of the tool whose result it is."""
    is_hidden: bool = False
    created_at: datetime | None = None
    """Without it, the messages have the time of the message before them."""
    model: str | None = None
    """The name of the model that wrote it."""
    status: str | None = None
    source: JsonObject | None = None
    """The source's other fields."""
    original: JsonObject | None = None
    """The whole message of the source, kept if the turn is hidden."""

    @property
    def is_shown(self) -> bool:
        """Whether the source showed any part of it."""
        return not self.is_hidden and bool(self.content.strip() or self.parts or self.calls)


class Step(NamedTuple):
    """A place in the tree of a chat."""

    turn: Turn | None
    parent: int | None
    """The index of the step before it on its path."""


def code_block(text: str, language: str = "") -> str:
    """Return the text as a Markdown code block.

    The fence is longer than any in the text.
    """
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def make_call(call_id: str, tool: str, text: str) -> JsonObject:
    """Return a tool call.

    It calls a function if ``text`` is a JSON object, else a custom tool.
    """
    call_id, tool, text = (clean_text(value)[0] for value in (call_id, tool, text))
    if _is_json_object(text):
        return {
            "id": call_id,
            "type": "function",
            "function": {"name": tool, "arguments": text},
        }
    return {"id": call_id, "type": "custom", "custom": {"name": tool, "input": text}}


def to_seconds(value: object) -> float | None:
    """Return a time in seconds since 1970.

    ``value`` is a number of s, ms, us or ns, or ISO 8601.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not abs(value) < _MAX_NANOSECONDS:  # this also excludes NaN
        return None
    seconds = float(value)
    while abs(seconds) >= _MAX_SECONDS:
        seconds /= 1000
    return seconds


def to_time(value: object) -> datetime | None:
    """Return a time in UTC, or None if ``value`` is no time."""
    seconds = to_seconds(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def text_of(call: JsonObject) -> str:
    """Return what is sent to the tool."""
    return str(call["function"]["arguments"] if "function" in call else call["custom"]["input"])


def name_of(call: JsonObject) -> str:
    """Return the name of the tool."""
    return str(call[call["type"]]["name"])


def can_be_stored(call: JsonObject) -> bool:
    """Return whether the columns take the call as a tool call."""
    names = (call["id"], name_of(call))
    are_names = all(name.strip() and len(name) <= _MAX_NAME_CHARS for name in names)
    return are_names and len(text_of(call)) <= MAX_TOOL_CHARS


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
