"""The JSON documents of a text, whose outermost lists are read one element at a time."""

from collections.abc import Iterator
from typing import Any

from faceplate.importers.chats import Unreadable
from faceplate.importers.files.parser import Parser, Source
from faceplate.importers.files.spilled import Spill, SpilledDict


class Documents:
    """The documents of a text, most often one."""

    def __init__(self, source: Source, list_keys: tuple[str, ...]) -> None:
        self.number = 0
        """How many have begun."""
        self._parser = Parser(source)
        self._list_keys = list_keys

    def values(self) -> Iterator[Any]:
        """Yield the elements of a list, or of an object's list of chats, or else the object.

        Raises Unreadable at the first error.
        """
        while opening := self._parser.peek():
            if opening not in "[{":
                after = "not JSON: text after the end of the document"
                raise Unreadable(after if self.number else "neither a chat nor a list of chats")
            self.number += 1
            if opening == "[":
                yield from self._elements()
            elif (chat := self._parser.small_value()) is None:
                yield from self._members()
            elif lists := [chat[key] for key in chat if self._is_list(key, chat[key])]:
                yield from (element for elements in lists for element in elements)
            else:
                yield chat

    def _is_list(self, key: str, value: object) -> bool:
        return key in self._list_keys and isinstance(value, list)

    def _elements(self) -> Iterator[Any]:
        parser = self._parser
        parser.take("[")
        while parser.peek() != "]":
            yield parser.value()
            parser.end_member("]")
        parser.take("]")

    def _members(self) -> Iterator[Any]:
        parser = self._parser
        chat = SpilledDict(Spill())
        holds_list = False
        start = parser.chars
        parser.take("{")
        while parser.peek() != "}":
            key = parser.key()
            if key in self._list_keys and parser.peek() == "[":
                holds_list = True
                yield from self._elements()
            else:
                value = parser.value()
                if not holds_list:
                    chat.put(key, value, parser.text)
            parser.end_member("}", None if holds_list else start)
        parser.take("}")
        if not holds_list:
            yield chat
