"""The items that every reader of chat files yields: chats and refusals."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from faceplate.services.messages import NewMessage

_DEFAULT_TITLE: Final = "New Chat"
_MAX_DERIVED_TITLE_CHARS: Final = 80


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
    messages: list[NewMessage]
    metadata: dict[str, Any]
    created_at: datetime | None = None
    names: list[str] | None = None
    """A name of each message, the same whenever it is read; None: they have only their places."""
    parents: list[int | None] | None = None
    """The position that each message follows, as in `faceplate.services.chats.NewChat`."""
    head: int | None = None
    """The position of the last message that the source shows; None: the last one."""


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
    """Return the first words of the user's first message, for a chat without a title."""
    for message in messages:
        if message.role == "user" and (words := message.content.split()):
            return shorten(" ".join(words[:_MAX_DERIVED_TITLE_CHARS]), _MAX_DERIVED_TITLE_CHARS)
    return _DEFAULT_TITLE


def shorten(text: str, max_chars: int) -> str:
    """Return ``text`` with at most ``max_chars``; a longer one ends with an ellipsis."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"
