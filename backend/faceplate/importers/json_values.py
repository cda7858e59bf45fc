"""The reading of a file's JSON values, one at a time.

The file holds JSON lines, a list, or an object with a list, or is a zip archive of such files.

The standard library's decoder reads every form, so that all follow the same rules. (A streaming
parser such as ijson over yajl silently turns a lone surrogate into "?", and one bad number ends the
file.) Bytes that are not UTF-8 become lone surrogates, which the caller refuses, as it does
escaped ones.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from faceplate.importers.chats import Place, Refusal, Unreadable
from faceplate.importers.zip_files import DAMAGED, open_members

MAX_VALUE_CHARS: Final = 64 * 1024 * 1024
_BLOCK_CHARS: Final = 64 * 1024
LIST_KEYS: Final = ("chats", "conversations")
_SPACE: Final = " \t\r\n"

# An escape that is not itself escaped: in JSON, "\\\\u0000" is a backslash and five characters.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_decoder = json.JSONDecoder()


class Value(NamedTuple):
    """A JSON value and its place."""

    place: Place
    value: Any
    document: int = 0
    """The number of its file in a folder or an archive."""


def read_values(
    path: Path,
    on_progress: Callable[[int], None] | None = None,
    *,
    list_keys: tuple[str, ...] = LIST_KEYS,
) -> Generator[Value | Refusal, None, None]:
    """Yield the values of a file in order; one of them is in memory at a time.

    A file is JSON lines if its name ends in .jsonl or .ndjson, or if its first line is a whole
    object. A bad line is then refused by its number, and the next line is read. Any other file is
    one JSON document, and the first syntax error ends it. If the document is an object with a list
    under one of ``list_keys``, the values are those of the list. In a zip archive, every file that
    `zip_files.open_members` finds is read. ``on_progress`` is called before each value, with the
    number of bytes read. Raises OSError if the file cannot be read.
    """
    with path.open("rb") as raw:
        number = 0
        try:
            for number, (name, file) in enumerate(open_members(path, raw), start=1):
                with closing(_read_file(name, file, list_keys)) as items:
                    for item in items:
                        if on_progress:
                            on_progress(raw.tell())
                        yield item if number == 1 else item._replace(place=item.place.within(name))
        except Unreadable as error:
            yield Refusal(Place("file", number + 1), str(error))
        except DAMAGED:
            yield Refusal(
                Place("file", max(number, 1)), "the archive is damaged; the rest of it was not read"
            )
        if on_progress:
            on_progress(path.stat().st_size)


def _read_file(
    name: str, file: IO[bytes], list_keys: tuple[str, ...]
) -> Generator[Value | Refusal, None, None]:
    # Only "\n" ends a line; the "\r" of a "\r\n" is white space to JSON.
    text = TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="\n")
    try:
        is_lines = _is_lines(name, text, list_keys)
        text.seek(0)
        yield from _read_lines(text) if is_lines else _read_document(text, list_keys)
    finally:
        text.detach()  # else the file would be closed with it


def encode(value: Any) -> bytes:
    """Return a value as canonical JSON.

    Raises Unreadable if PostgreSQL cannot store it.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True)
        encoded = text.encode()
    except RecursionError as error:
        raise Unreadable(_explain(error)) from None
    except UnicodeEncodeError:
        raise Unreadable("text that is not Unicode: a lone surrogate, or not UTF-8") from None
    except ValueError:
        raise Unreadable("a number that is NaN or infinite") from None
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise Unreadable("text with a NUL character")
    return encoded


def _is_lines(name: str, text: TextIOWrapper, list_keys: tuple[str, ...]) -> bool:
    while (opening := text.read(1)).isspace():
        pass
    if opening == "[":  # without reading on: the line may hold the whole document
        return False
    if name.lower().endswith((".jsonl", ".ndjson")):
        return True
    try:
        first = _decoder.decode(opening + text.readline(MAX_VALUE_CHARS).rstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and not any(isinstance(first.get(k), list) for k in list_keys)


def _read_lines(text: TextIOWrapper) -> Iterator[Value | Refusal]:
    number = 0
    while line := text.readline(MAX_VALUE_CHARS):
        number += 1
        place = Place("line", number)
        if len(line) == MAX_VALUE_CHARS and not line.endswith("\n"):
            while (rest := text.readline(_BLOCK_CHARS)) and not rest.endswith("\n"):
                pass
            yield Refusal(place, f"longer than {MAX_VALUE_CHARS:,} characters")
        elif not line.isspace():
            try:
                value = _decoder.decode(line.rstrip())
            except (ValueError, RecursionError) as error:
                column = (
                    f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
                )
                yield Refusal(place, _explain(error) + column)
            else:
                line = ""  # free the memory of a long line
                yield Value(place, value)


def _read_document(text: TextIOWrapper, list_keys: tuple[str, ...]) -> Iterator[Value | Refusal]:
    number = 0
    try:
        for value in _Document(text, list_keys).values():
            number += 1
            yield Value(Place("chat", number), value)
    except Unreadable as error:
        yield Refusal(Place("chat", number + 1), f"{error}; the rest of the file was not read")


def _explain(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.rstrip(': ')}"
    return "a number with too many digits"


class _Document:
    """A JSON document whose outermost list is decoded one element at a time."""

    def __init__(self, text: TextIOWrapper, list_keys: tuple[str, ...]) -> None:
        self._text = text
        self._list_keys = list_keys
        self._buffer = ""
        self._at = 0
        self._is_read = False
        self._dropped_chars = 0

    def values(self) -> Iterator[Any]:
        opening = self._peek()
        if opening == "[":
            yield from self._elements()
        elif opening == "{":
            yield from self._members()
        elif opening:
            raise Unreadable("neither a chat nor a list of chats")
        if self._peek():
            raise Unreadable("not JSON: text after the end of the document")

    def _elements(self) -> Iterator[Any]:
        self._take("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _members(self) -> Iterator[Any]:
        """Yield the elements of an object's list of chats, or the object."""
        chat: dict[str, Any] = {}
        holds_list = False
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            self._take(":")
            if key in self._list_keys and self._peek() == "[":
                holds_list = True
                yield from self._elements()
            else:
                value = self._value()
                if not holds_list:
                    chat[str(key)] = value
            if not holds_list and self._dropped_chars + self._at > MAX_VALUE_CHARS:
                raise Unreadable(f"longer than {MAX_VALUE_CHARS:,} characters")
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if not holds_list:
            yield chat

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _decoder.raw_decode(self._buffer, self._at)
            except RecursionError as error:
                raise Unreadable(_explain(error)) from None
            except ValueError as error:
                # The value may just be cut off at the end of the buffer: read on.
                if self._is_read:
                    raise Unreadable(_explain(error)) from None
            else:
                # A number that ends with the buffer may have more digits.
                if end < len(self._buffer) or self._is_read:
                    self._at = end
                    return value
            self._grow()

    def _take(self, sign: str) -> None:
        if self._peek() != sign:
            raise Unreadable(f'not JSON: expecting "{sign}"')
        self._at += 1

    def _peek(self) -> str:
        """Return the next character that is not white space; "" at the end."""
        while True:
            while self._at < len(self._buffer):
                sign = self._buffer[self._at]
                if sign not in _SPACE:
                    return sign
                self._at += 1
            if self._is_read:
                return ""
            self._grow()

    def _grow(self) -> None:
        held = len(self._buffer) - self._at
        if held >= MAX_VALUE_CHARS:
            raise Unreadable(f"not JSON, or longer than {MAX_VALUE_CHARS:,} characters")
        # Double the buffer, so that decoding it again stays proportional to its size.
        more = self._text.read(min(max(_BLOCK_CHARS, held), MAX_VALUE_CHARS))
        self._is_read = not more
        self._dropped_chars += self._at
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
