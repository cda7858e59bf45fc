"""The pool under many units at once, under connections that died in it, and its time limits."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from tests.databases import end, opened, outside

from faceplate import (
    ConnectionLost,
    Overloaded,
    PoolExhausted,
    Scope,
    Settings,
    Statement,
    SystemScope,
    TimedOut,
    User,
)
from faceplate._driver import connection_state
from faceplate.services import tasks

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
CONNECTIONS = Statement(
    int,
    sa.select(sa.func.count())
    .select_from(sa.text("pg_stat_activity"))
    .where(sa.text("application_name = current_setting('application_name')")),
)


async def backend(scope: Scope) -> int:
    return await scope.one(PID)


async def test_fifty_units_share_twenty_connections(settings: Settings) -> None:
    """Else a busy minute is refused, or it takes more connections than the server was told of."""
    running = 0
    counts: list[int] = []
    all_taken = asyncio.Event()

    async def count(scope: SystemScope) -> int:
        nonlocal running
        running += 1
        if running == 20:
            all_taken.set()
        await all_taken.wait()
        counts.append(await scope.one(CONNECTIONS))
        running -= 1
        return running

    async with opened(settings) as db:
        at_the_end = await asyncio.gather(*(db.run_system(count) for _ in range(50)))
        assert len(at_the_end) == len(counts) == 50
        assert max(at_the_end) == 19
        assert max(counts) == 20
        assert (await db.check()).pool.checked_out == 0
        async with asyncio.timeout(30):  # the server takes a moment to notice what was closed
            while await db.run_system(lambda scope: scope.one(CONNECTIONS)) != 5:
                pass


async def test_an_exhausted_pool_says_so_in_time_and_recovers(
    settings: Settings, user: User
) -> None:
    """Else requests pile up behind one that holds on, and the process never serves again."""
    async with opened(settings, pool_size=2, max_overflow=0, pool_timeout_s=0.1) as db:
        async with db.begin(user.id), db.begin(user.id):
            with pytest.raises(
                PoolExhausted, match=r"^test_pool.backend: .*pool_timeout_s; all are in use$"
            ):
                await db.run(user.id, backend)
            assert (await db.check()).pool.checked_out == 2
        await asyncio.gather(*(db.run(user.id, backend) for _ in range(10)))
        assert (await db.check()).pool.checked_out == 0


async def test_one_unit_too_many_is_refused_at_once(settings: Settings, user: User) -> None:
    """Else an overloaded program answers nobody before pool_timeout_s is over."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hold_on(_: Scope) -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async with opened(settings, pool_size=1, max_overflow=0, max_waiting=2) as db:
        for _ in range(2):  # the second time shows that it recovers
            units = [asyncio.create_task(db.run(user.id, hold_on)) for _ in range(3)]
            await begun.wait()
            with pytest.raises(Overloaded, match=r"2 units wait .* \(max_waiting\)"):
                await db.run(user.id, hold_on)
            with pytest.raises(Overloaded):
                async with db.sessions() as session:
                    await session.execute(sa.text("SELECT 1"))
            go_on.set()
            assert await asyncio.gather(*units) == ["done"] * 3
            begun.clear()
            go_on.clear()
            await db.engine.dispose()  # which makes the pool anew


async def test_a_unit_that_gives_up_waiting_makes_room_for_another(
    settings: Settings, user: User
) -> None:
    """Else clients that go away use the limit up for good."""
    async with opened(settings, pool_size=1, max_overflow=0, max_waiting=1) as db:
        async with db.begin(user.id):
            for _ in range(3):
                waiting = asyncio.create_task(db.run(user.id, backend))
                await asyncio.sleep(0)
                with pytest.raises(Overloaded):
                    await db.run(user.id, backend)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
        await db.run(user.id, backend)


async def test_nobody_has_to_wait(settings: Settings, user: User) -> None:
    """max_waiting=0: a unit that finds no free connection is refused, the others run."""
    async with opened(settings, pool_size=1, max_overflow=1, max_waiting=0) as db:
        await asyncio.gather(db.run(user.id, backend), db.run(user.id, backend))
        async with db.begin(user.id), db.begin(user.id):
            with pytest.raises(Overloaded):
                await db.run(user.id, backend)


async def test_a_connection_that_was_ended_in_the_pool_is_replaced_unnoticed(
    settings: Settings, user: User
) -> None:
    """Else it costs a request, the morning after the firewall or an operator ended it."""

    async def end_it(pid: int) -> None:
        async with outside(settings) as operator:
            await end(operator, pid)

    met = []
    async with opened(settings) as db:
        with ThreadPoolExecutor() as elsewhere:
            for _ in range(10):
                async with db.begin(user.id) as scope:  # which never retries
                    met.append(await backend(scope))
                # This loop stands still meanwhile, so that only the socket has heard of it.
                elsewhere.submit(asyncio.run, end_it(met[-1])).result()
    assert len(set(met)) == 10


@pytest.mark.pipelined
async def test_a_warm_connection_is_found_alive_without_a_statement(
    settings: Settings,
    user: User,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else every unit pays for one round trip more than it needs."""

    async def statements() -> list[str]:
        caplog.clear()
        await db.run(user.id, tasks.page)
        return [text.partition(" s: ")[2].partition(" ")[0] for text in caplog.messages]

    caplog.set_level(logging.INFO, "faceplate.sql")
    async with opened(settings, log_sql=True) as db:
        await statements()
        assert await statements() == ["EXECUTE"]  # the preamble of the page, in one round trip
        for limit in ("POLL_AFTER_IDLE_S", "PING_AFTER_IDLE_S"):  # as if idle for long
            monkeypatch.setattr(connection_state, limit, -1)
        assert await statements() == ["SELECT", "EXECUTE"]


SLEEP = Statement(str, sa.select(sa.func.pg_sleep(60)))


async def sleep(scope: Scope) -> None:
    await scope.one(SLEEP)


async def test_a_slow_statement_ends_at_statement_timeout(settings: Settings, user: User) -> None:
    """Else one bad query holds a connection and its locks for as long as it likes."""
    async with opened(settings, statement_timeout_s=0.1) as db:
        with pytest.raises(TimedOut, match="statement_timeout_s") as raised:
            await db.run(user.id, sleep)
        assert (raised.value.sqlstate, raised.value.unit) == ("57014", "test_pool.sleep")
        assert await db.run(user.id, backend)


async def test_a_statement_that_waits_for_a_row_ends_at_lock_timeout(
    settings: Settings, user: User
) -> None:
    """Else one stuck transaction stops every request for the same row."""
    async with opened(settings, lock_timeout_s=0.1) as db:
        task = await db.run(user.id, tasks.create, title="a")
        async with db.begin(user.id) as holder:
            await tasks.complete(holder, task.id)
            with pytest.raises(TimedOut, match="lock_timeout_s") as raised:
                await db.run(user.id, tasks.complete, task.id)
        assert raised.value.sqlstate == "55P03"
        await db.run(user.id, tasks.complete, task.id)


async def test_a_transaction_that_does_nothing_is_ended(settings: Settings, user: User) -> None:
    """Else a unit that waits for something else keeps its locks, and vacuum from its work."""
    attempts = 0

    async def dawdle(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        pid = await backend(scope)
        while await watcher.fetchval("SELECT true FROM pg_stat_activity WHERE pid = $1", pid):
            pass
        await backend(scope)

    limits = {"idle_in_transaction_timeout_s": 0.1, "retry_delay_s": 0}
    async with opened(settings, **limits) as db, outside(settings) as watcher:
        with pytest.raises(ConnectionLost, match="closed"):
            await db.run(user.id, dawdle)
        assert attempts == 2
        assert await db.run(user.id, backend)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("statement_timeout_s", "statement_timeout"),
        ("lock_timeout_s", "lock_timeout"),
        ("idle_in_transaction_timeout_s", "idle_in_transaction_session_timeout"),
    ],
)
async def test_zero_switches_a_timeout_off(
    settings: Settings, user: User, setting: str, told: str
) -> None:
    """Else nobody can run what takes long on purpose."""
    show = Statement(str, sa.select(sa.func.current_setting(told)))
    async with opened(settings) as usual, opened(settings, **{setting: 0}) as without:
        assert await usual.run(user.id, lambda scope: scope.one(show)) != "0"
        assert await without.run(user.id, lambda scope: scope.one(show)) == "0"


async def test_units_that_fail_give_their_connections_back(settings: Settings, user: User) -> None:
    """Else the pool runs dry, an error at a time."""

    async def fail(scope: Scope) -> None:
        await backend(scope)
        raise RuntimeError

    limits = {"pool_size": 2, "max_overflow": 0, "pool_timeout_s": 5, "statement_timeout_s": 0.05}
    async with opened(settings, **limits) as db:
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await db.run(user.id, fail)
            with pytest.raises(TimedOut):
                await db.run(user.id, sleep)
        async with db.begin(user.id), db.begin(user.id):
            assert (await db.check()).pool.checked_out == 2
