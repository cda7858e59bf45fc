"""The findings of `faceplate doctor`, and what its checks are given."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from faceplate._driver.connection import Connection
from faceplate.config import Settings


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    SKIPPED = "n/a"
    """The check does not apply here, or has no answer."""
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One result of a check."""

    level: Level
    found: str
    """The state of the database, in a sentence."""
    advice: str = ""
    """What to do about it; empty if nothing."""
    check: str = ""


class Subject(NamedTuple):
    """The database that is checked."""

    settings: Settings
    connection: Connection
    owner: Connection
    """The connection of the login that works across users; with one login, ``connection``."""
    revision: str | None

    @property
    def second_login(self) -> Connection | None:
        return None if self.owner is self.connection else self.owner

    async def all_rows(self) -> Connection:
        """Return ``owner``; in this transaction it fails where a policy would hide rows."""
        await self.owner.execute("SET LOCAL row_security = off")
        return self.owner


Check = Callable[[Subject], Awaitable[list[Finding]]]
