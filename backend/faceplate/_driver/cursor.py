"""Gives a cursor of SQLAlchemy's what a prepared statement of a connection answers.

So a session's statements run as a `Statement` does: prepared once, and with their preamble.
"""

from collections import deque
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_cursor

from faceplate._driver.connection import Answer

# In SQLAlchemy 2.0 both are plain attributes.
_DESCRIPTION, _ROW_COUNT = (
    ("_description", "_rowcount")
    if "_description" in AsyncAdapt_asyncpg_cursor.__slots__
    else ("description", "rowcount")
)


def fill(cursor: Any, columns: list[tuple[Any, ...]], answer: Answer) -> None:
    """Give ``cursor`` the answer to a statement, and its columns as DB-API describes them."""
    rows, tag = answer
    count = tag.rpartition(b" ")[2]
    cursor._rows = deque(rows)  # noqa: SLF001 - SQLAlchemy fetches from it
    setattr(cursor, _DESCRIPTION, columns or None)
    setattr(cursor, _ROW_COUNT, int(count) if count.isdigit() else -1)
