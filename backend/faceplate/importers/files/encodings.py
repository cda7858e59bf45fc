"""The encoding of a file: its recognition by the first bytes, and a decoder that loses nothing."""

import codecs
import re
from collections.abc import Callable
from typing import Final

_BOMS: Final = (  # that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
HEAD_BYTES: Final = 4
"""The number of bytes that `detect` needs."""

_Decode = Callable[[bytes, str, bool], tuple[str, int]]
_DECODE: Final[dict[str, _Decode]] = {
    "utf-8": codecs.utf_8_decode,
    "utf-16-le": codecs.utf_16_le_decode,
    "utf-16-be": codecs.utf_16_be_decode,
    "utf-32-le": codecs.utf_32_le_decode,
    "utf-32-be": codecs.utf_32_be_decode,
}
_BAD_BYTE: Final = re.compile("[\udc80-\udcff]")  # as the handler "surrogateescape" has them
_AS_WINDOWS_1252: Final = {
    chr(0xDC00 + byte): bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)
}


def detect(head: bytes) -> tuple[str, int]:
    """Return the encoding of a file that begins with ``head``, and the length of its BOM.

    The first character of a JSON text is in ASCII, so that its zero bytes show UTF-16 and UTF-32.
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding, len(bom)
    zeros = [byte == 0 for byte in head[:HEAD_BYTES]]
    if zeros[:2] == [False, True]:
        return "utf-32-le" if zeros[2:4] == [True, True] else "utf-16-le", 0
    if zeros[:2] == [True, False]:
        return "utf-16-be", 0
    return ("utf-32-be", 0) if zeros == [True, True, True, False] else ("utf-8", 0)


class Decoder:
    """Decodes the blocks of a file, and counts what is not in its encoding.

    A byte that is not UTF-8 is read as Windows-1252, the usual encoding of files that are not. In
    UTF-16 a lone surrogate stays one, and a half character becomes U+FFFD.
    """

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.bad = 0
        """How many bytes were not UTF-8, or how many characters of UTF-16 and UTF-32 were none."""
        self._decode = _DECODE[encoding]
        self._is_utf_8 = encoding == "utf-8"
        self._held = b""

    def decode(self, data: bytes, *, is_final: bool) -> str:
        """Return the characters of the next block; a cut-off one comes with the block after it."""
        data = self._held + data
        try:
            text, used = self._decode(
                data, "strict" if self._is_utf_8 else "surrogatepass", is_final
            )
        except UnicodeDecodeError:
            text, used = self._repair(data, is_final=is_final)
        self._held = data[used:]
        return text

    def _repair(self, data: bytes, *, is_final: bool) -> tuple[str, int]:
        if not self._is_utf_8:
            text, used = self._decode(data, "replace", is_final)
            self.bad += text.count("\N{REPLACEMENT CHARACTER}")
            return text, used
        text, used = self._decode(data, "surrogateescape", is_final)
        text, count = _BAD_BYTE.subn(lambda found: _AS_WINDOWS_1252[found[0]], text)
        self.bad += count
        return text, used

    def problem(self) -> str | None:
        """Return in words what was not in the encoding, or None."""
        if not self.bad:
            return None
        name = "UTF-8" if self._is_utf_8 else self.encoding[:6].upper()
        noun, done = (
            ("byte", "read as Windows-1252") if self._is_utf_8 else ("character", "replaced")
        )
        if self.bad == 1:
            return f"1 {noun} that is not {name} was {done}"
        return f"{self.bad:,} {noun}s that are not {name} were {done}"
