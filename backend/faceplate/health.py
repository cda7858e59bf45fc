"""What an operator asks of a running database first."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate import isolation, migrate
from faceplate.config import Settings
from faceplate.connection import Connection
from faceplate.engine import open_connection
from faceplate.errors import CannotConnect
from faceplate.translation import DRIVER_ERRORS, translate_connect

if TYPE_CHECKING:
    from faceplate.database import Database
    from faceplate.pool import Pool as ConnectionPool


@dataclass(frozen=True)
class Pool:
    size: int
    """Connections that the pool keeps open when idle (``pool_size``)."""
    limit: int
    """Connections that it opens at most (``pool_size + max_overflow``)."""
    checked_out: int = 0
    idle: int = 0
    waiting: int = 0
    """Units that wait for a connection to become free."""


@dataclass(frozen=True)
class Health:
    """What `Database.check` found. A field is None where the server could not be asked."""

    target: str
    head: str
    """The migration that this version of the package needs."""
    pool: Pool
    problem: str | None = None
    """Why the server is not reachable, where it is not."""
    latency_ms: float | None = None
    """One SELECT 1 on a connection that is open already, in milliseconds."""
    server_version: str | None = None
    revision: str | None = None
    """The migration that the schema is at; None where it was never migrated, too."""
    isolation: tuple[str, ...] | None = None
    """The layers that are in force: owner criterion, composite keys, row-level security."""
    gaps: tuple[str, ...] = ()
    """Why a layer that should be in force is not, a sentence for each reason."""
    warnings: tuple[str, ...] = ()
    """What should be changed, a sentence each."""

    @property
    def reachable(self) -> bool:
        return self.problem is None

    @property
    def at_head(self) -> bool:
        return self.revision == self.head

    @property
    def ok(self) -> bool:
        """Whether the server is reachable, the schema at head, and no layer has a gap."""
        return self.reachable and self.at_head and not self.gaps


async def examine(database: "Database") -> Health:
    """Return what there is to know, within ``connect_timeout_s`` and ``command_timeout_s``."""
    settings = database.settings
    limit_s = settings.connect_timeout_s
    try:
        connection = await open_connection(settings)
        limit_s = settings.command_timeout_s
        try:
            async with asyncio.timeout(limit_s or None):
                return await _ask(connection, database)
        finally:
            connection.terminate()
    except (CannotConnect, *DRIVER_ERRORS) as error:
        failure = translate_connect(error, target=settings.target, limit_s=limit_s)
        pool = pool_of(settings, database.engine)
        return Health(settings.target, migrate.head(), pool, problem=failure.message)


async def _ask(connection: Connection, database: "Database") -> Health:
    started = time.perf_counter()
    await connection.execute("SELECT 1")
    latency_ms = (time.perf_counter() - started) * 1000
    head, revision = migrate.head(), await migrate.revision_of(connection)
    found = await isolation.examine(connection, database.settings)
    warnings = found.warnings
    if revision != head:
        state = f"at {revision}" if revision else "not there"
        warnings += (f"the schema is {state}, and {head} is needed: run `faceplate migrate`",)
    return Health(
        database.settings.target,
        head,
        pool_of(database.settings, database.engine),
        latency_ms=latency_ms,
        server_version=await connection.fetchval("SHOW server_version"),
        revision=revision,
        isolation=found.layers,
        gaps=found.gaps if revision else (),  # without a schema there is nothing to have one
        warnings=warnings,
    )


def pool_of(settings: Settings, engine: AsyncEngine | None) -> Pool:
    """Return how the pool of ``engine`` stands. Without one, nothing is in use."""
    size, limit = settings.pool_size, settings.pool_size + settings.max_overflow
    if engine is None:
        return Pool(size, limit)
    pool = cast("ConnectionPool", engine.sync_engine.pool)
    return Pool(size, limit, pool.checkedout(), pool.checkedin(), pool.waiting)
