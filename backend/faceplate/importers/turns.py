"""The conversion of a source's turns into messages that follow faceplate's rules.

A tool result must name the id of its call. Few sources have ids, and many have calls without a
result or results without a call. So this module pairs calls and results between two messages of the
user. An unpaired call or result is kept as an assistant's text, and its metadata say what it was.
(As a system message, the text of a web page would get the authority of a prompt.) Turns that the
source did not show go into the metadata of the message after them.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text, fit, split_text
from faceplate.services.messages import NewMessage

_SPEAKERS: Final = ("user", "assistant", "system")
_MAX_TOOL_CHARS: Final = MAX_CONTENT_CHARS - 1_000  # leaves room for the id of the call
_MAX_NAME_CHARS: Final = 255
_MAX_SECONDS: Final = 10**11  # in the year 5138; a larger number counts ms, us or ns
_MAX_NANOSECONDS: Final = _MAX_SECONDS * 10**9


class Turn(NamedTuple):
    """A message of the source."""

    id: str
    role: str
    """user, assistant, system or tool; any other role is stored as an assistant's text."""
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
    created_at: str | None = None
    status: str | None = None
    source: JsonObject | None = None
    """The source's other fields."""
    original: JsonObject | None = None
    """The whole message of the source, kept if the turn is hidden."""

    @property
    def is_shown(self) -> bool:
        """Whether the source showed any part of it."""
        return not self.is_hidden and bool(self.content.strip() or self.parts or self.calls)


class Assembly(NamedTuple):
    """The messages of a thread, with their turns and what is not in them."""

    messages: list[NewMessage]
    turn_ids: list[str]
    hidden: list[JsonObject]
    """The hidden turns after the last message."""
    problems: list[tuple[int, str]]
    """The message, counted from 1, and what was left out of it."""


def assemble(turns: Iterable[Turn]) -> Assembly:
    """Return the messages of a thread, in order."""
    turns = list(turns)
    answers = _pair(turns)
    answered = set(answers.values())
    result = Assembly([], [], [], [])
    for index, turn in enumerate(turns):
        answer = answers.get(index)
        if answer is None and not turn.is_shown:
            result.hidden.append(turn.original or {})
            continue
        calls = [(index, place) in answered for place in range(len(turn.calls))]
        call_id = turns[answer[0]].calls[answer[1]]["id"] if answer else None
        for message, left_out_chars in _messages(turn, calls, call_id, result.hidden):
            result.messages.append(message)
            result.turn_ids.append(turn.id)
            if left_out_chars:
                problem = f"{left_out_chars:,} characters of metadata left out"
                result.problems.append((len(result.messages), problem))
        result.hidden.clear()
    return result


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


def to_moment(value: object) -> str | None:
    """Return a time as ISO 8601 in UTC, or None if ``value`` is no time."""
    seconds = to_seconds(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


def _pair(turns: Sequence[Turn]) -> dict[int, tuple[int, int]]:
    """Return the call of each result: the index of its turn, and its own."""
    pending: dict[str, tuple[int, int]] = {}
    names: dict[str, str] = {}
    answers = {}
    for index, turn in enumerate(turns):
        if turn.role == "user" and turn.is_shown:
            pending.clear()  # a result never answers a call from before the user's message
        makes_calls = turn.role == "assistant" and turn.is_shown
        for place, call in enumerate(turn.calls if makes_calls else ()):
            if not _can_be_stored(call):
                continue
            pending.pop(call["id"], None)  # moves the id to the end, as the newest
            pending[call["id"]] = (index, place)
            names[call["id"]] = _name_of(call)
        if turn.role == "tool":
            call_id = turn.call_id or _find_call(turn.tool, pending, names)
            if call_id in pending:
                answers[index] = pending.pop(call_id)
    return answers


def _find_call(tool: str | None, pending: Iterable[str], names: dict[str, str]) -> str | None:
    """Return the newest pending call of this tool or its family.

    ``web.run`` belongs to the family ``web``. Without a tool's name it is the newest call of any
    tool.
    """
    newest_first = list(pending)[::-1]
    if tool is None:
        return next(iter(newest_first), None)
    families = {call_id: names[call_id].partition(".")[0] for call_id in newest_first}
    same = [call_id for call_id in newest_first if names[call_id] == tool]
    related = [call_id for call_id in newest_first if families[call_id] == tool.partition(".")[0]]
    return next(iter(same or related), None)


def _messages(
    turn: Turn, answered: Sequence[bool], call_id: str | None, hidden: Sequence[JsonObject]
) -> list[tuple[NewMessage, int]]:
    """Return the messages of a turn, and the characters left out of each."""
    calls = [call for call, is_answered in zip(turn.calls, answered, strict=True) if is_answered]
    lone_calls = [c for c, is_answered in zip(turn.calls, answered, strict=True) if not is_answered]
    role = "tool" if call_id else turn.role if turn.role in _SPEAKERS else "assistant"
    blocks = [turn.content] if turn.content else []
    blocks += [code_block(_text_of(call)) for call in lone_calls]
    content, replaced_chars = clean_text("\n\n".join(blocks))
    first, *others = split_text(content, _MAX_TOOL_CHARS if call_id else MAX_CONTENT_CHARS)
    about = {
        "created_at": turn.created_at,
        "status": turn.status,
        "role": None if role == turn.role else turn.role,
        "tool": turn.tool,
        "lone_tool_calls": [{"id": call["id"], "name": _name_of(call)} for call in lone_calls],
        "replaced_chars": replaced_chars,
        "pieces": len(others) + 1 if others else None,
        "content_parts": turn.parts,
        "hidden": list(hidden),
        "source": turn.source,
    }
    metadata, left_out_chars = fit({key: value for key, value in about.items() if value})
    message = NewMessage(
        role=role,
        content=first,
        tool_calls=calls or None,
        tool_results=[{"tool_call_id": call_id, "content": first}] if call_id else None,
        metadata=metadata,
    )
    # A call has one result, so the rest of a long result is an assistant's text.
    more = NewMessage("assistant" if call_id else role)
    about = {"role": turn.role} if turn.role != more.role else {}
    pieces = [
        more._replace(content=text, metadata={**about, "piece": number})
        for number, text in enumerate(others, start=2)
    ]
    return [(message, left_out_chars), *((piece, 0) for piece in pieces)]


def _text_of(call: JsonObject) -> str:
    return str(call["function"]["arguments"] if "function" in call else call["custom"]["input"])


def _name_of(call: JsonObject) -> str:
    return str(call[call["type"]]["name"])


def _can_be_stored(call: JsonObject) -> bool:
    names = (call["id"], _name_of(call))
    are_names = all(name.strip() and len(name) <= _MAX_NAME_CHARS for name in names)
    return are_names and len(_text_of(call)) <= _MAX_TOOL_CHARS


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
