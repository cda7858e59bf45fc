"""Large JSON values, whose members are in a temporary file and are decoded when they are read.

They are dictionaries and lists by type, so that a reader need not know of them. But a member may be
another copy each time, so no reader may change one in its place. C code that reads a dictionary or
a list without its methods finds a `Place`; orjson raises TypeError for it.
"""

import os
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import ItemsView, Iterable, Iterator, ValuesView
from itertools import islice
from json import JSONEncoder
from typing import Any, Final, NamedTuple

from faceplate.importers.fields import REPEATED
from faceplate.importers.files.decoding import JSON

_OPENING_MEMBERS: Final = 200
_CHUNK_CHARS: Final = 16 * 1024
_MAX_HELD_CHARS: Final = 100
"""The length of a string or a number up to which it is held in memory."""


class Place(NamedTuple):
    """The place of a text in a file, in bytes. No JSON value is a tuple."""

    offset: int
    length: int


class Spill:
    """A temporary file of JSON texts, which is deleted with the last value that is in it."""

    def __init__(self) -> None:
        file = tempfile.TemporaryFile(prefix="faceplate-", buffering=0)  # noqa: SIM115 - held open
        self._descriptor = file.fileno()
        self._end = 0
        weakref.finalize(self, file.close)

    def write(self, text: str) -> Place:
        """Append a text, and return its place."""
        data = text.encode("utf-8", "surrogatepass")
        place = Place(self._end, len(data))
        while data:
            written = os.pwrite(self._descriptor, data, self._end)
            self._end += written
            data = data[written:]
        return place

    def read(self, place: Place) -> Any:
        """Return the value whose text is at this place."""
        data = os.pread(self._descriptor, place.length, place.offset)
        return JSON.decode(data.decode("utf-8", "surrogatepass"))


class SpilledDict(dict[str, Any]):
    """A dictionary with its keys and short values in memory, and the other values in a file."""

    def __init__(self, spill: Spill) -> None:
        super().__init__()
        self._spill = spill
        self._last: tuple[Place | None, Any] = (None, None)
        self._repeated = 0

    def put(self, key: str, value: Any, text: str) -> None:
        """Set a member, whose JSON is ``text``; an earlier one of its key gets another key."""
        if key in self and self[key] and self[key] != value:
            self._repeated += 1
            self[f"{key} {self._repeated}{REPEATED}"] = super().__getitem__(key)
        self[key] = value if _is_held(value, text) else self._spill.write(text)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if not isinstance(value, Place):
            return value
        if value != self._last[0]:
            self._last = value, self._spill.read(value)
        return self._last[1]

    def __iter__(self) -> Iterator[str]:  # without it, dict() and ** would copy the places
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # not a view of dict
        return ItemsView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # not a view of dict
        return ValuesView(self)

    def pop(self, key: str, *default: Any) -> Any:
        if key in self or not default:
            value = self[key]
            del self[key]
            return value
        return default[0]

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __or__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # overloaded
        return {**self, **other}

    def __ror__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # overloaded
        return {**other, **self}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and dict(self) == dict(other)

    __hash__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, ([*self.items()],)

    def __repr__(self) -> str:
        return f"SpilledDict of {len(self)}"


class SpilledList(list[Any]):
    """A list with its elements in a file, in chunks; it cannot be changed."""

    def __init__(self, spill: Spill) -> None:
        super().__init__([Place(0, 0)])
        self._spill = spill
        self._size = 0
        self._chunks: list[Place | list[Any]] = []
        self._starts: list[int] = []
        """The index of the first element of each chunk."""
        self._texts: list[str] = []
        self._text_chars = 0
        self._last: tuple[int, list[Any]] = (-1, [])

    def put(self, value: Any, text: str) -> None:
        """Append an element, whose JSON is ``text``; `end` follows the last one."""
        if isinstance(value, SpilledDict | SpilledList):
            self.end()
            self._starts.append(self._size)
            self._chunks.append([value])
        else:
            if not self._texts:
                self._starts.append(self._size)
            self._texts.append(text)
            self._text_chars += len(text)
        self._size += 1
        if self._text_chars >= _CHUNK_CHARS:
            self.end()

    def end(self) -> None:
        """Write the elements that are not yet in the file."""
        if self._texts:
            self._chunks.append(self._spill.write(f"[{','.join(self._texts)}]"))
            self._texts.clear()
            self._text_chars = 0

    def _read(self, number: int) -> list[Any]:
        if self._last[0] != number:
            chunk = self._chunks[number]
            self._last = number, self._spill.read(chunk) if isinstance(chunk, Place) else chunk
        return self._last[1]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        for number in range(len(self._chunks)):
            yield from self._read(number)

    def __reversed__(self) -> Iterator[Any]:
        return (self[index] for index in range(self._size - 1, -1, -1))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._size))]
        place = range(self._size)[index]
        number = bisect_right(self._starts, place) - 1
        return self._read(number)[place - self._starts[number]]

    def __contains__(self, value: object) -> bool:
        return any(value == element for element in self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and [*self] == [*other]

    __hash__ = None

    def __add__(self, other: list[Any]) -> list[Any]:
        return [*self, *other]

    def copy(self) -> list[Any]:
        return [*self]

    def index(self, value: Any, *bounds: Any) -> int:
        return [*self].index(value, *bounds)

    def count(self, value: Any) -> int:
        return sum(value == element for element in self)

    def _cannot_change(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the list is in a file and cannot be changed")

    append = extend = insert = pop = remove = clear = sort = reverse = _cannot_change
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _cannot_change

    def __reduce__(self) -> tuple[Any, ...]:
        return list, ([*self],)

    def __repr__(self) -> str:
        return f"SpilledList of {self._size}"


def is_large(value: object) -> bool:
    """Return whether a value is in a file, or a field of an object that a reader has made."""
    large = (SpilledDict, SpilledList)
    fields = value.values() if type(value) is dict else ()
    return isinstance(value, large) or any(isinstance(field, large) for field in fields)


def encode(value: object, encoder: JSONEncoder) -> Iterable[str]:
    """Return the JSON of a value, in small pieces if it is large."""
    return encoder.iterencode(value) if is_large(value) else (encoder.encode(value),)


def opening(value: Any) -> Any:
    """Return a value of which each large list or dictionary has only the first members."""
    if isinstance(value, SpilledList):
        return [*islice(value, _OPENING_MEMBERS)]
    if not is_large(value):
        return value
    return {name: opening(item) for name, item in islice(value.items(), _OPENING_MEMBERS)}


def _is_held(value: Any, text: str) -> bool:
    is_short = not isinstance(value, dict | list) and len(text) <= _MAX_HELD_CHARS
    return is_short or isinstance(value, SpilledDict | SpilledList)
