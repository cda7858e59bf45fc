"""The values of a file, read with what the formats know of chats and messages."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from faceplate.importers import files
from faceplate.importers.asking import joined_id
from faceplate.importers.chats import Refusal
from faceplate.importers.files import Value, may_have_chats
from faceplate.importers.recognition import Found, find_chats
from faceplate.importers.shapes import best_format

_MAX_TRIED_VALUES: Final = 20


def open_values(
    path: Path, on_progress: Callable[[int], None] | None = None
) -> Generator[Value | Refusal, None, None]:
    """Yield the values of a file as `read_values` does, each a chat or a message of one."""
    return files.read_values(path, on_progress, is_message=_is_message, has_chats=_has_chats)


def left_files(path: Path) -> list[str]:
    """Return the names of the files in a folder or an archive that have no chats.

    Raises OSError.
    """
    has_chats = partial(may_have_chats, is_message=_is_message, has_chats=_has_chats)
    return files.left_files(path, has_chats)


def recognise(path: Path) -> str | None:
    """Return the key in `FORMATS` of the format of most chats near the begin of a file.

    None if there is no chat that is recognised. Raises OSError if the file cannot be read.
    """
    with closing(open_values(path)) as items:
        found = list(find_chats(islice(items, _MAX_TRIED_VALUES), None))
    keys = [item.format.key for item in found if isinstance(item, Found)]
    return max(keys, key=keys.count, default=None)


def _is_message(value: object) -> bool:
    """Return whether the first element of a list shows that the list is one chat."""
    if isinstance(value, dict):
        return best_format(value) is None and joined_id(value) is not None
    is_of_objects = isinstance(value, list) and all(isinstance(each, dict) for each in value)
    return value is not None and not is_of_objects


def _has_chats(values: Iterable[Value | Refusal]) -> bool:
    return any(isinstance(item, Found) for item in find_chats(values, None))
