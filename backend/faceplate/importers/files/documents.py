"""A parser of JSON documents that holds one element of the outermost list at a time."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from faceplate.importers.chats import Unreadable
from faceplate.importers.files.text import Text

MAX_VALUE_CHARS: Final = 64 * 1024 * 1024
SPACE: Final = " \t\r\n\ufeff"  # a BOM begins each of the files that were put together
_SPACE: Final = re.compile(f"[{SPACE}]*")
_MAX_TOKEN_CHARS: Final = 16
_MAX_EXPONENT_CHARS: Final = 2  # "e+", which a number may end with when it is cut off

JSON: Final = json.JSONDecoder()


def explain(error: ValueError | RecursionError) -> str:
    """Return in words why a text cannot be decoded, without any of it."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.rstrip(': ')}"
    return "a number with too many digits"


class Documents:
    """The JSON documents of a text, most often one, whose outermost lists are streamed.

    The standard library's decoder reads each value, so that all follow the same rules.
    """

    def __init__(self, text: Text, list_keys: tuple[str, ...]) -> None:
        self.number = 0
        """How many documents have begun."""
        self._text = text
        self._list_keys = list_keys
        self._buffer = ""
        self._at = 0
        self._is_read = False
        self._dropped_chars = 0

    def values(self) -> Iterator[Any]:
        """Yield the elements of a list, or of an object's list of chats, or else the object.

        Raises Unreadable at the first error.
        """
        while opening := self._peek():
            if opening not in "[{":
                after = "not JSON: text after the end of the document"
                raise Unreadable(after if self.number else "neither a chat nor a list of chats")
            self.number += 1
            yield from self._elements() if opening == "[" else self._members()

    def _elements(self) -> Iterator[Any]:
        self._take("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _members(self) -> Iterator[Any]:
        chat: dict[str, Any] = {}
        holds_list = False
        start = self._dropped_chars + self._at
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
            if not holds_list and self._dropped_chars + self._at - start > MAX_VALUE_CHARS:
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
                value, end = JSON.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                if self._is_read or not self._is_cut_off(error):
                    raise Unreadable(explain(error)) from None
            else:
                # A number that ends with the buffer may have more digits.
                if self._is_read or end + _MAX_EXPONENT_CHARS < len(self._buffer):
                    self._at = end
                    return value
            self._grow()

    def _is_cut_off(self, error: ValueError | RecursionError) -> bool:
        """Return whether the error may only say that the buffer ends within the value."""
        return isinstance(error, json.JSONDecodeError) and (
            error.msg.startswith("Unterminated string")
            or error.pos > len(self._buffer) - _MAX_TOKEN_CHARS
        )

    def _take(self, sign: str) -> None:
        if self._peek() != sign:
            raise Unreadable(f'not JSON: expecting "{sign}"')
        self._at += 1

    def _peek(self) -> str:
        """Return the next character that is not white space; "" at the end."""
        while True:
            found = _SPACE.match(self._buffer, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._is_read:
                return ""
            self._grow()

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
            blocks.append(block := self._text.read())
            missing_chars -= len(block)
            self._is_read = not block
        self._buffer = "".join(blocks)
