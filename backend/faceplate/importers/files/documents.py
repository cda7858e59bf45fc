"""The JSON documents of a text, whose outermost lists are read one element at a time."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from faceplate.importers.chats import Unreadable
from faceplate.importers.files.parser import Parser, Source
from faceplate.importers.files.spilled import Spill, SpilledDict

LIST_KEYS: Final = ("chats", "conversations")


class Beside(NamedTuple):
    """The members of an object that are beside its lists of chats."""

    value: dict[str, Any]


class Documents:
    """The documents of a text, most often one.

    ``is_message`` says of the first element of a list of chats that the list is one chat.
    """

    def __init__(self, source: Source, is_message: Callable[[Any], bool]) -> None:
        self.number = 0
        """How many have begun."""
        self._parser = Parser(source)
        self._is_message = is_message

    def values(self) -> Iterator[Any]:
        """Yield the elements of a list, or of an object's lists of chats, or else the object.

        What is beside the lists of chats comes as `Beside`. Raises Unreadable at the first error.
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
            else:
                lists = [key for key in chat if self._is_list(key, chat[key])]
                for key in lists:
                    yield from chat.pop(key)
                if chat or not lists:
                    yield Beside(chat) if lists else chat

    def _is_list(self, key: str, value: object) -> bool:
        if key not in LIST_KEYS or not isinstance(value, list):
            return False
        return not value or not self._is_message(value[0])

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
            if self._begins_list(key):
                holds_list = True
                yield from self._elements()
            else:
                chat.put(key, parser.value(), parser.text)
            parser.end_member("}", None if holds_list else start)
        parser.take("}")
        if chat or not holds_list:
            yield Beside(chat) if holds_list else chat

    def _begins_list(self, key: str) -> bool:
        """Return whether a list of chats comes next."""
        parser = self._parser
        is_list = key in LIST_KEYS and parser.peek() == "["
        return is_list and not self._is_message(parser.peek_element())
