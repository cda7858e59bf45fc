"""The six tables: the schema in one read.

Every owned row carries ``user_id``, and every key, foreign key and unique constraint of an owned
table begins with it. See docs/data-model.md; docs/adding-a-table.md says how one more is added.
"""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship, synonym
from uuid6 import uuid7

from faceplate import records
from faceplate._models.base import (
    SCHEMA,
    Base,
    Owned,
    Private,
    export_key_of,
    noun_of,
    owned_models,
    owned_tables,
    private_tables,
    project_tables,
    table_name,
)
from faceplate._models.references import references
from faceplate.column_types import (
    Count,
    Email,
    Flag,
    Id,
    Json,
    JsonObject,
    JsonText,
    Key,
    OneOf,
    Secret,
    Text,
    Timestamp,
)
from faceplate.errors import UsageError

__all__ = [
    "ROLES",
    "SCHEMA",
    "STATUSES",
    "Base",
    "Conversation",
    "Document",
    "McpConfig",
    "Message",
    "Owned",
    "Private",
    "Task",
    "User",
    "export_key_of",
    "noun_of",
    "owned_models",
    "owned_tables",
    "private_tables",
    "project_tables",
    "references",
    "table_name",
]

ROLES = ("user", "assistant", "system", "developer", "tool")
STATUSES = ("streaming", "complete", "interrupted", "failed")


class User(Private, Base):
    __tablename__ = "users"
    __table_args__ = (Index("uq_users_email", text("lower(email)"), unique=True),)
    record = records.User
    constraint_words: ClassVar = {"uq_users_email": "a user with this email exists already"}

    id: Mapped[UUID] = mapped_column(Id(), primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = synonym("id")
    subject_id: Mapped[str] = mapped_column(Text(255), unique=True)
    email: Mapped[str | None] = mapped_column(Email())

    conversations: Mapped[list["Conversation"]] = relationship(lazy="raise", viewonly=True)


class Conversation(Owned, Base):
    __tablename__ = "conversations"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),
        # Both serve lists, newest activity first. No index has updated_at, so that an append within
        # the hour changes no index, and fits on its page beside the row before (a HOT update).
        Index("ix_conversations_active_hour", "user_id", text("active_hour DESC")),
        Index(
            "ix_conversations_source",
            "user_id",
            "source",
            text("active_hour DESC"),
            postgresql_where=text("source IS NOT NULL"),
        ),
        CheckConstraint("(source IS NULL) = (key IS NULL)", "source_and_key"),
    )
    record = records.Conversation

    title: Mapped[str] = mapped_column(Text(255), server_default="New Chat")
    message_count: Mapped[int] = mapped_column(Count(), server_default="0")
    # How many positions belonged to removed messages. No position is given twice.
    removed_count: Mapped[int] = mapped_column(Count(), server_default="0")
    # The last message of the path that is read. NULL: the newest message.
    head: Mapped[int | None] = mapped_column(Count(minimum=1))
    metadata_: Mapped[JsonObject] = mapped_column(
        "metadata", Json(dict, max_chars=262_144), server_default="{}"
    )
    source: Mapped[str | None] = mapped_column(Text(100))
    key: Mapped[str | None] = mapped_column(Text(2_000, blank=True))
    body: Mapped[str | None] = mapped_column(JsonText())
    # The time of the last activity: only appending and removing messages move it.
    updated_at: Mapped[datetime] = mapped_column(
        Timestamp(), server_default=func.now(), sort_order=1
    )
    stored_at: Mapped[datetime] = mapped_column(
        Timestamp(), server_default=func.now(), sort_order=1
    )
    # The hour of updated_at in UTC. A trigger of the migrations keeps it so, whatever writes it.
    active_hour: Mapped[datetime] = mapped_column(
        Timestamp(),
        server_default=text("date_trunc('hour'::text, now(), 'UTC'::text)"),
        sort_order=1,
    )

    user: Mapped[User] = relationship(lazy="raise", viewonly=True)
    messages: Mapped[list["Message"]] = relationship(
        lazy="raise", viewonly=True, order_by="Message.position"
    )


class Message(Owned, Base):
    __tablename__ = "messages"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "conversation_id"],
            [Conversation.user_id, Conversation.id],
            ondelete="CASCADE",
        ),
        # No cascade, which would leave what follows a branch. RESTRICT takes half the time of NO
        # ACTION, and does not count a row that the same statement deletes.
        ForeignKeyConstraint(
            ["user_id", "conversation_id", "parent_position"],
            [
                "faceplate.messages.user_id",
                "faceplate.messages.conversation_id",
                "faceplate.messages.position",
            ],
            ondelete="RESTRICT",
        ),
        # Serves the history: one range of this index is one page.
        UniqueConstraint("user_id", "conversation_id", "position"),
        CheckConstraint("parent_position <= position", "parent_before"),
        CheckConstraint("role IS NOT NULL OR body IS NOT NULL", "role_or_body"),
        CheckConstraint(
            "tool_calls IS NULL OR role IS NOT DISTINCT FROM 'assistant'", "tool_calls_role"
        ),
        CheckConstraint(
            "CASE WHEN tool_results IS NULL THEN body IS NOT NULL OR role <> 'tool'"
            " ELSE role IS NOT DISTINCT FROM 'tool' END",
            "tool_results_role",
        ),
        # Both serve the paths of a conversation with branches; a linear one is in neither.
        Index(
            "ix_messages_branches",
            "user_id",
            "conversation_id",
            "position",
            postgresql_include=["parent_position"],
            postgresql_where=text("parent_position IS NOT NULL"),
        ),
        Index(
            "ix_messages_children",
            "user_id",
            "conversation_id",
            "parent_position",
            postgresql_where=text("parent_position IS NOT NULL"),
        ),
        # Serves pending_tool_calls, however long the conversation is.
        Index(
            "ix_messages_tools",
            "user_id",
            "conversation_id",
            "position",
            postgresql_where=text("tool_calls IS NOT NULL OR tool_results IS NOT NULL"),
        ),
        # Serves the sums of tokens; a message without any is not in it.
        Index(
            "ix_messages_usage",
            "user_id",
            "created_at",
            postgresql_where=text("input_tokens IS NOT NULL OR output_tokens IS NOT NULL"),
        ),
        # Serves the sweep. Not by updated_at, which every save of a draft changes.
        Index("ix_messages_drafts", "created_at", postgresql_where=text("status = 'streaming'")),
    )
    record = records.Message

    conversation_id: Mapped[UUID] = mapped_column(Id(), primary_key=True, sort_order=-2)
    position: Mapped[int] = mapped_column(Count(minimum=1))
    # The message that it follows. NULL: the one before it. Its own position: it is a first one.
    parent_position: Mapped[int | None] = mapped_column(Count(minimum=1))
    role: Mapped[str | None] = mapped_column(OneOf(ROLES))
    content: Mapped[str] = mapped_column(Text(1_000_000, blank=True), server_default="")
    tool_calls: Mapped[list[JsonObject] | None] = mapped_column(Json(list, max_chars=1_000_000))
    tool_results: Mapped[list[JsonObject] | None] = mapped_column(Json(list, max_chars=1_000_000))
    metadata_: Mapped[JsonObject] = mapped_column(
        "metadata", Json(dict, max_chars=262_144), server_default="{}"
    )
    body: Mapped[str | None] = mapped_column(JsonText())
    status: Mapped[str] = mapped_column(OneOf(STATUSES), server_default="complete")
    model: Mapped[str | None] = mapped_column(Text(255))
    input_tokens: Mapped[int | None] = mapped_column(Count())
    output_tokens: Mapped[int | None] = mapped_column(Count())

    conversation: Mapped[Conversation] = relationship(lazy="raise", viewonly=True)


class Task(Owned, Base):
    __tablename__ = "tasks"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),
        Index("ix_tasks_newest", "user_id", text("created_at DESC"), text("id DESC")),
    )
    record = records.Task

    title: Mapped[str] = mapped_column(Text(500))
    description: Mapped[str] = mapped_column(Text(5_000, blank=True), server_default="")
    completed: Mapped[bool] = mapped_column(Flag(), server_default="false")


class McpConfig(Owned, Base):
    __tablename__ = "mcp_configs"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),
        UniqueConstraint("user_id", "name"),
    )
    record = records.McpConfig
    noun = "an MCP configuration"

    name: Mapped[str] = mapped_column(Text(100))
    config: Mapped[JsonObject] = mapped_column(Json(dict, max_chars=65_536))
    secrets: Mapped[bytes | None] = mapped_column(Secret(), deferred=True, deferred_raiseload=True)
    has_secrets: Mapped[bool] = column_property(secrets.is_not(None))
    enabled: Mapped[bool] = mapped_column(Flag(), server_default="true")


class Document(Owned, Base):
    __tablename__ = "documents"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),
        # Serves the pages as well: the documents of a kind, by key.
        UniqueConstraint("user_id", "kind", "key"),
    )
    record = records.Document

    kind: Mapped[str] = mapped_column(Text(100))
    key: Mapped[str] = mapped_column(Key(max_bytes=2_000))
    # Counted by the units; a writer compares it with the version that it has read.
    version: Mapped[int] = mapped_column(Count(minimum=1), server_default="1")
    body: Mapped[str] = mapped_column(JsonText())


def _refuse_change(row: Base, *_: Any) -> None:
    raise UsageError(
        f"the collections of {type(row).__name__} are for reading:"
        " add to the session, or delete by it, the row itself"
    )


for _collection in (User.conversations, Conversation.messages):
    for _change in ("append", "remove"):
        event.listen(_collection, _change, _refuse_change)
