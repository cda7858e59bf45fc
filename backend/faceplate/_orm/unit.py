"""What a session asks of the unit that it belongs to."""

from typing import Protocol
from uuid import UUID


class Unit(Protocol):
    """A unit's transaction, as its session knows it: `faceplate._transaction` is one."""

    rollback_reason: str | None
    """Why the unit must not return, where something of it was undone or forgotten."""

    @property
    def user_id(self) -> UUID | None:
        """The user that the unit runs for; None across users."""

    def new_id(self) -> UUID:
        """Return a new UUIDv7."""

    def check_usable(self) -> None:
        """Raise where nothing of the unit can be used any more."""

    def set_rollback_only(self, reason: str) -> None:
        """Make the innermost nested block fail, or else the unit."""

    async def lend_driver(self) -> None:
        """Begin the transaction, and let no other unit get the connection afterwards."""
