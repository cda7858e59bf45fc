"""Sequences in a temporary file, so that a chat of any length fits in memory."""

import os
import pickle
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, Final, TypeVar, overload

T = TypeVar("T")

_FIRST_CHUNK_ITEMS: Final = 64
_MAX_CHUNK_ITEMS: Final = 1_024
_CHUNK_BYTES: Final = 64 * 1024
_CHUNKS_HELD: Final = 8
_MAX_WAITING_ITEMS: Final = 256


class ShelfFile:
    """A temporary file, in which several shelves have their chunks.

    The chats of one value share one, because the system limits how many files are open.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0
        self._waiting: list[weakref.ref[Shelf[Any]]] = []
        """The shelf of each item that `put` has appended since it wrote them."""

    def write(self, data: bytes) -> tuple[int, int]:
        """Append some bytes, and return their offset and length."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="faceplate-", buffering=0)  # noqa: SIM115 - held open
            weakref.finalize(self, self._file.close)
        place = self._end, len(data)
        while data:
            written = os.pwrite(self._file.fileno(), data, self._end)
            self._end, data = self._end + written, data[written:]
        return place

    def read(self, place: tuple[int, int]) -> bytes:
        """Return the bytes at a place."""
        if self._file is None:
            raise IndexError(place)
        offset, length = place
        return os.pread(self._file.fileno(), length, offset)

    def put(self, shelf: "Shelf[T]", item: T) -> None:
        """Append an item to a shelf of this file; where many items of all shelves wait, write them.

        Nobody may read these shelves at the same time.
        """
        shelf.append(item)
        self._waiting.append(weakref.ref(shelf))
        if len(self._waiting) >= _MAX_WAITING_ITEMS:
            waiting, self._waiting = self._waiting, []
            for waits in waiting:
                if each := waits():
                    each.write_open()


class Shelf(Sequence[T]):
    """The items that were appended, in chunks of which the last ones read are in memory.

    A sequence of one chunk, as most are, is never written. An item is another copy each time that
    it is read, so that it must not be changed.
    """

    def __init__(self, items: Iterable[T] = (), *, file: ShelfFile | None = None) -> None:
        self._file = file or ShelfFile()
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

    def write_open(self) -> None:
        """Write the items that are not yet in the file, as a chunk."""
        if not self._open:
            return
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
