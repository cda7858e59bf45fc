"""What the importer has to know about a format. Each module of this package describes one."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.source import SourceChat


def joins_nothing(value: JsonObject) -> str | None:  # noqa: ARG001 - the shape of `Format.joins`
    """Return None: the format has no chats whose messages are values of their own."""
    return None


def has_no_marks(text: str) -> Iterable[str]:
    """Return the text: the format has no marks in it."""
    return (text,)


class Format(NamedTuple):
    """A format of chats."""

    key: str
    """Its name for ``--format`` and in `conversations.source`."""
    title: str
    fits: Callable[[JsonObject], int]
    """Returns how many features of the format a value has, 0 if it is no chat of the format.

    The format with the most features reads the value; of equals, the one that is listed first. It
    looks at the messages and not at one key: 1 is a shape that many formats have, 2 has something
    of its own, and from 3 on there is hardly a doubt. It goes by keys, roles and types, never by
    what somebody has said: the importer remembers the format of chats that only differ in that.
    """
    read: Callable[[JsonObject], Iterable[SourceChat]]
    """Returns the chats of a value. Raises Unreadable if there is none in it."""
    known: Collection[str] = ()
    """The keys whose text is known to be no part of what was said, such as the sources of a search.

    They are kept beside the chat or message, like all other fields.
    """
    joins: Callable[[JsonObject], str | None] = joins_nothing
    """Returns the id of the chat to which a value belongs that is one message, "" for the only chat
    of its file; None if it is no message. Such messages are read as ``{"id", "messages": [...]}``.
    """
    unmark: Callable[[str], Iterable[str]] = has_no_marks
    """Returns the texts in a text in which marks of the format set reasoning or calls apart."""
