"""How SQL has a name: in double quotes where it needs them."""

from typing import Final

from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.compiler import IdentifierPreparer

_PREPARER: Final[IdentifierPreparer] = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def quoted(name: str) -> str:
    """Return a column's name as SQL has it: ``body``, or ``"order"``."""
    return _PREPARER.quote(name)
