"""The five tables: the schema in one read.

Every owned row carries ``user_id``, and every key, foreign key and unique constraint of an owned
table begins with it. See docs/data-model.md.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Mapper,
    column_property,
    mapped_column,
    relationship,
    synonym,
)
from uuid6 import uuid7

from faceplate import records
from faceplate.column_types import (
    Count,
    Email,
    Flag,
    Id,
    Json,
    JsonObject,
    OneOf,
    Ruled,
    Secret,
    Text,
    Timestamp,
)
from faceplate.errors import InvalidInput, UsageError

SCHEMA = "faceplate"
ROLES = ("user", "assistant", "system", "tool")
STATUSES = ("streaming", "complete", "interrupted", "failed")


def _apply_rule(model: type["Base"], column: Column[Any]) -> None:
    """Name the rule's field, hold it on attribute set, and say it as a CHECK."""
    rule = column.type
    if not isinstance(rule, Ruled):
        return
    rule.field = f"{column.table.name}.{column.name}"
    rule.is_required = not column.nullable

    def validate(_state: Any, value: Any, _old: Any, _initiator: Any) -> Any:
        return value if isinstance(value, ClauseElement) else rule.check(value)

    attribute = getattr(model, model.__mapper__.get_property_by_column(column).key)
    # With all three, SQLAlchemy puts no function of its own around it.
    event.listen(attribute, "set", validate, raw=True, retval=True, include_key=True)
    if (check := rule.check_sql(column.name)) is not None:
        column.table.append_constraint(CheckConstraint(check, column.name))


def _require_user_column(model: type["Base"]) -> None:
    """Refuse a table whose model inherits its user, but that does not say whose its rows are.

    No policy could tell, and nothing could limit what is read from the table alone.
    """
    mapper, columns = model.__mapper__, model.__table__.columns
    if issubclass(model, Private) and mapper.inherits is not None:
        keys = [mapper.get_property_by_column(column).key for column in columns]
        if "user_id" not in keys:
            raise UsageError(f"{model.__tablename__} needs a column user_id of its own")


class Base(DeclarativeBase):
    """Models refuse a value that breaks a column's rule, and a missing one, at construction."""

    record: ClassVar[type[Any]]  # what a unit returns for a row of this table
    _required: ClassVar[dict[str, str]]  # attributes that have no default, with their fields

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        },
    )

    created_at: Mapped[datetime] = mapped_column(
        Timestamp(), server_default=func.now(), sort_order=1
    )
    updated_at: Mapped[datetime] = mapped_column(
        Timestamp(), server_default=func.now(), onupdate=func.now(), sort_order=1
    )

    def __init__(self, **values: Any) -> None:
        attributes = self.__mapper__.attrs
        for name, value in values.items():
            if name not in attributes:
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)
        for key, field in self._required.items():
            if self.__dict__.get(key) is None:
                raise InvalidInput(field, "is required")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__table__" not in cls.__dict__:
            return
        _require_user_column(cls)
        cls._required = {}
        for column in tuple(cast("Table", cls.__table__).columns):
            _apply_rule(cls, column)
            if (column.nullable or column.default or column.server_default) is None:
                key = cls.__mapper__.get_property_by_column(column).key
                if key == "user_id" and issubclass(cls, Private):
                    continue  # the session of a unit fills it in
                cls._required[key] = f"{column.table.name}.{column.name}"

    @classmethod
    def columns(cls, alias: Any = None) -> tuple[Any, ...]:
        """The columns of the record that a row of this table becomes, in its order.

        With an ``alias`` of the model, that one's.
        """
        named = {"metadata": "metadata_"}
        source = cls if alias is None else alias
        return tuple(getattr(source, named.get(name, name)) for name in cls.record._fields)

    def __repr__(self) -> str:
        # From __dict__ alone, so that it works detached and expired, and shows no content.
        return f"{type(self).__name__}(id={self.__dict__.get('id')})"


class Private:
    """What one user alone may see: a scope adds that user to every statement about it."""

    user_id: Mapped[UUID] = mapped_column(Id())


class Owned(Private):
    """A row that belongs to one user."""

    user_id: Mapped[UUID] = mapped_column(Id(), primary_key=True, sort_order=-3)
    id: Mapped[UUID] = mapped_column(Id(), primary_key=True, default=uuid7, sort_order=-1)


@event.listens_for(Owned, "before_insert", propagate=True)
def _require_owner(_mapper: Any, _connection: Any, row: Any) -> None:
    """Say what is missing across users, where no session fills it in."""
    if row.user_id is None:
        raise InvalidInput(f"{row.__tablename__}.user_id", "is required")


def owned_tables() -> list[Table]:
    """Return the tables of all models that are `Owned`: ours, and those of the application."""
    return [model.__table__ for model in _models(Owned)]


def private_tables() -> dict[Table, str]:
    """Return the tables of all models that are `Private`, with the column that names the user."""
    return {model.__table__: _user_column(model.__mapper__) for model in _models(Private)}


def project_tables() -> dict[Table, str]:
    """Return those of `private_tables` that are the application's own."""
    return {table: user for table, user in private_tables().items() if table.schema != SCHEMA}


def _models(kind: type[Private]) -> Iterator[Any]:
    """Yield the models of a kind that have a table, and no base class between."""
    for model in kind.__subclasses__():
        if "__table__" in vars(model):
            yield model
        yield from _models(model)


def _user_column(mapper: Mapper[Any]) -> str:
    synonym_of = mapper.synonyms.get("user_id")
    key = "user_id" if synonym_of is None else synonym_of.name
    return str(mapper.columns[key].name)


class User(Private, Base):
    __tablename__ = "users"
    __table_args__ = (Index("uq_users_email", text("lower(email)"), unique=True),)
    record = records.User

    id: Mapped[UUID] = mapped_column(Id(), primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = synonym("id")
    subject_id: Mapped[str] = mapped_column(Text(255), unique=True)
    email: Mapped[str | None] = mapped_column(Email())

    conversations: Mapped[list["Conversation"]] = relationship(lazy="raise", viewonly=True)


class Conversation(Owned, Base):
    __tablename__ = "conversations"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),
        # Serves the list, newest activity first.
        Index("ix_conversations_activity", "user_id", text("updated_at DESC"), text("id DESC")),
    )
    record = records.Conversation

    title: Mapped[str] = mapped_column(Text(255), server_default="New Chat")
    message_count: Mapped[int] = mapped_column(Count(), server_default="0")
    metadata_: Mapped[JsonObject] = mapped_column(
        "metadata", Json(dict, max_chars=262_144), server_default="{}"
    )
    # The time of the last activity: only appending and removing messages move it.
    updated_at: Mapped[datetime] = mapped_column(
        Timestamp(), server_default=func.now(), sort_order=1
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
        # Serves the history: one range of this index is one page.
        UniqueConstraint("user_id", "conversation_id", "position"),
        CheckConstraint("tool_calls IS NULL OR role = 'assistant'", "tool_calls_role"),
        CheckConstraint("(tool_results IS NOT NULL) = (role = 'tool')", "tool_results_role"),
        # Serves pending_tool_calls, however long the conversation is.
        Index(
            "ix_messages_tools",
            "user_id",
            "conversation_id",
            "position",
            postgresql_where=text("tool_calls IS NOT NULL OR tool_results IS NOT NULL"),
        ),
        # Serves the sweep. Not by updated_at, which every save of a draft changes.
        Index("ix_messages_drafts", "created_at", postgresql_where=text("status = 'streaming'")),
    )
    record = records.Message

    conversation_id: Mapped[UUID] = mapped_column(Id(), primary_key=True, sort_order=-2)
    position: Mapped[int] = mapped_column(Count(minimum=1))
    role: Mapped[str] = mapped_column(OneOf(ROLES))
    content: Mapped[str] = mapped_column(Text(1_000_000, blank=True), server_default="")
    tool_calls: Mapped[list[JsonObject] | None] = mapped_column(Json(list, max_chars=1_000_000))
    tool_results: Mapped[list[JsonObject] | None] = mapped_column(Json(list, max_chars=1_000_000))
    metadata_: Mapped[JsonObject] = mapped_column(
        "metadata", Json(dict, max_chars=262_144), server_default="{}"
    )
    status: Mapped[str] = mapped_column(OneOf(STATUSES), server_default="complete")

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

    name: Mapped[str] = mapped_column(Text(100))
    config: Mapped[JsonObject] = mapped_column(Json(dict, max_chars=65_536))
    secrets: Mapped[bytes | None] = mapped_column(Secret(), deferred=True, deferred_raiseload=True)
    has_secrets: Mapped[bool] = column_property(secrets.is_not(None))
    enabled: Mapped[bool] = mapped_column(Flag(), server_default="true")


def _refuse_change(row: Base, *_: Any) -> None:
    raise UsageError(
        f"the collections of {type(row).__name__} are for reading:"
        " add to the session, or delete by it, the row itself"
    )


for _collection in (User.conversations, Conversation.messages):
    for _change in ("append", "remove"):
        event.listen(_collection, _change, _refuse_change)
