"""What every reader of chat files yields: chats, and refusals of what could not be one."""

from typing import Any, NamedTuple

from faceplate.services.messages import NewMessage


class Place(NamedTuple):
    """Where in its file something stands: ``line 12`` or ``chat 3``, both counted from 1."""

    unit: str
    number: int

    def __str__(self) -> str:
        return f"{self.unit} {self.number}"


class Chat(NamedTuple):
    """One chat, ready to be stored; ``id`` is the same whenever the same chat is read."""

    place: Place
    id: str
    title: str
    messages: list[NewMessage]
    metadata: dict[str, Any]


class Refusal(NamedTuple):
    """Something in the file that was not imported; ``reason`` never repeats its content."""

    place: Place
    reason: str


class Unreadable(Exception):  # noqa: N818 - named for what it says
    """What stands here is no chat. A reader turns it into a Refusal; it never leaves one."""
