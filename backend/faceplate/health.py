"""What an operator asks of a running database first."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceplate import migrate
from faceplate.engine import open_connection
from faceplate.translation import DRIVER_ERRORS, translate_connect

if TYPE_CHECKING:
    from faceplate.database import Database


@dataclass(frozen=True)
class Pool:
    size: int
    """Connections that the pool keeps open when idle (``pool_size``)."""
    limit: int
    """Connections that it opens at most (``pool_size + max_overflow``)."""
    checked_out: int
    idle: int


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

    @property
    def reachable(self) -> bool:
        return self.problem is None

    @property
    def at_head(self) -> bool:
        return self.revision == self.head

    @property
    def ok(self) -> bool:
        return self.reachable and self.at_head


async def examine(database: "Database") -> Health:
    settings = database.settings
    pool = _pool_of(database)
    head = migrate.head()
    try:
        connection = await open_connection(settings)
        try:
            started = time.perf_counter()
            await connection.execute("SELECT 1")
            latency_ms = (time.perf_counter() - started) * 1000
            version = await connection.fetchval("SHOW server_version")
            revision = await migrate.revision_of(connection)
        finally:
            connection.terminate()
    except DRIVER_ERRORS as error:
        limit_s = settings.connect_timeout_s
        failure = translate_connect(error, target=settings.target, limit_s=limit_s)
        return Health(settings.target, problem=failure.message, head=head, pool=pool)
    return Health(
        settings.target,
        latency_ms=latency_ms,
        server_version=version,
        revision=revision,
        head=head,
        pool=pool,
    )


def _pool_of(database: "Database") -> Pool:
    pool = database.engine.sync_engine.pool
    settings = database.settings
    return Pool(
        size=settings.pool_size,
        limit=settings.pool_size + settings.max_overflow,
        checked_out=pool.checkedout(),  # type: ignore[attr-defined]  # the queue pools have it
        idle=pool.checkedin(),  # type: ignore[attr-defined]  # the queue pools have it
    )
