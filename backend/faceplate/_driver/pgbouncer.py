"""Detects PgBouncer, or another pooler, between faceplate and PostgreSQL.

In transaction mode, a pooler may use another server connection for each transaction of a client.
Prepared statements and settings of one client then meet those of another. The driver gives prepared
statements the same names in every process, so a query could be answered with the rows of another
query. So with the setting ``pgbouncer`` nothing outlives a transaction, and without it a pooler is
refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from faceplate.config import Settings
from faceplate.errors import CannotConnect

POOLER_FOUND = "PgBouncer or another pooler stands between this program and PostgreSQL"
ENABLE_SETTING = "set FACEPLATE_PGBOUNCER=true"
OTHER_STARTUP_SETTINGS = {"default_transaction_isolation", "role", "search_path"}
"""The startup settings of some connections, beside those of all connections."""
USE_DIRECT_URL = "migrations need a direct connection to PostgreSQL: set FACEPLATE_MIGRATION_URL"


@contextmanager
def detect_pooler(settings: Settings, remedy: str) -> Iterator[None]:
    """Raise CannotConnect if a new connection's error shows a pooler.

    PgBouncer does not support our time limits as startup settings. It refuses them by name (08P01),
    or ignores them if it is configured to; then a check divides by zero. PostgreSQL gives neither
    error to a new connection. Any other 08P01, such as that of a pooler at its limit, is raised
    unchanged.
    """
    try:
        yield
    except (asyncpg.ProtocolViolationError, asyncpg.DivisionByZeroError) as error:
        is_refusal = isinstance(error, asyncpg.ProtocolViolationError)
        if is_refusal and not _names_startup_setting(settings, error):
            raise
        raise CannotConnect(
            f"{settings.target}: {POOLER_FOUND}; {remedy}", sqlstate=error.sqlstate
        ) from None


def _names_startup_setting(settings: Settings, error: asyncpg.PostgresError) -> bool:
    """Return whether the error's first line ends with the name of a startup setting."""
    words = str(error).partition("\n")[0].split()
    named = words[-1].strip("\"'") if words else ""
    return named.lower() in settings.server_settings.keys() | OTHER_STARTUP_SETTINGS


def check_backend_pid(driver: "asyncpg.Connection[asyncpg.Record]") -> str:
    """Return a query that divides by zero unless the server process has the driver's pid.

    A pooler invents the pid that it tells its clients. The check is one simple query, because
    behind a pooler a prepared statement could meet that of another client.
    """
    return f"SELECT 1 / (pg_backend_pid() = {driver.get_server_pid()})::int"


def check_startup_settings(
    asked: dict[str, str], _driver: "asyncpg.Connection[asyncpg.Record]"
) -> str:
    """Return a query that divides by zero unless the server has applied the startup settings.

    That is enough for a migration. The check of the pid would fail at some hosting providers, whose
    proxies invent pids although they pass everything else to PostgreSQL.
    """
    lock_timeout = "(SELECT setting FROM pg_settings WHERE name = 'lock_timeout')"
    return f"SELECT 1 / ({lock_timeout} = '{asked['lock_timeout']}')::int"
