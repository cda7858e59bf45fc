"""The text of an open file, block by block or line by line, up to where the file is damaged."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Final

from faceplate.importers.files.encodings import HEAD_BYTES, Decoder, detect

BLOCK_BYTES: Final = 64 * 1024
DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, ValueError, OverflowError, OSError),
)
"""What `zipfile`, `gzip` and `bz2` raise for damaged data, and also the errors of the disk."""


def check_damage(error: Exception) -> None:
    """Raise ``error`` if the disk cannot be read; the data are damaged otherwise."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error


class Text:
    """The characters of a file.

    Where unpacking fails, the text ends, and ``is_damaged`` is True.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self.is_damaged = False
        self._file = file
        self._head = b""
        while len(self._head) < HEAD_BYTES and (data := self._read_bytes()):
            self._head += data
        encoding, bom_bytes = detect(self._head)
        self._head = self._head[bom_bytes:]
        self.decoder = Decoder(encoding)

    def read(self) -> str:
        """Return the next characters, "" at the end. Raises OSError if the file cannot be read."""
        while True:
            data, self._head = self._head or self._read_bytes(), b""
            is_end = not data
            text = self.decoder.decode(data, is_final=is_end and not self.is_damaged)
            if text or is_end:
                return text

    def lines(self, max_chars: int) -> Iterator[str | None]:
        """Yield each line without its "\\n", and None in place of a longer one than ``max_chars``.

        Only "\\n" ends a line; the "\\r" of a "\\r\\n" is white space to JSON.
        """
        line = _Line(max_chars)
        while block := self.read():
            *ends, rest = block.split("\n")
            for end in ends:
                line.append(end)
                yield line.take()
            line.append(rest)
        if line.chars:
            yield line.take()

    def _read_bytes(self) -> bytes:
        if self.is_damaged:
            return b""
        try:
            # Not read(): it would lose what it has read before an error.
            return self._file.read1(BLOCK_BYTES)
        except DAMAGED as error:
            check_damage(error)
            self.is_damaged = True
            return b""


class _Line:
    """A line that is put together from parts of blocks."""

    def __init__(self, max_chars: int) -> None:
        self.chars = 0
        self._max_chars = max_chars
        self._parts: list[str] = []

    def append(self, part: str) -> None:
        self.chars += len(part)
        if self.chars > self._max_chars:
            self._parts.clear()
        else:
            self._parts.append(part)

    def take(self) -> str | None:
        """Return the line and begin the next one; None if it is too long."""
        line = "".join(self._parts) if self.chars <= self._max_chars else None
        self.chars = 0
        self._parts.clear()
        return line
