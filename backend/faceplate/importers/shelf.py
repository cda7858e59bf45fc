"""Sequences in a temporary file, so that a chat of any length fits in memory."""

import os
import pickle
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

_FIRST_CHUNK_ITEMS: Final = 64
_MAX_CHUNK_ITEMS: Final = 1_024
_CHUNK_BYTES: Final = 64 * 1024
_CHUNKS_HELD: Final = 8
_MAX_WAITING_ITEMS: Final = 256


class ShelfFile:
    """A temporary file, in which several shelves have their chunks.

    A reader of some thousand sessions has one: the system limits how many files are open, and the
    items that wait for the rest of their chunks need memory.
    """

    def __init__(self) -> None:
        file = tempfile.TemporaryFile(prefix="faceplate-", buffering=0)  # noqa: SIM115 - held open
        self._descriptor = file.fileno()
        self._end = 0
        self._waiting: list[Shelf[Any]] = []
        """The shelf of each item that was appended since they were written."""
        weakref.finalize(self, file.close)

    def write(self, data: bytes) -> tuple[int, int]:
        """Append some bytes, and return their offset and length."""
        place = self._end, len(data)
        while data:
            written = os.pwrite(self._descriptor, data, self._end)
            self._end, data = self._end + written, data[written:]
        return place

    def read(self, place: tuple[int, int]) -> bytes:
        """Return the bytes at a place."""
        offset, length = place
        return os.pread(self._descriptor, length, offset)

    def take(self, shelf: "Shelf[Any]") -> None:
        """Count an item that was appended to a shelf; if many wait, write them all."""
        self._waiting.append(shelf)
        if len(self._waiting) >= _MAX_WAITING_ITEMS:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.write_open()


class Shelf(Sequence[T]):
    """The items that were appended, in chunks of which the last ones read are in memory.

    A sequence of one chunk, as most are, is not written, unless it has its file with others. An
    item is another copy each time that it is read, so that it must not be changed.
    """

    def __init__(self, items: Iterable[T] = (), *, file: ShelfFile | None = None) -> None:
        self._file = file
        self._shares_file = file is not None
        self._places: list[tuple[int, int]] = []
        """The offset and the length of each chunk in the file, in bytes."""
        self._starts: list[int] = []
        """The index of the first item of each chunk in the file."""
        self._open: list[T] = []
        self._open_start = 0
        self._chunk_items = _FIRST_CHUNK_ITEMS
        self._held: dict[int, list[T]] = {}
        for item in items:
            self.append(item)

    def append(self, item: T) -> None:
        """Append an item."""
        if len(self._open) >= self._chunk_items:
            self.write_open()
        self._open.append(item)
        if self._shares_file and self._file is not None:
            self._file.take(self)

    def write_open(self) -> None:
        """Write the items that are not yet in the file, as a chunk."""
        if not self._open:
            return
        if self._file is None:
            self._file = ShelfFile()
        self._places.append(self._file.write(pickle.dumps(self._open, pickle.HIGHEST_PROTOCOL)))
        self._starts.append(self._open_start)
        self._open_start += len(self._open)
        # The next chunk is to have the right number of items, if they are as long as these.
        fitting = _CHUNK_BYTES * len(self._open) // self._places[-1][1]
        self._chunk_items = min(max(1, fitting), _MAX_CHUNK_ITEMS)
        self._open = []

    def _chunk(self, number: int) -> list[T]:
        if (chunk := self._held.pop(number, None)) is None:
            chunk = self._read(number)
        self._held[number] = chunk
        if len(self._held) > _CHUNKS_HELD:
            del self._held[next(iter(self._held))]
        return chunk

    def _read(self, number: int) -> list[T]:
        if self._file is None:
            raise IndexError(number)
        data = self._file.read(self._places[number])
        chunk: list[T] = pickle.loads(data)  # noqa: S301 - nobody else can open the file
        return chunk

    def __len__(self) -> int:
        return self._open_start + len(self._open)

    def __iter__(self) -> Iterator[T]:
        for number in range(len(self._places)):
            yield from self._read(number)
        yield from self._open

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index if index >= 0 else index + len(self)
        if place >= self._open_start:
            return self._open[place - self._open_start]
        number = bisect_right(self._starts, place) - 1
        if number < 0:
            raise IndexError(index)
        return self._chunk(number)[place - self._starts[number]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shelf | list) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]  # as that of a list

    def __reduce__(self) -> tuple[Any, ...]:
        return Shelf, ([*self],)
