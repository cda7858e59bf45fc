"""The messages of constraints: models register them, and the error mapping finds them.

This module imports neither, so that the error mapping needs no model.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)


class Words(NamedTuple):
    message: str
    record: type[Any] | None = None
    """What a unit returns for the row that a foreign key refers to."""
    cascades: bool = False
    """Whether deleting the row that a foreign key refers to can never break it."""


class Noun(NamedTuple):
    """What a row of a table is called, with its article, and its record."""

    phrase: str
    record: type[Any] | None = None

    @property
    def bare(self) -> str:
        return self.phrase.partition(" ")[2]


WordsByConstraint: TypeAlias = Mapping[str, Words]

_tables: dict[tuple[str | None, str], Callable[[], WordsByConstraint]] = {}


def register(table: Table, words: Callable[[], WordsByConstraint]) -> None:
    """Register ``words``, to be called when a constraint of ``table`` refuses a row.

    Not earlier, because the table of a foreign key may be declared later.
    """
    _tables[table.schema, table.name] = words


def find(schema: str | None, table: str | None, constraint: str | None) -> Words | None:
    """Return the words of a constraint, or None if no model has it.

    The server always names the schema. A model without one may be in any.
    """
    if table is None or constraint is None:
        return None
    words = _tables.get((schema, table)) or _tables.get((None, table))
    return words().get(constraint) if words else None


def table_of(constraint: str) -> tuple[str | None, str] | None:
    """Return the schema and the name of the table whose model has words for a constraint."""
    return next((place for place, words in _tables.items() if constraint in words()), None)


def names(table: Table) -> set[str]:
    """Return the names of the constraints and unique indexes of a table."""
    named = [constraint.name for constraint in table.constraints]
    return {str(name) for name in (*named, *(i.name for i in table.indexes if i.unique))}


def referred_table(constraint: ForeignKeyConstraint) -> str:
    """Return the full name of a foreign key's table, in this MetaData or another."""
    return constraint.elements[0].target_fullname.rpartition(".")[0]


def derive(
    table: Table, noun: Noun, said: Mapping[str, str], noun_of: Callable[[str], Noun | None]
) -> WordsByConstraint:
    """Return the words of a table's constraints: ``said`` by its model, or derived.

    ``noun_of`` returns the noun of the table with this full name.
    """
    derived = dict(_derived(table, noun, noun_of))
    declared = {
        name: derived.get(name, Words(""))._replace(message=message)
        for name, message in said.items()
    }
    return {**derived, **declared}


def _derived(
    table: Table, noun: Noun, noun_of: Callable[[str], Noun | None]
) -> Iterator[tuple[str, Words]]:
    for constraint in table.constraints:
        name = str(constraint.name)
        match constraint:
            case PrimaryKeyConstraint() | UniqueConstraint():
                yield name, Words(_taken(constraint, noun))
            case ForeignKeyConstraint() if referred := noun_of(referred_table(constraint)):
                cascades = (constraint.ondelete or "").upper() == "CASCADE"
                message = f"the {referred.bare} does not exist"
                yield name, Words(message, referred.record, cascades)
    for index in table.indexes:
        if index.unique:
            yield str(index.name), Words(_taken(index, noun))


def _taken(unique: PrimaryKeyConstraint | UniqueConstraint | Index, noun: Noun) -> str:
    """Return the message for a key that is taken, which names its columns."""
    columns = [column for column in unique.columns if column.name != "user_id"]
    own = [column.name for column in columns if not column.foreign_keys]
    names = own or [column.name for column in columns]
    if not names:
        return f"{noun.phrase} with the same values exists already"
    *first, last = names
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"{noun.phrase} with this {listed} exists already"
