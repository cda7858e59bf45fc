"""A chat as its source has it: what the reader of each format returns.

A reader says what is a message, a branch, a time and a part. Everything after that is the same for
every format, and happens in `conversion`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject


class Text(NamedTuple):
    """Text that was said."""

    text: str


class Call(NamedTuple):
    """A call of a tool."""

    tool: str
    input: object
    """JSON text, any other text, or a value that becomes JSON text."""
    id: str = ""
    """Without one, the results of its tool answer it in their order."""
    type: str = ""
    """``function`` or ``custom``, where the source says it; else a JSON object is a function's."""


class Result(NamedTuple):
    """The result of a call."""

    content: object
    """Text, a list of parts, or a value that becomes JSON text."""
    call_id: str = ""
    tool: str = ""
    is_error: bool = False
    """Whether the tool has failed; the content says how."""


class Attachment(NamedTuple):
    """A file or a picture beside the text."""

    kind: str
    """Such as ``image`` or ``application/pdf``."""
    name: str = ""
    reference: str = ""
    """An address, or the id that the source gave it."""
    text: str = ""
    """What the source has read in it."""
    part: object = None
    """All that the source says about it."""


class Aside(NamedTuple):
    """What the source has beside the text and does not show as text, such as reasoning."""

    kind: str
    value: object


class Unknown(NamedTuple):
    """A part that the reader does not know. The import reports the text in it."""

    value: object


KNOWN_ROLES: Final = ("user", "assistant", "system", "developer", "tool", "summary", "program")
"""The roles of messages: ``summary`` is of messages before, ``program`` of an agent's program."""

Piece = Text | Call | Result | Attachment | Aside | Unknown


class Message(NamedTuple):
    """A message, or a place in the tree that holds none: then it has no role and no pieces."""

    role: str = ""
    """One of `KNOWN_ROLES`; any other is reported. The last two are stored as an assistant's."""
    pieces: Sequence[Piece] = ()
    """The parts in their order."""
    id: str = ""
    """Without one, its number in the chat is its name."""
    parent: str | None = None
    """The id of the message that it follows: only counts in a tree."""
    children: Sequence[str] = ()
    created: object = None
    """A time as the source writes it: a number since 1970, or ISO 8601."""
    model: object = None
    input_tokens: object = None
    output_tokens: object = None
    status: str | None = None
    """``interrupted`` or ``failed``, of a reply that did not complete."""
    is_hidden: bool = False
    """Whether the source does not show it."""
    rest: JsonObject | None = None
    """The other fields, without the ones above."""
    original: object = None
    """The whole message, which is kept where nothing of it is shown."""


class SourceChat(NamedTuple):
    """A chat with its messages in the order of the source."""

    messages: Iterable[Message]
    """They are read once, and only as the conversion goes on: a large chat is not held whole."""
    id: str = ""
    """Without one, the chat is named by its first message, or by its content."""
    title: object = None
    created: object = None
    updated: object = None
    is_tree: bool = False
    """Whether the parents of the messages count; else each follows the one before it."""
    current: object = None
    """The id of the last message that the source shows; without one, the newest."""
    prologue: Sequence[Message] = ()
    """What the source has beside the messages and sends before them, such as a system prompt.

    These messages need no ids.
    """
    is_exact: bool = False
    """Whether a program has written it to go on with it: then an empty message is a message, and a
    call at the end of the path waits for its result."""
    rest: JsonObject | None = None
    """The other fields, without the ones above."""
