"""What every reader of chat files yields: chats, and refusals of what could not be one."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from faceplate.services.messages import NewMessage

_DEFAULT_TITLE: Final = "New Chat"
_MAX_DERIVED_TITLE_CHARS: Final = 80


class Place(NamedTuple):
    """Where in its file something stands: ``line 12`` or ``chat 3``, both counted from 1."""

    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.unit} {self.number}"

    def within(self, name: str) -> "Place":
        """The same in one of several files."""
        return Place(f"{name} {self.unit}", self.number)


class Fork(NamedTuple):
    """Where a branch left the thread that its source shows."""

    chat_id: str
    """The `Chat.id` of the visible thread."""
    position: int
    """The last message that both have, counted from 1; 0 where they share none."""
    message_id: str
    """The source's id of the first message that is the branch's own."""


class Chat(NamedTuple):
    """One chat, ready to be stored; ``id`` is the same whenever the same chat is read."""

    place: Place
    id: str
    title: str
    messages: list[NewMessage]
    metadata: dict[str, Any]
    fork: Fork | None = None


class Refusal(NamedTuple):
    """Something in the file that was not imported, a chat or a part of one.

    ``reason`` never repeats its content.
    """

    place: Place
    reason: str


class Unreadable(Exception):  # noqa: N818 - named for what it says
    """What stands here is no chat. A reader turns it into a Refusal; it never leaves one."""


def derive_title(messages: Iterable[NewMessage]) -> str:
    """The first words of the first thing the user said, for a chat that has no title."""
    for message in messages:
        if message.role == "user" and (words := message.content.split()):
            return shorten(" ".join(words[:_MAX_DERIVED_TITLE_CHARS]), _MAX_DERIVED_TITLE_CHARS)
    return _DEFAULT_TITLE


def shorten(text: str, max_chars: int) -> str:
    """The text, cut with an ellipsis where it is longer."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"
