"""The JSON values of files, one at a time, each with its place."""

from collections.abc import Callable, Generator, Iterator
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
from faceplate.importers.files.documents import Documents
from faceplate.importers.files.layout import find_outline, is_lines
from faceplate.importers.files.lines import Lines, LongLine
from faceplate.importers.files.text import Text

LIST_KEYS: Final = ("chats", "conversations")


class Value(NamedTuple):
    """A JSON value, most often an object or a list."""

    place: Place
    value: Any
    document: int
    """Values of different documents never belong to one chat."""


def read_values(
    path: Path,
    on_progress: Callable[[int], None] | None = None,
    *,
    list_keys: tuple[str, ...] = LIST_KEYS,
) -> Generator[Value | Refusal, None, None]:
    """Yield the values of a file or a folder in order; one of them is in memory at a time.

    A file is JSON lines if `is_lines` says so. A bad line is then refused by its number, and the
    next line is read. Any other file has one JSON document, or several in a row, and the first
    syntax error ends it. The values of a list are its elements; those of an object with a list
    under one of ``list_keys`` are the elements of that list.

    `open_files` says which files of an archive or a folder are read. Each file is a document of its
    own, and so is each further document in a file. ``on_progress`` is called before each value,
    with the number of bytes read out of `size_bytes`. Raises OSError if the file cannot be read.
    """
    total_bytes = size_bytes(path)
    numbers = count()
    done_bytes = 0
    with closing(open_files(path)) as files:
        for opened in files:
            if isinstance(opened, Refusal):
                yield opened
                continue
            with closing(_read_file(opened, list_keys, numbers)) as items:
                for item in items:
                    done_bytes = max(done_bytes, opened.done_bytes())
                    if on_progress:
                        on_progress(done_bytes)
                    yield item
                    del item  # else it is in memory until the next one was read
    if on_progress:
        on_progress(total_bytes)


def _read_file(
    opened: Opened, list_keys: tuple[str, ...], numbers: Iterator[int]
) -> Generator[Value | Refusal, None, None]:
    outline = find_outline(Text(opened.file))
    opened.file.seek(0)
    text = Text(opened.file)
    if is_lines(opened.name, outline):
        items, unit = _read_lines(text, numbers), "line"
    else:
        items, unit = _read_documents(text, list_keys, numbers), "chat"
    number = 0
    has_values = unit == "line"
    for item in items:
        number = item.place.number
        if isinstance(item, Refusal):
            yield opened.refuse(item.place, item.reason, is_unread=not has_values)
        else:
            has_values = True
            yield item._replace(place=opened.within(item.place))
        del item
    if text.is_damaged:
        reason = "the file is damaged; from here on it was not read"
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
    return None if text.is_damaged else Refusal(place, reason)


def _read_long_line(place: Place, document: int, line: LongLine) -> Value | None:
    parser = parsing.Parser(line)
    if not parser.peek():
        return None
    value = parser.value()
    if parser.peek():
        raise Unreadable("not JSON: Extra data")
    return Value(place, value, document)


def _read_documents(
    text: Text, list_keys: tuple[str, ...], numbers: Iterator[int]
) -> Iterator[Value | Refusal]:
    documents = Documents(text, list_keys)
    seen = number = document = 0
    try:
        for number, value in enumerate(documents.values(), start=1):
            if documents.number > seen:
                seen, document = documents.number, next(numbers)
            yield Value(Place("chat", number), value, document)
    except Unreadable as error:
        if not text.is_damaged:
            reason = f"{error}; the rest of the file was not read"
            yield Refusal(Place("chat", number + 1), reason)
