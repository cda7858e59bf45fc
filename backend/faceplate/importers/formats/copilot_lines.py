"""The lines in which Visual Studio Code logs the changes of a chat.

The first line has the whole session. Each later one sets a field (``kind`` 1), shortens a list and
appends to it (2), or removes a field (3). A question that was asked anew or edited shortens the
list of requests; what it replaces is kept, as a branch.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.copilot_requests import (
    EARLIER_VALUES,
    Replaced,
    Requests,
    keep_lacking,
)
from faceplate.importers.shelf import Shelf

_WHOLE: Final = 0
_SET: Final = 1
_PUSH: Final = 2
_REMOVE: Final = 3


class Session(NamedTuple):
    """A session after all of its changes."""

    fields: JsonObject
    """The fields other than the requests; what led nowhere is in ``other_lines``."""
    requests: Shelf[JsonObject]
    """The requests that are shown, each with an id."""
    replaced: Shelf[Replaced]


def is_line(value: JsonObject) -> bool:
    """Return whether a value is a line of a log."""
    if value.get("kind") == _WHOLE:
        return isinstance(as_object(value.get("v")).get("requests"), list)
    return value.get("kind") in (_SET, _PUSH, _REMOVE) and bool(as_list(value.get("k")))


def replay(lines: Iterable[JsonObject]) -> Iterator[Session]:
    """Yield the session that the lines of each log lead to; a whole session begins another one."""
    log = _Log()
    for line in lines:
        if line.get("kind") == _WHOLE:
            whole = as_object(line.get("v"))
            if log.is_begun and not log.is_of(whole):
                yield log.end()
                log = _Log()
            log.write_whole(whole)
        else:
            log.write(line)
    yield log.end()


class _Log:
    """A session as its lines change it."""

    def __init__(self) -> None:
        self.is_begun = False
        self._fields: JsonObject = {}
        self._requests = Requests()
        self._others: list[JsonObject] = []

    def is_of(self, whole: JsonObject) -> bool:
        """Return whether a whole session is this one, written again."""
        id_ = first_text(whole.get("sessionId"))
        return bool(id_) and id_ == self._fields.get("sessionId")

    def write_whole(self, whole: JsonObject) -> None:
        """Change everything to a whole session."""
        self.is_begun = True
        fields = without(whole, "requests")
        for key, field in fields.items():
            self.write({"kind": _SET, "k": [key], "v": field})
        for key in self._fields.keys() - fields.keys() - {EARLIER_VALUES}:
            self.write({"kind": _REMOVE, "k": [key]})
        self._requests.replace_from(0, as_list(whole.get("requests")))

    def write(self, line: JsonObject) -> None:
        """Make the change that a line says, or keep the line if that is not possible."""
        self.is_begun = True
        way = as_list(line.get("k"))
        is_made = False
        if way[:1] == ["requests"]:
            is_made = self._write_requests(line, *way[1:])
        elif way:
            is_made = _change(self._fields, line, way)
        if not is_made:
            self._others.append({"path": way, "value": line.get("v")})

    def _write_requests(self, line: JsonObject, number: Any = None, *way: Any) -> bool:
        kind, value, count = line.get("kind"), line.get("v"), len(self._requests)
        if number is None:
            begin = line.get("i") if kind == _PUSH else 0
            if not isinstance(value, list | None):
                return False
            self._requests.replace_from(begin if isinstance(begin, int) else count, value or [])
            return True
        if not isinstance(number, int) or not 0 <= number < count:
            return False
        if not way:
            if kind == _SET:
                self._requests.put(number, value)
            return kind == _SET
        request = self._requests.open(number)
        return isinstance(request, dict) and _change(request, line, way)

    def end(self) -> Session:
        """Return the session after the last line."""
        requests, replaced = self._requests.shown(), self._requests.replaced()
        others = [*self._others, *self._requests.others()]
        fields = {**self._fields, "other_lines": others} if others else self._fields
        return Session(fields, requests, replaced)


def _change(root: JsonObject, line: JsonObject, path: Sequence[Any]) -> bool:
    """Change an object as a line says, and return whether that was possible."""
    *way, last = path
    holder: Any = root
    for step in way:
        if not _has(holder, step):
            return False
        holder = holder[step]
    kind, value = line.get("kind"), deepcopy(line.get("v"))
    is_field = isinstance(holder, dict) and isinstance(last, str)
    if not is_field and not (kind == _SET and _has(holder, last)):
        return False
    before = holder[last] if _has(holder, last) else None
    if kind == _SET:
        holder[last] = value
    elif kind == _REMOVE:
        holder.pop(last, None)
        value = None
    elif kind == _PUSH and isinstance(before, list | None) and isinstance(value, list | None):
        listed = holder[last] = [] if before is None else before
        length = line.get("i")
        before = listed[length:] if isinstance(length, int) else []
        del listed[len(listed) - len(before) :]
        listed.extend(value or [])
    else:
        return False
    keep_lacking(root, path, before, value)
    return True


def _has(holder: object, step: object) -> bool:
    if isinstance(holder, list):
        return isinstance(step, int) and 0 <= step < len(holder)
    return isinstance(holder, dict) and isinstance(step, str) and step in holder
