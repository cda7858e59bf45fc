"""The connection of a unit is the runner's, and what its session was told is what becomes of it.

The pools have one connection. Where a unit gave it back, another user's unit would be on it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn
from tests.databases import opened

from faceplate import Database, PoolExhausted, Scope, Settings, Statement, UsageError, User, models
from faceplate.services import tasks

TITLES = Statement(str, sa.select(models.Task.title).order_by(models.Task.title))
RUNNERS = "the runner"


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection, for which nobody waits long."""
    changes: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout_s": 0.1}
    async with opened(settings, **changes) as db:
        yield db


async def connection(scope: Scope) -> Any:
    return await scope.session.connection()


async def raw(scope: Scope) -> Any:
    return await (await connection(scope)).get_raw_connection()


async def below(scope: Scope, call: Callable[[Any], Any]) -> Any:
    return await scope.session.run_sync(lambda session: call(session.connection()))


GIVES_BACK: dict[str, Callable[[Scope], Awaitable[Any]]] = {
    "close": lambda scope: _call(connection(scope), "close"),
    "aclose": lambda scope: _call(connection(scope), "aclose"),
    "invalidate": lambda scope: _call(connection(scope), "invalidate"),
    "commit": lambda scope: _call(connection(scope), "commit"),
    "rollback": lambda scope: _call(connection(scope), "rollback"),
    "close, below": lambda scope: below(scope, lambda found: found.close()),
    "detach": lambda scope: below(scope, lambda found: found.detach()),
    "close of the bind": lambda scope: scope.session.bind.close(),  # type: ignore[union-attr]  # it is a connection
    "close of the raw one": lambda scope: _spawn(raw(scope), "close"),
    "detach of the raw one": lambda scope: _spawn(raw(scope), "detach"),
    "invalidate of the raw one": lambda scope: _spawn(raw(scope), "invalidate"),
    "invalidate of the session": lambda scope: scope.session.invalidate(),
}


async def _call(found: Awaitable[Any], name: str) -> None:
    await getattr(await found, name)()


async def _spawn(found: Awaitable[Any], name: str) -> None:
    await greenlet_spawn(getattr(await found, name))


@pytest.mark.parametrize("way", GIVES_BACK)
async def test_a_unit_does_not_give_its_connection_back(
    narrow: Database, user: User, other_user: User, way: str
) -> None:
    """Else another user's unit is on it, commits what this one did, and is seen by it."""

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="mine")
        with pytest.raises(UsageError, match=RUNNERS):
            await GIVES_BACK[way](scope)
        with pytest.raises(PoolExhausted):
            await narrow.run(other_user.id, tasks.create, title="theirs")
        assert await scope.all(TITLES) == ["mine"]

    await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["mine"]
    assert await narrow.run(other_user.id, lambda scope: scope.all(TITLES)) == []
    assert narrow.pool().checked_out == 0


async def close(scope: Scope) -> None:
    scope.session.add(models.Task(title="lost"))
    await scope.session.close()


async def reset(scope: Scope) -> None:
    scope.session.add(models.Task(title="lost"))
    await scope.session.reset()


async def leave(scope: Scope) -> None:
    async with scope.session as session:
        session.add(models.Task(title="lost"))


async def fail_in_begin(scope: Scope) -> None:
    with suppress(RuntimeError):
        async with scope.session.begin():
            scope.session.add(models.Task(title="rolled back"))
            await scope.session.flush()
            raise RuntimeError


async def roll_back(scope: Scope) -> None:
    await scope.session.execute(sa.select(models.Task.title))
    transaction: Any = scope.session.get_transaction()
    await transaction.rollback()


DOES_OTHERWISE = [close, reset, leave, fail_in_begin, roll_back]


@pytest.mark.parametrize("way", DOES_OTHERWISE)
async def test_what_a_session_was_told_is_what_becomes_of_it(
    narrow: Database, user: User, way: Callable[[Scope], Awaitable[None]]
) -> None:
    """Else what was added is lost, or what was rolled back is kept, and nobody is told."""

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="before")
        await way(scope)

    async def fail(scope: Scope) -> None:
        await unit(scope)
        raise KeyError("of the unit")

    with pytest.raises(UsageError, match=r"session was closed|was rolled back"):
        await narrow.run(user.id, unit)
    with pytest.raises(KeyError, match="of the unit"):
        await narrow.run(user.id, fail)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == []


async def test_a_session_may_be_closed_that_holds_nothing(narrow: Database, user: User) -> None:
    """Else code that closes each session that it is given cannot be used in a unit."""

    async def unit(scope: Scope) -> None:
        async with scope.session.begin():
            scope.session.add(models.Task(title="begun"))
        async with scope.session as session:
            session.add(models.Task(title="flushed"))
            await session.flush()
        async with scope.session.begin_nested():
            scope.session.add(models.Task(title="nested"))
        with suppress(RuntimeError):
            async with scope.session.begin_nested():
                scope.session.add(models.Task(title="undone"))
                raise RuntimeError

    await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == [
        *("begun", "flushed", "nested")
    ]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("command", ["ROLLBACK", "COMMIT"])
async def test_a_unit_that_ends_its_transaction_by_the_driver_does_not_succeed(
    narrow: Database, user: User, command: str, *, fails: bool
) -> None:
    """Else a unit is reported as kept that was rolled back."""

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="mine")
        await (await raw(scope)).driver_connection.execute(command)
        if fails:
            raise KeyError

    with pytest.raises(KeyError if fails else UsageError):
        await narrow.run(user.id, unit)
