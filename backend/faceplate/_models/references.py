"""Foreign keys to the tables of other models, whose keys have several columns."""

import re
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import ForeignKeyConstraint, Table

from faceplate._models.base import Base, Private, private_tables
from faceplate._models.quoting import quoted
from faceplate.errors import UsageError

OnDelete: TypeAlias = Literal["CASCADE", "RESTRICT", "NO ACTION", "SET NULL"]
"""What PostgreSQL does with a row when the row that it refers to is deleted."""


def references(
    model: type[Base],
    *,
    ondelete: OnDelete = "CASCADE",
    name: str | None = None,
    **columns: str,
) -> ForeignKeyConstraint:
    """Return the foreign key to a model's primary key, for ``__table_args__``.

    Its columns are called as those of the primary key, and the last one, ``id``, after the model::

        class Rating(Owned, AppBase):
            __tablename__ = "ratings"
            __table_args__ = (references(Message),)

            conversation_id: Mapped[UUID]
            message_id: Mapped[UUID]

    ``columns`` names others: ``references(Message, id="answer_id")``. Name the foreign key where
    a table has two to one model. SET NULL sets the last column alone, which must be nullable; the
    user stays. The row is deleted with the row that it refers to unless ``ondelete`` says
    otherwise.

    Raises UsageError for a column that the primary key does not have.
    """
    table = cast("Table", model.__table__)
    key = list(table.primary_key.columns)
    if unknown := columns.keys() - {column.name for column in key}:
        raise UsageError(f"the primary key of {table.fullname} has no {', '.join(sorted(unknown))}")
    user_column = private_tables().get(table) if issubclass(model, Private) else None
    named = {column.name: _name(model, column.name, user_column) for column in key} | columns
    action: str = ondelete
    if ondelete == "SET NULL":
        action = f"SET NULL ({quoted(named[key[-1].name])})"
    return ForeignKeyConstraint([*named.values()], key, name=name, ondelete=action)


def _name(model: type[Any], column: str, user_column: str | None) -> str:
    """Return what a column of the key is called in the table that refers to it."""
    if column == user_column:
        return "user_id"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", model.__name__).lower()
    return f"{words}_id" if column == "id" else column
