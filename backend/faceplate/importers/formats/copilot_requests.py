"""The requests of a log of Visual Studio Code: their states, their order, and what they replace."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.shelf import Shelf
from faceplate.importers.unread import texts

EARLIER_VALUES: Final = "earlier_values"
"""The field of a session or a request in which values are kept that others have replaced."""
NAMES_OF_PROGRAMS: Final = ("extension", "extensionId")
"""The keys of objects in which ``value`` is a program's name."""


class Replaced(NamedTuple):
    """A request that another one has replaced."""

    before: str
    """The id of the request that it follows, or empty text."""
    request: JsonObject


def is_request(value: object) -> bool:
    """Return whether a value is a request."""
    fields = as_object(value)
    message, response = fields.get("message"), fields.get("response")
    is_said = isinstance(message, str) or "text" in as_object(message)
    return is_said and (response is None or isinstance(response, list))


def keep_lacking(root: JsonObject, path: Sequence[Any], before: object, after: object) -> None:
    """Keep a value in ``root`` if the one after it, at the same path, lacks a text of it."""
    if before and _texts_at(path, before) - _texts_at(path, after):
        earlier = root.get(EARLIER_VALUES)
        if not isinstance(earlier, list):
            root[EARLIER_VALUES] = earlier = []
        earlier.append({"path": [*path], "value": before})


def _texts_at(path: Sequence[Any], value: object) -> set[str]:
    for step in reversed(path):
        if isinstance(step, str):
            value = {step: value}
    return {*texts(value, NAMES_OF_PROGRAMS)}


class Requests:
    """The last state of each request, in a file, and the ids of the shown requests.

    A request without an id, or with that of another one which is shown, gets its number as an id.
    """

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._are_shown: set[str] = set()
        self._before: dict[str, str] = {}
        """The request that each one follows."""
        self._states = Shelf[Any]()
        self._places: dict[str, int] = {}
        """The place of the last state of each request that is not open."""
        self._open: tuple[str, Any] = ("", None)
        """The request that is changed, in memory."""

    def __len__(self) -> int:
        return len(self._shown)

    def replace_from(self, begin: int, requests: Sequence[Any]) -> None:
        """Show ``requests`` from ``begin`` on, in place of the requests there."""
        self._are_shown.difference_update(self._shown[begin:])
        del self._shown[begin:]
        for request in requests:
            self.put(len(self._shown), request)

    def put(self, number: int, request: Any) -> None:
        """Put a request at a place, or after the last one."""
        self._are_shown.difference_update(self._shown[number : number + 1])
        id_ = first_text(as_object(request).get("requestId"))
        if not id_ or id_ in self._are_shown:
            id_ = f"request {len(self._before) + 1}"
        elif id_ in self._before:
            request = _with_earlier(request, self._read(id_))
        self._shown[number : number + 1] = [id_]
        self._are_shown.add(id_)
        self._before[id_] = self._shown[number - 1] if number else ""
        self._write(id_, request)

    def open(self, number: int) -> Any:
        """Return a request, to be changed until the next one is opened or put."""
        id_ = self._shown[number]
        if id_ != self._open[0]:
            request = deepcopy(self._read(id_))
            self._close()
            self._open = id_, request
        return self._open[1]

    def _close(self) -> None:
        id_, request = self._open
        self._open = "", None
        if id_:
            self._write(id_, request)

    def _write(self, id_: str, request: Any) -> None:
        if id_ == self._open[0]:
            self._open = "", None
        self._places[id_] = len(self._states)
        self._states.append(request)

    def _read(self, id_: str) -> Any:
        return self._open[1] if id_ == self._open[0] else self._states[self._places[id_]]

    def shown(self) -> Shelf[JsonObject]:
        """Return the requests that are shown, each with its id."""
        return Shelf(self._named(id_) for id_ in self._shown if is_request(self._read(id_)))

    def replaced(self) -> Shelf[Replaced]:
        """Return the others, which were shown before, each with its id."""
        return Shelf(
            Replaced(before, self._named(id_))
            for id_, before in self._before.items()
            if id_ not in self._are_shown and is_request(self._read(id_))
        )

    def others(self) -> Iterator[JsonObject]:
        """Yield the values in place of requests that are none."""
        values = map(self._read, self._before)
        yield from ({"value": value} for value in values if not is_request(value))

    def _named(self, id_: str) -> JsonObject:
        return {**self._read(id_), "requestId": id_}


def _with_earlier(request: JsonObject, before: JsonObject) -> JsonObject:
    """Return a request that is written again, with what it lacks of its state before."""
    if kept := as_list(before.get(EARLIER_VALUES)):
        request = {**request, EARLIER_VALUES: [*kept, *as_list(request.get(EARLIER_VALUES))]}
    changed = {**request}
    keep_lacking(changed, [], without(before, EARLIER_VALUES), request)
    return changed
