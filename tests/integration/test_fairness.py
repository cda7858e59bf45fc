"""With more callers than connections, each is served in the order in which it came."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import end, opened, outside

from faceplate import Database, PoolExhausted, Scope, Settings, Statement, User, models
from faceplate.services import tasks

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))


class Line:
    """Callers of one `Database`, and the order in which their units began."""

    def __init__(self, db: Database, user: User) -> None:
        self.db = db
        self.user = user
        self.begun: list[str] = []
        self._waiting: Any = db.engine.sync_engine.pool

    async def arrive(self, name: str, call: "Call") -> "asyncio.Task[None]":
        """Return when the caller waits for a connection."""
        before = self._waiting.waiting
        task = asyncio.create_task(call(self, name))
        while self._waiting.waiting == before and not task.done():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
        return task


Call = Callable[[Line, str], Coroutine[Any, Any, None]]


async def by_run(line: Line, name: str) -> None:
    async def unit(scope: Scope) -> None:
        line.begun.append(name)
        await tasks.page(scope)

    await line.db.run(line.user.id, unit)


async def by_write(line: Line, name: str) -> None:
    async def unit(scope: Scope) -> None:
        line.begun.append(name)
        await tasks.create(scope, title=name)

    await line.db.run(line.user.id, unit)


async def by_session_of_unit(line: Line, name: str) -> None:
    async def unit(scope: Scope) -> None:
        line.begun.append(name)
        await scope.session.execute(sa.select(models.Task.title))

    await line.db.run(line.user.id, unit)


async def by_begin(line: Line, name: str) -> None:
    async with line.db.begin(line.user.id) as scope:
        line.begun.append(name)
        await tasks.page(scope)


async def by_plain_session(line: Line, name: str) -> None:
    async with line.db.sessions() as session:
        await session.connection()
        line.begun.append(name)
        await session.execute(sa.select(sa.func.count()).select_from(models.Task))


async def by_loss(line: Line, name: str) -> None:
    """Lose the connection, which the next one finds closed. A block is never repeated."""
    with suppress(Exception):
        async with line.db.begin(line.user.id) as scope:
            line.begun.append(name)
            pid = await scope.one(PID)
            async with outside(line.db.settings) as operator:
                await end(operator, pid)
            await scope.one(PID)


async def by_failure(line: Line, name: str) -> None:
    async def unit(scope: Scope) -> None:
        line.begun.append(name)
        await tasks.create(scope, title=name)
        raise RuntimeError

    with suppress(RuntimeError):
        await line.db.run(line.user.id, unit)


CALLS = [
    *(by_run, by_write, by_session_of_unit, by_begin),
    *(by_plain_session, by_failure, by_loss, by_run),
]


@pytest.mark.parametrize("overflow", [0, 1])
async def test_callers_of_every_kind_are_served_in_the_order_of_arrival(
    settings: Settings, user: User, overflow: int
) -> None:
    """Else one caller starves beside hundreds that come later, and each time finds none free."""
    async with opened(settings, pool_size=1, max_overflow=overflow) as db, AsyncExitStack() as held:
        line = Line(db, user)
        names: list[str] = []
        running: list[asyncio.Task[None]] = []
        async with db.begin(user.id):
            for _ in range(overflow):
                await held.enter_async_context(db.begin(user.id))
            for round_ in range(3):
                for call in CALLS:
                    names.append(f"{round_} {call.__name__}")
                    running.append(await line.arrive(names[-1], call))
            assert line.begun == []
        await asyncio.gather(*running)
        assert line.begun == names
        await held.aclose()
        assert db.pool().checked_out == 0


async def test_who_comes_back_at_once_does_not_overtake(settings: Settings, user: User) -> None:
    """Else a busy loop keeps its connection for ever, and everybody else is told of exhaustion."""
    async with opened(settings, pool_size=1, max_overflow=0) as db:
        line = Line(db, user)
        is_over = False

        async def busy() -> None:
            while not is_over:
                await by_run(line, "busy")

        crowd = [asyncio.create_task(busy()) for _ in range(20)]
        await by_run(line, "first")
        before = len(line.begun)
        await by_run(line, "patient")
        assert line.begun.index("patient") - before <= 20
        is_over = True
        await asyncio.gather(*crowd)


async def test_callers_that_give_up_are_passed_over(settings: Settings, user: User) -> None:
    """Else each one that goes away costs a connection, or its turn goes to a later one."""
    async with opened(settings, pool_size=1, max_overflow=0) as db:
        line = Line(db, user)
        async with db.begin(user.id):
            running = [await line.arrive(str(number), by_run) for number in range(9)]
            for number in (0, 3, 4, 8):
                running[number].cancel()
        ends = await asyncio.gather(*running, return_exceptions=True)
        assert [number for number, ended in enumerate(ends) if ended is not None] == [0, 3, 4, 8]
        assert line.begun == ["1", "2", "5", "6", "7"]
        # At the moment at which it gets its turn, too.
        async with db.begin(user.id):
            running = [await line.arrive(name, by_run) for name in ("a", "b", "c")]
        running[0].cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert [name for name in line.begun[5:] if name != "a"] == ["b", "c"]
        assert db.pool().checked_out == 0


async def test_callers_that_wait_too_long_are_passed_over(settings: Settings, user: User) -> None:
    """Else a caller that was told of an exhausted pool is given a connection all the same."""
    async with opened(settings, pool_size=1, max_overflow=0, pool_timeout_s=0.05) as db:
        line = Line(db, user)
        async with db.begin(user.id):
            late = await line.arrive("late", by_run)
            with pytest.raises(PoolExhausted):
                await late
            in_time = await line.arrive("in time", by_run)
        await in_time
        assert line.begun == ["in time"]
        assert db.pool().checked_out == 0
