"""Finds the owned tables of a statement, and limits them to the owner."""

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
"""The name of the parameter for the scope's user. No column or keyword can have this name."""


class Owner(BindParameter[UUID]):
    """The parameter for the scope's user.

    SQLAlchemy keeps parameters in dictionaries, where it compares this one with its copies. With
    its own ``==``, each comparison would build SQL, which costs more than the criterion itself.
    """

    inherit_cache = True
    __hash__ = BindParameter.__hash__

    def __eq__(self, other: object) -> bool:  # type: ignore[override]  # SQLAlchemy's is SQL
        return hash(self) == hash(other)


def owner() -> Owner:
    """Return the parameter. Its value is given when the statement is run."""
    return Owner(OWNER, required=True, type_=Id())


class OwnedTable(NamedTuple):
    """A table, or an alias of one, whose rows have an owner."""

    source: Any
    name: str
    key: str
    """The key of the owner's column."""

    @property
    def field(self) -> str:
        """The name of the owner's column, for messages."""
        return f"{self.name}.{self.key}"

    @property
    def criterion(self) -> ColumnElement[bool]:
        """The condition that limits the table to the owner."""
        column = self.source.c.get(self.key)
        if column is None:  # `table("messages", schema="faceplate")` may leave it out
            column = ColumnClause(self.key, Id())
            column.table = self.source
        return cast("ColumnElement[bool]", column == owner())

    def has(self, column: Any) -> bool:
        """Return whether ``column`` is the owner's column of this table or alias."""
        return column.key == self.key and hash(column.table) == hash(self.source)


def owned_table(source: Any) -> OwnedTable | None:
    """Return ``source`` as an owned table if it is one or an alias of one, else None.

    A table is recognised by its schema and name, whichever object represents it.
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
        if isinstance(table, Table):  # else it is an abstract class
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
    """Return ``name`` as PostgreSQL reads it, which folds unquoted names."""
    if getattr(name, "quote", None) is not False:
        return str(name)
    if _IDENTIFIER.fullmatch(name) is None:
        raise UsageError(
            "an unquoted name must be an identifier: give the schema and the name apart"
        )
    return name.lower()


def check_translation(schemas: Mapping[str | None, str | None]) -> None:
    """Raise UsageError if a schema_translate_map leads to a schema with owned tables.

    SQLAlchemy translates names in the compiled SQL, after the compiler has examined the tables.
    """
    of_owned = {schema for schema, _ in _owner_keys()}
    for named, sent in schemas.items():
        schema = _schema(sent)
        if schema in of_owned and schema != _schema(named):
            raise UsageError(f"in a unit, no schema can be translated to {schema or 'public'}")


def is_owner_column(column: Any) -> bool:
    """Return whether ``column`` is certain to be the owner's column of a table.

    The rows of a function, and VALUES, may be declared with the columns of an owned table. Such a
    column has the name of the owner's column and may have any value.
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

    SQLAlchemy's annotated copies of a table have the same hash as the table.
    """
    return {
        hash(column.table)
        for column, bind in equalities(criteria)
        if isinstance(bind, Owner)
        and (table := owned_table(column.table)) is not None
        and table.has(column)
    }


def equalities(criteria: Iterable[Any]) -> Iterator[tuple[Any, BindParameter[Any]]]:
    """Yield each column that ``criteria`` require to equal a parameter."""
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
    """Return ``froms`` and the WHERE criteria that limit them to the owner's rows.

    ``limited`` has the hashes of tables that are limited already. The nullable side of an outer
    join is limited in its ON. Raises UsageError for a FULL JOIN, which can be limited neither in
    its ON nor by a WHERE.
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
    """Return the join with its ON, and the criteria for the WHERE.

    An ON limits both sides of an inner join, the right side of a LEFT JOIN, and no side of a FULL
    JOIN. If the WHERE limits one side, a FULL JOIN acts as an outer join of that side, because rows
    without it are left out.
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
        join = join._clone()  # noqa: SLF001 - the constructor would look for an ON by itself
        join.left, join.right, join.onclause = left, right, onclause
    return join, needed


def _hashes(source: Any) -> set[int]:
    return {hash(each) for each in source._from_objects}  # noqa: SLF001 - SQLAlchemy has no public name for it
