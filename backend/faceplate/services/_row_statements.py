"""Statements on the rows of an owned table, made from its model.

Conversations and messages also have statements of their own: see `archives` and `retention`.
"""

from collections import namedtuple
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY, insert

from faceplate._driver.dialect import DIALECT
from faceplate.column_types import JsonText, Ruled, Secret
from faceplate.models import Owned, User, private_tables
from faceplate.statement import Statement

_named_tuple: Callable[..., Any] = namedtuple  # its fields are not known before
_ONE: Any = sa.literal_column("1")
MAX_STREAMED_BYTES: Final = 16_384
"""A JSON that takes more on the server is left out of a row of `read`, which is one of many."""
LEFT_OUT: Final = ""
"""In its place: it is not JSON, and so no row has it."""


class Exported(NamedTuple):
    """The fields of a row that an export has."""

    record: type[Any]
    columns: dict[str, Any]
    """By the names of the record's fields, in their order."""


class IdleRows(NamedTuple):
    """How many rows of a table a user has that were idle for so long."""

    user_id: UUID
    rows: int


@cache
def exported(model: Any) -> Exported:
    """Return the fields that an export has: the record's, or all columns but the user.

    Columns of type `Secret` are left out, and those of ``export_without``.
    """
    declared: Any = vars(model).get("record")
    owner = {column.name for column in _owner(model)}
    if declared is not None:
        columns = dict(zip(declared._fields, model.columns(), strict=True))
    else:
        columns = {
            str(column.name): column for column in _table(model).c if column.name not in owner
        }
    kept = {
        name: column
        for name, column in columns.items()
        if name not in getattr(model, "export_without", ()) and not isinstance(column.type, Secret)
    }
    fits = declared is not None and kept.keys() == columns.keys()
    return Exported(declared if fits else _record(model, [*kept]), kept)


@cache
def read(model: Any, *order_by: Any) -> Statement[Any]:
    """Select all rows of the user, as an export has them, by their key or in another order.

    The text of a large JSON is left out, see `LEFT_OUT`.
    """
    record, columns = exported(model)
    selected = [
        unless_large(column) if isinstance(column.type, JsonText) else column
        for column in columns.values()
    ]
    return Statement(record, sa.select(*selected).order_by(*(order_by or _key(model))))


@cache
def bodies(model: Any) -> dict[str, Statement[str]]:
    """Return the fields that hold the JSON of another program, and what reads one by its key."""
    record, columns = exported(model)
    return {
        field: Statement(str, sa.select(column).where(*_is_key(model)))
        for field, column in zip(record._fields, columns.values(), strict=True)
        if isinstance(column.type, JsonText)
    }


@cache
def restore(model: Any, *, more: tuple[str, ...] = ()) -> Statement[int]:
    """Insert a row as an export had it, unless one of its unique values is taken.

    ``more`` are columns that an export does not have.
    """
    return Statement(int, _insert(model, more).on_conflict_do_nothing().returning(_ONE))


@cache
def insert_restored(model: Any) -> Statement[int]:
    """Insert a row as an export had it, or fail with the constraint that refuses it."""
    return Statement(int, _insert(model).returning(_ONE))


@cache
def find(model: Any) -> Statement[int]:
    """Find a row by its key."""
    return Statement(
        int,
        sa.select(_ONE).select_from(_table(model)).where(*_is_key(model)),
    )


@cache
def remove(model: Any, *, is_first: bool, only_idle: bool) -> Statement[Any]:
    """Remove the next batch of the user's rows, in the order of their keys."""
    table, key = _table(model), _key(model) or _owner(model)
    batch = sa.select(*key).order_by(*key).limit(bindparam("limit", type_=sa.Integer()))
    if not is_first:
        after = (bindparam(f"after_{column.name}", type_=column.type) for column in key)
        batch = batch.where(sa.tuple_(*key) > sa.tuple_(*after))
    if only_idle:
        batch = batch.where(_is_idle(table))
    removed = sa.delete(table).where(sa.tuple_(*key).in_(batch)).returning(*key).cte("removed")
    # In the order of the database: that of a text depends on its collation.
    names = [column.name for column in key]
    into = UUID if len(key) == 1 else _named_tuple("Key", names, rename=True)
    return Statement(into, sa.select(*removed.c).order_by(*removed.c))


@cache
def count_idle(model: Any) -> Statement[IdleRows]:
    """Count the idle rows of some users; one who has none is left out."""
    table, [owner] = _table(model), _owner(model)
    ids = bindparam("user_ids", type_=ARRAY(User.id.type))
    return Statement(
        IdleRows,
        sa.select(owner, func.count())
        .select_from(table)
        .where(owner == sa.any_(ids), _is_idle(table))
        .group_by(owner),
    )


def new(model: Any, row: Any) -> dict[str, Any]:
    """Return the parameters of `restore` for a row as an export has it."""
    values = dict(zip(exported(model).columns, row, strict=True))
    return {f"new_{name}": values[name] for name in _inserted(model)}


def key(model: Any, row: Any) -> dict[str, Any]:
    """Return the parameters of `find` for a row as an export has it."""
    values = dict(zip(exported(model).columns, row, strict=True))
    names = {column.name: name for name, column in _inserted(model).items()}
    return {f"key_{column.name}": values[names[column.name]] for column in _key(model)}


def after(model: Any, key: Any) -> dict[str, Any]:
    """Return the parameters of `remove` for the last key of the batch before."""
    columns = _key(model) or _owner(model)
    values = (key,) if len(columns) == 1 else key
    return {f"after_{column.name}": value for column, value in zip(columns, values, strict=True)}


def _insert(model: Any, more: tuple[str, ...] = ()) -> Any:
    columns = _inserted(model) | {name: _table(model).c[name] for name in more}
    values = {
        column: bindparam(f"new_{name}", type_=_stored_type(column.type))
        for name, column in columns.items()
    }
    owner = {column: bindparam("user_id", type_=column.type) for column in _owner(model)}
    return insert(_table(model)).values(values | owner)


@cache
def _inserted(model: Any) -> dict[str, sa.Column[Any]]:
    """Return the columns that a restored row gives a value to, by the names of the fields.

    A record may have what is no column, as whether there are secrets, and what PostgreSQL
    generates.
    """
    found = {
        name: column.property.columns[0] if hasattr(column, "property") else column
        for name, column in exported(model).columns.items()
    }
    return {
        name: column
        for name, column in found.items()
        if isinstance(column, sa.Column) and not _is_generated(column)
    }


def _is_generated(column: sa.Column[Any]) -> bool:
    identity = column.identity
    return column.computed is not None or (identity is not None and bool(identity.always))


def _stored_type(type_: Any) -> Any:
    """Return the type of the values of an export: as the driver gives them, not converted.

    A rule of ours converts nothing, and what SQL converts is converted in both directions.
    """
    found = type_.dialect_impl(DIALECT)
    if not isinstance(found, sa.TypeDecorator) or isinstance(found, Ruled):
        return type_
    if type(found).bind_expression is not sa.TypeDecorator.bind_expression:
        return type_
    return _stored_type(found.impl_instance)


def _table(model: Any) -> sa.Table:
    table: sa.Table = model.__table__
    return table


def _owner(model: Any) -> list[sa.Column[Any]]:
    """Return the column that names the user, or nothing for the users themselves."""
    if not issubclass(model, Owned):
        return []
    return [_table(model).c[private_tables()[_table(model)]]]


def _key(model: Any) -> list[sa.Column[Any]]:
    owner = {column.name for column in _owner(model)}
    return [column for column in _table(model).primary_key if column.name not in owner]


def _is_key(model: Any) -> list[Any]:
    return [column == bindparam(f"key_{column.name}") for column in _key(model)]


def unless_large(column: Any) -> Any:
    """Return the text of a JSON, or `LEFT_OUT` where it takes more than `MAX_STREAMED_BYTES`."""
    is_large = func.pg_column_size(column) > sa.literal_column(str(MAX_STREAMED_BYTES))
    return sa.case((is_large, sa.literal_column("''")), else_=sa.cast(column, sa.Text()))


def _is_idle(table: sa.Table) -> Any:
    return table.c.updated_at < bindparam("before", type_=table.c.updated_at.type)


def _record(model: Any, names: list[str]) -> type[Any]:
    """Make a record of these fields. Like ours, it shows no content."""
    record: Any = _named_tuple(model.__name__, names, rename=True)

    def show(_row: Any) -> str:
        return f"{model.__name__}(...)"

    record.__repr__ = show
    return cast("type[Any]", record)
