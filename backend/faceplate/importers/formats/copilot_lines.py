"""The lines in which Visual Studio Code logs the changes of a chat.

The first line has the whole session. Each later one sets a field (``kind`` 1), shortens a list and
appends to it (2), or removes a field (3). A question that was asked anew or edited shortens the
list of requests; what it replaces is kept, as a branch.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text

_WHOLE: Final = 0
_SET: Final = 1
_PUSH: Final = 2
_REMOVE: Final = 3


class Replaced(NamedTuple):
    """A request that another one has replaced."""

    before: str
    """The id of the request that it follows, or empty text."""
    request: JsonObject


class Session(NamedTuple):
    """A session after all of its changes."""

    fields: JsonObject
    replaced: list[Replaced]


def is_line(value: JsonObject) -> bool:
    """Return whether a value is a line of a log."""
    if value.get("kind") == _WHOLE:
        return isinstance(as_object(value.get("v")).get("requests"), list)
    return value.get("kind") in (_SET, _PUSH, _REMOVE) and bool(as_list(value.get("k")))


def replay(lines: Iterable[JsonObject]) -> Session:
    """Return the session that the lines of a log lead to.

    What a line has that leads nowhere is kept in ``other_lines``.
    """
    fields: JsonObject = {}
    replaced: dict[str, Replaced] = {}
    others: list[JsonObject] = []
    for line in lines:
        if line.get("kind") == _WHOLE:
            fields = deepcopy(as_object(line.get("v")))
            continue
        before = [*as_list(fields.get("requests"))]
        if not _apply(fields, line):
            others.append({"path": line.get("k"), "value": line.get("v")})
        for each in _replaced(before, as_list(fields.get("requests"))):
            if _id(each.request):
                replaced[_id(each.request)] = each
            else:
                others.append({"value": each.request})
    shown = {_id(request) for request in as_list(fields.get("requests"))}
    if others:
        fields["other_lines"] = others
    return Session(fields, [each for id_, each in replaced.items() if id_ not in shown])


def _apply(fields: JsonObject, line: JsonObject) -> bool:
    """Change the fields as a line says, and return whether that was possible."""
    *way, last = as_list(line.get("k")) or [None]
    holder: Any = fields
    for step in way:
        if not _has(holder, step):
            return False
        holder = holder[step]
    is_field = isinstance(holder, dict) and isinstance(last, str)
    value = deepcopy(line.get("v"))
    if line.get("kind") == _PUSH:
        return is_field and _push(holder.setdefault(last, []), value, line.get("i"))
    if line.get("kind") == _SET and (is_field or _has(holder, last)):
        holder[last] = value
        return True
    if line.get("kind") == _REMOVE and is_field:
        holder.pop(last, None)
        return True
    return False


def _has(holder: object, step: object) -> bool:
    if isinstance(holder, list):
        return isinstance(step, int) and 0 <= step < len(holder)
    return isinstance(holder, dict) and isinstance(step, str) and step in holder


def _push(listed: object, more: object, length: object) -> bool:
    if not isinstance(listed, list) or not isinstance(more, list | None):
        return False
    if isinstance(length, int):
        del listed[length:]
    listed.extend(as_list(more))
    return True


def _replaced(before: list[Any], after: list[Any]) -> Iterator[Replaced]:
    """Yield the requests that are no longer there, each with the one that it follows."""
    ids = {_id(request) for request in after}
    above = ""
    for request in before:
        if _id(request) not in ids:
            yield Replaced(above, request)
        above = _id(request)


def _id(request: object) -> str:
    return first_text(as_object(request).get("requestId"))
