"""A plain ORM service over tables of the same shape: load, add, commit, refresh."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime
from uuid6 import uuid7

from benchmarks.data import LAST, LISTED, TITLE, Data, Line, Place
from benchmarks.server import sqlalchemy_url
from benchmarks.sides.base import Side

SCHEMA = "plain"
COPY_TABLES = """
CREATE SCHEMA plain;
CREATE TABLE plain.users (LIKE faceplate.users INCLUDING ALL);
CREATE TABLE plain.conversations (
    LIKE faceplate.conversations INCLUDING ALL,
    FOREIGN KEY (user_id) REFERENCES plain.users ON DELETE CASCADE
);
CREATE TABLE plain.messages (
    LIKE faceplate.messages INCLUDING ALL,
    FOREIGN KEY (user_id, conversation_id) REFERENCES plain.conversations ON DELETE CASCADE
);
INSERT INTO plain.users SELECT * FROM faceplate.users;
INSERT INTO plain.conversations SELECT * FROM faceplate.conversations;
INSERT INTO plain.messages SELECT * FROM faceplate.messages;
"""
Moment = DateTime(timezone=True)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: Moment}  # noqa: RUF012 - as SQLAlchemy documents it


class Conversation(Base):
    __tablename__ = "conversations"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012 - as SQLAlchemy documents it

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    title: Mapped[str] = mapped_column(server_default="New Chat")
    message_count: Mapped[int] = mapped_column(server_default="0")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Message(Base):
    __tablename__ = "messages"
    __table_args__ = {"schema": SCHEMA}  # noqa: RUF012 - as SQLAlchemy documents it

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    position: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    tool_calls: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    tool_results: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    status: Mapped[str] = mapped_column(server_default="complete")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PlainOrm(Side):
    """What most applications have."""

    name = "SQLAlchemy ORM"
    package = "SQLAlchemy"
    note = (
        "A service over `AsyncSession` and tables of the same shape: load the conversation and"
        " lock it, count it up, add the message, commit, refresh. With `pool_pre_ping`, as a"
        " service has it that survives a restart of its database; no user, no policy, no check"
        " of a value."
    )
    engine: AsyncEngine
    sessions: async_sessionmaker[AsyncSession]

    async def load(self, url: str, _data: Data) -> None:
        """Copy faceplate's tables, which must be there by now."""
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(COPY_TABLES)
        finally:
            await connection.close()

    async def open(self, url: str, connections: int) -> None:
        self.engine = create_async_engine(
            sqlalchemy_url(url), pool_size=connections, max_overflow=0, pool_pre_ping=True
        )
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def close(self) -> None:
        await self.engine.dispose()

    async def append(self, place: Place, text: str) -> object:
        async with self.sessions() as session:
            chat = await session.get_one(Conversation, tuple(place), with_for_update=True)
            chat.message_count += 1
            chat.updated_at = func.clock_timestamp()
            message = Message(
                user_id=place.user_id,
                conversation_id=place.conversation_id,
                position=chat.message_count,
                role="user",
                content=text,
            )
            session.add(message)
            await session.commit()
            await session.refresh(message)
            return message

    async def last(self, place: Place) -> Sequence[Any]:
        async with self.sessions() as session:
            found = await session.scalars(
                select(Message)
                .where(
                    Message.user_id == place.user_id,
                    Message.conversation_id == place.conversation_id,
                )
                .order_by(Message.position.desc())
                .limit(LAST)
            )
            return list(found)[::-1]

    async def list(self, place: Place) -> Sequence[Any]:
        async with self.sessions() as session:
            found = await session.scalars(
                select(Conversation)
                .where(Conversation.user_id == place.user_id)
                .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
                .limit(LISTED)
            )
            return found.all()

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        user_id, conversation_id = place
        async with self.sessions() as session:
            session.add(
                Conversation(
                    user_id=user_id, id=conversation_id, title=TITLE, message_count=len(lines)
                )
            )
            await session.flush()
            session.add_all(
                Message(
                    user_id=user_id,
                    conversation_id=conversation_id,
                    position=line.position,
                    role=line.role,
                    content=line.content,
                )
                for line in lines
            )
            await session.commit()

    def content(self, message: Any) -> str:
        return str(message.content)
