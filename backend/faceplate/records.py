"""What the units return: plain, typed, immutable records, one kind for each table.

A record is a row as it was read. It is not tracked, needs no session, and may be kept, compared
and handed to another task. Its repr shows ids and sizes, never content.
"""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

JsonObject = dict[str, Any]

_MAX_DIGITS = 4_300
"""Python refuses to read longer integers, since it takes quadratic time."""


def parse_body(body: str | None) -> Any:
    """Return a body's JSON as Python has it; None without a body.

    Of double keys the last counts. An integer of more than 4,300 digits becomes a Decimal. The text
    may hold more than this shows: write a body back as text.
    """
    return None if body is None else json.loads(body, parse_int=_integer)


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _MAX_DIGITS else Decimal(digits)


class User(NamedTuple):
    id: UUID
    subject_id: str
    email: str | None
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"User(id={self.id})"


class Conversation(NamedTuple):
    id: UUID
    title: str
    message_count: int
    """How many messages are stored, of all branches."""
    head: int | None
    """The position of the last message of the path that is read; None: the newest message."""
    metadata: JsonObject
    source: str | None
    """The program that the conversation is from, or None."""
    key: str | None
    """The conversation's name there, or None."""
    body: str | None
    """The JSON of that program, to the letter, or None."""
    created_at: datetime
    updated_at: datetime
    """The time of the last activity: appending and removing messages move it."""

    def parsed_body(self) -> Any:
        """Return the body as `parse_body` reads it."""
        return parse_body(self.body)

    def __repr__(self) -> str:
        return f"Conversation(id={self.id}, message_count={self.message_count})"


class Message(NamedTuple):
    conversation_id: UUID
    id: UUID
    position: int
    """Ascending within the conversation; the position of a removed message is not used again."""
    parent_position: int | None
    """The position of the message that it follows; None: of the one before it. A message that
    follows none, and is not the conversation's first, has its own."""
    role: str | None
    """None only where there is a body."""
    content: str
    tool_calls: list[JsonObject] | None
    tool_results: list[JsonObject] | None
    metadata: JsonObject
    body: str | None
    """The JSON of another program, to the letter, or None."""
    status: str
    """streaming while it is being written, then complete, interrupted or failed."""
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    created_at: datetime
    """When the message was written, which a caller may say."""
    updated_at: datetime
    """When the row was stored, or changed last."""

    def parsed_body(self) -> Any:
        """Return the body as `parse_body` reads it."""
        return parse_body(self.body)

    def __repr__(self) -> str:
        return (
            f"Message(id={self.id}, position={self.position}, role={self.role!r}, "
            f"chars={len(self.content)})"
        )


class FoundMessage(NamedTuple):
    """A message that `messages.search` has found, with the conversation that it is in."""

    conversation_id: UUID
    title: str
    conversation_updated_at: datetime
    id: UUID
    position: int
    role: str | None
    excerpt: str
    """What the message says around the text, up to 300 characters."""
    created_at: datetime

    def __repr__(self) -> str:
        return f"FoundMessage(id={self.id}, position={self.position}, role={self.role!r})"


class MessageBody(NamedTuple):
    """What another program reads of a message: its body or, without one, what it says."""

    position: int
    parent_position: int | None
    status: str
    role: str | None
    body: str | None
    content: str | None
    """None where there is a body, as are tool calls and results."""
    tool_calls: list[JsonObject] | None
    tool_results: list[JsonObject] | None

    def __repr__(self) -> str:
        return f"MessageBody(position={self.position}, role={self.role!r})"


class Branch(NamedTuple):
    """One of the alternatives at a place of a conversation."""

    position: int
    """The position of its first message."""
    id: UUID
    """The id of its first message."""
    leaf: int
    """The position of its newest message: what to `switch` to, to read on in this branch."""
    is_on_path: bool
    """Whether the conversation's path goes through it."""


class DailyUsage(NamedTuple):
    """The tokens that messages of a day took, by one model."""

    day: date
    """In UTC."""
    model: str | None
    messages: int
    """How many messages have a number of tokens."""
    input_tokens: int
    output_tokens: int


class ConversationUsage(NamedTuple):
    """The tokens that messages of a conversation took, by one model."""

    conversation_id: UUID
    model: str | None
    messages: int
    """How many messages have a number of tokens."""
    input_tokens: int
    output_tokens: int


class Task(NamedTuple):
    id: UUID
    title: str
    description: str
    completed: bool
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"Task(id={self.id}, completed={self.completed})"


class McpConfig(NamedTuple):
    id: UUID
    name: str
    config: JsonObject
    has_secrets: bool
    enabled: bool
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return f"McpConfig(id={self.id}, name={self.name!r}, enabled={self.enabled})"


class Document(NamedTuple):
    id: UUID
    kind: str
    key: str
    """Its name among the user's documents of this kind."""
    version: int
    """1 of a new document; each write adds 1."""
    body: str
    """The JSON of another program, to the letter."""
    created_at: datetime
    updated_at: datetime

    def parsed_body(self) -> Any:
        """Return the body as `parse_body` reads it."""
        return parse_body(self.body)

    def __repr__(self) -> str:
        return (
            f"Document(id={self.id}, kind={self.kind!r}, version={self.version}, "
            f"chars={len(self.body)})"
        )
