"""Which tables of a statement are owned, and which of them are limited to the owner already."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Join, Table, and_
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause, Grouping
from sqlalchemy.sql.selectable import (
    AliasedReturnsRows,
    FromGrouping,
    TableClause,
    TableValuedAlias,
    Values,
)

from faceplate.column_types import Id
from faceplate.errors import UsageError
from faceplate.models import Private

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
OWNER: Final = "faceplate.owner"
"""The name of the parameter that is the scope's user: no column's name, and no keyword's."""


class Owner(BindParameter[UUID]):
    """The scope's user in a statement.

    SQLAlchemy looks parameters up in dictionaries, where its copies of this one meet it; a
    comparison in SQL, made for each, would cost more than the criterion.
    """

    inherit_cache = True
    __hash__ = BindParameter.__hash__

    def __eq__(self, other: object) -> bool:  # type: ignore[override]  # SQLAlchemy's is SQL
        return hash(self) == hash(other)


def owner() -> Owner:
    """Return the parameter without a value: it is given when the statement is run."""
    return Owner(OWNER, required=True, type_=Id())


class OwnedTable(NamedTuple):
    """A table, or an alias of one, whose rows have an owner."""

    source: Any
    name: str
    key: str
    """The owner's column."""

    @property
    def field(self) -> str:
        return f"{self.name}.{self.key}"

    @property
    def criterion(self) -> ColumnElement[bool]:
        column = self.source.c.get(self.key)
        if column is None:  # `table("messages", schema="faceplate")` need not name it
            column = ColumnClause(self.key, Id())
            column.table = self.source
        return cast("ColumnElement[bool]", column == owner())

    def has(self, column: Any) -> bool:
        """Whether ``column`` is the owner's column of this very table or alias."""
        return column.key == self.key and hash(column.table) == hash(self.source)


def owned_table(source: Any) -> OwnedTable | None:
    """Return what ``source`` is, if it is an owned table or an alias of one.

    A table is known by its schema and name, whatever object stands for it.
    """
    table = source
    while isinstance(table, AliasedReturnsRows):
        table = table.element
    if not isinstance(table, TableClause):
        return None
    key = _owner_keys().get(_name(table))
    return None if key is None else OwnedTable(source, table.name, key)


def _owner_keys() -> dict[tuple[str | None, str], str]:
    """Return the key of the owner's column of each owned table, by schema and name."""
    models: list[type[Any]] = [Private]
    found = {}
    while models:
        model = models.pop()
        models += model.__subclasses__()
        table = vars(model).get("__table__")
        if isinstance(table, Table):  # else a base class between
            for column in model.user_id.property.columns:
                if column.table is table:
                    found[_name(table)] = column.key
    return found


def _name(table: Any) -> tuple[str | None, str]:
    return (_schema(table.schema), _folded(table.name))


def _schema(name: str | None) -> str | None:
    folded = None if name is None else _folded(name)
    return None if folded == "public" else folded


def _folded(name: str) -> str:
    """Return ``name`` as PostgreSQL reads it, which folds what has no quotes."""
    if getattr(name, "quote", None) is not False:
        return str(name)
    if _IDENTIFIER.fullmatch(name) is None:
        raise UsageError("an unquoted name that is no identifier is text: give schema and name")
    return name.lower()


def check_translation(schemas: Mapping[str | None, str | None]) -> None:
    """Raise UsageError where another schema is exchanged for one with owned tables.

    The names are exchanged in what is compiled already, when nobody looks at tables any more.
    """
    of_owned = {schema for schema, _ in _owner_keys()}
    for named, sent in schemas.items():
        schema = _schema(sent)
        if schema in of_owned and schema != _schema(named):
            raise UsageError(f"no other schema can stand for {schema or 'public'} in a unit")


def is_owner_column(column: Any) -> bool:
    """Whether all that ``column`` can be is the owner's column of a table.

    A function's rows and VALUES may be declared with the columns of a table. Such a column has the
    name of the owner's and any value.
    """
    bases = column.base_columns
    return (
        bool(bases)
        and all(
            isinstance(base, ColumnClause)
            and (table := owned_table(base.table)) is not None
            and base.key == table.key
            for base in bases
        )
        and not any(
            isinstance(getattr(each, "table", None), TableValuedAlias | Values)
            for each in column.proxy_set
        )
    )


def limited_tables(criteria: Iterable[Any]) -> set[int]:
    """Return the hashes of the tables that ``criteria`` limit to the owner.

    SQLAlchemy's annotated copies of a table have the hash of the table.
    """
    return {
        hash(column.table)
        for column, bind in equalities(criteria)
        if isinstance(bind, Owner)
        and (table := owned_table(column.table)) is not None
        and table.has(column)
    }


def equalities(criteria: Iterable[Any]) -> Iterator[tuple[Any, BindParameter[Any]]]:
    """Yield each column that must be equal to a parameter for ``criteria`` to hold."""
    for criterion in criteria:
        if isinstance(criterion, Grouping):
            yield from equalities([criterion.element])
        elif isinstance(criterion, BooleanClauseList) and criterion.operator is operators.and_:
            yield from equalities(criterion.clauses)
        elif isinstance(criterion, BinaryExpression) and criterion.operator is operators.eq:
            sides = criterion.left, criterion.right
            for column, bind in (sides, sides[::-1]):
                if isinstance(column, ColumnClause) and isinstance(bind, BindParameter):
                    yield column, bind


def limit_to_owner(
    froms: Iterable[Any], limited: set[int]
) -> tuple[list[Any], list[ColumnElement[bool]]]:
    """Return ``froms``, and what a WHERE needs beside ``limited``, for the owner's rows alone.

    What an outer join may leave out is limited in its ON. Raises UsageError for a FULL JOIN, of
    which neither can limit both sides.
    """
    sources, criteria = [], []
    for source in froms:
        one, needed = _limit(source, limited)
        sources.append(one)
        criteria += needed
    return sources, criteria


def _limit(source: Any, limited: set[int]) -> tuple[Any, list[ColumnElement[bool]]]:
    if isinstance(source, FromGrouping):
        element, needed = _limit(source.element, limited)
        return (source if element is source.element else FromGrouping(element)), needed
    if isinstance(source, Join):
        return _limit_join(source, limited)
    table = owned_table(source)
    is_limited = table is None or hash(source) in limited
    return source, [] if is_limited or table is None else [table.criterion]


def _limit_join(join: Join, limited: set[int]) -> tuple[Join, list[ColumnElement[bool]]]:
    """An ON limits both sides of an inner join, the right one of a LEFT JOIN, none of a FULL one.

    A FULL JOIN is a LEFT one where the WHERE limits a side, as the rows without it are left out.
    """
    joined = limited | limited_tables([join.onclause])
    has_left, has_right = limited & _hashes(join.left), limited & _hashes(join.right)
    by_left = joined if has_right or not (join.isouter or join.full) else limited
    by_right = joined if has_left or not join.full else limited
    left, needed = _limit(join.left, by_left)
    right, needed_right = _limit(join.right, by_right)
    if join.full and (needed or needed_right):
        raise UsageError("a FULL JOIN cannot be limited to the owner: join subqueries")
    onclause: Any = join.onclause
    if join.isouter and needed_right:
        onclause = and_(onclause, *needed_right)
    else:
        needed = [*needed, *needed_right]
    if left is not join.left or right is not join.right or onclause is not join.onclause:
        join = join._clone()  # noqa: SLF001 - else it would look for an ON by itself
        join.left, join.right, join.onclause = left, right, onclause
    return join, needed


def _hashes(source: Any) -> set[int]:
    return {hash(each) for each in source._from_objects}  # noqa: SLF001 - has no other name
