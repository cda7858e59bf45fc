"""Gives a cursor of SQLAlchemy's what a prepared statement of a connection answers.

So a session's statements run as a `Statement` does: prepared once, and with their preamble.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_cursor

from faceplate._driver.connection import Connection

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

NOT_SAID = (None,) * 5
"""What else DB-API describes of a column: its sizes, and whether it may be NULL."""
# In SQLAlchemy 2.0 both are plain attributes.
_DESCRIPTION, _ROW_COUNT = (
    ("_description", "_rowcount")
    if "_description" in AsyncAdapt_asyncpg_cursor.__slots__
    else ("description", "rowcount")
)


async def fill(cursor: Any, prepared: "PreparedStatement[Any]", *values: Any) -> None:
    """Run a prepared statement, and give its rows and their description to ``cursor``."""
    rows = await prepared.fetch(*values)
    count = (prepared.get_statusmsg() or "").rpartition(" ")[2]
    cursor._rows = deque(rows)  # noqa: SLF001 - SQLAlchemy fetches from it
    setattr(cursor, _DESCRIPTION, _describe(cursor._connection, prepared) or None)  # noqa: SLF001 - SQLAlchemy has no public name for it
    setattr(cursor, _ROW_COUNT, int(count) if count.isdigit() else -1)


def _describe(driver: Connection, prepared: "PreparedStatement[Any]") -> list[tuple[Any, ...]]:
    """Return a statement's columns. To ask the driver takes 14 us for a message's."""
    known, sql = driver.descriptions, prepared.get_query()
    if sql not in known:
        columns = prepared.get_attributes()
        known[sql] = [(column.name, column.type.oid, *NOT_SAID) for column in columns]
    return known[sql]
