"""Codex CLI's logs of its sessions ("rollouts").

Three ages: one document ``{"session", "items"}``; JSON lines of a header and response items; and
lines ``{"timestamp", "type", "payload"}``, whose events repeat much of what the items say. An event
becomes a message only if no item says the same.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.codex_items import (
    INJECTED,
    RESULT_EVENTS,
    SILENT_EVENTS,
    is_item,
    message_of_event,
    read_item,
    reasoning_of_event,
    result_of_event,
    rows_of,
    rows_of_event,
    said,
    text_of,
    without_space,
)
from faceplate.importers.formats.codex_lines import LINES, is_header, is_wrapped, sessions_of
from faceplate.importers.formats.description import Format
from faceplate.importers.shelf import Shelf
from faceplate.importers.source import Aside, Message, SourceChat, Text


def joins(value: JsonObject) -> str | None:
    """Return the chat of a line: a file is read as a whole."""
    is_state = value.get("record_type") == "state"
    is_line = is_wrapped(value) or is_header(value) or is_state or is_item(value)
    return "" if is_line else None


def fits(value: JsonObject) -> int:
    """Return 4 for the lines of a log, or its document."""
    lines = as_list(value.get("messages"))
    first = as_object(next((line for line in lines if isinstance(line, dict)), None))
    if any(is_wrapped(line) and line["type"] in LINES for line in lines if isinstance(line, dict)):
        return 4
    items, session = as_list(value.get("items")), as_object(value.get("session"))
    if "id" in session and all(isinstance(item, dict) and "type" in item for item in items):
        return 4
    return 4 if is_header(first) else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of each session of a log."""
    lines = (line for line in as_list(value.get("messages")) if isinstance(line, dict))
    if "session" in value:
        items = map(as_object, as_list(value.get("items")))
        lines = (line for line in chain([as_object(value["session"])], items))
    for session in sessions_of(lines):
        yield _Reader(session).read()


class _Reader:
    """The messages of a session, as far as its lines are read."""

    def __init__(self, lines: Shelf[JsonObject]) -> None:
        self._lines = lines
        self._messages = Shelf[Message]()
        self._last: list[Message] = []
        """The last answer and what follows it: events may say more about the answer."""
        self._path: list[str] = []
        self._asked: list[int] = []
        """How long the path was before each question on it."""
        self._asides: list[Aside] = []
        self._model: object = None
        self._about: JsonObject = {}
        self._others: list[JsonObject] = []
        self._title: object = None
        self._written: set[int] = set()
        """The hashes of the items; a log may be larger than what fits in memory."""
        self._answered: set[str] = set()
        self._copies: Counter[tuple[str, int]] = Counter()
        self._typed: set[int] = set()
        for line in lines:
            self._look_at(line)
        self._untold = self._find_untold()

    def _look_at(self, line: JsonObject) -> None:
        """Note what items and events repeat of each other."""
        if item := _item(line):
            self._written.add(hash(json.dumps(item, sort_keys=True)))
            if "output" in item:
                self._answered.add(first_text(item.get("call_id")))
            if item.get("type") == "message":
                message = read_item(item)
                self._copies[message.role, hash(said(message))] += 1
            if item.get("type") == "reasoning":
                self._copies.update(
                    ("reasoning", hash(without_space(text))) for text in _parts(item)
                )
        event = _event(line)
        prompt = message_of_event(event) if event.get("kind") in (None, "plain") else None
        if prompt is not None and prompt.role == "user":
            self._typed.add(hash(said(prompt)))

    def _find_untold(self) -> set[int]:
        """Return the hashes of the rows of text which only events have that become no message."""
        untold = {row for line in self._lines for row in rows_of_event(_event(line))}
        for line in self._lines if untold else ():
            event = _event(line)
            untold.difference_update(rows_of(_item(line)))
            if message_of_event(event) is not None:
                untold.difference_update(rows_of(event))
        return untold

    def read(self) -> SourceChat:
        """Return the chat."""
        for number, line in enumerate(self._lines):
            self._take(line, is_first=not number)
        self._take_last_asides()
        self._put_last()
        header = as_object(self._about.get("session_meta"))
        others: JsonObject = {"other_lines": self._others} if self._others else {}
        rest = {**self._about, **others} if self._messages or others else {}
        return SourceChat(
            self._messages,
            id=first_text(header.get("id")) or digest([*self._lines]),
            title=self._title,
            created=header.get("timestamp"),
            is_tree=True,
            current=self._path[-1] if self._path else None,
            rest=rest,
        )

    def _take_last_asides(self) -> None:
        """Take what no answer follows, unless it is all that the log has: snapshots of files."""
        has_messages = bool(self._messages or self._last)
        if any(has_messages or aside.kind != "snapshots" for aside in self._asides):
            asides = [aside.value for aside in self._asides]
            self._add(Message("assistant", (), original=asides), {})

    def _take(self, line: JsonObject, *, is_first: bool) -> None:
        payload = as_object(line.get("payload"))
        if item := _item(line):
            self._take_item(item, line)
        elif event := _event(line):
            self._take_event(event, line)
        elif line.get("type") == "session_meta" or is_header(line) or is_first:
            self._about.setdefault("session_meta", payload or line)
        elif line.get("type") in ("turn_context", "world_state"):
            self._about[line["type"]] = payload  # the last one says what was so at the end
            self._model = payload.get("model", self._model)
        elif line.get("type") == "compacted":
            self._take_summary(payload, line)
        elif "record_type" not in line:
            self._others.append(line)

    def _take_summary(self, payload: JsonObject, line: JsonObject) -> None:
        """Take the summary of what was before, with the items that it has and the log has not."""
        summary = text_of(payload.get("message"))
        rest = without(payload, "message", "replacement_history")
        replaced = [
            item
            for item in as_list(payload.get("replacement_history"))
            if hash(json.dumps(item, sort_keys=True)) not in self._written
        ]
        if replaced:
            rest["replacement_history"] = replaced
        pieces = [Text(summary)] if summary else [Aside("snapshots", rest)]
        self._add(Message("summary", pieces, rest=rest, original=payload), line)

    def _take_item(self, item: JsonObject, line: JsonObject) -> None:
        message = read_item(item)
        asides = [piece for piece in message.pieces if isinstance(piece, Aside)]
        text = said(message)
        if asides and len(asides) == len(message.pieces):
            self._asides += asides
        elif (
            message.role == "user"
            and hash(text) not in self._typed
            and _opens(item).startswith(INJECTED)
        ):
            self._add(message._replace(is_hidden=True), line)
        else:
            self._add(message, line)

    def _take_event(self, event: JsonObject, line: JsonObject) -> None:
        kind = first_text(event.get("type"))
        reasoning = reasoning_of_event(event)
        if (message := message_of_event(event)) is not None:
            if not self._is_copy(message.role, said(message)):
                self._add(message, line)
        elif reasoning:
            if not self._is_copy("reasoning", without_space(reasoning)):
                self._asides.append(Aside("reasoning", {"text": reasoning}))
        elif kind in RESULT_EVENTS:
            if first_text(event.get("call_id")) not in self._answered:
                self._add(Message("tool", [result_of_event(event)], original=event), line)
        elif kind in SILENT_EVENTS:
            self._take_mark(kind, event)
            if untold := self._untold & rows_of_event(event):
                self._untold -= untold
                self._others.append(event)
        else:
            self._others.append(event)

    def _take_mark(self, kind: str, event: JsonObject) -> None:
        """Take what an event says about the messages before it."""
        usage = as_object(as_object(event.get("info")).get("last_token_usage"))
        if usage:
            self._mark_answer(
                input_tokens=usage.get("input_tokens"), output_tokens=usage.get("output_tokens")
            )
        elif kind == "thread_rolled_back":
            self._roll_back(event.get("num_turns"))
        elif kind == "thread_name_updated":
            self._title = first_of(event, "thread_name", "name")
        elif kind == "turn_aborted":
            self._mark_answer(status="interrupted")

    def _mark_answer(self, **fields: Any) -> None:
        """Set fields of the last answer."""
        if self._last:
            self._last[0] = self._last[0]._replace(**fields)

    def _is_copy(self, role: str, text: str) -> bool:
        """Return whether an item says the same; each item has one copy."""
        copy = role, hash(text)
        self._copies[copy] -= 1
        return not text or self._copies[copy] >= 0

    def _add(self, message: Message, line: JsonObject) -> None:
        name = str(len(self._messages) + len(self._last) + 1)
        is_answer = message.role == "assistant"
        is_question = message.role == "user" and not message.is_hidden
        if is_answer:
            message = message._replace(pieces=[*self._asides, *message.pieces], model=self._model)
            self._asides = []
        if is_question:
            self._asked.append(len(self._path))
        if is_answer or is_question:
            self._put_last()
        parent = self._path[-1] if self._path else None
        created = line.get("timestamp") if "payload" in line else None
        message = message._replace(id=name, parent=parent, created=created)
        if is_answer or self._last:
            self._last.append(message)
        else:
            self._messages.append(message)
        self._path.append(name)

    def _put_last(self) -> None:
        for message in self._last:
            self._messages.append(message)
        self._last.clear()

    def _roll_back(self, turns: object) -> None:
        """Go back before the last questions; what follows is a branch."""
        if isinstance(turns, int) and turns > 0 and self._asked:
            begin = self._asked[-min(turns, len(self._asked))]
            del self._path[begin:]
            del self._asked[-turns:]


def _item(line: JsonObject) -> JsonObject:
    """Return the response item of a line, or an empty object."""
    if line.get("type") == "response_item":
        return as_object(line.get("payload"))
    return line if "payload" not in line and isinstance(line.get("type"), str) else {}


def _event(line: JsonObject) -> JsonObject:
    return as_object(line.get("payload")) if line.get("type") == "event_msg" else {}


def _parts(item: JsonObject) -> Iterator[str]:
    for part in (*as_list(item.get("summary")), *as_list(item.get("content"))):
        yield first_text(as_object(part).get("text"))


def _opens(item: JsonObject) -> str:
    texts = (as_object(part).get("text") for part in as_list(item.get("content")))
    return first_text(*texts).lstrip()


FORMAT: Final = Format(
    "codex",
    "Codex CLI's logs",
    fits,
    read,
    known=(
        *("session_meta", "turn_context", "world_state", "replacement_history"),
        *("instructions", "base_instructions"),
    ),
    joins=joins,
)
