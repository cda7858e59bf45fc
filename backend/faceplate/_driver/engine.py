"""Makes SQLAlchemy's engines: the pooled one, and the one of migrations."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, PoolResetState

from faceplate._driver import pgbouncer
from faceplate._driver.connecting import connect, open_pooled_connection, with_mapped_errors
from faceplate._driver.connection import Connection
from faceplate._driver.dialect import SESSION_UNCHANGED, UNIT
from faceplate._driver.pool import Pool
from faceplate._driver.session_state import RESET_BEFORE_COMMIT, ROLLBACK_AND_RESET
from faceplate.config import Settings
from faceplate.errors import FaceplateError

Admit = Callable[[Callable[[], Awaitable[Connection]]], Awaitable[Connection]]


def create_engine(
    settings: Settings,
    *,
    units_role: bool = True,
    admit: Admit | None = None,
) -> AsyncEngine:
    """Return the pooled engine for ``settings``. It connects when it is first used.

    Its connections are in AUTOCOMMIT: `Database` sends BEGIN itself, and other code asks SQLAlchemy
    for it by ``execution_options(isolation_level=...)``. With ``units_role``, connections have the
    role `ROLE`, and see no row before a transaction sets its user. ``admit`` is called with what
    makes a connection, and may refuse to make or to return one.
    """

    def open_one() -> Awaitable[Connection]:
        pool: Any = engine.sync_engine.pool
        connect = partial(
            open_pooled_connection,
            settings,
            units_role=units_role,
            descriptions=pool.descriptions,
        )
        return connect() if admit is None else admit(connect)

    engine = _create_engine(
        open_one,
        prepares=not settings.pgbouncer,
        poolclass=Pool,
        max_waiting=settings.max_waiting,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout_s,
        pool_pre_ping=True,
    )
    event.listen(engine.sync_engine, "reset", _reset_session)
    event.listen(engine.sync_engine, "handle_error", _keep_connection)
    return engine


def _keep_connection(failure: ExceptionContext) -> None:
    """Keep a unit's connection after the cancellation of a session's statement.

    SQLAlchemy would invalidate it. The unit resynchronizes instead and can go on, as after an
    `asyncio.timeout` around the statement.
    """
    context = failure.execution_context
    if context is not None and context.execution_options.get(UNIT) is not None:
        failure.is_disconnect &= isinstance(failure.original_exception, Exception)


def _reset_session(connection: Any, _record: Any, state: PoolResetState) -> None:
    """Reset the server's session of a plain ORM session at check-in."""
    driver: Connection = connection.driver_connection
    if not driver.must_reset_session or driver.is_closed():
        return
    if driver.must_close or state.terminate_only or not state.asyncio_safe:
        driver.terminate()
        return
    try:
        connection.rollback()
        connection.run_async(lambda _: driver.reset_session())
    except FaceplateError:
        driver.terminate()


def create_migration_engine(settings: Settings) -> AsyncEngine:
    """Return an engine without a pool, for migrations and for reading the schema.

    Its search_path is fixed. Otherwise a role with the schema's name would have that schema as its
    default, and reflection omits the name of a default schema.
    """

    async def open_one() -> Connection:
        asked = settings.server_settings | {"search_path": "public"}
        with pgbouncer.detect_pooler(settings, pgbouncer.USE_DIRECT_URL):
            return await connect(settings, asked, partial(pgbouncer.check_startup_settings, asked))

    async def open_with_mapped_errors() -> Connection:
        return await with_mapped_errors(open_one(), settings)

    return _create_engine(open_with_mapped_errors, prepares=True, poolclass=NullPool)


def create_transactional_engine(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """Return ``engine`` for SQLAlchemy's transactions, as the login's own role.

    Each transaction takes one round trip more, because SQLAlchemy's BEGIN can carry neither the
    role nor the time limits that a connection cannot have.
    """
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    # The same settings as in `preamble.begin_across_users`.
    asked = settings.transaction_settings | {"role": "none", "row_security": "off"}
    calls = ", ".join(
        f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in asked.items()
    )
    set_role: sa.Select[Any] = sa.select(sa.literal_column(calls)).execution_options(
        **{SESSION_UNCHANGED: True}
    )

    @event.listens_for(transactional.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.execute(set_role)

    if settings.pgbouncer:
        event.listen(
            transactional.sync_engine, "commit", partial(_reset_in_transaction, RESET_BEFORE_COMMIT)
        )
        event.listen(
            transactional.sync_engine,
            "rollback",
            partial(_reset_in_transaction, ROLLBACK_AND_RESET),
        )
    return transactional


def _reset_in_transaction(commands: tuple[str, ...], connection: sa.Connection) -> None:
    """Reset the server's session before a pooler gives it to another client."""
    dbapi: Any = connection.connection.dbapi_connection
    driver: Connection = dbapi.driver_connection
    if not driver.must_reset_session or driver.is_closed():
        return
    try:
        dbapi.run_async(lambda _: driver.run_commands(commands))
    except BaseException:
        driver.terminate()  # a pooler closes its connection to the server then, too
        raise
    driver.must_reset_session = False


def _create_engine(
    connect: Callable[[], Awaitable[Connection]], *, prepares: bool, **pool: Any
) -> AsyncEngine:
    def create() -> Any:
        # Like create_async_engine's async_creator, which accepts no argument for the cache.
        dbapi: Any = engine.dialect.dbapi
        return dbapi.connect(
            async_creator_fn=connect, prepared_statement_cache_size=100 if prepares else 0
        )

    engine = create_async_engine(
        "postgresql+faceplate://",
        creator=create,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        logging_name="faceplate",
        **pool,
    )
    logging.getLogger("sqlalchemy.engine.Engine.faceplate").addFilter(_is_statement)
    return engine


def _is_statement(record: logging.LogRecord) -> bool:
    """Return whether a log record is of a statement. At DEBUG, SQLAlchemy logs rows."""
    return record.levelno > logging.DEBUG
