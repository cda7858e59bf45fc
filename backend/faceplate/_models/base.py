"""The base of models, what a model says of its table, and the list of all models."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, cast
from uuid import UUID

from sqlalchemy import CheckConstraint, ClauseElement, Column, MetaData, Table, event, func
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, Synonym, mapped_column
from uuid6 import uuid7

from faceplate._models import constraint_words
from faceplate._models.constraint_words import Noun
from faceplate._models.quoting import quoted
from faceplate._models.user_keys import add_user_key
from faceplate.column_types import Id, Ruled, Timestamp
from faceplate.errors import InvalidInput, UsageError

SCHEMA = "faceplate"


def _apply_rule(model: type["Base"], column: Column[Any]) -> None:
    """Check a column's rule when its attribute is set, and add it as a CHECK."""
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
    if (check := rule.check_sql(quoted(column.name))) is not None:
        column.table.append_constraint(CheckConstraint(check, column.name))


def _require_user_column(model: type["Base"]) -> None:
    """Raise UsageError for a private table without a column user_id of its own.

    A model may inherit the column from a parent's table. Then no policy could compare it, and
    nothing could limit a statement that reads this table alone.
    """
    mapper, columns = model.__mapper__, model.__table__.columns
    if issubclass(model, Private) and mapper.inherits is not None:
        keys = [mapper.get_property_by_column(column).key for column in columns]
        if "user_id" not in keys:
            raise UsageError(f"{model.__tablename__} needs a column user_id of its own")


def _user_key(model: type["Base"]) -> str:
    """Return the attribute of the user's column, before the model is mapped.

    A mapper tells of its synonyms only once all models are there.
    """
    declared = next(
        (vars(each)["user_id"] for each in model.__mro__ if "user_id" in vars(each)), None
    )
    return declared.name if isinstance(declared, Synonym) else "user_id"


def _tie_to_user(model: type["Base"], table: Table, user_key: str) -> None:
    """Give the table of a private model its foreign key to users."""
    users = Base.metadata.tables.get(f"{SCHEMA}.users")
    if users is None or table is users or not issubclass(model, Private):
        return
    mapper = model.__mapper__
    for column in tuple(table.columns):
        if mapper.get_property_by_column(column).key == user_key:
            _user_columns[table.fullname] = column.name
            add_user_key(column, users.c.id, _user_columns)


class Base(DeclarativeBase):
    """The base of all models.

    A model refuses a missing value, and a value that breaks a column's rule, when it is made. What
    it says of its table stands beside its columns; all of it has a default.
    """

    record: ClassVar[type[Any]]
    """What a unit returns for a row; without one, the commands take the table's columns."""
    noun: ClassVar[str]
    """What a row is called, with its article; by default the model's name: "a task"."""
    constraint_words: ClassVar[Mapping[str, str]] = {}
    """The messages of constraints, by their names; by default, made from the columns."""

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
        user_key = _user_key(cls)
        super().__init_subclass__(**kwargs)
        if "__table__" not in cls.__dict__:
            return
        table = cast("Table", cls.__table__)
        _require_user_column(cls)
        _tie_to_user(cls, table, user_key)
        cls._required = {}
        for column in tuple(table.columns):
            _apply_rule(cls, column)
            if (column.nullable or column.default or column.server_default) is None:
                key = cls.__mapper__.get_property_by_column(column).key
                if key == user_key and issubclass(cls, Private):
                    continue  # the session of a unit fills it in
                cls._required[key] = f"{column.table.name}.{column.name}"
        said = vars(cls).get("constraint_words", {})
        if unknown := said.keys() - constraint_words.names(table):
            raise UsageError(f"{table.fullname} has no constraint {', '.join(sorted(unknown))}")
        _nouns[table.fullname] = noun_of(cls)
        constraint_words.register(
            table, cache(lambda: constraint_words.derive(table, noun_of(cls), said, _nouns.get))
        )

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


_nouns: dict[str, Noun] = {}
_user_columns: dict[str, str] = {}
"""The user's column of each private table, by the table's full name."""


def noun_of(model: type[Base]) -> Noun:
    """Return what a row of the model is called."""
    phrase = vars(model).get("noun")
    if phrase is None:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).lower()
        phrase = f"{'an' if words[0] in 'aeio' else 'a'} {words}"
    return Noun(phrase, vars(model).get("record"))


class Private:
    """A row that only one user may see: every statement of a unit is limited to it.

    Its table has a foreign key to users with ON DELETE CASCADE, unless the model declares one, or
    another one that cascades from rows of the user.
    """

    user_id: Mapped[UUID] = mapped_column(Id())


class Owned(Private):
    """A row that belongs to one user, and that export, erase, purge and stats include."""

    export_key: ClassVar[str | None]
    """The key of a row's line in an export, by default ``schema.name``; None: not exported."""
    export_without: ClassVar[tuple[str, ...]] = ()
    """Columns that an export leaves out, besides those of type `Secret`."""
    is_purged: ClassVar[bool] = False
    """Whether `faceplate purge` removes rows whose ``updated_at`` is as old."""

    user_id: Mapped[UUID] = mapped_column(Id(), primary_key=True, sort_order=-3)
    id: Mapped[UUID] = mapped_column(Id(), primary_key=True, default=uuid7, sort_order=-1)


@event.listens_for(Owned, "before_insert", propagate=True)
def _require_owner(_mapper: Any, _connection: Any, row: Any) -> None:
    """Say what is missing across users, where no session fills it in."""
    if row.user_id is None:
        raise InvalidInput(f"{row.__tablename__}.user_id", "is required")


def owned_models() -> list[type[Any]]:
    """Return all models that are `Owned`: ours in their order, then the application's.

    A table that is declared twice counts as it was declared last.
    """
    by_table = {model.__table__.fullname: model for model in _models(Owned)}
    return sorted(by_table.values(), key=lambda model: model.__table__.schema != SCHEMA)


def owned_tables() -> list[Table]:
    """Return the tables of all models that are `Owned`, the application's too."""
    return [model.__table__ for model in owned_models()]


def private_tables() -> dict[Table, str]:
    """Return the tables of all models that are `Private`, with the user's column."""
    return {model.__table__: _user_column(model.__mapper__) for model in _models(Private)}


def project_tables() -> dict[Table, str]:
    """Return the application's own tables of `private_tables`."""
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


def table_name(table: Table) -> str:
    """Return the name that the commands show: with the schema, unless it is ours."""
    prefix = "" if table.schema == SCHEMA else f"{table.schema or 'public'}."
    return f"{prefix}{table.name}"


def export_key_of(model: type[Any]) -> str | None:
    """Return the key of a row's line in an export: ``task``, or ``public.notes``."""
    if "export_key" in vars(model):
        return cast("str | None", vars(model)["export_key"])
    if model.__table__.schema != SCHEMA:
        return table_name(model.__table__)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__).lower()
