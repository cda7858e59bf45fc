"""Migrations, from a program: the same environment and revisions as ``alembic`` on the shell.

Any number of processes may migrate one database at once: they take turns by an advisory lock,
polled on a connection of its own. A revision waits for a table's lock only so briefly that it
never holds up the queries behind it, and is tried again.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from io import StringIO
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from faceplate._alembic.downgrades import MAY_LOSE_DATA
from faceplate._alembic.options import alembic_config, differences, in_schema, render_item
from faceplate._driver.connecting import open_connection, translated
from faceplate._driver.connection import Connection as Driver
from faceplate._driver.connection import DriverConnection
from faceplate._driver.engine import create_migration_engine
from faceplate._driver.error_mapping import (
    DRIVER_ERRORS,
    UNMIGRATED,
    causes,
    sqlstate_of,
    translate,
    translate_connect,
)
from faceplate._schema import seal, server_requirements, unit_login
from faceplate._schema.revisions import (
    describe_lost,
    describe_newer,
    head,
    knows,
    revision_of,
)
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import (
    CannotConnect,
    DatabaseError,
    FaceplateError,
    TimedOut,
    UsageError,
)
from faceplate.models import SCHEMA, Base

__all__ = [
    "check",
    "current",
    "describe_newer",
    "downgrade",
    "head",
    "in_schema",
    "invalid_indexes",
    "knows",
    "offline_sql",
    "render_item",
    "revision_of",
    "run_locked",
    "seal_user_ids",
    "unseal_user_ids",
    "upgrade",
]

ADVISORY_LOCK = 0x66616365706C6174  # "faceplat" in ASCII
OWNERS_LOCK = ADVISORY_LOCK + 1
# Appends queue behind a lock that is waited for, and a revision may take two that they need.
LOCK_TIMEOUT_S = 0.1
POLL_S = 0.1
DEADLINE_S = 600.0
RETRIED = {"55P03", "40P01"}
INVALID_INDEXES = f"""
SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = to_regnamespace('{SCHEMA}')
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
ORDER BY c.relname
"""  # noqa: S608 - our own name

FIND_TABLES = f"SELECT to_regclass('{SCHEMA}.users') IS NOT NULL"
FIND_SCHEMA = text(f"SELECT to_regnamespace('{SCHEMA}')")

logger = logging.getLogger("faceplate")

_alembic = threading.Lock()
"""Alembic keeps the environment that it runs in module globals: one at a time per process."""


async def upgrade(database: Database | Settings, revision: str = "head") -> None:
    """Bring the schema up to ``revision``; it is no error to be there already.

    Where a newer version of the package has taken it further than this one knows, nothing is done,
    and a warning is logged.

    Where the owner has a login of its own, the units' login is granted the role of units.

    Raises Unavailable where the server cannot be used, is too old, or where a new database has an
    encoding or a locale that text is not safe in; UsageError where tables are there whose revision
    nobody knows, or whose policies are sealed with another key; Unauthorized where the role may not
    change the schema or grant that role, TimedOut where a lock was not to be had within ten
    minutes, and DatabaseError where an index is invalid in the end.
    """
    found = await _current(database)
    if found is not None and not knows(found):
        logger.warning("%s", describe_newer(found))
        return
    await _run_command(database, command.upgrade, revision)
    await _check_indexes(_for_migrations(_settings_of(database)))
    await _admit_units(_settings_of(database))
    await seal_user_ids(database)


async def seal_user_ids(database: Database | Settings) -> None:
    """Put the policies under the seal of ``seal_key``, where that is set. `upgrade` does it.

    Raises UsageError where they are under that of another key.
    """
    settings = _settings_of(database)
    if (key := settings.seal) is not None:
        await _as_owner(settings, partial(seal.put, key=key))


async def unseal_user_ids(database: Database | Settings) -> None:
    """Let the policies believe a unit's user without a seal again."""
    await _as_owner(_settings_of(database), seal.take_off)


async def downgrade(
    database: Database | Settings, revision: str, *, may_lose_data: bool = False
) -> None:
    """Take the schema back to ``revision``, or to nothing with "base".

    Raises UsageError, before anything is done, where data would be lost and ``may_lose_data`` does
    not confirm it, and where a newer version of the package has made the schema. Otherwise as
    `upgrade`.
    """
    found = await _current(database)
    if found is not None and not knows(found):
        raise UsageError(f"{describe_newer(found)}; only that version can take it back")
    await _run_command(database, command.downgrade, revision, may_lose_data=may_lose_data)


async def current(database: Database | Settings) -> str | None:
    """Return the revision that the schema is at, or None where it was never migrated."""
    settings = _settings_of(database)
    with _errors_translated(settings):
        connection = await _open(settings.of_owner)
        try:
            return await revision_of(connection)
        finally:
            connection.terminate()


async def _current(database: Database | Settings) -> str | None:
    """Return the same, for a change. Raises UsageError where tables are there without one."""
    settings = _settings_of(database)
    with _errors_translated(settings):
        connection = await _open(settings.of_owner)
        try:
            # In this order: another process may make both meanwhile, in one transaction.
            has_tables = await connection.fetchval(FIND_TABLES)
            revision = await revision_of(connection)
        finally:
            connection.terminate()
    if has_tables and revision is None:
        raise UsageError(describe_lost())
    return revision


async def check(database: Database | Settings) -> list[str]:
    """Return how the schema differs from the models, a line for each difference."""
    settings = _for_migrations(_settings_of(database))
    engine = create_migration_engine(settings)
    with _errors_translated(settings):
        async with engine.connect() as connection:
            return await connection.run_sync(differences)


def offline_sql(revision: str = "head") -> str:
    """Return what `upgrade` would run on an empty database, as SQL. Nothing connects.

    Raises UsageError for an unknown revision.
    """
    buffer = StringIO()
    config = alembic_config()
    config.output_buffer = buffer
    try:
        with _alembic:
            command.upgrade(config, revision, sql=True)
    except CommandError as error:
        raise UsageError(f"Alembic refused: {error}") from error
    return buffer.getvalue()


async def invalid_indexes(connection: DriverConnection) -> list[str]:
    """Return the indexes of the schema that are written to and never read, by name.

    That is what a CREATE INDEX CONCURRENTLY leaves that broke off.
    """
    return [row["name"] for row in await connection.fetch(INVALID_INDEXES)]


async def run_locked(settings: Settings, work: Callable[[Connection], None]) -> None:
    """Run ``work`` on a connection of its own while no other process migrates this database.

    The lock is polled, on a connection that stands in no transaction: one that waits, or that
    holds a snapshot, would block a CREATE INDEX CONCURRENTLY for ever.
    """
    engine = create_migration_engine(_for_migrations(settings))
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    deadline_s = time.monotonic() + DEADLINE_S
    with _errors_translated(settings):
        async with engine.connect() as guard, _turn(guard, deadline_s):
            await _check_database(guard)
            await _ensure_schema(guard)
            async with transactional.connect() as connection:
                await _run_patiently(connection, work, deadline_s)


async def _check_indexes(settings: Settings) -> None:
    """A revision that broke off makes its index anew when it is run again; nothing else does."""
    ours = {str(name) for table in Base.metadata.tables.values() for name in _index_names(table)}
    with _errors_translated(settings):
        connection = await _open(settings)
        try:
            found = await invalid_indexes(connection)
        finally:
            connection.terminate()
    if invalid := [f"{SCHEMA}.{name}" for name in found if name in ours]:
        advice = "; ".join(f"REINDEX INDEX CONCURRENTLY {name}" for name in invalid)
        raise DatabaseError(f"indexes are invalid, and slow everything down; run: {advice}")


async def _admit_units(settings: Settings) -> None:
    login = settings.login
    if settings.owner_url is not None and login is not None and settings.row_level_security:
        await _as_owner(settings, partial(unit_login.admit, login=login))


async def _as_owner(
    settings: Settings, work: Callable[[DriverConnection], Awaitable[None]]
) -> None:
    """Run ``work`` in a transaction, one process at a time, and again where a table was in use."""
    deadline_s = time.monotonic() + DEADLINE_S
    with _errors_translated(settings):
        connection = await _open(_for_migrations(settings))
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


async def _open(settings: Settings) -> Driver:
    return await translated(open_connection(settings), settings)


def _index_names(table: Table) -> Iterator[object]:
    yield from (index.name for index in table.indexes)
    yield from (constraint.name for constraint in table.constraints)


async def _run_command(
    database: Database | Settings,
    run: Callable[[Config, str], None],
    revision: str,
    *,
    may_lose_data: bool = False,
) -> None:
    def work(connection: Connection) -> None:
        config = alembic_config()
        config.attributes[MAY_LOSE_DATA] = may_lose_data
        config.attributes["connection"] = connection
        config.attributes["row_level_security"] = settings.row_level_security
        run(config, revision)

    settings = _settings_of(database)
    try:
        await run_locked(settings, work)
    except CommandError as error:
        raise UsageError(f"Alembic refused: {error}") from error


@contextmanager
def _errors_translated(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        limit_s = settings.connect_timeout_s
        raise translate_connect(error, target=settings.target, limit_s=limit_s) from error
    except (SQLAlchemyError, *DRIVER_ERRORS) as error:
        failure = translate(error, target=settings.target)
        raise _with_advice(failure, error) from error


def _with_advice(failure: FaceplateError, error: Exception) -> FaceplateError:
    """Add what the server says: here it speaks of the schema, never of the content of a row."""
    server: Any = list(causes(error))[-1]
    said = [getattr(server, part, None) for part in ("message", "hint")]
    # To run `faceplate migrate` is no advice here.
    ours = None if failure.message == UNMIGRATED else failure.message
    failure.message = ". ".join(filter(None, (ours, *said)))
    return failure


@asynccontextmanager
async def _turn(guard: AsyncConnection, deadline_s: float) -> AsyncIterator[None]:
    """Wait for this process's turn in its own program, and among all programs."""
    try_lock = text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})")
    while not _alembic.acquire(blocking=False):
        await _pause(deadline_s)
    try:
        while not (await guard.execute(try_lock)).scalar_one():
            await _pause(deadline_s)
        yield  # closing the guard's connection gives the advisory lock back
    finally:
        _alembic.release()


async def _check_database(guard: AsyncConnection) -> None:
    """Raise CannotConnect where the tables must not be made here; warn where they are there."""
    row = (await guard.execute(text(server_requirements.QUERY))).one()
    problems = server_requirements.problems(server_requirements.Facts(*row))
    if problems and (await guard.execute(FIND_SCHEMA)).scalar_one() is None:
        raise CannotConnect("; ".join(problems))
    for problem in problems:
        logger.warning("%s", problem)


async def _ensure_schema(guard: AsyncConnection) -> None:
    """Create the schema unless it is there: a role that may not create one can still migrate."""
    if (await guard.execute(FIND_SCHEMA)).scalar_one() is None:
        await guard.execute(text(f"CREATE SCHEMA {SCHEMA}"))


async def _run_patiently(
    connection: AsyncConnection, work: Callable[[Connection], None], deadline_s: float
) -> None:
    """Run ``work``, again from the revision that it reached where a table was in use."""
    while True:
        try:
            return await connection.run_sync(work)
        except DBAPIError as error:
            if sqlstate_of(error) not in RETRIED:
                raise
        await connection.rollback()
        await _pause(deadline_s)


async def _pause(deadline_s: float) -> None:
    if time.monotonic() > deadline_s:
        raise TimedOut(f"another process migrates, or uses a table, for over {DEADLINE_S:g} s")
    await asyncio.sleep(POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def _for_migrations(settings: Settings) -> Settings:
    """An index takes as long as it takes to build; a lock is waited for only briefly."""
    return settings.of_migrations.model_copy(
        update={
            "pgbouncer": False,
            "statement_timeout_s": 0,
            "command_timeout_s": 0,
            "idle_in_transaction_timeout_s": 0,
            "lock_timeout_s": LOCK_TIMEOUT_S,
            "slow_statement_s": 0,
        }
    )


def _settings_of(database: Database | Settings) -> Settings:
    return database if isinstance(database, Settings) else database.settings
