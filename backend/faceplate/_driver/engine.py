"""The one place where connections and engines are made."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool, PoolResetState

from faceplate._driver import passwords, pgbouncer, pipelining
from faceplate._driver.connection import Connection
from faceplate._driver.error_mapping import DRIVER_ERRORS, causes, translate_connect
from faceplate._driver.pool import Pool
from faceplate._driver.preamble import ROLE
from faceplate._driver.session_effects import compiled_changes_session
from faceplate._driver.session_state import CLEAN_AHEAD, ROLLBACK_CLEAN
from faceplate._driver.threads import run_in_thread
from faceplate._driver.wire import DriverLoop
from faceplate._tracebacks import remove_library_frames
from faceplate.column_types import dump_json
from faceplate.config import Settings
from faceplate.errors import CannotConnect, FaceplateError

UNIT = "faceplate_unit"
"""The execution option by which a statement finds the unit whose session sent it."""
KNOWN = "faceplate_known"
"""The execution option of text that leaves nothing in its session."""


class Dialect(PGDialect_asyncpg):
    """SQLAlchemy's asyncpg dialect with a ping that is free on a warm connection.

    JSON is encoded and decoded by the driver's codecs, set once for each connection, so that
    a statement run through SQLAlchemy and one run on the driver see the same Python values.
    """

    supports_statement_cache = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            **kwargs, json_serializer=_as_is, json_deserializer=_as_is
        )

    async def setup_asyncpg_json_codec(self, conn: Any) -> None:
        await _set_codec(conn.driver_connection, "json", prefix=b"")

    async def setup_asyncpg_jsonb_codec(self, conn: Any) -> None:
        await _set_codec(conn.driver_connection, "jsonb", prefix=b"\x01")

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _run(partial(cursor.execute, statement, parameters), cursor, statement, context)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        _run(partial(cursor.executemany, statement, parameters), cursor, statement, context)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        _run(partial(cursor.execute, statement), cursor, statement, context)

    def do_ping(self, dbapi_connection: Any) -> bool:
        driver: Connection = dbapi_connection.driver_connection
        is_trusted, driver.is_trusted = driver.is_trusted, False
        if is_trusted:  # it is leased: where it was lost since then, its unit has to hear of it
            return True
        if driver.is_closed():
            return False
        if driver.is_quiet():
            return True
        try:
            dbapi_connection.run_async(lambda _: driver.ping())
        except FaceplateError:
            return False
        return True


registry.register("postgresql.faceplate", __name__, Dialect.__name__)


def create_engine(settings: Settings, *, powerless: bool = True) -> AsyncEngine:
    """Return the pooled engine over ``settings``. Nothing connects before it is used.

    Its connections are in AUTOCOMMIT: whoever wants a transaction says BEGIN (`Database`), or
    asks SQLAlchemy for it with ``execution_options(isolation_level=...)``. ``powerless`` ones have
    the role of units, and see no row before a transaction says whom it is for.
    """
    engine = _create_engine(
        partial(open_pooled_connection, settings, powerless=powerless),
        prepares=not settings.pgbouncer,
        poolclass=Pool,
        max_waiting=settings.max_waiting,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout_s,
        pool_pre_ping=True,
        pool_use_lifo=True,  # the connection used last is the one known to be alive
    )
    event.listen(engine.sync_engine, "reset", _take_back)
    event.listen(engine.sync_engine, "handle_error", _keep_connection)
    return engine


def _keep_connection(failure: ExceptionContext) -> None:
    """Let a unit go on after it has cancelled a statement of its session, as by a time limit.

    SQLAlchemy would throw the connection away; the unit finds out how it stands.
    """
    context = failure.execution_context
    if context is not None and context.execution_options.get(UNIT) is not None:
        failure.is_disconnect &= isinstance(failure.original_exception, Exception)


def _take_back(connection: Any, _record: Any, state: PoolResetState) -> None:
    """Take back what a plain session left on its connection, before the pool gets it."""
    driver: Connection = connection.driver_connection
    if not driver.must_take_back or driver.is_closed():
        return
    if driver.is_spent or state.terminate_only or not state.asyncio_safe:
        driver.terminate()
        return
    try:
        connection.rollback()
        connection.run_async(lambda _: driver.take_back())
    except FaceplateError:
        driver.terminate()


def create_migration_engine(settings: Settings) -> AsyncEngine:
    """Return an engine without a pool, for migrations and for looking at the schema.

    Its search_path is fixed: a role that is called like the schema would have that schema as its
    default one, and reflection leaves the name of a default schema out.
    """

    async def connect() -> Connection:
        asked = settings.server_settings | {"search_path": "public"}
        with pgbouncer.refused(settings, pgbouncer.GO_ROUND):
            return await _connect(settings, asked, partial(pgbouncer.prove_settings, asked))

    async def connect_or_say_why() -> Connection:
        return await translated(connect(), settings)

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
    own: sa.Select[Any] = sa.select(sa.literal_column(calls)).execution_options(**{KNOWN: True})

    @event.listens_for(transactional.sync_engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.execute(own)

    if settings.pgbouncer:
        event.listen(transactional.sync_engine, "commit", partial(_clean, CLEAN_AHEAD))
        event.listen(transactional.sync_engine, "rollback", partial(_clean, ROLLBACK_CLEAN))
    return transactional


def _clean(sql: str, connection: sa.Connection) -> None:
    """Take back what text has left before the pooler gives the server to another client."""
    dbapi: Any = connection.connection.dbapi_connection
    driver: Connection = dbapi.driver_connection
    if not driver.must_take_back or driver.is_closed():
        return
    try:
        dbapi.run_async(lambda _: driver.call(driver.execute, sql))
    except BaseException:
        driver.terminate()  # the pooler then throws the server's connection away
        raise
    driver.must_take_back = False


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


async def open_connection(settings: Settings) -> Connection:
    """Return a new connection, within ``connect_timeout_s``.

    Raises CannotConnect where there is a pooler in between of which the settings do not know. The
    driver's own errors leave as they are: OSError, TimeoutError, asyncpg.PostgresError.
    """
    asked = settings.server_settings
    if settings.pgbouncer:
        return await _connect(settings, asked)
    with pgbouncer.refused(settings, pgbouncer.SAY_SO):
        return await _connect(settings, asked, pgbouncer.prove_own_backend)


async def translated(connecting: Coroutine[Any, Any, Connection], settings: Settings) -> Connection:
    """Return the connection, or raise faceplate's error for one that could not be made."""
    try:
        return await connecting
    except DRIVER_ERRORS as error:
        limit_s = settings.connect_timeout_s
        failure = translate_connect(error, target=settings.target, limit_s=limit_s)
    raise failure


async def open_pooled_connection(settings: Settings, *, powerless: bool) -> Connection:
    """Return a new connection; a ``powerless`` one has the role of units from its first moment.

    Behind a pooler a role does not last, so there each transaction says it. The level of isolation
    is that of units, whatever the database's default is, also for a statement by itself.

    Raises as `open_connection` does, and CannotConnect where the role cannot be had.
    """
    if settings.pgbouncer:
        return await open_connection(settings)
    asked = settings.server_settings | {"default_transaction_isolation": "read committed"}
    if powerless and settings.row_level_security:
        asked["role"] = ROLE
    failure = None
    with pgbouncer.refused(settings, pgbouncer.SAY_SO):
        try:
            return await _connect(settings, asked, pgbouncer.prove_own_backend)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _NO_ROLE:
                raise
            failure = CannotConnect(
                f"{settings.target}: {_NO_ROLE[error.sqlstate]}", sqlstate=error.sqlstate
            )
    raise failure


_NO_ROLE = {
    "22023": f"the role {ROLE} is not there: run `faceplate migrate`",
    "42501": f"the login may not become the role {ROLE}: GRANT {ROLE} TO it",
}


async def _connect(
    settings: Settings,
    server_settings: dict[str, str],
    prove: Callable[[Connection], Awaitable[None]] | None = None,
) -> Connection:
    """Return a new connection, or raise the driver's error without the driver's frames.

    Those hold the password. What is raised inside of ``except`` would have them as its context.
    """
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            return await _attempt(settings, server_settings, prove)
    except BaseException as error:  # noqa: BLE001 - raised below, a cancellation as well
        failure = error
    if any(isinstance(cause, UnicodeError) for cause in causes(failure)):
        failure = CannotConnect(f"{settings.target}: {_NOT_TEXT}")  # theirs quotes the password
    try:
        remove_library_frames(failure)
        raise failure
    finally:
        del failure  # which holds this frame


_NOT_TEXT = "the user, the password or another part of the login is not text that UTF-8 can say"


async def _attempt(
    settings: Settings,
    server_settings: dict[str, str],
    prove: Callable[[Connection], Awaitable[None]] | None,
) -> Connection:
    begun_s = time.monotonic()
    loop = DriverLoop(asyncio.get_running_loop()) if pipelining.is_possible(settings) else None
    hosts = settings.hosts
    found = await asyncio.gather(*map(_resolve, hosts), return_exceptions=True)
    unknown = [failure for failure in found if failure is not None]
    if unknown and len(unknown) == len(hosts):
        raise unknown[0]
    connection: Connection = await asyncpg.connect(
        settings.dsn,
        password=await passwords.ask_for(settings.password),
        loop=cast("asyncio.AbstractEventLoop | None", loop),
        connection_class=Connection,
        command_timeout=settings.command_timeout_s or None,
        server_settings=server_settings,
        statement_cache_size=0 if settings.pgbouncer else 100,
    )
    connection.set_up(settings, begun_s, loop.wire if loop else None)
    if prove is not None:
        try:
            await prove(connection)
        except BaseException:
            connection.terminate()
            raise
    return connection


async def _resolve(host: str) -> None:
    """Look ``host`` up in a thread that nobody waits for. Raises OSError where it is unknown."""
    with contextlib.suppress(ValueError):
        ip_address(host)
        return
    await run_in_thread(partial(_look_up, host), name="faceplate-resolve")


def _look_up(host: str) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # a part of the name is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "not the name of a host") from None


def _run(run: Callable[[], None], cursor: Any, sql: str, context: Any) -> None:
    """Run what goes through SQLAlchemy, in the unit whose session sent it, and log it."""
    unit = None if context is None else context.execution_options.get(UNIT)
    driver: Connection = cursor._connection  # noqa: SLF001 - has no other name
    started_s = time.monotonic()
    try:
        if unit is None:
            if not _is_known(context, sql):
                driver.note_text(sql)
            run()
        else:
            unit.run_in_session(run, cursor, sql, context)
    finally:
        driver.log(sql, time.monotonic() - started_s)


def _is_known(context: Any, sql: str) -> bool:
    """Return whether a statement leaves nothing in its session."""
    if context is not None and context.execution_options.get(KNOWN):
        return True
    return not compiled_changes_session(getattr(context, "compiled", None), sql)


async def _set_codec(driver: Connection, name: str, *, prefix: bytes) -> None:
    def encode(value: Any) -> bytes:
        return prefix + dump_json(value)

    def decode(data: bytes) -> Any:
        return orjson.loads(data[len(prefix) :])

    await driver.set_type_codec(
        name, schema="pg_catalog", format="binary", encoder=encode, decoder=decode
    )


def _as_is(value: Any) -> Any:
    return value


DIALECT: sa.Dialect = Dialect()
"""For compiling statements ahead of any connection."""
