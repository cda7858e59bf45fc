"""The files with chats in a zip archive, in which most exports arrive."""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from faceplate.importers.chats import Unreadable

DAMAGED: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
"""What reading from an archive may raise, beside OSError."""

_MAGIC: Final = b"PK\x03\x04"
_SUFFIXES: Final = {".json", ".jsonl", ".ndjson"}
# Large exports of ChatGPT come in several files, each a list of its own.
_CHATS: Final = re.compile(r"conversations(-\d+)?\.json", re.IGNORECASE)


def open_members(path: Path, raw: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the bytes of each file with chats; of a file that is no archive, itself.

    In an archive these are conversations.json, or conversations-000.json and so on, and where
    there is none of them every .json, .jsonl and .ndjson file; by name, each open until the next
    is asked for. Raises Unreadable where there is none, or it is encrypted, and one of `DAMAGED`.
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
            except NotImplementedError:  # zipfile's word for it
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
