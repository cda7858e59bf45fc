"""PgBouncer, or a pooler like it, between faceplate and PostgreSQL.

In transaction mode a client gets another server connection for each transaction. What one client
prepares or sets there meets the next one, and the driver's names for prepared statements repeat
in every process: sooner or later a query is answered with the rows of another. So with the setting
``pgbouncer`` nothing outlives a transaction, and without it no pooler is accepted.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from faceplate.config import Settings
from faceplate.errors import CannotConnect

POOLER_FOUND = "PgBouncer or another pooler stands between this program and PostgreSQL"
ENABLE_SETTING = "set FACEPLATE_PGBOUNCER=true"
OTHER_STARTUP_SETTINGS = {"default_transaction_isolation", "role", "search_path"}
"""What some connections ask for at the start beside the settings that all of them ask for."""
USE_DIRECT_URL = "migrations need PostgreSQL itself: give a direct URL in FACEPLATE_MIGRATION_URL"


@contextmanager
def detect_pooler(settings: Settings, remedy: str) -> Iterator[None]:
    """Tell from the error with which a connection ends that there is a pooler in between.

    PgBouncer takes no time limits at the start: it refuses them by name (08P01), unless it was told
    to ignore them; then a proof divides by zero. No PostgreSQL says either to a new connection. Any
    other 08P01, such as that of a pooler at its limit, leaves as it is.
    """
    try:
        yield
    except (asyncpg.ProtocolViolationError, asyncpg.DivisionByZeroError) as error:
        if isinstance(error, asyncpg.ProtocolViolationError) and not _names_one(settings, error):
            raise
        raise CannotConnect(
            f"{settings.target}: {POOLER_FOUND}; {remedy}", sqlstate=error.sqlstate
        ) from None


def _names_one(settings: Settings, error: asyncpg.PostgresError) -> bool:
    """Whether the refusal ends with the name of a setting that was asked for at the start."""
    words = str(error).partition("\n")[0].split()
    named = words[-1].strip("\"'") if words else ""
    return named.lower() in settings.server_settings.keys() | OTHER_STARTUP_SETTINGS


async def check_backend_pid(driver: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Fail unless the server process is the one that the connection was promised.

    A pooler makes up the process id that it promises. In one message and without a prepared
    statement, since behind a pooler that would do the harm that is looked for.
    """
    await driver.execute(f"SELECT 1 / (pg_backend_pid() = {driver.get_server_pid()})::int")


async def check_startup_settings(
    asked: dict[str, str], driver: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Fail unless the connection was begun as it was asked to be.

    A migration needs no more, and some hosts that give PostgreSQL itself make up process ids too.
    """
    lock_timeout = "(SELECT setting FROM pg_settings WHERE name = 'lock_timeout')"
    await driver.execute(f"SELECT 1 / ({lock_timeout} = '{asked['lock_timeout']}')::int")
