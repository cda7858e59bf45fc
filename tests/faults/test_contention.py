"""Many units that get in each other's way: all succeed within the deadline, and none is lost."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from tests.campaigns import Campaign
from tests.faults.plans import count_up, counters, insert_a_note, notes
from tests.faults.servers import OwnServer
from tests.faults.trials import Bench, bench

from faceplate import Scope, Statement, SystemScope
from faceplate._runner.retry import CONTENTION_LIMIT_S

WRITERS = 16
ROWS = 4

READ = Statement(int, sa.select(counters.c.n).where(counters.c.user_id == sa.bindparam("user")))
WRITE = Statement(
    int,
    sa.update(counters)
    .where(counters.c.user_id == sa.bindparam("user"))
    .values(n=sa.bindparam("new"))
    .returning(counters.c.n),
)
COUNT_NOTES = Statement(
    int, sa.select(sa.func.count()).where(notes.c.user_id == sa.bindparam("author"))
)
BODIES = Statement(str, sa.select(notes.c.body).where(notes.c.user_id == sa.bindparam("author")))


@pytest.fixture
async def wire(steady_server: OwnServer) -> AsyncIterator[Bench]:
    async with bench(steady_server, pool_size=WRITERS) as wire:
        yield wire
        await wire.check_leaks()


@pytest.fixture
async def quick_to_see(steady_server: OwnServer) -> AsyncIterator[Bench]:
    """Where a deadlock is found after 10 ms, and not after a second as is usual."""
    async with bench(steady_server, pool_size=WRITERS) as wire:
        await wire.admin.execute("ALTER ROLE faceplate SET deadlock_timeout = '10ms'")
        yield wire
        await wire.check_leaks()
        await wire.admin.execute("ALTER ROLE faceplate RESET deadlock_timeout")


async def all_at_once(times: int, work: Callable[[], Awaitable[object]]) -> None:
    """Let each writer do the work so many times."""

    async def write() -> None:
        for _ in range(times):
            await work()

    # A writer that gives up does so after one deadline for each of its units.
    async with asyncio.timeout(times * 2 * CONTENTION_LIMIT_S), asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(write())


async def test_a_storm_of_deadlocks_ends_with_every_sum_right(
    quick_to_see: Bench, campaign: Campaign
) -> None:
    """Else two requests that touch the same rows in another order fail, or one is lost."""
    db, dice, times = quick_to_see.db, campaign.dice, campaign.size(5, 40)
    rows = [uuid4() for _ in range(ROWS)]
    await quick_to_see.admin.executemany(
        "INSERT INTO public.counters VALUES ($1, 0)", [(row,) for row in rows]
    )
    attempts = 0

    async def count_all_up(scope: SystemScope, order: list[UUID]) -> None:
        nonlocal attempts
        attempts += 1
        for row in order:
            await count_up(scope, row)

    await all_at_once(times, lambda: db.run_system(count_all_up, shuffled(dice, rows)))
    sums = [await db.run_system(read, row) for row in rows]
    print(f"{WRITERS * times} units took {attempts} attempts")  # noqa: T201 - that it had strength
    assert sums == [WRITERS * times] * ROWS
    assert attempts > WRITERS * times


async def read(scope: SystemScope, row: UUID) -> int:
    return await scope.one(READ, user=row)


def shuffled(dice: random.Random, rows: list[UUID]) -> list[UUID]:
    return dice.sample(rows, len(rows))


async def serializable(scope: Scope) -> None:
    await scope.session.execute(sa.text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))


async def test_a_storm_of_serialization_failures_loses_no_update(
    wire: Bench, campaign: Campaign
) -> None:
    """Else what a unit has read and counted up is what another one has counted up as well."""
    own, times, attempts = await wire.settle(), campaign.size(3, 25), 0

    async def read_and_write(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        await serializable(scope)
        n = await scope.one(READ, user=own.user_id)
        await scope.one(WRITE, user=own.user_id, new=n + 1)

    await all_at_once(times, lambda: wire.db.run(own.user_id, read_and_write))
    n = await wire.db.run_system(read, own.user_id)
    print(f"{WRITERS * times} units took {attempts} attempts")  # noqa: T201 - that it had strength
    assert n == 1 + WRITERS * times
    assert attempts > WRITERS * times


async def test_what_only_a_commit_can_tell_is_serializable_too(
    wire: Bench, campaign: Campaign
) -> None:
    """Else two units that each number what they write by what is there choose the same number."""
    own, times, attempts = await wire.settle(), campaign.size(3, 25), 0

    async def number_a_note(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        await serializable(scope)
        number = await scope.one(COUNT_NOTES, author=scope.user_id)
        await insert_a_note(scope, str(number))

    await all_at_once(times, lambda: wire.db.run(own.user_id, number_a_note))
    bodies = await wire.db.run(own.user_id, lambda scope: scope.all(BODIES, author=own.user_id))
    print(f"{WRITERS * times} units took {attempts} attempts")  # noqa: T201 - that it had strength
    assert sorted(map(int, bodies)) == list(range(WRITERS * times))
    assert attempts > WRITERS * times
