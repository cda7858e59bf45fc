"""Makes one connection: resolves the host, gets the password, detects a pooler."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import asyncpg

from faceplate._driver import citus, passwords, pgbouncer, pipelining, server_version
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS, error_chain
from faceplate._driver.error_mapping import map_connect_error
from faceplate._driver.preamble import ROLE, UNIT
from faceplate._driver.threads import run_in_thread
from faceplate._driver.unprepared import Descriptions, UnpreparedConnection
from faceplate._driver.wire import DriverLoop
from faceplate._tracebacks import remove_library_frames
from faceplate.config import Settings
from faceplate.errors import CannotConnect


def _check_nothing(_connection: Connection) -> str:
    return "SELECT 1"


async def open_connection(settings: Settings) -> Connection:
    """Return a new connection, within ``connect_timeout_s``.

    Raises CannotConnect if the server is too old (`server_version`), or if there is a pooler in
    between and the settings do not say so. The driver's own errors are raised unchanged: OSError,
    TimeoutError, asyncpg.PostgresError.
    """
    asked = settings.server_settings
    if settings.pgbouncer:
        return await connect(settings, asked, _check_nothing)
    with pgbouncer.detect_pooler(settings, pgbouncer.ENABLE_SETTING):
        return await connect(settings, asked, pgbouncer.check_backend_pid)


async def with_mapped_errors(
    connecting: Coroutine[Any, Any, Connection], settings: Settings
) -> Connection:
    """Return the new connection, or raise faceplate's error for the driver's."""
    try:
        return await connecting
    except DRIVER_ERRORS as error:
        limit_s = settings.connect_timeout_s
        failure = map_connect_error(error, target=settings.target, limit_s=limit_s)
    raise failure


async def open_pooled_connection(
    settings: Settings, *, units_role: bool, descriptions: Descriptions | None = None
) -> Connection:
    """Return a new connection for the pool; with ``units_role``, as `ROLE`.

    The isolation level is READ COMMITTED also for a statement outside of a transaction, whatever
    the database's default. Behind a pooler neither lasts: each transaction sets the role, and a
    statement outside of one has the database's level. There ``descriptions`` are the pool's.

    Raises as `open_connection` does, and CannotConnect if the login cannot use the role.
    """
    is_unit = units_role and settings.row_level_security
    if settings.pgbouncer:  # `open_connection` has found out at the start where it leads
        connection = await connect(settings, settings.server_settings, None)
        if connection.is_pipelined:
            unprepared = cast("UnpreparedConnection", connection)
            unprepared.share({} if descriptions is None else descriptions, UNIT if is_unit else ())
        return connection
    asked = settings.server_settings | {"default_transaction_isolation": "read committed"}
    if is_unit:
        asked["role"] = ROLE
    failure = None
    with pgbouncer.detect_pooler(settings, pgbouncer.ENABLE_SETTING):
        try:
            return await connect(settings, asked, pgbouncer.check_backend_pid)
        except asyncpg.PostgresError as error:
            if error.sqlstate not in _NO_ROLE:
                raise
            failure = CannotConnect(
                f"{settings.target}: {_NO_ROLE[error.sqlstate]}", sqlstate=error.sqlstate
            )
    raise failure


_NO_ROLE = {
    "22023": f"the role {ROLE} does not exist: run `faceplate migrate`",
    "42501": f"the login may not use the role {ROLE}: GRANT {ROLE} TO it",
}


async def connect(
    settings: Settings,
    server_settings: dict[str, str],
    check: Callable[[Connection], str] | None,
) -> Connection:
    """Return a new connection, or raise the error without the driver's frames.

    Those frames hold the password. ``check`` returns a query of one row, which fails if the new
    connection must not be used. Without it, nothing is asked.
    """
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            return await _connect(settings, server_settings, check)
    except BaseException as error:  # noqa: BLE001 - raised below, where it is not the context
        failure = error
    if any(isinstance(cause, UnicodeError) for cause in error_chain(failure)):
        failure = CannotConnect(f"{settings.target}: {_NOT_TEXT}")  # asyncpg's has the password
    try:
        remove_library_frames(failure)
        raise failure
    finally:
        del failure  # its traceback holds this frame


_TWO_ROWS = "SELECT 2"
_NOT_TEXT = "the user, the password or another part of the login is not valid UTF-8 text"


async def _connect(
    settings: Settings,
    server_settings: dict[str, str],
    check: Callable[[Connection], str] | None,
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
        password=await passwords.resolve(settings.password),
        loop=cast("asyncio.AbstractEventLoop | None", loop),
        connection_class=UnpreparedConnection if settings.pgbouncer and loop else Connection,
        command_timeout=settings.command_timeout_s or None,
        server_settings=server_settings,
        statement_cache_size=0 if settings.pgbouncer else 100,
    )
    # The server reports its version during the login.
    version = connection.get_settings().server_version
    if problem := server_version.problem(connection.get_server_version().major, version):
        connection.terminate()
        raise CannotConnect(f"{settings.target}: {problem}")
    connection.set_up(settings, begun_s, loop.wire if loop else None)
    if check is None:
        return connection
    try:
        status = await connection.execute(f"{check(connection)} UNION ALL {citus.IS_THERE}")
    except BaseException:
        connection.terminate()
        raise
    if status != _TWO_ROWS:
        return connection
    connection.is_citus = True
    if citus.SETTINGS.items() <= server_settings.items():
        return connection
    connection.terminate()
    if settings.pgbouncer:
        raise CannotConnect(f"{settings.target}: {citus.NO_POOLER}")
    return await _connect(settings, server_settings | citus.SETTINGS, check)


async def _resolve(host: str) -> None:
    """Look ``host`` up in a daemon thread. Raises OSError if it is unknown."""
    with contextlib.suppress(ValueError):
        ip_address(host)
        return
    await run_in_thread(partial(_look_up, host), name="faceplate-resolve")


def _look_up(host: str) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # a part of the name is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "not a valid host name") from None
