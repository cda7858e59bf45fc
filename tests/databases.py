"""Databases over a test's URL with settings of its own, and connections beside their pools."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from pydantic import SecretStr
from sqlalchemy import make_url

from faceplate import Database, Settings

Operator: TypeAlias = "asyncpg.Connection[Any]"
BLOCKED = "SELECT pid FROM pg_locks WHERE NOT granted AND $1 = ANY(pg_blocking_pids(pid))"

# The processes of all nodes, by the number of the node; that of the coordinator is 1.
BLOCKED_ON_CITUS = "SELECT 1 FROM citus_lock_waits WHERE blocking_gpid = 10000000000 + $1"


def settings_of(url: str, **changes: Any) -> Settings:
    return Settings(database_url=SecretStr(url), **changes)


@asynccontextmanager
async def opened(settings: Settings, **changes: Any) -> AsyncIterator[Database]:
    """A Database over the same URL, whose connections have a name of their own."""
    name = f"test {secrets.token_hex(8)}"
    changed = Settings(database_url=settings.database_url, application_name=name, **changes)
    async with Database(changed) as db:
        yield db


@asynccontextmanager
async def outside(settings: Settings) -> AsyncIterator[Operator]:
    """A connection beside the pool, as an operator has one."""
    connection = await asyncpg.connect(settings.dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def hurdle(settings: Settings, sql: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A transaction that has run ``sql``. Await a call of what it yields, until it holds one up."""
    async with outside(settings) as holder, outside(settings) as observer, holder.transaction():
        await holder.execute(sql)
        pid = await holder.fetchval("SELECT pg_backend_pid()")
        is_citus = await observer.fetchval("SELECT to_regclass('citus_lock_waits') IS NOT NULL")
        blocked = BLOCKED_ON_CITUS if is_citus else BLOCKED

        async def is_met() -> None:
            async with asyncio.timeout(60):
                while await observer.fetchval(blocked, pid) is None:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)

        yield is_met


@asynccontextmanager
async def login_of_units(server_url: str, url: str, kind: str) -> AsyncIterator[str]:
    """The URL of a login for units: faceplate_app itself, or a new role that is nothing yet."""
    password = secrets.token_hex()
    name = "faceplate_app" if kind == "faceplate_app" else f"unit_{secrets.token_hex(4)}"
    async with outside(settings_of(server_url)) as admin:
        how = "ALTER" if kind == "faceplate_app" else "CREATE"
        await admin.execute(f"{how} ROLE {name} LOGIN PASSWORD '{password}'")
        try:
            login = make_url(url).set(username=name, password=password)
            yield login.render_as_string(hide_password=False)
        finally:
            undo = "ALTER ROLE {} NOLOGIN PASSWORD NULL" if how == "ALTER" else "DROP ROLE {}"
            await admin.execute(undo.format(name))


@asynccontextmanager
async def temporary_objects(settings: Settings) -> AsyncIterator[None]:
    """Let units make temporary objects, as they can where the database is not the owner's."""
    async with outside(settings) as owner:
        database = await owner.fetchval("SELECT quote_ident(current_database())")
        await owner.execute(f"GRANT TEMPORARY ON DATABASE {database} TO faceplate_app")
        yield
        await owner.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM faceplate_app")


async def end(operator: Operator, pid: int) -> None:
    """End a connection's process and wait until it is gone."""
    assert await operator.fetchval("SELECT pg_terminate_backend($1::integer, 10000)", pid)
