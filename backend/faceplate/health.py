"""The health of a database: reachable, migrated, and isolating users."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate import _checks
from faceplate._driver.connecting import open_connection
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.error_mapping import map_connect_error
from faceplate._replicas.routing import Replicas
from faceplate._schema import revisions
from faceplate.config import Settings
from faceplate.errors import CannotConnect

if TYPE_CHECKING:
    from faceplate._driver.pool import Pool as ConnectionPool


@dataclass(frozen=True)
class Pool:
    """The state of a connection pool."""

    size: int
    """Connections that the pool keeps open when idle (``pool_size``)."""
    limit: int
    """Connections that the pool opens at most (``pool_size + max_overflow``)."""
    checked_out: int = 0
    idle: int = 0
    waiting: int = 0
    """Units that wait for a connection to become free, or for a shared flight."""


@dataclass(frozen=True)
class Replica:
    """The state of a replica: see the setting ``read_urls``."""

    target: str
    problem: str | None
    """Why no unit reads from it now; None if units do."""
    lag_s: float | None
    """How many seconds it was behind the primary when it was asked last, up to a second ago."""
    reads: int
    """How many units have run on it."""


@dataclass(frozen=True)
class Health:
    """The result of `Database.check`.

    A field is None where the server could not be asked.
    """

    target: str
    head: str
    """The migration that this version of the package needs."""
    pool: Pool
    problem: str | None = None
    """Why the server is not reachable; None if it is."""
    latency_ms: float | None = None
    """The time of one SELECT 1 on an open connection, in milliseconds."""
    server_version: str | None = None
    revision: str | None = None
    """The migration that the schema is at; also None if the schema was never migrated."""
    isolation: tuple[str, ...] | None = None
    """The layers in force: owner criterion, composite keys, row-level security."""
    gaps: tuple[str, ...] = ()
    """Why a layer or another promise does not hold, a sentence for each reason."""
    warnings: tuple[str, ...] = ()
    """What an administrator should change, a sentence each."""
    is_newer: bool = False
    """Whether a newer version of the package has migrated the schema beyond ``head``."""

    @property
    def reachable(self) -> bool:
        return self.problem is None

    @property
    def at_head(self) -> bool:
        return self.revision == self.head

    @property
    def ok(self) -> bool:
        """Whether it is reachable, new enough, and without a gap."""
        return self.reachable and (self.at_head or self.is_newer) and not self.gaps


async def check(settings: Settings, pool: Pool) -> Health:
    """Return the health of the database.

    It takes at most ``connect_timeout_s`` and ``command_timeout_s``.
    """
    limit_s = settings.connect_timeout_s
    with ExitStack() as opened:
        try:
            connection = await open_connection(settings)
            opened.callback(connection.terminate)
            owner, problem = await _open_owner(settings, opened)
            limit_s = settings.command_timeout_s
            async with asyncio.timeout(limit_s or None):
                health = await _ask(settings, pool, connection, owner)
        except (CannotConnect, *DRIVER_ERRORS) as error:
            failure = map_connect_error(error, target=settings.target, limit_s=limit_s)
            return Health(settings.target, revisions.head(), pool, problem=failure.message)
    return replace(health, gaps=(problem, *health.gaps)) if problem else health


async def _open_owner(
    settings: Settings, opened: ExitStack
) -> tuple[Connection | None, str | None]:
    """Return a connection of the owner's login, or why there is none."""
    if settings.owner_url is None:
        return None, None
    try:
        owner = await open_connection(settings.of_owner)
    except (CannotConnect, *DRIVER_ERRORS) as error:
        limit_s, target = settings.connect_timeout_s, settings.of_owner.target
        failure = map_connect_error(error, target=target, limit_s=limit_s)
        return None, f"FACEPLATE_OWNER_URL: {failure.message}"
    opened.callback(owner.terminate)
    return owner, None


async def _ask(
    settings: Settings, pool: Pool, connection: Connection, owner: Connection | None
) -> Health:
    """Return the answers of the server, in three round trips.

    They are SELECT 1, and the preparation and execution of one statement.
    """
    started = time.perf_counter()
    await connection.execute("SELECT 1")
    latency_ms = (time.perf_counter() - started) * 1000
    health = Health(
        settings.target,
        revisions.head(),
        pool,
        latency_ms=latency_ms,
        server_version=str(connection.get_settings().server_version),
    )
    found = await _checks.inspect_schema(connection, settings, owner)
    is_newer = found.revision is not None and not revisions.knows(found.revision)
    return replace(
        health,
        revision=found.revision,
        is_newer=is_newer,
        isolation=found.layers,
        gaps=found.gaps,
        warnings=(*found.warnings, *found.durability, *_about_revision(health, found.revision)),
    )


def _about_revision(health: Health, revision: str | None) -> list[str]:
    if revision == health.head:
        return []
    if revision is not None and not revisions.knows(revision):
        return [revisions.describe_newer(revision)]
    state = f"at {revision}" if revision else "not there"
    return [f"the schema is {state}, and {health.head} is needed: run `faceplate migrate`"]


def replicas_of(replicas: Replicas) -> tuple[Replica, ...]:
    """Return the state of each replica."""
    return tuple(
        Replica(each.settings.target, each.problem, each.lag_s, each.reads) for each in replicas.all
    )


def pool_of(settings: Settings, engine: AsyncEngine | None) -> Pool:
    """Return the state of the pool of ``engine``; without one, nothing is in use."""
    size, limit = settings.pool_size, settings.pool_size + settings.max_overflow
    if engine is None:
        return Pool(size, limit)
    pool = cast("ConnectionPool", engine.sync_engine.pool)
    return Pool(size, limit, pool.checkedout(), pool.checkedin(), pool.waiting)
