"""All owned tables, a project's own among them, each with a row of another user."""

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql import quoted_name
from uuid6 import uuid7

from faceplate.column_types import Id, Text
from faceplate.models import (
    Base,
    Conversation,
    Document,
    McpConfig,
    Message,
    Owned,
    Private,
    Task,
    User,
)
from tests.units import DOCUMENT_KIND, Belongings


class ProjectBase(Base):
    __abstract__ = True
    metadata = sa.MetaData("project")


class Note(Owned, ProjectBase):
    """A project's table as the tutorial makes one."""

    __tablename__ = "notes"
    body: Mapped[str] = mapped_column(Text(1000))


class Mark(Private, ProjectBase):
    """A project's table whose keys do not begin with the user."""

    __tablename__ = "marks"
    id: Mapped[UUID] = mapped_column(Id(), primary_key=True)
    body: Mapped[str] = mapped_column(Text(1000), unique=True)


class Target(NamedTuple):
    """An owned table, and a row of it that another user has."""

    model: Any
    word: str
    """The column that says whose the row is."""
    key: dict[str, Any]
    """Their row's primary key."""
    more: dict[str, Any]
    """What a row needs besides its key and its word."""
    mine: UUID
    their: UUID
    secret: str
    """What their rows say."""

    @property
    def table(self) -> Any:
        return self.model.__table__

    @property
    def owner(self) -> str:
        return "id" if self.model is User else "user_id"

    @property
    def words(self) -> Any:
        return getattr(self.model, self.word)

    @property
    def theirs(self) -> Any:
        return self.table.c[self.owner] == self.their

    def row(self, **values: Any) -> dict[str, Any]:
        """A new row of theirs."""
        new = {**self.key, "id": uuid7(), self.owner: self.their, self.word: f"planted {uuid7()}"}
        return {**new, **self.more, **values}

    def ownerless(self) -> dict[str, Any]:
        """The same without an owner."""
        row = self.row()
        del row[self.owner]
        return row

    def my_row(self, **values: Any) -> dict[str, Any]:
        """A new row of mine."""
        return self.row(**{self.owner: self.mine, **values})


def targets(mine: UUID, their: Belongings, note: UUID, mark: UUID) -> list[Target]:
    """Return all owned tables, each with a row of theirs."""
    me, secret = {"user_id": their.user_id}, their.subject_id
    chat = {"conversation_id": their.conversation_id}
    said = {"position": 99, "role": "user"}
    found: list[tuple[Any, str, dict[str, Any], dict[str, Any]]] = [
        (User, "subject_id", {"id": their.user_id}, {}),
        (Conversation, "title", me | {"id": their.conversation_id}, {}),
        (Message, "content", me | chat | {"id": their.message_id}, said),
        (Task, "title", me | {"id": their.task_id}, {}),
        (McpConfig, "name", me | {"id": their.config_id}, {"config": {}}),
        (Document, "key", me | {"id": their.document_id}, {"kind": DOCUMENT_KIND, "body": "1"}),
        (Note, "body", me | {"id": note}, {}),
        (Mark, "body", {"id": mark}, me),
    ]
    return [Target(*each, mine, their.user_id, secret) for each in found]


def light(target: Target) -> Any:
    """Return the table as a program spells it that does not import the model."""
    columns = [sa.column(name, column.type) for name, column in target.table.c.items()]
    return sa.table(target.table.name, *columns, schema=target.table.schema)


def bare(target: Target) -> Any:
    """The table by its name alone."""
    return sa.table(target.table.name, schema=target.table.schema)


def partial(target: Target) -> Any:
    """The table with one of its columns."""
    return sa.table(target.table.name, sa.column(target.word), schema=target.table.schema)


def other(target: Target) -> Any:
    return target.table.to_metadata(sa.MetaData())


def unquoted(target: Target) -> Any:
    """The table by names that PostgreSQL folds, as they stand in capitals and without quotes."""
    columns = [sa.column(name, column.type) for name, column in target.table.c.items()]
    name, schema = target.table.name.upper(), target.table.schema.upper()
    return sa.table(quoted_name(name, False), *columns, schema=quoted_name(schema, False))  # noqa: FBT003 - its own way


def dotted(target: Target) -> Any:
    """The table by a name that has its schema in it."""
    columns = [sa.column(name, column.type) for name, column in target.table.c.items()]
    return sa.table(quoted_name(target.table.fullname, False), *columns)  # noqa: FBT003 - its own way
