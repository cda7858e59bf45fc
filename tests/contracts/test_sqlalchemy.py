"""What faceplate relies on in SQLAlchemy's pool and dialect: docs/private-parts.md, S1 to S6."""

import asyncio
from collections import deque
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_cursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.queue import Empty, Full
from tests.contracts.seams import connected


def make_engine(url: str, **pool: Any) -> AsyncEngine:
    async def connect() -> Any:
        return await asyncpg.connect(url)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **pool)


async def driver_of(connection: Any) -> Any:
    return (await connection.get_raw_connection()).driver_connection


async def test_a_record_is_taken_and_returned_without_a_proxy(engine: AsyncEngine) -> None:
    """Else a lease counts a connection twice, or loses it."""
    pool: Any = engine.pool
    record = await greenlet_spawn(pool._do_get)
    assert record.driver_connection is None or not record.in_use
    pool._do_return_conn(record)
    async with engine.connect() as connection:
        driver = await driver_of(connection)
    record = await greenlet_spawn(pool._do_get)
    assert (pool.checkedout(), pool.checkedin()) == (1, 0)
    assert record.driver_connection is driver
    assert await driver.fetchval("SELECT 1") == 1
    pool._do_return_conn(record)
    assert (pool.checkedout(), pool.checkedin()) == (0, 1)
    async with engine.connect() as connection:
        assert await driver_of(connection) is driver


async def test_a_proxy_leaves_a_record_as_it_has_found_it(engine: AsyncEngine) -> None:
    """Else a lease without a proxy leaves something out that the next check-out needs."""
    pool: Any = engine.pool
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    record = await greenlet_spawn(pool._do_get)
    before = dict(vars(record))
    pool._do_return_conn(record)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    assert vars(record) == before
    assert not record.in_use


class Stack:
    """A queue with what a pool asks of one, and no more."""

    use_lifo = True

    def __init__(self, maxsize: int, *, use_lifo: bool) -> None:  # noqa: ARG002 - SQLAlchemy's signature
        self.maxsize = maxsize
        self.records: list[Any] = []

    def qsize(self) -> int:
        return len(self.records)

    def get(self, block: bool, timeout: float = 0) -> Any:  # noqa: ARG002, FBT001 - SQLAlchemy's signature
        if not self.records:
            raise Empty
        return self.records.pop()

    def put(self, record: Any, block: bool) -> None:  # noqa: ARG002, FBT001 - SQLAlchemy's signature
        if len(self.records) >= self.maxsize:
            raise Full
        self.records.append(record)


class Stacked(AsyncAdaptedQueuePool):
    _queue_class: Any = Stack


async def test_a_pool_keeps_its_free_records_in_a_queue_of_the_class_that_it_names(
    url: str,
) -> None:
    """Else another connection is leased than the one that was found warm."""
    engine = make_engine(url, poolclass=Stacked, pool_size=2, max_overflow=3, pool_timeout=4.5)
    pool: Any = engine.pool
    assert pool._pool.records == []
    async with engine.connect(), engine.connect(), engine.connect():
        assert (pool.checkedout(), pool.checkedin()) == (3, 0)
    assert (pool.checkedout(), pool.checkedin(), pool.size(), pool.overflow()) == (0, 2, 2, 0)
    last = pool._pool.records[-1]
    assert await greenlet_spawn(pool._do_get) is last
    pool._do_return_conn(last)
    assert (pool._timeout, pool._max_overflow) == (4.5, 3)
    await engine.dispose()
    assert pool._pool.records == []
    pool = engine.pool
    assert pool.size() == 2
    await engine.dispose()


async def test_a_pool_tells_whether_a_program_listens(engine: AsyncEngine) -> None:
    """Else a program's listener is passed over, or each unit takes the long way."""
    pool: Any = engine.pool
    assert not pool.dispatch.checkout
    assert not pool.dispatch.checkin
    for name in ("checkout", "checkin"):
        event.listen(engine.sync_engine, name, lambda *_: None)
    assert pool.dispatch.checkout
    assert pool.dispatch.checkin


class Turned(AsyncAdaptedQueuePool):
    """Awaits something before each check-out, or hands out what was lent to it."""

    lent: Any = None
    calls: tuple[str, ...] = ()

    def _do_get(self) -> Any:
        self.calls += ("get",)
        if self.lent is not None:
            return self.lent
        await_only(asyncio.sleep(0))
        return super()._do_get()

    def _do_return_conn(self, record: Any) -> None:
        self.calls += ("return",)
        super()._do_return_conn(record)


async def test_each_check_out_and_check_in_goes_by_the_methods_of_the_pool(url: str) -> None:
    """Else the queue is passed by: some wait for seconds while others are served at once."""
    engine = make_engine(url, poolclass=Turned, pool_size=1)
    pool: Any = engine.pool
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        assert pool.calls == ("get",)
    assert pool.calls == ("get", "return")
    async with engine.connect() as connection:
        await connection.invalidate()
    assert pool.calls == ("get", "return") * 2
    with pytest.raises(ZeroDivisionError):
        async with engine.connect():
            raise ZeroDivisionError
    assert pool.calls == ("get", "return") * 3
    await engine.dispose()


async def test_a_pool_puts_its_proxy_around_a_record_that_was_taken_before(url: str) -> None:
    """Else a session cannot run on the connection of its unit."""
    engine = make_engine(url, poolclass=Turned, pool_size=1)
    pool: Any = engine.pool
    async with engine.connect() as connection:
        driver = await driver_of(connection)
    pool.lent = await greenlet_spawn(pool._do_get)
    assert pool.checkedout() == 1
    proxied = await greenlet_spawn(pool.connect)
    assert pool.checkedout() == 1
    assert proxied.driver_connection is driver
    await greenlet_spawn(proxied.close)
    assert (pool.checkedout(), pool.checkedin()) == (0, 1)
    await engine.dispose()


class Keeping(AsyncAdaptedQueuePool):
    """Notes which connections are lost, and replaces no other."""

    lost: tuple[Any, ...] = ()

    def _invalidate(
        self,
        connection: Any,
        exception: BaseException | None = None,  # noqa: ARG002 - SQLAlchemy's signature
        _checkin: bool = True,  # noqa: FBT001, FBT002 - SQLAlchemy's signature
    ) -> None:
        self.lost += ((connection.driver_connection, _checkin),)
        if _checkin:
            connection.invalidate()


async def test_a_pool_hears_of_a_lost_connection_by_invalidate(url: str) -> None:
    """Else connections are replaced by a clock that may be set back."""
    engine = make_engine(
        url, poolclass=Keeping, pool_size=2, pool_pre_ping=True, pool_use_lifo=True
    )
    pool: Any = engine.pool
    async with engine.connect(), engine.connect():
        pass
    kept, dead = (record.driver_connection for record in pool._pool._queue._queue)
    dead.terminate()
    async with engine.connect() as one, engine.connect() as other:
        new = await driver_of(one)
        assert new not in (kept, dead)
        assert await driver_of(other) is kept
        # A ping has failed: the record was emptied before the pool is told.
        assert pool.lost == ((None, False),)
        with pytest.raises(DBAPIError):
            await one.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert pool.lost[1:] == ((new, True),)
    async with engine.connect() as one, engine.connect() as other:
        assert kept in (await driver_of(one), await driver_of(other))
    await engine.dispose()


@pytest.mark.parametrize("size", [0, 100])
async def test_a_dbapi_connects_by_a_creator_with_the_size_of_its_cache(
    url: str, size: int
) -> None:
    """Else no connection is made."""

    async def connect() -> Any:
        return await asyncpg.connect(url)

    def create() -> Any:
        dbapi: Any = engine.dialect.dbapi
        return dbapi.connect(async_creator_fn=connect, prepared_statement_cache_size=size)

    kept = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 4%'")
    engine = create_async_engine("postgresql+asyncpg://", creator=create)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 4"))
        assert (await connection.execute(kept)).scalar_one() == bool(size)
    await engine.dispose()


async def test_a_cursor_of_the_dialect_knows_the_drivers_connection(engine: AsyncEngine) -> None:
    """Else no statement of a session reaches the server."""
    cursors: list[Any] = []
    event.listen(engine.sync_engine, "do_execute", lambda cursor, *_: cursors.append(cursor))
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        assert cursors[-1]._connection is await driver_of(connection)
        assert not cursors[-1].server_side
        async with connection.stream(text("SELECT 1")):
            assert cursors[-1].server_side


async def test_a_cursor_of_the_dialect_returns_the_rows_that_it_is_given(
    engine: AsyncEngine,
) -> None:
    """Else a session's statement returns nothing, or rows without names."""
    is_property = "_description" in AsyncAdapt_asyncpg_cursor.__slots__
    names = ("_description", "_rowcount") if is_property else ("description", "rowcount")

    def execute(cursor: Any, *_: Any) -> bool:
        await_only(asyncio.sleep(0))
        cursor._rows = deque([(1, "one"), (2, "two")])
        for name, value in zip(names, ([_column("n", 23), _column("w", 25)], 2), strict=True):
            setattr(cursor, name, value)
        return True

    async with engine.connect() as connection:
        event.listen(engine.sync_engine, "do_execute", execute)
        found = await connection.execute(text("SELECT of nothing"))
        assert (list(found.keys()), found.rowcount) == (["n", "w"], 2)
        assert found.all() == [(1, "one"), (2, "two")]
        event.remove(engine.sync_engine, "do_execute", execute)


def _column(name: str, type_: int) -> tuple[Any, ...]:
    return (name, type_, None, None, None, None, None)


class Counted:
    """Stands for a cursor of the driver's."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.counts: list[int] = []

    async def fetch(self, count: int) -> Any:
        self.counts.append(count)
        return await self.cursor.fetch(count)


async def test_a_server_side_cursor_fetches_by_the_object_that_it_is_given(
    engine: AsyncEngine,
) -> None:
    """Else a cursor outlives its unit, and reads on while another statement runs."""
    given: list[Counted] = []

    def execute(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool | None:
        if not cursor.server_side:
            return None
        cursor.execute(statement, parameters)
        cursor._cursor = Counted(cursor._cursor)
        given.append(cursor._cursor)
        return True

    event.listen(engine.sync_engine, "do_execute", execute)
    async with engine.connect() as connection:
        found = await connection.stream(text("SELECT generate_series(1, 1000)"))
        assert [row[0] async for row in found] == list(range(1, 1001))
    assert given
    assert sum(given[0].counts) >= 1000


async def test_a_greenlet_awaits_and_a_coroutine_calls(url: str) -> None:
    """Else nothing of SQLAlchemy's runs in a unit."""
    async with connected(url) as connection:

        def call(number: int) -> Any:
            return await_only(connection.fetchval("SELECT $1::int + 1", number))

        assert await greenlet_spawn(call, 1) == 2
        with pytest.raises(asyncpg.DivisionByZeroError):
            await greenlet_spawn(lambda: await_only(connection.fetch("SELECT 1 / 0")))
