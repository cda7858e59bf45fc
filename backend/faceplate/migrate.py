"""Migrations from a program, with the revisions of ``alembic`` on the shell.

Any number of processes may migrate one database at once: `faceplate._alembic.locking` makes them
take turns and keeps a revision from blocking the queries of others.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Table

from faceplate._alembic.downgrades import MAY_LOSE_DATA
from faceplate._alembic.error_mapping import errors_mapped, open_with_mapped_errors
from faceplate._alembic.locking import alembic_lock, for_migrations, run_as_owner, run_locked
from faceplate._alembic.options import alembic_config, differences, in_schema, render_item
from faceplate._driver.connection import DriverConnection
from faceplate._driver.engine import create_migration_engine
from faceplate._schema import seal, unit_login
from faceplate._schema.revisions import (
    describe_newer,
    describe_unknown,
    head,
    knows,
    revision_of,
)
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import DatabaseError, UsageError
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

INVALID_INDEXES = f"""
SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE NOT i.indisvalid AND c.relnamespace = to_regnamespace('{SCHEMA}')
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
ORDER BY c.relname
"""  # noqa: S608 - our own name

FIND_TABLES = f"SELECT to_regclass('{SCHEMA}.users') IS NOT NULL"

logger = logging.getLogger("faceplate")


async def upgrade(database: Database | Settings, revision: str = "head") -> None:
    """Bring the schema up to ``revision``; if it is there already, nothing happens.

    If the owner has a login of its own, the login of units is granted the role of units. If a newer
    version of the package has migrated the schema beyond this one's head, nothing is done, and a
    warning is logged.

    Raises Unavailable if the server cannot be used or is too old, or if a new database has an
    encoding or a locale in which text is not safe; UsageError if there are tables of an unknown
    revision, or if the policies are sealed with another key; Unauthorized if the role may not
    change the schema or grant the role of units; TimedOut if a lock was not free within ten
    minutes; DatabaseError if an index is invalid at the end.
    """
    found = await _revision_to_change(database)
    if found is not None and not knows(found):
        logger.warning("%s", describe_newer(found))
        return
    await _run_command(database, command.upgrade, revision)
    await _check_indexes(for_migrations(_settings_of(database)))
    await _grant_units_role(_settings_of(database))
    await seal_user_ids(database)


async def seal_user_ids(database: Database | Settings) -> None:
    """Make the policies check the seal of ``seal_key``, if that is set.

    `upgrade` does it as well. Raises UsageError if they check the seal of another key.
    """
    settings = _settings_of(database)
    if (key := settings.seal) is not None:
        await run_as_owner(settings, partial(seal.put, key=key))


async def unseal_user_ids(database: Database | Settings) -> None:
    """Make the policies accept the user id of a unit without a seal again."""
    await run_as_owner(_settings_of(database), seal.take_off)


async def downgrade(
    database: Database | Settings, revision: str, *, may_lose_data: bool = False
) -> None:
    """Take the schema back to ``revision``, or to nothing with "base".

    Raises UsageError, before anything is done, if data would be lost and ``may_lose_data`` does
    not confirm it, or if a newer version of the package has migrated the schema. Other errors are
    those of `upgrade`.
    """
    found = await _revision_to_change(database)
    if found is not None and not knows(found):
        raise UsageError(f"{describe_newer(found)}; only that version can take it back")
    await _run_command(database, command.downgrade, revision, may_lose_data=may_lose_data)


async def current(database: Database | Settings) -> str | None:
    """Return the revision of the schema, or None if it was never migrated."""
    settings = _settings_of(database)
    with errors_mapped(settings):
        connection = await open_with_mapped_errors(settings.of_owner)
        try:
            return await revision_of(connection)
        finally:
            connection.terminate()


async def check(database: Database | Settings) -> list[str]:
    """Return how the schema differs from the models, a line for each difference."""
    settings = for_migrations(_settings_of(database))
    engine = create_migration_engine(settings)
    with errors_mapped(settings):
        async with engine.connect() as connection:
            return await connection.run_sync(differences)


def offline_sql(revision: str = "head") -> str:
    """Return the SQL of `upgrade` for an empty database, without a connection.

    Raises UsageError for an unknown revision.
    """
    buffer = StringIO()
    config = alembic_config()
    config.output_buffer = buffer
    try:
        with alembic_lock:
            command.upgrade(config, revision, sql=True)
    except CommandError as error:
        raise UsageError(f"Alembic refused: {error}") from error
    return buffer.getvalue()


async def invalid_indexes(connection: DriverConnection) -> list[str]:
    """Return the names of the schema's invalid indexes.

    The server maintains them and never reads them. An interrupted CREATE INDEX CONCURRENTLY leaves
    such an index.
    """
    return [row["name"] for row in await connection.fetch(INVALID_INDEXES)]


async def _revision_to_change(database: Database | Settings) -> str | None:
    """Return the revision of the schema.

    Raises UsageError if there are tables without one.
    """
    settings = _settings_of(database)
    with errors_mapped(settings):
        connection = await open_with_mapped_errors(settings.of_owner)
        try:
            # In this order: another process may create both meanwhile, in one transaction.
            has_tables = await connection.fetchval(FIND_TABLES)
            revision = await revision_of(connection)
        finally:
            connection.terminate()
    if has_tables and revision is None:
        raise UsageError(describe_unknown())
    return revision


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


async def _check_indexes(settings: Settings) -> None:
    """Raise DatabaseError for an invalid index of faceplate's.

    No later revision would rebuild it.
    """
    ours = {str(name) for table in Base.metadata.tables.values() for name in _index_names(table)}
    with errors_mapped(settings):
        connection = await open_with_mapped_errors(settings)
        try:
            found = await invalid_indexes(connection)
        finally:
            connection.terminate()
    if invalid := [f"{SCHEMA}.{name}" for name in found if name in ours]:
        advice = "; ".join(f"REINDEX INDEX CONCURRENTLY {name}" for name in invalid)
        raise DatabaseError(f"indexes are invalid and slow down reads and writes; run: {advice}")


def _index_names(table: Table) -> Iterator[object]:
    yield from (index.name for index in table.indexes)
    yield from (constraint.name for constraint in table.constraints)


async def _grant_units_role(settings: Settings) -> None:
    login = settings.login
    if settings.owner_url is not None and login is not None and settings.row_level_security:
        await run_as_owner(settings, partial(unit_login.grant_role, login=login))


def _settings_of(database: Database | Settings) -> Settings:
    return database if isinstance(database, Settings) else database.settings
