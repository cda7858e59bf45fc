"""Units that are cancelled, at every point that there is."""

import asyncio
import gc
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from tests.databases import hurdle, opened, outside, settings_of

from faceplate import Database, InvalidInput, Scope, Settings, Statement, User, models
from faceplate.errors import was_committed
from faceplate.services import tasks, users

IDLE_IN_TRANSACTION = Statement(
    int,
    sa.select(sa.literal_column("pid"))
    .select_from(text("pg_stat_activity"))
    .where(text("datname = current_database() AND state LIKE 'idle in transaction%'")),
)
SLOW_COMMIT = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON faceplate.tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait();
"""
PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
SLEEP = Statement(str, sa.select(sa.func.pg_sleep(60)))


async def test_nothing_is_left_checked_out_or_idle_in_a_transaction(
    db: Database, user: User
) -> None:
    """Else each client that goes away costs a connection, until none is left."""
    reached = asyncio.Event()

    async def in_a_statement(scope: Scope) -> None:
        await tasks.create(scope, title="a")
        reached.set()
        await scope.one(SLEEP)

    async def between_statements(scope: Scope) -> None:
        await tasks.create(scope, title="b")
        reached.set()
        await asyncio.Event().wait()

    async def in_the_orm(scope: Scope) -> None:
        scope.session.add(models.Task(user_id=user.id, title="c"))
        await scope.session.flush()
        reached.set()
        await scope.session.execute(text("SELECT pg_sleep(60)"))

    for unit in (in_a_statement, between_statements, in_the_orm) * 3:
        reached.clear()
        running = asyncio.create_task(db.run(user.id, unit))
        await reached.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await db.check()).pool.checked_out == 0
        assert await db.run_system(lambda scope: scope.all(IDLE_IN_TRANSACTION)) == []
    assert (await db.run(user.id, tasks.page)).items == []


async def test_a_unit_that_waits_for_a_connection_can_be_cancelled(
    settings: Settings, user: User
) -> None:
    """Else a cancelled crowd takes the connection of the next unit."""
    async with opened(settings, pool_size=1, max_overflow=0) as db:
        async with db.begin(user.id):
            waiting = [asyncio.create_task(db.run(user.id, tasks.page)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in waiting:
                task.cancel()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(ended, asyncio.CancelledError) for ended in ends)
        await db.run(user.id, tasks.page)


async def test_what_was_committed_is_told_from_what_was_not(db: Database, user: User) -> None:
    """Else a message whose sender went away at the wrong moment is stored a second time."""
    told = []
    for rounds in range(60):  # of the event loop, so that each step is hit
        running = asyncio.create_task(db.run(user.id, tasks.create, title=str(rounds)))
        for _ in range(rounds):
            await asyncio.sleep(0)
        running.cancel()
        try:
            await running
            told.append(rounds)
        except asyncio.CancelledError as error:
            if was_committed(error):
                told.append(rounds)
    page = await db.run(user.id, tasks.page, limit=100)
    assert sorted(int(task.title) for task in page.items) == told
    assert (await db.check()).pool.checked_out == 0


@pytest.mark.parametrize("pipelining", [True, False])
async def test_the_end_of_a_program_waits_for_a_commit(
    fresh_database_url: str, *, pipelining: bool
) -> None:
    """Else `asyncio.run`, which cancels all tasks, leaves a unit of which nobody can tell."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as owner:
        await owner.execute(SLOW_COMMIT)
    async with opened(settings, pipelining=pipelining, pool_size=1, max_overflow=0) as db:
        user = await db.run_system(users.ensure, "ada")

        async def twice(scope: Scope) -> None:
            await tasks.create(scope, title="a")
            await tasks.create(scope, title="b")

        async with hurdle(settings, "SELECT pg_advisory_xact_lock(1)") as is_met:
            running = asyncio.create_task(db.run(user.id, twice))
            await is_met()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError) as caught:
            await running
        assert was_committed(caught.value)
        assert db.pool().checked_out == 0
        assert len((await db.run(user.id, tasks.page)).items) == 2


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_unit_cancelled_while_a_dead_connection_is_replaced_leaves_its_place(
    settings: Settings, user: User, *, pipelining: bool
) -> None:
    """Else each such moment costs the pool a place, until units wait for none that comes."""
    gc.disable()  # it would give the place back sooner or later
    try:
        async with (
            outside(settings) as killer,
            opened(settings, pipelining=pipelining, pool_size=1, max_overflow=0) as db,
        ):
            for rounds in range(120):  # of the event loop, so that each step is hit
                pid = await db.run(user.id, lambda scope: scope.one(PID))
                killing = asyncio.create_task(
                    killer.execute("SELECT pg_terminate_backend($1)", pid)
                )
                running = asyncio.create_task(db.run(user.id, tasks.page))
                for _ in range(rounds % 30):
                    await asyncio.sleep(0)
                running.cancel()
                await killing
                with suppress(asyncio.CancelledError):
                    await running
                assert db.pool().checked_out == 0
    finally:
        gc.enable()


async def test_a_cancellation_is_told_although_the_unit_had_swallowed_an_error(
    db: Database, user: User
) -> None:
    """Else a task group that ends a task waits for one that goes on with the next thing."""
    no_number = Statement(int, sa.select(sa.cast(sa.literal("no number"), sa.Integer)))

    async def swallow(scope: Scope) -> None:
        await tasks.create(scope, title="undone")
        with suppress(InvalidInput):
            await scope.one(no_number)
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)  # while the answer to COMMIT is awaited

    with pytest.raises(asyncio.CancelledError) as caught:
        await asyncio.create_task(db.run(user.id, swallow))
    assert not was_committed(caught.value)
