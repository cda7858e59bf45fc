"""The protocol by which an ORM session uses its unit."""

from typing import Protocol
from uuid import UUID


class Unit(Protocol):
    """A unit's transaction, as its session uses it: see `faceplate._transaction`."""

    rollback_reason: str | None
    """Why the unit can only be rolled back, or None."""

    @property
    def user_id(self) -> UUID | None:
        """The user that the unit runs for; None across users."""

    def new_id(self) -> UUID:
        """Return a new UUIDv7."""

    def check_usable(self) -> None:
        """Raise if the unit has ended or cannot go on."""

    def set_rollback_only(self, reason: str) -> None:
        """Have the innermost open savepoint rolled back, or the unit if there is none."""

    async def lend_driver(self) -> None:
        """Begin the transaction, and have the connection closed when the unit ends."""
