"""What a refusal by a constraint says. A table's model derives the words; error mapping asks.

It lies below both, so that the driver's errors are put in words without importing a model.
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
    """What a row of a table is called, with its article, and the record that it becomes."""

    phrase: str
    record: type[Any] | None = None

    @property
    def bare(self) -> str:
        return self.phrase.partition(" ")[2]


WordsByConstraint: TypeAlias = Mapping[str, Words]

_tables: dict[tuple[str | None, str], Callable[[], WordsByConstraint]] = {}


def register(table: Table, words: Callable[[], WordsByConstraint]) -> None:
    """Ask ``words`` when a constraint of ``table`` refuses a row.

    They are asked for as late as that because a foreign key's table may be declared later.
    """
    _tables[table.schema, table.name] = words


def find(schema: str | None, table: str | None, constraint: str | None) -> Words | None:
    """Return the words of a constraint, or None where no model has such a one.

    The server always says a schema; a model without one lies wherever the search path leads.
    """
    if table is None or constraint is None:
        return None
    words = _tables.get((schema, table)) or _tables.get((None, table))
    return words().get(constraint) if words else None


def names(table: Table) -> set[str]:
    """Return the names of the constraints and unique indexes of a table."""
    named = [constraint.name for constraint in table.constraints]
    return {str(name) for name in (*named, *(i.name for i in table.indexes if i.unique))}


def referred_table(constraint: ForeignKeyConstraint) -> str:
    """Return the full name of a foreign key's table, which need not be in the same MetaData."""
    return constraint.elements[0].target_fullname.rpartition(".")[0]


def derive(
    table: Table, noun: Noun, said: Mapping[str, str], noun_of: Callable[[str], Noun | None]
) -> WordsByConstraint:
    """Return the words of a table's constraints: what its model has ``said``, or by its columns.

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
    """Say what is there already, by the columns that tell the rows of one parent apart."""
    columns = [column for column in unique.columns if column.name != "user_id"]
    own = [column.name for column in columns if not column.foreign_keys]
    names = own or [column.name for column in columns]
    if not names:
        return f"{noun.phrase} with the same values exists already"
    *first, last = names
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"{noun.phrase} with this {listed} exists already"
