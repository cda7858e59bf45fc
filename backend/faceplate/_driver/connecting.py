"""How one connection is made: the name resolved, the password asked for, the pooler recognised."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import asyncpg

from faceplate._driver import passwords, pgbouncer, pipelining, server_version
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS, error_chain
from faceplate._driver.error_mapping import map_connect_error
from faceplate._driver.preamble import ROLE
from faceplate._driver.threads import run_in_thread
from faceplate._driver.wire import DriverLoop
from faceplate._tracebacks import remove_library_frames
from faceplate.config import Settings
from faceplate.errors import CannotConnect


async def open_connection(settings: Settings) -> Connection:
    """Return a new connection, within ``connect_timeout_s``.

    Raises CannotConnect where the server is too old (`server_version`), or where there is a pooler
    in between of which the settings do not know. The driver's own errors leave as they are:
    OSError, TimeoutError, asyncpg.PostgresError.
    """
    asked = settings.server_settings
    if settings.pgbouncer:
        return await connect(settings, asked)
    with pgbouncer.detect_pooler(settings, pgbouncer.ENABLE_SETTING):
        return await connect(settings, asked, pgbouncer.check_backend_pid)


async def with_mapped_errors(
    connecting: Coroutine[Any, Any, Connection], settings: Settings
) -> Connection:
    """Return the connection, or raise faceplate's error for one that could not be made."""
    try:
        return await connecting
    except DRIVER_ERRORS as error:
        limit_s = settings.connect_timeout_s
        failure = map_connect_error(error, target=settings.target, limit_s=limit_s)
    raise failure


async def open_pooled_connection(settings: Settings, *, units_role: bool) -> Connection:
    """Return a new connection; a ``units_role`` one has the role of units from its first moment.

    Behind a pooler a role does not last, so there each transaction says it. The level of isolation
    is that of units, whatever the database's default is, also for a statement by itself.

    Raises as `open_connection` does, and CannotConnect where the role cannot be had.
    """
    if settings.pgbouncer:
        return await open_connection(settings)
    asked = settings.server_settings | {"default_transaction_isolation": "read committed"}
    if units_role and settings.row_level_security:
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
    "22023": f"the role {ROLE} is not there: run `faceplate migrate`",
    "42501": f"the login may not become the role {ROLE}: GRANT {ROLE} TO it",
}


async def connect(
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
    if any(isinstance(cause, UnicodeError) for cause in error_chain(failure)):
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
        password=await passwords.resolve(settings.password),
        loop=cast("asyncio.AbstractEventLoop | None", loop),
        connection_class=Connection,
        command_timeout=settings.command_timeout_s or None,
        server_settings=server_settings,
        statement_cache_size=0 if settings.pgbouncer else 100,
    )
    # The server has said its version unasked, as part of the login.
    version = connection.get_settings().server_version
    if problem := server_version.problem(connection.get_server_version().major, version):
        connection.terminate()
        raise CannotConnect(f"{settings.target}: {problem}")
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
