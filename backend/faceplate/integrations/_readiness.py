"""A readiness probe: whether a process should get traffic."""

import asyncio
from dataclasses import dataclass

from faceplate import migrate
from faceplate.database import Database
from faceplate.health import Health, Pool

READY_WITHIN_S = 5.0


@dataclass(frozen=True)
class Readiness:
    """Whether this process should get traffic.

    A field is None if the answer is not known.
    """

    ready: bool
    reachable: bool
    migrated: bool | None
    """The schema is at the revision that the code needs, or at a newer one during a deploy."""
    isolated: bool | None
    """Every layer that should keep users apart is in force."""
    accepting: bool
    """A unit would get a connection, or could wait for one."""
    pool: Pool


class Probe:
    """A readiness probe that calls `Database.check`.

    Concurrent requests share one check, so that they cannot open more than one connection.
    """

    def __init__(self, *, within_s: float = READY_WITHIN_S) -> None:
        self._within_s = within_s
        self._checking: asyncio.Task[Health | None] | None = None

    async def ask(self, db: Database) -> Readiness:
        """Return the readiness, after ``within_s`` at most."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(db))
        health = await asyncio.shield(self._checking)  # other requests may wait for it as well
        pool = db.pool()
        is_full = pool.checked_out >= pool.limit
        accepting = not is_full or pool.waiting < db.settings.max_waiting
        reachable, migrated, isolated = False, None, None
        if health is not None and health.reachable:
            reachable = True
            migrated = health.at_head or _is_newer(health.revision)
            isolated = bool(health.isolation) and not health.gaps
        return Readiness(
            ready=reachable and bool(migrated) and bool(isolated) and accepting,
            reachable=reachable,
            migrated=migrated,
            isolated=isolated,
            accepting=accepting,
            pool=pool,
        )

    async def _check(self, db: Database) -> Health | None:
        try:
            async with asyncio.timeout(self._within_s):
                return await db.check()
        except TimeoutError:
            return None


def _is_newer(revision: str | None) -> bool:
    """Return whether ``revision`` comes from a newer version of the package."""
    return revision is not None and not migrate.knows(revision)
