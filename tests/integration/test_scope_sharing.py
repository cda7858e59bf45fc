"""A scope serves one task at a time, and tells when its connection was lost or used beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import end, hurdle, opened, outside

from faceplate import (
    ConnectionLost,
    Database,
    InvalidInput,
    Scope,
    Settings,
    Statement,
    UsageError,
    User,
    models,
    one_statement,
)
from faceplate.services import tasks

TITLES = Statement(str, sa.select(models.Task.title).order_by(models.Task.title))
RENAME = Statement(str, sa.update(models.Task).values(title=sa.bindparam("to")))
NUMBERS = Statement(int, sa.select(sa.func.generate_series(1, 1000)))
NAMES = Statement(str, sa.select(models.McpConfig.name))
PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
SLEEP = Statement(str, sa.select(sa.func.pg_sleep(0.02)))
FAILING = Statement(int, sa.text("SELECT 1/0"))
ORM = sa.select(models.Task.title)

BUSY = "a scope is for one task at a time"


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    async with opened(settings, pool_size=1, max_overflow=0, retry_delay_s=0) as db:
        yield db


async def drain(rows: AsyncIterator[Any]) -> None:
    async for _ in rows:
        pass


async def test_a_statement_that_is_still_running_fails_its_unit(
    narrow: Database, user: User, other_user: User
) -> None:
    """Else half of a unit is committed, and the rest goes on in the next unit."""
    orphans: list[asyncio.Task[Any]] = []

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="mine")
        orphans.append(asyncio.create_task(scope.all(SLEEP)))
        await asyncio.sleep(0)

    with pytest.raises(UsageError, match="still running when the unit returned"):
        await narrow.run(user.id, unit)
    with suppress(ConnectionLost, UsageError):
        await orphans[0]
    await narrow.run(other_user.id, tasks.create, title="theirs")
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == []
    assert await narrow.run(other_user.id, lambda scope: scope.all(TITLES)) == ["theirs"]


async def test_a_read_that_is_still_running_keeps_its_connection_from_the_next_unit(
    narrow: Database, user: User, other_user: User
) -> None:
    """Else the next user's unit gets a connection on which somebody waits for an answer."""
    orphans: list[asyncio.Task[Any]] = []
    lock = "LOCK TABLE faceplate.mcp_configs IN ACCESS EXCLUSIVE MODE"
    await narrow.run(user.id, lambda scope: scope.all(NAMES))  # it is prepared

    async def unit(scope: Scope) -> None:
        orphans.append(asyncio.create_task(scope.all(NAMES)))
        await is_met()
        raise RuntimeError

    async with hurdle(narrow.settings, lock) as is_met:
        with pytest.raises(RuntimeError):
            await narrow.run(user.id, unit)
        async with narrow.begin(other_user.id) as scope:  # which is never retried
            assert await scope.all(TITLES) == []
        with pytest.raises((ConnectionLost, UsageError)):
            await orphans[0]


PAIRS: dict[str, Callable[[Scope], tuple[Awaitable[Any], Awaitable[Any]]]] = {
    "reads": lambda scope: (scope.all(SLEEP), scope.all(TITLES)),
    "writes": lambda scope: (tasks.create(scope, title="a"), tasks.create(scope, title="b")),
    "a statement and the session": lambda scope: (scope.all(SLEEP), scope.session.execute(ORM)),
    "the session and a statement": lambda scope: (
        scope.session.execute(sa.select(sa.func.pg_sleep(0.02))),
        scope.all(TITLES),
    ),
    "the session twice": lambda scope: (
        scope.session.execute(sa.select(sa.func.pg_sleep(0.02))),
        scope.session.execute(ORM),
    ),
    "a stream and a statement": lambda scope: (drain(scope.stream(NUMBERS)), scope.all(TITLES)),
    "many and a statement": lambda scope: (
        scope.execute_many(RENAME, [{"to": "a"}] * 50),
        scope.all(TITLES),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
async def test_a_second_task_is_refused_and_the_first_keeps_its_result(
    narrow: Database, user: User, name: str
) -> None:
    """Else two tasks of a unit get each other's rows, or one of them waits for ever."""

    async def unit(scope: Scope) -> list[Any]:
        ends: list[Any] = [*await asyncio.gather(*PAIRS[name](scope), return_exceptions=True)]
        await tasks.create(scope, title="afterwards")
        return ends

    first, second = await narrow.run(user.id, unit)
    assert not isinstance(first, BaseException)
    assert isinstance(second, UsageError)
    assert BUSY in str(second)
    assert "afterwards" in await narrow.run(user.id, lambda scope: scope.all(TITLES))


async def test_a_connection_that_is_lost_before_the_session_is_asked_for(
    settings: Settings, user: User
) -> None:
    """Else the pool counts it twice, and two units get one connection."""
    attempts = 0

    async def unit(scope: Scope) -> Any:
        nonlocal attempts
        attempts += 1
        pid = await scope.one(PID)
        if attempts == 1:
            async with outside(settings) as operator:
                await end(operator, pid)
            while not scope._driver.is_closed():  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)
        return (await scope.session.scalars(ORM)).all()

    async with opened(settings, pool_size=1, max_overflow=0, retry_delay_s=0) as db:
        await db.run(user.id, tasks.create, title="a")  # the next unit finds its connection warm
        assert await db.run(user.id, unit) == ["a"]
        async with db.begin(user.id):
            waiting = asyncio.create_task(db.run(user.id, tasks.page))
            while db.engine.sync_engine.pool.waiting != 1:  # type: ignore[attr-defined]  # noqa: ASYNC110 - it is our pool, and nobody is told
                await asyncio.sleep(0)
        await waiting


@pytest.mark.not_on_citus("it locks a row by its id alone")
async def test_a_loss_that_a_unit_has_caught_is_a_loss(narrow: Database, user: User) -> None:
    """Else what may or may not have been stored is reported as done."""
    id_ = (await narrow.run(user.id, tasks.create, title="a")).id
    begun: list[int] = []

    @one_statement
    async def unit(scope: Scope) -> None:
        begun.append(scope._driver.get_server_pid())
        with suppress(ConnectionLost):
            await scope.execute(RENAME, to="b")

    lock = f"SELECT FROM faceplate.tasks WHERE id = '{id_}' FOR UPDATE"
    async with hurdle(narrow.settings, lock) as is_met, outside(narrow.settings) as operator:
        running = asyncio.create_task(narrow.run(user.id, unit))
        await is_met()
        await end(operator, begun[0])
    await running
    assert len(begun) == 2
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["b"]


IN_A_THREAD: dict[str, Callable[[Scope], Any]] = {
    "a loop of its own": lambda scope: asyncio.run(scope.all(TITLES)),
    "a session in one": lambda scope: asyncio.run(scope.session.execute(ORM)),
    "open": lambda scope: asyncio.run(scope.open()),
    "no loop": lambda scope: scope.all(TITLES).send(None),
    "a sync session": lambda scope: scope.session.sync_session.execute(ORM),
}


@pytest.mark.parametrize("use", IN_A_THREAD)
async def test_a_thread_is_refused_before_anything_is_sent(
    narrow: Database, user: User, use: str
) -> None:
    """Else two threads write to one socket, and the process crashes."""

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="a")
        _ = scope.session
        with pytest.raises(UsageError, match="can be used only in the event loop of its unit"):
            await asyncio.to_thread(IN_A_THREAD[use], scope)
        assert await scope.all(TITLES) == ["a"]

    await narrow.run(user.id, unit)


async def raw_connection(scope: Scope) -> Any:
    return await (await scope.session.connection()).get_raw_connection()


async def connection_of_sync_session(scope: Scope) -> Any:
    return await scope.session.run_sync(lambda session: session.connection().connection)


@pytest.mark.parametrize("lend", [raw_connection, connection_of_sync_session])
async def test_a_unit_that_uses_the_driver_itself_has_its_transaction_and_leaves_nothing(
    narrow: Database, user: User, other_user: User, lend: Callable[[Scope], Awaitable[Any]]
) -> None:
    """Else what it copies in is kept when it fails, and a driver that it kept is another's."""

    async def unit(scope: Scope) -> Any:
        driver = (await lend(scope)).driver_connection
        assert driver.is_in_transaction()
        assert await driver.fetchval("SHOW faceplate.user_id") == str(user.id)
        await driver.execute("SET timezone = 'Asia/Tokyo'")
        return driver

    driver = await narrow.run(user.id, unit)
    assert driver.is_closed()
    await narrow.run(other_user.id, tasks.page)
    assert narrow.pool().checked_out == 0


@pytest.mark.parametrize("first", [TITLES, FAILING], ids=["served", "refused"])
async def test_a_transaction_that_the_driver_has_ended_ends_the_unit(
    narrow: Database, user: User, other_user: User, first: Statement[Any]
) -> None:
    """Else the rest of the unit runs without a user and without BEGIN, and nobody hears of it."""

    async def unit(scope: Scope) -> None:
        raw = await (await scope.session.connection()).get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute("COMMIT")
        with suppress(InvalidInput, UsageError):
            await scope.all(first)
        with pytest.raises(UsageError, match="something other than the runner began or ended"):
            scope.new_id()  # nothing was sent for it
        with pytest.raises(UsageError, match="something other than the runner began or ended"):
            await scope.all(TITLES)
        with pytest.raises(UsageError, match="something other than the runner began or ended"):
            await tasks.create(scope, title="late")

    with suppress(InvalidInput):
        await narrow.run(user.id, lambda scope: scope.all(first))  # it is prepared
    with pytest.raises(UsageError, match="something other than the runner began or ended"):
        await narrow.run(user.id, unit)
    for each in (user, other_user):
        assert await narrow.run(each.id, lambda scope: scope.all(TITLES)) == []


async def sleep(scope: Scope) -> None:
    await scope.all(Statement(str, sa.select(sa.cast(sa.func.pg_sleep(0.2), sa.Text))))


async def another_block(scope: Scope) -> None:
    async with scope.session.begin_nested():
        await sleep(scope)


@pytest.mark.parametrize("beside", [sleep, another_block])
async def test_a_nested_block_that_could_not_be_undone_is_not_kept(
    narrow: Database, user: User, beside: Callable[[Scope], Awaitable[None]]
) -> None:
    """Else a block that has raised is kept, as another task used the scope when it ended."""
    has_written = asyncio.Event()

    async def block(scope: Scope) -> None:
        async with scope.session.begin_nested():
            await tasks.create(scope, title="of the block")
            has_written.set()
            await asyncio.sleep(0)  # the other task begins

    async def meanwhile(scope: Scope) -> None:
        await has_written.wait()
        await beside(scope)

    async def unit(scope: Scope) -> None:
        told = await asyncio.gather(block(scope), meanwhile(scope), return_exceptions=True)
        assert isinstance(told[0], Exception)

    with pytest.raises(UsageError, match="could not be rolled back"):
        await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == []


async def test_a_nested_block_that_was_refused_is_none(narrow: Database, user: User) -> None:
    """Else the session stays in it, and a loss is noted for a block that never ends."""

    async def unit(scope: Scope) -> None:
        session = scope.session
        running = asyncio.create_task(sleep(scope))
        await asyncio.sleep(0)  # it begins
        with pytest.raises(UsageError, match="one task at a time"):
            async with session.begin_nested():
                pytest.fail("it was entered")
        await running
        assert not session.in_nested_transaction()
        session.add(models.Task(title="kept"))

    await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["kept"]
