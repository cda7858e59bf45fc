"""The protocol by which an ORM session uses its unit."""

from typing import Protocol
from uuid import UUID


class Unit(Protocol):
    """A unit's transaction, as its session uses it: see `faceplate._transaction`."""

    rollback_reason: str | None
    """Why the unit can only be rolled back, or None."""

    may_carry: bool
    """Whether a flush is running of which an UPDATE may wait for an INSERT."""

    @property
    def user_id(self) -> UUID | None:
        """The user that the unit runs for; None across users."""

    @property
    def is_carrying(self) -> bool:
        """Whether an UPDATE waits for another statement."""

    def new_id(self) -> UUID:
        """Return a new UUIDv7."""

    def check_usable(self) -> None:
        """Raise if the unit has ended or cannot go on."""

    def set_rollback_only(self, reason: str) -> None:
        """Have the innermost open savepoint rolled back, or the unit if there is none."""

    async def lend_driver(self) -> None:
        """Begin the transaction, and have the connection closed when the unit ends."""

    async def send_carried(self) -> None:
        """Send the UPDATEs that have waited for another statement, and check what they found."""

    def drop_carried(self) -> None:
        """Discard the UPDATEs that wait, because their flush has failed."""
