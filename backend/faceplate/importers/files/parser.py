"""A parser that reads one JSON value after the other from blocks of text."""

import json
import re
from typing import Any, Final, Protocol

from faceplate.importers.chats import Unreadable
from faceplate.importers.files.decoding import JSON, explain
from faceplate.importers.files.spilled import Spill, SpilledDict, SpilledList

MAX_VALUE_CHARS: Final = 64 * 1024 * 1024
LARGE_CHARS: Final = 1024 * 1024
"""The length from which the members of a value are decoded one by one, into a file."""

SPACE: Final = " \t\r\n\ufeff"  # a BOM begins each of the files that were put together
_SPACE: Final = re.compile(f"[{SPACE}]*")
_MAX_TOKEN_CHARS: Final = 16
_MAX_EXPONENT_CHARS: Final = 2  # "e+", which a number may end with when it is cut off


class Source(Protocol):
    """The blocks of a text."""

    def read(self) -> str:
        """Return the next block, "" at the end."""
        ...


class Parser:
    """Reads values and the signs between them; raises Unreadable at the first error.

    The standard library's decoder reads each value, so that all follow the same rules. A value is
    held as a whole only up to `LARGE_CHARS`; the members of a larger one are in a `Spill`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = ""
        self._at = 0
        self._start = 0  # of the value read last
        self._is_read = False
        self._dropped_chars = 0
        self._spill: Spill | None = None

    @property
    def chars(self) -> int:
        """The number of characters read."""
        return self._dropped_chars + self._at

    def peek(self) -> str:
        """Return the next character that is not white space; "" at the end."""
        sign = self._buffer[self._at : self._at + 1]
        if sign and sign not in SPACE:
            return sign
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._is_read:
                return ""
            self._grow()

    def take(self, sign: str) -> None:
        """Read a sign."""
        if self.peek() != sign:
            raise Unreadable(f'not JSON: expecting "{sign}"')
        self._at += 1

    def value(self) -> Any:
        """Read a value and return it."""
        is_container = self.peek() in ("[", "{")
        while True:
            try:
                value, end = JSON.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                if self._is_read or not self._is_cut_off(error):
                    raise Unreadable(explain(error)) from None
            else:
                # A number that ends with the buffer may have more digits.
                if self._is_read or end + _MAX_EXPONENT_CHARS < len(self._buffer):
                    self._start, self._at = self._at, end
                    return value
            if is_container and len(self._buffer) - self._at >= LARGE_CHARS:
                return self._large_value()
            self._grow()

    def small_value(self) -> Any:
        """Read a value that has up to `LARGE_CHARS`; return None, and read nothing, at any other.

        A small value with an error is read by its parts up to there, as a large one is.
        """
        self.peek()
        while len(self._buffer) - self._at < LARGE_CHARS and not self._is_read:
            self._grow()
        try:
            value, self._at = JSON.raw_decode(self._buffer, self._at)
        except (ValueError, RecursionError):
            return None
        return value

    def peek_element(self) -> Any:
        """Return the first element of the list that comes next, and read nothing.

        None for an empty list, and for an element of more than `LARGE_CHARS`.
        """
        self.peek()
        while True:
            found = _SPACE.match(self._buffer, self._at + 1)
            try:
                return JSON.raw_decode(self._buffer, found.end() if found else self._at + 1)[0]
            except (ValueError, RecursionError):
                if self._is_read or len(self._buffer) - self._at >= LARGE_CHARS:
                    return None
            self._grow()

    def _large_value(self) -> Any:
        outer = self._spill
        self._spill = outer or Spill()
        try:
            is_list = self.peek() == "["
            return self._large_list(self._spill) if is_list else self._large_dict(self._spill)
        except RecursionError as error:
            raise Unreadable(explain(error)) from None
        finally:
            self._spill = outer

    def _large_list(self, spill: Spill) -> SpilledList:
        elements = SpilledList(spill)
        start = self.chars
        self.take("[")
        while self.peek() != "]":
            elements.put(self.value(), self.text)
            self.end_member("]", start)
        self.take("]")
        elements.end()
        return elements

    def _large_dict(self, spill: Spill) -> SpilledDict:
        members = SpilledDict(spill)
        start = self.chars
        self.take("{")
        while self.peek() != "}":
            key = self.key()
            members.put(key, self.value(), self.text)
            self.end_member("}", start)
        self.take("}")
        return members

    def key(self) -> str:
        """Read the key of a member and the colon after it."""
        if self.peek() != '"':
            raise Unreadable('not JSON: expecting """')
        key = self.value()
        self.take(":")
        return str(key)

    def end_member(self, closing: str, start: int | None = None) -> None:
        """Read the comma behind a member or an element, unless it is the last one.

        ``start`` is where the value around it began, which may have up to `MAX_VALUE_CHARS`.
        """
        if start is not None and self.chars - start > MAX_VALUE_CHARS:
            raise Unreadable(f"longer than {MAX_VALUE_CHARS:,} characters")
        if self.peek() != closing:
            self.take(",")

    @property
    def text(self) -> str:
        """The JSON of the value read last, if it was not a large one."""
        return self._buffer[self._start : self._at]

    def _is_cut_off(self, error: ValueError | RecursionError) -> bool:
        """Return whether the error may only say that the buffer ends within the value."""
        return isinstance(error, json.JSONDecodeError) and (
            error.msg.startswith("Unterminated string")
            or error.pos > len(self._buffer) - _MAX_TOKEN_CHARS
        )

    def _grow(self) -> None:
        held_chars = len(self._buffer) - self._at
        if held_chars >= MAX_VALUE_CHARS:
            raise Unreadable(f"not JSON, or longer than {MAX_VALUE_CHARS:,} characters")
        self._dropped_chars += self._at
        blocks = [self._buffer[self._at :]]
        self._buffer, self._at = "", 0
        # Double the buffer, so that decoding it again stays proportional to its size.
        missing_chars = max(held_chars, 1)
        while missing_chars > 0 and not self._is_read:
            blocks.append(block := self._source.read())
            missing_chars -= len(block)
            self._is_read = not block
        self._buffer = "".join(blocks)
