"""The locks of migrations: one process migrates, and none blocks others' queries.

An advisory lock lets the processes take turns. A statement of a revision waits only briefly for the
lock of a table, since every query behind it would wait as well; then the revision is retried.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from faceplate._alembic.error_mapping import errors_mapped, open_with_mapped_errors
from faceplate._driver.connection import DriverConnection
from faceplate._driver.engine import create_migration_engine
from faceplate._driver.error_details import DRIVER_ERRORS, sqlstate_of
from faceplate._schema import server_requirements
from faceplate.config import Settings
from faceplate.errors import CannotConnect, TimedOut
from faceplate.models import SCHEMA

ADVISORY_LOCK = 0x66616365706C6174  # "faceplat" in ASCII
OWNERS_LOCK = ADVISORY_LOCK + 1
# Short, since appends queue behind a waiting statement, and a revision may lock two tables.
LOCK_TIMEOUT_S = 0.1
POLL_S = 0.1
DEADLINE_S = 600.0
RETRIED = {"55P03", "40P01"}

# Citus refuses to change shards in parallel and one after the other in one transaction, and changes
# those of a table with a foreign key to a reference table one after the other.
ONE_SHARD_AFTER_THE_OTHER = text(
    "SELECT set_config('citus.multi_shard_modify_mode', 'sequential', false)"
    " FROM pg_extension WHERE extname = 'citus'"
)
FIND_SCHEMA = text(f"SELECT to_regnamespace('{SCHEMA}')")

logger = logging.getLogger("faceplate")

alembic_lock = threading.Lock()
"""Held while Alembic runs: it keeps its environment in module globals, so one run per process."""


async def run_locked(settings: Settings, work: Callable[[Connection], None]) -> None:
    """Run ``work`` while no other process migrates this database.

    The advisory lock is polled on a second connection, outside any transaction: a connection that
    waits for a lock, or that holds a snapshot, would block CREATE INDEX CONCURRENTLY for ever.
    """
    engine = create_migration_engine(for_migrations(settings))
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    deadline_s = time.monotonic() + DEADLINE_S
    with errors_mapped(settings):
        async with engine.connect() as guard, _locked(guard, deadline_s):
            await _check_database(guard)
            await _ensure_schema(guard)
            async with transactional.connect() as connection:
                await connection.execute(ONE_SHARD_AFTER_THE_OTHER)
                await connection.commit()
                await _run_with_retries(connection, work, deadline_s)


async def run_as_owner(
    settings: Settings, work: Callable[[DriverConnection], Awaitable[None]]
) -> None:
    """Run ``work`` in a transaction, one process at a time, with retries.

    It is retried while a table is in use.
    """
    deadline_s = time.monotonic() + DEADLINE_S
    with errors_mapped(settings):
        connection = await open_with_mapped_errors(for_migrations(settings))
        try:
            while True:
                try:
                    async with connection.transaction():
                        await connection.execute(f"SELECT pg_advisory_xact_lock({OWNERS_LOCK})")
                        return await work(connection)
                except DRIVER_ERRORS as error:
                    if sqlstate_of(error) not in RETRIED:
                        raise
                await _pause(deadline_s)
        finally:
            connection.terminate()


def for_migrations(settings: Settings) -> Settings:
    """Return the settings of a migration: no time limit but a short one on locks."""
    return settings.of_migrations.model_copy(
        update={
            "pgbouncer": False,
            "statement_timeout_s": 0,  # building an index may take long
            "command_timeout_s": 0,
            "idle_in_transaction_timeout_s": 0,
            "lock_timeout_s": LOCK_TIMEOUT_S,
            "slow_statement_s": 0,
        }
    )


@asynccontextmanager
async def _locked(guard: AsyncConnection, deadline_s: float) -> AsyncIterator[None]:
    """Hold the lock of this process and the advisory lock during the block."""
    try_lock = text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})")
    while not alembic_lock.acquire(blocking=False):
        await _pause(deadline_s)
    try:
        while not (await guard.execute(try_lock)).scalar_one():
            await _pause(deadline_s)
        yield  # the server releases the advisory lock when the guard's connection is closed
    finally:
        alembic_lock.release()


async def _check_database(guard: AsyncConnection) -> None:
    """Raise CannotConnect if tables must not be created; warn if they exist."""
    row = (await guard.execute(text(server_requirements.QUERY))).one()
    problems = server_requirements.problems(server_requirements.Facts(*row))
    if problems and (await guard.execute(FIND_SCHEMA)).scalar_one() is None:
        raise CannotConnect("; ".join(problems))
    for problem in problems:
        logger.warning("%s", problem)


async def _ensure_schema(guard: AsyncConnection) -> None:
    """Create the schema if it is missing.

    A role that may not create a schema can still migrate.
    """
    if (await guard.execute(FIND_SCHEMA)).scalar_one() is None:
        await guard.execute(text(f"CREATE SCHEMA {SCHEMA}"))


async def _run_with_retries(
    connection: AsyncConnection, work: Callable[[Connection], None], deadline_s: float
) -> None:
    """Run ``work``, with retries after a lock timeout.

    A retry goes on from the revision that was reached.
    """
    while True:
        try:
            return await connection.run_sync(work)
        except DBAPIError as error:
            if sqlstate_of(error) not in RETRIED:
                raise
        await connection.rollback()
        await _pause(deadline_s)


async def _pause(deadline_s: float) -> None:
    """Wait before the next attempt. Raises TimedOut after the deadline."""
    if time.monotonic() > deadline_s:
        raise TimedOut(f"another process migrates, or uses a table, for over {DEADLINE_S:g} s")
    await asyncio.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
