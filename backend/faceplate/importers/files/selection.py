"""The choice of the files in an archive or a folder that are read as chats."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final, NamedTuple

_JSON: Final = (".json", ".jsonl", ".ndjson")
_ARCHIVE: Final = ".zip"
_THREAD: Final = "thread.json"
# Large exports of ChatGPT have several files, each with a list.
_CHATS: Final = re.compile(r"conversations(-\d+)?\.json(\.gz)?", re.IGNORECASE)


class Selection(NamedTuple):
    """The names of files, in order."""

    read: list[str]
    left: list[str]
    """The names of JSON files that are beside conversations.json, such as users.json."""


def select(names: Iterable[str]) -> Selection:
    """Return which of the files with these names, in one archive or folder, are read.

    These are .json, .jsonl and .ndjson files, also with .gz, and .zip archives; hidden files and
    __MACOSX are not. They are in the order of their names, but a thread.json, which has the title
    of the messages beside it, is the first in its folder. A folder that has conversations.json, or
    conversations-000.json and so on, is an export whose other JSON files are about other things
    than chats; they are left.
    """
    files = sorted((name for name in names if _is_read(_path(name))), key=_order)
    exports = {_path(name).parent for name in files if _CHATS.fullmatch(_path(name).name)}
    left = [name for name in files if _is_left(_path(name), exports)]
    read = [name for name in files if not _is_left(_path(name), exports)]
    return Selection(read, left)


def _order(name: str) -> str:
    return name.removesuffix(_THREAD) if _path(name).name == _THREAD else name


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))  # as some programs of Windows write it


def _is_read(path: PurePosixPath) -> bool:
    is_hidden = any(part.startswith(".") and part != ".." for part in path.parts)
    return (
        path.name.lower().removesuffix(".gz").endswith((*_JSON, _ARCHIVE))
        and not is_hidden
        and "__MACOSX" not in path.parts
    )


def _is_left(path: PurePosixPath, exports: set[PurePosixPath]) -> bool:
    return (
        path.parent in exports
        and not path.name.lower().endswith(_ARCHIVE)
        and not _CHATS.fullmatch(path.name)
    )
