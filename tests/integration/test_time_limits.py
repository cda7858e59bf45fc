"""Time limits of the caller's around a unit, and of the unit's own within it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam
from tests.databases import end, hurdle, opened, outside
from uuid6 import uuid7

from faceplate import (
    CommitOutcomeUnknown,
    Database,
    DatabaseError,
    Scope,
    Settings,
    Statement,
    SystemScope,
    User,
    models,
    one_statement,
)
from faceplate.errors import was_committed
from faceplate.services import tasks

TITLES = Statement(str, sa.select(models.Task.title).order_by(models.Task.title))
CREATE = Statement(
    str,
    sa.insert(models.Task)
    .values(user_id=bindparam("user_id"), id=bindparam("id"), title=bindparam("title"))
    .returning(models.Task.title),
)
RENAME = Statement(
    str,
    sa.update(models.Task)
    .values(title="renamed")
    .where(models.Task.id == bindparam("id"))
    .returning(models.Task.title),
)
LOCKED = "SELECT FROM faceplate.tasks WHERE user_id = '{}' AND id = '{}' FOR UPDATE"


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    async with opened(settings, pool_size=1, max_overflow=0, retry_delay_s=0) as db:
        yield db


@one_statement
async def rename_alone(scope: Scope, id_: UUID) -> str:
    return await scope.one(RENAME, id=id_)


async def rename(scope: Scope, id_: UUID) -> str:
    await scope.one(CREATE, id=scope.new_id(), title="before")
    return await scope.one(RENAME, id=id_)


@one_statement
async def rename_and_commit(scope: Scope, id_: UUID) -> str:
    may_commit = scope.begin_with_next()
    await scope.one(CREATE, id=scope.new_id(), title="before")
    if may_commit:
        scope.commit_with_next()
    return await scope.one(RENAME, id=id_)


async def rename_by_session(scope: Scope, id_: UUID) -> None:
    task = await scope.session.get_one(models.Task, (scope.user_id, id_))
    task.title = "renamed"


async def rename_by_stream(scope: Scope, id_: UUID) -> None:
    query = sa.select(models.Task.title).where(models.Task.id == id_).with_for_update()
    async for _ in scope.stream(Statement(str, query)):
        pass


async def rename_many(scope: Scope, id_: UUID) -> int:
    return await scope.execute_many(RENAME, [{"id": id_}])


async def rename_as_text(scope: Scope | SystemScope, id_: UUID) -> None:
    await scope.execute(
        Statement(str, sa.text("UPDATE faceplate.tasks SET title = 'renamed' WHERE id = :id")),
        id=id_,
    )


async def by_begin(db: Database, user: User, id_: UUID) -> None:
    async with db.begin(user.id) as scope:
        await rename(scope, id_)


async def across_users(db: Database, _: User, id_: UUID) -> None:
    await db.run_system(rename_as_text, id_)


def by_run(unit: Callable[..., Awaitable[Any]]) -> Callable[[Database, User, UUID], Any]:
    return lambda db, user, id_: db.run(user.id, unit, id_)


WAYS: dict[str, Callable[[Database, User, UUID], Awaitable[Any]]] = {
    "one statement": by_run(rename_alone),
    "a transaction": by_run(rename),
    "a transaction that the last one commits": by_run(rename_and_commit),
    "the session": by_run(rename_by_session),
    "a stream": by_run(rename_by_stream),
    "many": by_run(rename_many),
    "text": by_run(rename_as_text),
    "a block": by_begin,
    "across users": across_users,
}


@pytest.mark.parametrize("name", WAYS)
async def test_a_time_limit_around_a_unit_is_a_timeout_that_kept_nothing(
    narrow: Database, user: User, name: str
) -> None:
    """Else a caller is told of a cancellation that it did not ask for, and cannot tell what is."""
    id_ = (await narrow.run(user.id, tasks.create, title="as it was")).id
    with pytest.raises(TimeoutError) as raised:
        async with hurdle(narrow.settings, LOCKED.format(user.id, id_)), asyncio.timeout(0.2):
            await WAYS[name](narrow, user, id_)
    assert not was_committed(raised.value)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["as it was"]
    assert narrow.pool().checked_out == 0


async def test_a_unit_that_ends_as_its_time_is_up_tells_what_became_of_it(
    narrow: Database, user: User
) -> None:
    """Else what was kept is sent once more, or what was lost is never sent again."""
    kept = []
    for steps in range(40):
        running = asyncio.create_task(narrow.run(user.id, tasks.create, title=f"{steps:02}"))

        async def limited(running: "asyncio.Task[Any]") -> None:
            async with asyncio.timeout(None) as limit:
                for _ in range(steps):  # noqa: B023 - awaited in this round
                    await asyncio.sleep(0)
                limit.reschedule(asyncio.get_running_loop().time())
                try:
                    await asyncio.shield(running)
                finally:
                    running.cancel()

        with suppress(TimeoutError):
            await limited(running)
        try:
            await running
            kept.append(f"{steps:02}")
        except asyncio.CancelledError as error:
            if was_committed(error):
                kept.append(f"{steps:02}")
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == kept


@pytest.mark.parametrize("mark", [one_statement, lambda unit: unit], ids=["alone", "transaction"])
async def test_a_time_limit_within_a_unit_is_the_units_own(
    narrow: Database, user: User, mark: Callable[..., Any]
) -> None:
    """Else a unit that has something else to do when a row is locked cannot do it."""
    id_ = (await narrow.run(user.id, tasks.create, title="as it was")).id

    async def unit(scope: Scope) -> str:
        try:
            async with asyncio.timeout(0.1):
                return await scope.one(RENAME, id=id_)
        except TimeoutError:
            return "locked"

    running = narrow.run(user.id, mark(unit))
    async with hurdle(narrow.settings, LOCKED.format(user.id, id_)):
        with suppress(DatabaseError):  # a statement that fails takes its transaction along
            assert await running == "locked"
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["as it was"]
    assert await narrow.run(user.id, rename_alone, id_) == "renamed"


@pytest.mark.pipelined
async def test_a_unit_that_goes_on_after_its_one_statement_is_run_in_one_transaction(
    narrow: Database, user: User
) -> None:
    """Else its first statement is kept when the second one fails; though the unit catches all."""
    attempts = 0

    @one_statement
    async def unit(scope: Scope, *, fails: bool) -> None:
        nonlocal attempts
        attempts += 1
        await tasks.create(scope, title="first")
        with suppress(BaseException):  # NeedsTransaction too, which the runner must not lose
            await tasks.create(scope, title="second")
        if fails:
            raise RuntimeError

    await narrow.run(user.id, unit, fails=False)
    assert attempts == 2
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["first", "second"]


async def test_a_unit_that_goes_on_over_a_closed_connection_is_told_of_its_loss(
    narrow: Database, user: User
) -> None:
    """Else it gets the driver's AttributeError, and is not run again, as after any other loss.

    The driver closes a connection that answers nothing, after a time limit that the unit catches.
    """
    attempts = 0

    async def unit(scope: Scope) -> list[str]:
        nonlocal attempts
        attempts += 1
        await scope.one(CREATE, id=scope.new_id(), title="once")
        await scope.all(TITLES)
        if attempts == 1:
            scope._driver.terminate()
        return await scope.all(TITLES)

    assert await narrow.run(user.id, unit) == ["once"]
    assert attempts == 2


async def test_a_cancellation_that_was_taken_back_is_forgotten(
    narrow: Database, user: User
) -> None:
    """Else a task that somebody cancelled and then did not is ended at its next statement."""

    async def unit(scope: Scope) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await scope.one(CREATE, id=scope.new_id(), title="cancelled")
        task.uncancel()
        await scope.one(CREATE, id=uuid7(), title="afterwards")

    await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["afterwards"]


async def test_a_cancelled_statement_whose_connection_is_lost_is_not_run_again(
    narrow: Database, user: User
) -> None:
    """Else the caller's time limit is forgotten, and the unit goes on for as long as it takes."""
    id_ = (await narrow.run(user.id, tasks.create, title="as it was")).id
    attempts = 0

    @one_statement
    async def unit(scope: Scope) -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            backends.append(scope._driver.get_server_pid())
        return await scope.one(RENAME, id=id_)

    backends: list[int] = []
    async with hurdle(narrow.settings, LOCKED.format(user.id, id_)) as is_met:
        running = asyncio.create_task(narrow.run(user.id, unit))
        await is_met()
        running.cancel()
        await asyncio.sleep(0)
        async with outside(narrow.settings) as operator:
            await end(operator, backends[0])
        with pytest.raises((asyncio.CancelledError, CommitOutcomeUnknown)):
            await running
    assert attempts == 1
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["as it was"]


@pytest.mark.pipelined
async def test_a_read_that_is_cancelled_as_its_connection_is_closed_has_kept_nothing(
    settings: Settings, user: User
) -> None:
    """Else a caller takes what it never sent for stored."""
    async with opened(settings, pool_size=1, max_overflow=1) as db:
        for steps in range(20):
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def read(scope: Scope, begun: asyncio.Event, go_on: asyncio.Event) -> None:
                await scope.all(TITLES)
                begun.set()
                await go_on.wait()

            async with db.begin(user.id):
                running = asyncio.create_task(db.run(user.id, read, begun, go_on))
                await begun.wait()
            go_on.set()  # there is no place in the pool for its connection any more
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            try:
                await running
            except asyncio.CancelledError as error:
                told = was_committed(error)
            else:
                told = False
            assert not told
        assert db.pool().checked_out == 0
