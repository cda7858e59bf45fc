"""Through PgBouncer, text leaves nothing to the client that gets the server connection next."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from tests.databases import settings_of, temporary_objects
from tests.faults.bouncer import PROGRAM, WHY_NOT, bouncer
from tests.faults.servers import OwnServer

from faceplate import Database, FaceplateError, Scope, Statement, SystemScope, User
from faceplate.services import tasks, users

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)

LEAVES = {
    "a temporary table": "CREATE TEMP TABLE left_behind AS SELECT 1 AS a",
    "a cursor WITH HOLD": "DECLARE left_behind CURSOR WITH HOLD FOR SELECT 'of the user'",
    "SET": "SET application_name = 'left behind'",
    "SET search_path": "SET search_path = pg_temp, public",
    "set_config": "SELECT set_config('faceplate.user_id', 'somebody', false)",
    "SET ROLE": "SET ROLE faceplate_app",
    "LISTEN": "LISTEN left_behind",
    "a session lock": "SELECT pg_advisory_lock(42)",
    "PREPARE": "PREPARE left_behind AS SELECT 1",
}
STATE = """
    SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
           (SELECT count(*) FROM pg_cursors WHERE is_holdable),
           (SELECT count(*) FROM pg_listening_channels()),
           (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
           (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
           current_setting('application_name'), current_setting('search_path'),
           coalesce(current_setting('faceplate.user_id', true), ''), current_user::text
"""


@pytest.fixture(scope="module")
def pooled_url(steady_server: OwnServer) -> Iterator[str]:
    """A pooler with a single connection to the server."""
    with bouncer(steady_server, pool_size=1) as url:
        yield url


@pytest.fixture(autouse=True)
async def _temporary_objects(steady_server: OwnServer) -> AsyncIterator[None]:
    async with temporary_objects(settings_of(steady_server.url)):
        yield


@pytest.fixture
async def pooled(pooled_url: str) -> AsyncIterator[Database]:
    async with Database(settings_of(pooled_url, pgbouncer=True, pool_size=1)) as db:
        yield db


@pytest.fixture
async def own(pooled: Database) -> User:
    return await pooled.run_system(users.create, subject_id=secrets.token_hex(8))


async def say(scope: Scope | SystemScope, sql: str) -> None:
    await scope.execute(Statement(str, sa.text(sql)))


async def by_run(db: Database, user: User, sql: str) -> None:
    await db.run(user.id, say, sql)


async def by_session(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await scope.session.execute(sa.text(sql))

    await db.run(user.id, unit)


async def by_driver(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        raw: Any = await (await scope.session.connection()).get_raw_connection()
        await raw.driver_connection.execute(sql)

    await db.run(user.id, unit)


async def by_failure(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await say(scope, sql)
        raise RuntimeError

    with suppress(RuntimeError):
        await db.run(user.id, unit)


async def by_error(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await say(scope, sql)
        await say(scope, "SELECT 1/0")

    with suppress(FaceplateError):
        await db.run(user.id, unit)


async def by_run_system(db: Database, _: User, sql: str) -> None:
    await db.run_system(say, sql)


async def by_plain_session(db: Database, _: User, sql: str) -> None:
    async with db.sessions.begin() as session:
        await session.execute(sa.text(sql))


async def by_plain_session_that_fails(db: Database, _: User, sql: str) -> None:
    async with db.sessions() as session:
        await session.execute(sa.text(sql))


async def by_plain_session_with_an_error(db: Database, _: User, sql: str) -> None:
    async with db.sessions() as session:
        await session.execute(sa.text(sql))
        with suppress(sa.exc.DBAPIError):
            await session.execute(sa.text("SELECT 1/0"))


Way = Callable[[Database, User, str], Awaitable[None]]
WAYS: list[Way] = [
    *(by_run, by_session, by_driver, by_failure, by_error, by_run_system),
    *(by_plain_session, by_plain_session_that_fails, by_plain_session_with_an_error),
]


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[tuple[tuple[Any, ...], Callable[[], Any]]]:
    """Let another client ask for the state all the time, so that it gets each free moment."""
    client: Any = await asyncpg.connect(url, statement_cache_size=0)
    clean = tuple(await client.fetchrow(STATE))
    seen: set[tuple[Any, ...]] = set()
    count, is_over = 0, False

    async def watch() -> None:
        nonlocal count
        while not is_over:
            seen.add(tuple(await client.fetchrow(STATE)))
            count += 1

    async def seen_so_far() -> set[tuple[Any, ...]]:
        until = count + 2
        while count < until and not running.done():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
        return seen

    running = asyncio.create_task(watch())
    try:
        yield clean, seen_so_far
    finally:
        is_over = True
        await running
        await client.close()


@pytest.mark.parametrize("way", WAYS)
async def test_another_client_meets_nothing_of_a_unit(
    pooled: Database, own: User, pooled_url: str, way: Way
) -> None:
    """Else another program runs with a user's settings or tables, or waits for a lock for ever."""
    async with watching(pooled_url) as (clean, seen):
        for name, sql in LEAVES.items():
            await way(pooled, own, sql)
            assert await seen() == {clean}, name
    assert (await pooled.run(own.id, tasks.page)).items == []


async def construct_by_run(db: Database, user: User, select: Any) -> None:
    await db.run(user.id, lambda scope: scope.all(Statement(str, select)))


async def construct_by_session(db: Database, user: User, select: Any) -> None:
    await db.run(user.id, lambda scope: scope.session.execute(select))


async def construct_by_plain_session(db: Database, _: User, select: Any) -> None:
    async with db.sessions.begin() as session:
        await session.execute(select)


@pytest.mark.parametrize(
    "way", [construct_by_run, construct_by_session, construct_by_plain_session]
)
async def test_another_client_meets_nothing_of_a_construct_with_text(
    pooled: Database, own: User, pooled_url: str, way: Callable[[Database, User, Any], Any]
) -> None:
    """Else an operator's text does what `text()` must not."""
    sets = "|| set_config('application_name', 'left behind', false) ||"
    a: Any = sa.literal_column("'a'")
    async with watching(pooled_url) as (clean, seen):
        await way(pooled, own, sa.select(a.op(sets)(a)))
        assert await seen() == {clean}
