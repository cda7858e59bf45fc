"""A scope lives as long as its unit: kept longer, it reaches nobody's data.

The pools have one connection, so that a scope which is used after its unit finds another user's
unit on the connection that was its own.
"""

import asyncio
import copy
import gc
import pickle
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn
from tests.databases import opened

from faceplate import (
    Contention,
    Database,
    Scope,
    Settings,
    Statement,
    SystemScope,
    UsageError,
    User,
    models,
)
from faceplate.services import tasks

TITLES = Statement(str, sa.select(models.Task.title).order_by(models.Task.title))
TEXT = Statement(str, sa.text("SELECT title FROM faceplate.tasks"))
RENAME = Statement(str, sa.update(models.Task).values(title=sa.bindparam("to")))
NUMBERS = Statement(int, sa.select(sa.func.generate_series(1, 1000)))
PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
ORM = sa.select(models.Task.title)

ENDED = "the unit of this scope has ended"


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    async with opened(settings, pool_size=1, max_overflow=0, retry_delay_s=0) as db:
        yield db


class Kept(NamedTuple):
    """What a unit may keep beyond its end."""

    scope: Scope | SystemScope
    session: Any
    sync_session: Any
    connection: Any
    below: Any
    task: Any
    cursor: Any
    rows: Any
    stream: Any


async def keep(scope: Scope | SystemScope, *, owner: User) -> Kept:
    session = scope.session
    session.add_all([models.Task(user_id=owner.id, title=f"mine {number}") for number in range(3)])
    await session.flush()
    task = (await session.scalars(sa.select(models.Task))).first()
    rows = sa.select(sa.func.generate_series(1, 1000))
    begun = scope.stream(NUMBERS)
    assert await anext(begun) == 1
    return Kept(
        scope,
        session,
        session.sync_session,
        await session.connection(),
        await session.run_sync(lambda below: below.connection()),
        task,
        await session.stream_scalars(rows),
        scope.stream(TITLES),
        begun,
    )


async def drain(rows: AsyncIterator[Any]) -> None:
    async for _ in rows:
        pass


def a_task(kept: Kept) -> models.Task:
    return models.Task(user_id=kept.task.user_id, title="late")


async def add_below(kept: Kept) -> None:
    kept.sync_session.add(a_task(kept))
    kept.sync_session.flush()


USES: dict[str, Callable[[Kept], Awaitable[Any]]] = {
    "all": lambda kept: kept.scope.all(TITLES),
    "first": lambda kept: kept.scope.first(TITLES),
    "one": lambda kept: kept.scope.one(TITLES),
    "execute": lambda kept: kept.scope.execute(RENAME, to="late"),
    "execute_many": lambda kept: kept.scope.execute_many(RENAME, [{"to": "late"}]),
    "text": lambda kept: kept.scope.all(TEXT),
    "open": lambda kept: kept.scope.open(),
    "new_id": lambda kept: asyncio.to_thread(kept.scope.new_id),
    "stream": lambda kept: drain(kept.scope.stream(TITLES)),
    "a stream that was not begun": lambda kept: drain(kept.rows),
    "a stream that was begun": lambda kept: drain(kept.stream),
    "session": lambda kept: asyncio.to_thread(lambda: kept.scope.session),
    "session.execute": lambda kept: kept.session.execute(ORM),
    "session.get": lambda kept: kept.session.get(models.Task, (kept.task.user_id, kept.task.id)),
    "session.add": lambda kept: asyncio.to_thread(kept.session.add, a_task(kept)),
    "session.flush": lambda kept: kept.session.flush(),
    "session.refresh": lambda kept: kept.session.refresh(kept.task),
    "session.stream_scalars": lambda kept: kept.session.stream_scalars(ORM),
    "session.begin_nested": lambda kept: kept.session.begin_nested().start(),
    "session.run_sync": lambda kept: kept.session.run_sync(lambda below: below.execute(ORM)),
    "session.connection": lambda kept: kept.session.connection(),
    "session.commit": lambda kept: kept.session.commit(),
    "session.rollback": lambda kept: kept.session.rollback(),
    "session.close": lambda kept: kept.session.close(),
    "the rest of a cursor": lambda kept: drain(kept.cursor),
    "sync_session.execute": lambda kept: asyncio.to_thread(kept.sync_session.execute, ORM),
    "sync_session.connection": lambda kept: asyncio.to_thread(kept.sync_session.connection),
    "sync_session.flush": add_below,
    "connection.execute": lambda kept: kept.connection.execute(ORM),
    "connection.exec_driver_sql": lambda kept: kept.connection.exec_driver_sql("SELECT 1"),
    "connection.get_raw_connection": lambda kept: kept.connection.get_raw_connection(),
    "connection.begin_nested": lambda kept: kept.connection.begin_nested().start(),
    "the connection below": lambda kept: greenlet_spawn(kept.below.execute, ORM),
    "exec_driver_sql below": lambda kept: greenlet_spawn(kept.below.exec_driver_sql, "SELECT 1"),
    "begin_nested below": lambda kept: greenlet_spawn(kept.below.begin_nested),
    "the raw connection below": lambda kept: greenlet_spawn(lambda: kept.below.connection),
    "connection.commit": lambda kept: kept.connection.commit(),
}


async def by_run(db: Database, user: User) -> Kept:
    return await db.run(user.id, keep, owner=user)


async def by_begin(db: Database, user: User) -> Kept:
    async with db.begin(user.id) as scope:
        return await keep(scope, owner=user)


async def by_run_system(db: Database, user: User) -> Kept:
    return await db.run_system(keep, owner=user)


async def by_failure(db: Database, user: User) -> Kept:
    kept: list[Kept] = []

    async def fail(scope: Scope) -> None:
        kept.append(await keep(scope, owner=user))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await db.run(user.id, fail)
    return kept[0]


@pytest.mark.parametrize("leak", [by_run, by_begin, by_run_system, by_failure])
async def test_what_a_unit_kept_reaches_nothing_of_the_next_one(
    narrow: Database,
    user: User,
    other_user: User,
    leak: Callable[[Database, User], Awaitable[Kept]],
) -> None:
    """Else one user's late task reads or changes what another user's unit is about to commit."""
    kept = await leak(narrow, user)
    assert sa.inspect(kept.task).detached  # and a session that is kept holds no rows in memory
    async with narrow.begin(other_user.id) as scope:
        await tasks.create(scope, title="theirs")
        for name, use in USES.items():
            print(name)  # noqa: T201 - the last one is what fails
            with pytest.raises(UsageError, match=ENDED):
                await use(kept)
        assert await scope.all(TITLES) == ["theirs"]
    mine = [] if leak is by_failure else ["mine 0", "mine 1", "mine 2"]
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == mine
    assert await narrow.run(other_user.id, lambda scope: scope.all(TITLES)) == ["theirs"]
    assert narrow.pool().checked_out == 0


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
async def test_a_scope_cannot_be_copied(
    narrow: Database, user: User, duplicate: Callable[[Any], Any]
) -> None:
    """Else the copy is not closed with the unit, and reads in another user's transaction."""

    async def unit(scope: Scope) -> None:
        with pytest.raises(UsageError, match="cannot be copied"):
            duplicate(scope)

    await narrow.run(user.id, unit)


async def test_a_scope_keeps_its_user(narrow: Database, user: User, other_user: User) -> None:
    """Else a unit that sets it reads another user's rows."""

    async def unit(scope: Any) -> None:
        with pytest.raises(AttributeError):
            scope.user_id = other_user.id
        assert scope.user_id == user.id

    await narrow.run(user.id, unit)


async def test_a_block_has_one_life(narrow: Database, user: User, other_user: User) -> None:
    """Else it is left a second time on a connection that serves another user by then."""
    block = narrow.begin(user.id)
    with pytest.raises(UsageError, match="can be left only once"):
        await block.__aexit__(None, None, None)
    async with block as scope:
        await tasks.create(scope, title="mine")
        with pytest.raises(UsageError, match="can be entered only once"):
            await block.__aenter__()
    with pytest.raises(UsageError, match="can be entered only once"):
        await block.__aenter__()
    async with narrow.begin(other_user.id) as scope:
        await tasks.create(scope, title="theirs")
        for error in (None, RuntimeError()):
            with pytest.raises(UsageError, match="can be left only once"):
                await block.__aexit__(None if error is None else RuntimeError, error, None)
    for each, titles in ((user, ["mine"]), (other_user, ["theirs"])):
        assert await narrow.run(each.id, lambda scope: scope.all(TITLES)) == titles
    assert narrow.pool().checked_out == 0


async def test_a_background_task_of_a_unit_ends_with_it(
    narrow: Database, user: User, other_user: User
) -> None:
    """Else a task that a unit left running writes into the next unit's transaction."""
    go_on = asyncio.Event()

    async def late(scope: Scope) -> None:
        await go_on.wait()
        await tasks.create(scope, title="late")

    async def unit(scope: Scope) -> asyncio.Task[None]:
        await tasks.create(scope, title="mine")
        return asyncio.create_task(late(scope))

    running = await narrow.run(user.id, unit)
    async with narrow.begin(other_user.id) as scope:
        await tasks.create(scope, title="theirs")
        go_on.set()
        with pytest.raises(UsageError, match=ENDED):
            await running
    for each, titles in ((user, ["mine"]), (other_user, ["theirs"])):
        assert await narrow.run(each.id, lambda scope: scope.all(TITLES)) == titles


@pytest.mark.parametrize("is_retried", [False, True], ids=["failed", "retried"])
async def test_an_orphan_of_gather_reaches_no_later_attempt(
    narrow: Database, user: User, *, is_retried: bool
) -> None:
    """Else a task of an attempt that failed writes once more in the attempt that succeeds."""
    go_on = asyncio.Event()
    orphans: list[asyncio.Task[Any]] = []

    async def late(scope: Scope) -> None:
        await go_on.wait()
        await tasks.create(scope, title="by the orphan")

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="by the unit")
        if not orphans:
            orphans.append(asyncio.create_task(late(scope)))
            raise Contention("once") if is_retried else RuntimeError
        go_on.set()
        await asyncio.wait(orphans)
        await scope.one(PID)

    if not is_retried:
        with pytest.raises(RuntimeError):
            await narrow.run(user.id, unit)
    await narrow.run(user.id, unit)
    with pytest.raises(UsageError, match=ENDED):
        await orphans[0]
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["by the unit"]


async def test_an_orphan_is_refused_while_the_runner_flushes(narrow: Database, user: User) -> None:
    """Else what a unit did not wait for is committed with it, or not, as it happens."""
    has_returned = asyncio.Event()
    refusals: list[str] = []

    async def late(kept: Kept) -> None:
        await has_returned.wait()
        for use in USES.values():
            with pytest.raises(UsageError) as refused:
                await use(kept)
            refusals.append(str(refused.value))

    async def unit(scope: Scope) -> asyncio.Task[None]:
        kept = await keep(scope, owner=user)
        orphan = asyncio.create_task(late(kept))

        def hold(*_: Any) -> None:
            has_returned.set()
            sa.util.await_only(asyncio.wait({orphan}))

        sa.event.listen(kept.sync_session, "before_flush", hold)
        kept.session.add(models.Task(user_id=user.id, title="mine 3"))
        return orphan

    await (await narrow.run(user.id, unit))
    assert len(refusals) == len(USES)
    assert all(refusal.startswith(ENDED) for refusal in refusals)
    titles = [f"mine {number}" for number in range(4)]
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == titles


async def test_a_scope_is_for_one_user_from_its_beginning_to_its_end(
    narrow: Database, user: User, other_user: User
) -> None:
    """Else a unit that keeps a user in its scope works on with that one's rows."""

    async def unit(scope: Scope) -> None:
        with pytest.raises(AttributeError):
            scope.user_id = other_user.id  # type: ignore[misc]  # what is refused
        await tasks.create(scope, title="mine")

    await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["mine"]
    assert await narrow.run(other_user.id, lambda scope: scope.all(TITLES)) == []


async def test_nothing_of_a_unit_waits_for_the_garbage_collector(
    narrow: Database, user: User
) -> None:
    """Else each unit over a session leaves some fifty objects, which the collector has to find."""
    left: list[weakref.ref[Any]] = []

    async def change(scope: Scope) -> None:
        task = models.Task(title="a")
        scope.session.add(task)
        await scope.session.flush()
        await scope.session.scalars(ORM)
        task.title = "b"
        left.extend(map(weakref.ref, (scope, scope.session)))

    gc.disable()
    try:
        await narrow.run(user.id, change)
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()
