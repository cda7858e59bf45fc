"""The choice of the files in an archive or a folder that are read as chats."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final, NamedTuple

_JSON: Final = (".json", ".jsonl", ".ndjson")
_ARCHIVE: Final = ".zip"
_THREAD: Final = "thread.json"
# The titles of the files beside them, of Claude Code and Continue.
_INDEXES: Final = ("sessions-index.json", "sessions.json")
# Large exports of ChatGPT have several files, each with a list.
_CHATS: Final = re.compile(r"conversations(-\d+)?\.json(\.gz)?", re.IGNORECASE)


class Selection(NamedTuple):
    """The names of files, in order."""

    read: list[str]
    others: list[str]
    """The names of files that are only read if they have chats."""


def select(names: Iterable[str]) -> Selection:
    """Return which of the files with these names, in one archive or folder, are read.

    These are .json, .jsonl and .ndjson files, also with .gz, and .zip archives. They are in the
    order of their names, but a thread.json, which has the title of the messages beside it, is the
    first in its folder. A folder that has conversations.json, or conversations-000.json and so on,
    is an export whose other JSON files are most often about other things than chats; they are among
    the others, as is an index of sessions. Hidden files and __MACOSX are in neither list.
    """
    files = sorted((name for name in names if not _is_hidden(_path(name))), key=_order)
    exports = {_path(name).parent for name in files if _CHATS.fullmatch(_path(name).name)}
    read = [name for name in files if _is_read(_path(name), exports)]
    others = [name for name in files if not _is_read(_path(name), exports)]
    return Selection(read, others)


def _order(name: str) -> str:
    return name.removesuffix(_THREAD) if _path(name).name == _THREAD else name


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))  # as some programs of Windows write it


def _is_hidden(path: PurePosixPath) -> bool:
    parts = path.parts
    return "__MACOSX" in parts or any(part.startswith(".") and part != ".." for part in parts)


def _is_read(path: PurePosixPath, exports: set[PurePosixPath]) -> bool:
    if path.name.lower().endswith(_ARCHIVE):
        return True
    if path.name in _INDEXES:
        return False
    is_json = path.name.lower().removesuffix(".gz").endswith(_JSON)
    return is_json and (path.parent not in exports or bool(_CHATS.fullmatch(path.name)))
