"""The bounds of what packed files may unpack to: a bomb of a megabyte would fill a day."""

import gzip
from collections.abc import Callable, Iterable
from io import BufferedIOBase
from os import SEEK_END
from typing import Final
from zipfile import ZipInfo

MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
"""What every packed file may unpack to, however small it is."""
MAX_RATIO: Final = 200
"""How many times its size a packed file may unpack to beyond that; chats reach about 20."""

_REASON: Final = f"unpacks to more than {MAX_RATIO} times its size"


class Bomb(ValueError):  # noqa: N818 - named for what it is
    """A file unpacks to far more than chats do."""

    def __init__(self) -> None:
        super().__init__(_REASON)


class BoundedGzip(gzip.GzipFile):
    """A gzip file that raises `Bomb` where it unpacks to too much.

    ``read_bytes`` returns how much was read of the file that it is in.
    """

    def __init__(self, file: BufferedIOBase, read_bytes: Callable[[], int]) -> None:
        super().__init__(fileobj=file)
        self._read_bytes = read_bytes

    def read1(self, size: int = -1) -> bytes:
        """Return some of the next bytes, at most ``size``."""
        data = super().read1(size)
        if _is_bomb(self.tell(), self._read_bytes()):
            raise Bomb
        return data


def refuse_sizes(archive: BufferedIOBase, members: Iterable[ZipInfo]) -> str | None:
    """Return why the files of an archive are not read, or None; zipfile keeps to their sizes."""
    packed_bytes = archive.seek(0, SEEK_END)
    is_bomb = _is_bomb(sum(member.file_size for member in members), packed_bytes)
    return _REASON if is_bomb else None


def _is_bomb(unpacked_bytes: int, packed_bytes: int) -> bool:
    return unpacked_bytes > max(MAX_UNPACKED_BYTES, MAX_RATIO * packed_bytes)
