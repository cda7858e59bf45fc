"""The JSON values of files, one at a time, each with its place."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Final, NamedTuple

from faceplate.importers.chats import Place, Refusal, Unreadable
from faceplate.importers.files import parser as parsing
from faceplate.importers.files.containers import Opened, open_files, size_bytes
from faceplate.importers.files.decoding import JSON, explain
from faceplate.importers.files.documents import Beside, Documents
from faceplate.importers.files.kinds import HEAD_BYTES, may_be_json
from faceplate.importers.files.layout import find_outline, is_lines
from faceplate.importers.files.lines import Lines, LongLine
from faceplate.importers.files.text import DAMAGED, Text, check_damage

_ATTACHED: Final = re.compile("file[-_]")


class Value(NamedTuple):
    """A JSON value, most often an object or a list."""

    place: Place
    value: Any
    document: int
    """Values of different documents never belong to one chat."""
    is_beside: bool = False
    """Whether it is what an object has beside its lists of chats."""


def is_never(_: object) -> bool:
    """Return False: of no value, and of no file."""
    return False


def read_values(
    path: Path,
    on_progress: Callable[[int], None] | None = None,
    *,
    is_message: Callable[[Any], bool] = is_never,
    has_chats: Callable[[Iterable[Value | Refusal]], bool] = is_never,
) -> Generator[Value | Refusal, None, None]:
    """Yield the values of a file or a folder in order; one of them is in memory at a time.

    A file is JSON lines if `is_lines` says so. A bad line is then refused by its number, and the
    next line is read. Any other file has one JSON document, or several in a row, and the first
    syntax error ends it. The values of a list are its elements; those of an object with a list
    under one of `LIST_KEYS` are the elements of that list, and then what is beside it. A list that
    begins with what ``is_message`` is no such list.

    `open_files` says which files of an archive or a folder are read; ``has_chats`` decides on the
    values of the others. Each file is a document of its own, and so is each further document in a
    file. ``on_progress`` is called before each value, with the number of bytes read out of
    `size_bytes`. Raises OSError if the file cannot be read.
    """
    total_bytes = size_bytes(path)
    numbers = count()
    done_bytes = 0
    look = partial(may_have_chats, is_message=is_message, has_chats=has_chats)
    with closing(open_files(path, look)) as files:
        for opened in files:
            if isinstance(opened, Refusal):
                yield opened
                continue
            with closing(_read_file(opened, is_message, numbers)) as items:
                for item in items:
                    done_bytes = max(done_bytes, opened.done_bytes())
                    if on_progress:
                        on_progress(done_bytes)
                    yield item
                    del item  # else it is in memory until the next one was read
    if on_progress:
        on_progress(total_bytes)


def may_have_chats(
    opened: Opened,
    is_message: Callable[[Any], bool],
    has_chats: Callable[[Iterable[Value | Refusal]], bool],
) -> bool:
    """Return whether a file is JSON, and ``has_chats`` says so of its values.

    A file that was attached to a chat of ChatGPT is not: somebody may have asked about a data set.
    """
    if _ATTACHED.match(opened.name.rpartition("/")[2]):
        return False
    try:
        head = opened.file.read(HEAD_BYTES)
        opened.file.seek(0)
    except DAMAGED as error:
        check_damage(error)
        return False
    if not may_be_json(head):
        return False
    with closing(_read_file(opened, is_message, count())) as items:
        return has_chats(items)


def _read_file(
    opened: Opened, is_message: Callable[[Any], bool], numbers: Iterator[int]
) -> Generator[Value | Refusal, None, None]:
    outline = find_outline(Text(opened.file))
    opened.file.seek(0)
    text = Text(opened.file)
    if is_lines(opened.name, outline):
        items, unit = _read_lines(text, numbers), "line"
    else:
        items, unit = _read_documents(text, is_message, numbers), "chat"
    number = 0
    has_values = unit == "line"
    for item in items:
        if isinstance(item, Refusal):
            number = item.place.number
            yield opened.refuse(item.place, item.reason, is_unread=not has_values)
        else:
            number = number if item.is_beside else item.place.number
            has_values = True
            yield item._replace(place=opened.within(item.place))
        del item
    if text.damage:
        reason = f"the file {text.damage}; from here on it was not read"
        yield opened.refuse(Place(unit, number + 1), reason)
    elif not outline.first:
        yield opened.refuse(Place("file", 1), "the file is empty", is_unread=True)
    if problem := text.decoder.problem():
        yield opened.refuse(Place("file", 1), problem)


def _read_lines(text: Text, numbers: Iterator[int]) -> Iterator[Value | Refusal]:
    read_line = partial(_read_line, text, next(numbers))
    # Not in a loop, whose variable would hold a line beside its value.
    items = map(read_line, count(1), Lines(text, parsing.LARGE_CHARS))
    return (item for item in items if item is not None)


def _read_line(
    text: Text, document: int, number: int, line: str | LongLine
) -> Value | Refusal | None:
    place = Place("line", number)
    try:
        if isinstance(line, LongLine):
            return _read_long_line(place, document, line)
        if not (stripped := line.strip(parsing.SPACE)):
            return None
        return Value(place, JSON.decode(stripped), document)
    except Unreadable as error:
        reason = str(error)
    except (ValueError, RecursionError) as error:
        column = f" (column {error.colno})" if isinstance(error, JSONDecodeError) else ""
        reason = explain(error) + column
    # The end of a damaged file, of which the file's own refusal tells, is no line.
    return None if text.damage else Refusal(place, reason)


def _read_long_line(place: Place, document: int, line: LongLine) -> Value | None:
    parser = parsing.Parser(line)
    if not parser.peek():
        return None
    value = parser.value()
    if parser.peek():
        raise Unreadable("not JSON: Extra data")
    return Value(place, value, document)


def _read_documents(
    text: Text, is_message: Callable[[Any], bool], numbers: Iterator[int]
) -> Iterator[Value | Refusal]:
    documents = Documents(text, is_message)
    seen = number = document = 0
    try:
        for value in documents.values():
            if documents.number > seen:
                seen, document = documents.number, next(numbers)
            if isinstance(value, Beside):
                yield Value(Place("file", 1), value.value, document, is_beside=True)
            else:
                number += 1
                yield Value(Place("chat", number), value, document)
    except Unreadable as error:
        if not text.damage:
            reason = f"{error}; the rest of the file was not read"
            yield Refusal(Place("chat", number + 1), reason)
