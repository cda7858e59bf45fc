"""The files with chats in a zip archive, the form of most exports."""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from faceplate.importers.chats import Unreadable

DAMAGED: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
"""The errors that reading an archive may raise, beside OSError."""

_MAGIC: Final = b"PK\x03\x04"
_SUFFIXES: Final = {".json", ".jsonl", ".ndjson"}
# Large exports of ChatGPT have several files, each with a list.
_CHATS: Final = re.compile(r"conversations(-\d+)?\.json", re.IGNORECASE)


def open_members(path: Path, raw: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the open file of each file with chats.

    A file that is no archive is yielded itself. In an archive these are conversations.json, or
    conversations-000.json and so on; without any of them, every .json, .jsonl and .ndjson file.
    They come in the order of their names, and each is open until the next one. Raises Unreadable if
    there is none or the archive is encrypted, and one of `DAMAGED`.
    """
    magic = raw.read(len(_MAGIC))
    raw.seek(0)
    if magic != _MAGIC:
        yield path.name, raw
        return
    with zipfile.ZipFile(raw) as archive:
        members = _find_members(archive)
        if not members:
            raise Unreadable("an archive without a file of chats")
        for member in members:
            if member.flag_bits & 1:
                raise Unreadable("an archive that is encrypted")
            try:
                file = archive.open(member)
            except NotImplementedError:  # zipfile raises it for an unknown compression
                raise Unreadable("an archive of an unknown compression") from None
            with file:
                yield member.filename, file


def _find_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    files = [
        info
        for info in archive.infolist()
        if PurePosixPath(info.filename).suffix.lower() in _SUFFIXES
        and not info.filename.startswith("__MACOSX/")
    ]
    chats = [info for info in files if _CHATS.fullmatch(PurePosixPath(info.filename).name)]
    return sorted(chats or files, key=lambda info: info.filename)
