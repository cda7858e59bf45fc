"""The items that every reader of chat files yields: chats and refusals."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from faceplate.services.messages import NewMessage

_DEFAULT_TITLE: Final = "New Chat"
_MAX_DERIVED_TITLE_CHARS: Final = 80
_MAX_SEARCHED_CHARS: Final = 2_000

_FENCE_OR_RULE: Final = re.compile(r"\s*(?:```|~~~|[-*_=|: ]*$)")
_LINE_MARKS: Final = re.compile(r"\s*(?:(?:#{1,6}|[-*+>]|\d{1,9}[.)])\s+)+")
_INLINE_MARKS: Final = re.compile(
    r"(?<!`)(?P<ticks>`+)(?P<code>[^`]+)(?P=ticks)(?!`)"
    r"|!?\[(?P<link>[^\[\]]+)\]\([^()\s]*\)"
    r"|(?<![\w*])(?P<stars>\*\*?)(?=[^\s*])(?P<strong>[^*]+)(?<!\s)(?P=stars)(?![\w*])"
)


class Place(NamedTuple):
    """A place in a file: ``line 12`` or ``chat 3``, both counted from 1."""

    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.unit} {self.number}"

    def within(self, name: str) -> "Place":
        """Return the same place in the file ``name`` of an archive."""
        return Place(f"{name} {self.unit}", self.number)


class Chat(NamedTuple):
    """A chat to store, with all its branches."""

    place: Place
    source: str
    """The format that it is read from."""
    key: str
    """Its name there, which is the same whenever the same chat is read."""
    title: str
    messages: Sequence[NewMessage]
    metadata: dict[str, Any]
    created_at: datetime | None = None
    updated_at: datetime | None = None
    """When the source last changed it; it counts for the order in the list of conversations."""
    names: list[str] | None = None
    """A name of each message, the same whenever it is read; None: they have only their places."""
    parents: list[int | None] | None = None
    """The position that each message follows, as in `faceplate.services.chats.NewChat`."""
    head: int | None = None
    """The position of the last message that the source shows; None: the last one."""
    asides: Mapping[str, int] = MappingProxyType({})
    """What is kept beside the text of its messages: how many, by the kind."""

    @property
    def has_nothing(self) -> bool:
        """Whether it has neither messages nor a title, nor anything else: it is not stored."""
        return not (self.messages or self.metadata) and self.title == _DEFAULT_TITLE


class Refusal(NamedTuple):
    """A chat, or a part of one, that was not imported.

    ``reason`` never quotes its content.
    """

    place: Place
    reason: str


class Unreadable(Exception):  # noqa: N818 - named for what it says
    """A value is not a chat.

    Readers turn this error into a Refusal and never raise it.
    """


def derive_title(messages: Iterable[NewMessage]) -> str:
    """Return the first line of the user's first message, for a chat without a title.

    Marks of Markdown are left out, since a title is plain text.
    """
    for message in messages:
        if message.role == "user" and (line := _first_line(message.content)):
            return shorten(line, _MAX_DERIVED_TITLE_CHARS)
    return _DEFAULT_TITLE


def _first_line(content: str) -> str:
    """Return the first line that says something, without marks and a colon at its end."""
    for line in content.lstrip()[:_MAX_SEARCHED_CHARS].splitlines():
        if _FENCE_OR_RULE.match(line):
            continue
        marks = _LINE_MARKS.match(line)
        plain = " ".join(_without_marks(line[marks.end() :] if marks else line).split())
        if plain.startswith("|"):
            plain = ", ".join(cell for each in plain.split("|") if (cell := each.strip()))
        if plain:
            return plain.removesuffix(":")
    return ""


def _without_marks(text: str) -> str:
    return _INLINE_MARKS.sub(_without_mark, text)


def _without_mark(found: re.Match[str]) -> str:
    return found["code"] or _without_marks(found["link"] or found["strong"])


def shorten(text: str, max_chars: int) -> str:
    """Return ``text`` with at most ``max_chars``; a longer one ends with an ellipsis."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"
