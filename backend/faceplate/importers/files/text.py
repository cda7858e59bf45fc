"""The text of an open file, block by block or line by line, up to where the file is damaged."""

import errno
import lzma
import struct
import zipfile
import zlib
from io import BufferedIOBase
from typing import Final

from faceplate.importers.files.bounds import Bomb
from faceplate.importers.files.encodings import HEAD_BYTES, Decoder, detect

BLOCK_BYTES: Final = 64 * 1024
DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, ValueError, OverflowError, OSError),
)
"""What `zipfile`, `gzip` and `bz2` raise for damaged data, and also the errors of the disk."""


def check_damage(error: Exception) -> None:
    """Raise ``error`` if the disk cannot be read; the data are damaged otherwise."""
    # Damaged offsets become EINVAL.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error


class Text:
    """The characters of a file.

    Where unpacking fails, the text ends, and ``damage`` says why.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self.damage = ""
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
            text = self.decoder.decode(data, is_final=is_end and not self.damage)
            if text or is_end:
                return text

    def _read_bytes(self) -> bytes:
        if self.damage:
            return b""
        try:
            # Not read(): it would lose what it has read before an error.
            return self._file.read1(BLOCK_BYTES)
        except DAMAGED as error:
            check_damage(error)
            self.damage = str(error) if isinstance(error, Bomb) else "is damaged"
            return b""
