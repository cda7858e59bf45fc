"""What the units return: plain, typed, immutable records, one kind for each table.

A record is a row as it was read. It is not tracked, needs no session, and may be kept, compared
and handed to another task. Its repr shows ids and sizes, never content.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

JsonObject = dict[str, Any]


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
    metadata: JsonObject
    created_at: datetime
    updated_at: datetime
    """The time of the last activity: every append moves it, nothing else does."""

    def __repr__(self) -> str:
        return f"Conversation(id={self.id}, message_count={self.message_count})"


class Message(NamedTuple):
    conversation_id: UUID
    id: UUID
    position: int
    """1, 2, 3 ... within the conversation, without a gap."""
    role: str
    content: str
    tool_calls: list[JsonObject] | None
    tool_results: list[JsonObject] | None
    metadata: JsonObject
    status: str
    """streaming while it is being written, then complete, interrupted or failed."""
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:
        return (
            f"Message(id={self.id}, position={self.position}, role={self.role!r}, "
            f"chars={len(self.content)})"
        )


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
