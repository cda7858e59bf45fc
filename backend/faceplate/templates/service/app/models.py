"""The service's own tables, beside those of faceplate.

After a change here: ``alembic revision --autogenerate -m "..."``.
"""

from datetime import datetime
from uuid import UUID

from faceplate.column_types import Text, Timestamp
from faceplate.models import Base, Conversation, Owned, references
from sqlalchemy import Index, MetaData, text
from sqlalchemy.orm import Mapped, mapped_column


class AppBase(Base):
    """The base class of the service's models, with metadata of its own."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Reminder(Owned, AppBase):
    """What the worker appends to a conversation when it is due."""

    __tablename__ = "reminders"
    __table_args__ = (
        references(Conversation),
        Index("ix_reminders_due_at", "due_at", postgresql_where=text("sent_at IS NULL")),
    )

    conversation_id: Mapped[UUID]
    text: Mapped[str] = mapped_column(Text(1_000))
    due_at: Mapped[datetime] = mapped_column(Timestamp())
    sent_at: Mapped[datetime | None] = mapped_column(Timestamp())
