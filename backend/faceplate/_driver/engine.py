"""The one place where engines are made: the pooled one, and that of migrations."""

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


def create_engine(settings: Settings, *, units_role: bool = True) -> AsyncEngine:
    """Return the pooled engine over ``settings``. Nothing connects before it is used.

    Its connections are in AUTOCOMMIT: whoever wants a transaction says BEGIN (`Database`), or
    asks SQLAlchemy for it with ``execution_options(isolation_level=...)``. ``units_role`` ones have
    the role of units, and see no row before a transaction says whom it is for.
    """
    engine = _create_engine(
        partial(open_pooled_connection, settings, units_role=units_role),
        prepares=not settings.pgbouncer,
        poolclass=Pool,
        max_waiting=settings.max_waiting,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout_s,
        pool_pre_ping=True,
        pool_use_lifo=True,  # the connection used last is the one known to be alive
    )
    event.listen(engine.sync_engine, "reset", _reset_session)
    event.listen(engine.sync_engine, "handle_error", _keep_connection)
    return engine


def _keep_connection(failure: ExceptionContext) -> None:
    """Let a unit go on after it has cancelled a statement of its session, as by a time limit.

    SQLAlchemy would throw the connection away; the unit finds out how it stands.
    """
    context = failure.execution_context
    if context is not None and context.execution_options.get(UNIT) is not None:
        failure.is_disconnect &= isinstance(failure.original_exception, Exception)


def _reset_session(connection: Any, _record: Any, state: PoolResetState) -> None:
    """Take back what a plain session left on its connection, before the pool gets it."""
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
    """Return an engine without a pool, for migrations and for looking at the schema.

    Its search_path is fixed: a role that is called like the schema would have that schema as its
    default one, and reflection leaves the name of a default schema out.
    """

    async def open_one() -> Connection:
        asked = settings.server_settings | {"search_path": "public"}
        with pgbouncer.detect_pooler(settings, pgbouncer.USE_DIRECT_URL):
            return await connect(settings, asked, partial(pgbouncer.check_startup_settings, asked))

    async def connect_or_say_why() -> Connection:
        return await with_mapped_errors(open_one(), settings)

    return _create_engine(connect_or_say_why, prepares=True, poolclass=NullPool)


def create_transactional_engine(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """Return ``engine`` for SQLAlchemy's own transactions, which run as the login's own role.

    A round trip for each, since SQLAlchemy's BEGIN has no room for the role and the time limits
    that a connection cannot have.
    """
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    # As `preamble.begin_across_users`, for a BEGIN that SQLAlchemy sends.
    asked = settings.transaction_settings | {"role": "none", "row_security": "off"}
    calls = ", ".join(
        f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in asked.items()
    )
    own: sa.Select[Any] = sa.select(sa.literal_column(calls)).execution_options(
        **{SESSION_UNCHANGED: True}
    )

    @event.listens_for(transactional.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.execute(own)

    if settings.pgbouncer:
        event.listen(transactional.sync_engine, "commit", partial(_clean, RESET_BEFORE_COMMIT))
        event.listen(transactional.sync_engine, "rollback", partial(_clean, ROLLBACK_AND_RESET))
    return transactional


def _clean(sql: str, connection: sa.Connection) -> None:
    """Take back what text has left before the pooler gives the server to another client."""
    dbapi: Any = connection.connection.dbapi_connection
    driver: Connection = dbapi.driver_connection
    if not driver.must_reset_session or driver.is_closed():
        return
    try:
        dbapi.run_async(lambda _: driver.call(driver.execute, sql))
    except BaseException:
        driver.terminate()  # the pooler then throws the server's connection away
        raise
    driver.must_reset_session = False


def _create_engine(
    connect: Callable[[], Awaitable[Connection]], *, prepares: bool, **pool: Any
) -> AsyncEngine:
    def create() -> Any:
        # As create_async_engine does with an async_creator, which has no room for an argument.
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
    logging.getLogger("sqlalchemy.engine.Engine.faceplate").addFilter(_is_no_row)
    return engine


def _is_no_row(record: logging.LogRecord) -> bool:
    """Whether ``record`` is of a statement: at DEBUG, SQLAlchemy logs each row that it reads."""
    return record.levelno > logging.DEBUG
