"""The foreign key by which the rows of a table go with their user."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, TypeDecorator, Uuid

CASCADE = "CASCADE"


def add_user_key(
    column: Column[Any], users_id: Column[Any], user_columns: Mapping[str, str]
) -> None:
    """Add the foreign key of a user's column to users, with ON DELETE CASCADE, if it needs one.

    It needs none where the model declares one, whatever that one does on deletion, or where another
    foreign key of the model cascades from rows of the same user. ``user_columns`` has the user's
    column of each table declared so far, by the table's full name.
    """
    if _is_uuid(column) and not any(_ties(column, users_id, user_columns)):
        key = ForeignKeyConstraint([column], [users_id], ondelete=CASCADE)
        column.table.append_constraint(key)


def _ties(
    column: Column[Any], users_id: Column[Any], user_columns: Mapping[str, str]
) -> Iterator[bool]:
    """Yield for each foreign key of the column whether one to users is unnecessary by it."""
    users, own = (str(table.fullname) for table in (users_id.table, column.table))
    for key in column.table.foreign_key_constraints:
        cascades = (key.ondelete or "").upper() == CASCADE
        # A key with a NULL in it refers to nothing, so no deletion reaches its row.
        always_refers = not any(element.parent.nullable for element in key.elements)
        for element in key.elements:
            if element.parent is column:
                referred, _, name = element.target_fullname.rpartition(".")
                if referred == users:
                    yield True
                elif referred != own and cascades and always_refers:
                    # A table that is declared later can only be named.
                    yield name == user_columns.get(referred, "user_id")


def _is_uuid(column: Column[Any]) -> bool:
    type_: Any = column.type
    kind = type_.impl_instance if isinstance(type_, TypeDecorator) else type_
    return isinstance(kind, Uuid)
