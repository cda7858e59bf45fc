"""The one place where connections and engines are made."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from faceplate import passwords, pgbouncer
from faceplate.column_types import dump_json
from faceplate.config import Settings
from faceplate.connection import Connection
from faceplate.pool import Pool
from faceplate.threads import run_in_thread
from faceplate.timers import LoopWithCheapTimers
from faceplate.traceback_frames import remove_library_frames


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
        _announce(cursor, context)
        _log(cursor.execute, cursor, statement, parameters)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        _announce(cursor, context)
        _log(cursor.executemany, cursor, statement, parameters)

    def do_execute_no_params(self, cursor: Any, statement: str, _context: Any = None) -> None:
        _log(cursor.execute, cursor, statement)

    def do_ping(self, dbapi_connection: Any) -> bool:
        driver: Connection = dbapi_connection.driver_connection
        if driver.is_closed():
            return False
        is_trusted, driver.is_trusted = driver.is_trusted, False
        if is_trusted or driver.is_quiet():
            return True
        try:
            dbapi_connection.run_async(lambda _: driver.ping())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        except asyncpg.InternalClientError:  # the server has said that it goes, not yet gone
            return False
        return True


registry.register("postgresql.faceplate", __name__, Dialect.__name__)


def create_engine(settings: Settings) -> AsyncEngine:
    """Return the pooled engine over ``settings``. Nothing connects before it is used.

    Its connections are in AUTOCOMMIT: whoever wants a transaction says BEGIN (`Database`), or
    asks SQLAlchemy for it with ``execution_options(isolation_level=...)``.
    """
    return _create_engine(
        partial(open_connection, settings),
        prepares=not settings.pgbouncer,
        poolclass=Pool,
        max_waiting=settings.max_waiting,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout_s,
        pool_pre_ping=True,
        pool_use_lifo=True,  # the connection used last is the one known to be alive
    )


def create_migration_engine(settings: Settings) -> AsyncEngine:
    """Return an engine without a pool, for migrations and for looking at the schema.

    Its search_path is fixed: a role that is called like the schema would have that schema as its
    default one, and reflection leaves the name of a default schema out.
    """

    async def connect() -> Connection:
        asked = settings.server_settings | {"search_path": "public"}
        with pgbouncer.refused(settings, pgbouncer.GO_ROUND):
            return await _connect(settings, asked, partial(pgbouncer.prove_settings, asked))

    return _create_engine(connect, prepares=True, poolclass=NullPool)


def create_transactional_engine(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """Return ``engine`` for those who let SQLAlchemy begin and commit, over the same pool."""
    transactional = engine.execution_options(isolation_level="READ COMMITTED")
    if settings.pgbouncer:
        pgbouncer.limit_transactions(transactional, settings)
    return transactional


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
    try:
        remove_library_frames(failure)
        raise failure
    finally:
        del failure  # which holds this frame


async def _attempt(
    settings: Settings,
    server_settings: dict[str, str],
    prove: Callable[[Connection], Awaitable[None]] | None,
) -> Connection:
    loop = asyncio.get_running_loop()
    hosts = settings.hosts
    found = await asyncio.gather(*map(_resolve, hosts), return_exceptions=True)
    unknown = [failure for failure in found if failure is not None]
    if unknown and len(unknown) == len(hosts):
        raise unknown[0]
    connection: Connection = await asyncpg.connect(
        settings.dsn,
        password=await passwords.ask_for(settings.password),
        loop=cast("asyncio.AbstractEventLoop", LoopWithCheapTimers(loop)),
        connection_class=Connection,
        command_timeout=settings.command_timeout_s or None,
        server_settings=server_settings,
        statement_cache_size=0 if settings.pgbouncer else 100,
    )
    connection.set_up(settings)
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


def _announce(cursor: Any, context: Any) -> None:
    """Send what has to go ahead of the first statement that writes."""
    if context is not None and (context.isinsert or context.isupdate or context.isdelete):
        cursor._connection.send_ahead_of_write()  # noqa: SLF001 - has no other name


def _log(run: Callable[..., object], cursor: Any, sql: str, *values: Any) -> None:
    """Run what goes through SQLAlchemy, and log it as its connection logs what does not."""
    started_s = time.monotonic()
    try:
        run(sql, *values)
    finally:
        cursor._connection.log(sql, time.monotonic() - started_s)  # noqa: SLF001 - has no other name


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
