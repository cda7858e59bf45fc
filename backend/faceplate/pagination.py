"""Keyset pages: a cursor holds the key of a page's last row."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from faceplate import _sealing
from faceplate.column_types import Timestamp
from faceplate.errors import InvalidInput
from faceplate.scope import Scope

R = TypeVar("R")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LATEST = (Timestamp.LATEST, UUID(int=2**128 - 1))
"""The key before the first page of a list that begins with the newest row."""


class Page(NamedTuple, Generic[R]):
    """Rows of a list, and the cursor of the next page, which is None at the end."""

    items: list[R]
    next_cursor: str | None


def check_limit(limit: int, maximum: int = MAX_LIMIT) -> int:
    """Return ``limit``. Raises InvalidInput unless it is between 1 and ``maximum``."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= maximum:
        raise InvalidInput("limit", f"must be a whole number between 1 and {maximum:,}")
    return limit


def page_of(
    scope: Scope, listing: str, rows: list[R], limit: int, key: Callable[[R], str]
) -> Page[R]:
    """Return a page of the first ``limit`` rows, with a cursor if more follow."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], seal(scope, listing, key(rows[limit - 1])))


def seal(scope: Scope, listing: str, key: str) -> str:
    """Return a cursor for ``key``, valid for this user and this ``listing``."""
    return _sealing.seal(scope.settings.cursor_key, scope.user_id, listing, key)


def unseal(scope: Scope, listing: str, cursor: str) -> str:
    """Return the key in ``cursor``.

    Raises InvalidInput unless it is a cursor of ``listing``.
    """
    key = _sealing.unseal(scope.settings.cursor_key, scope.user_id, listing, cursor)
    if key is None:
        raise InvalidInput("cursor", "is not a cursor of this list")
    return key


def moment_key(moment: datetime, id: UUID) -> str:  # noqa: A002 - the column's name
    """Return the key of a row in a list that is ordered by time and id."""
    return f"{(moment - _EPOCH) // _MICROSECOND} {id}"


def after_moment(scope: Scope, listing: str, cursor: str | None) -> tuple[datetime, UUID]:
    """Return the time and id that a page begins after.

    The list begins with the newest row.
    """
    return LATEST if cursor is None else read_moment(unseal(scope, listing, cursor))


def read_moment(key: str) -> tuple[datetime, UUID]:
    """Return the time and id of a `moment_key`."""
    moment, _, id_ = key.partition(" ")
    return _EPOCH + int(moment) * _MICROSECOND, UUID(id_)
