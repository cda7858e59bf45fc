"""A history as models take it: what was said, in order, each tool call with its result."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.records import Message
from faceplate.services.messages import NewMessage
from faceplate.services.tool_calls import CALLS

NO_RESULT = "There is no result: the call was interrupted."
CONTENT = "messages.content"
BROKEN_OFF = "is missing: the response has broken off before its end"

MAX_ID_CHARS = 40
MAX_NAME_CHARS = 64
_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID_CHARS}}}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


class Result(NamedTuple):
    text: str
    is_error: bool


@dataclass
class Call:
    """A tool call, under an id and a name that every provider takes."""

    stored: JsonObject
    id: str
    name: str
    result: Result | None = None

    @property
    def text(self) -> str:
        """What the tool was called with: JSON for a function, any text for a custom tool."""
        body = self.stored[_kind(self.stored)]
        return str(body["input"] if _kind(self.stored) == "custom" else body["arguments"])


@dataclass
class Speech:
    """A message that says something: a text, tool calls, or both."""

    role: str
    text: str
    calls: list[Call] = field(default_factory=list)
    body: str | None = None


def speeches(history: Iterable[Message | NewMessage]) -> list[Speech]:
    """Return what the messages say, the results beside their calls.

    Left out are messages without a role, without text and calls, and those still being written;
    and results whose calls come before the first message given. A call that the conversation has
    passed over gets `NO_RESULT`. Raises InvalidInput where the last calls have no results yet.
    """
    said: list[Speech] = []
    waiting: dict[str, Call] = {}
    used: set[str] = set()
    for message in history:
        if message.role is None or getattr(message, "status", None) == "streaming":
            continue
        for result in message.tool_results or ():
            if call := waiting.pop(result["tool_call_id"], None):
                call.result = Result(text_of(result.get("content")), bool(result.get("is_error")))
        calls = [_call(stored, used) for stored in message.tool_calls or ()]
        waiting.update((call.stored["id"], call) for call in calls)
        if message.role != "tool" and (message.content.strip() or calls):
            said.append(Speech(message.role, message.content, calls, message.body))
    _complete(said)
    return said


def _complete(said: list[Speech]) -> None:
    """Give each call a result, unless the tools have yet to run."""
    turns = [speech for speech in said if speech.role in {"user", "assistant"}]
    for speech in turns:
        for call in speech.calls:
            if call.result is None and speech is turns[-1]:
                raise InvalidInput(
                    CALLS,
                    "the last calls have no results yet: append the results before you ask the"
                    " model (messages.pending_tool_calls lists the calls)",
                )
            call.result = call.result or Result(NO_RESULT, is_error=True)


def results_of(speech: Speech) -> Iterator[tuple[Call, Result]]:
    """Yield the calls of a speech with their results."""
    for call in speech.calls:
        if call.result is not None:
            yield call, call.result


def text_of(content: object) -> str:
    """Return a tool result's content as text; what is not text, as its JSON."""
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def plain(given: Any) -> dict[str, Any]:
    """Return a client's object, or the mapping that it is, as a dict without its nulls."""
    if hasattr(given, "model_dump"):
        given = given.model_dump(mode="json")
    if not isinstance(given, Mapping):
        raise InvalidInput("messages", f"a message was expected, not {type(given).__name__}")
    return {key: value for key, value in given.items() if value is not None}


def listed(parts: Any) -> list[dict[str, Any]]:
    """Return the parts of a content as dicts. Raises InvalidInput for what is no list of them."""
    if isinstance(parts, str | bytes | Mapping) or not isinstance(parts, Iterable):
        raise InvalidInput(CONTENT, "must be text or a list of parts")
    return [plain(part) for part in parts]


def member(part: Mapping[str, Any], name: str) -> Any:
    """Return a member of a part. Raises InvalidInput if the part lacks it."""
    if name not in part:
        raise InvalidInput(CONTENT, f"a part of type {part.get('type')} has no {name}")
    return part[name]


def text_in(part: Mapping[str, Any], name: str = "text") -> str:
    """Return a text of a part. Raises InvalidInput if the part has none."""
    text = member(part, name)
    if not isinstance(text, str):
        raise InvalidInput(CONTENT, f"the {name} of a part must be text")
    return text


def refuse_part(kind: object) -> InvalidInput:
    """Return the error for a part of a content that has no column."""
    return InvalidInput(
        CONTENT,
        f"a part of type {kind} has no column: keep it in a body, or in a table of your own",
    )


def _call(stored: JsonObject, used: set[str]) -> Call:
    """Some models number their calls anew in each turn, or put dots into ids and names."""
    id_ = stored["id"]
    number = len(used)
    while not _ID.fullmatch(id_) or id_ in used:
        number += 1
        id_ = f"call_{number}"
    used.add(id_)
    name = str(stored[_kind(stored)]["name"])
    return Call(stored, id_, _NOT_IN_NAMES.sub("_", name)[:MAX_NAME_CHARS])


def _kind(stored: JsonObject) -> str:
    return str(stored.get("type", "function"))
