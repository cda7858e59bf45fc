"""The runner: what it retries and what it does not, and what a unit leaves behind when it fails."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from tests.databases import Operator, end, opened, outside

from faceplate import (
    Conflict,
    ConnectionLost,
    Database,
    FaceplateError,
    InvalidInput,
    Scope,
    Settings,
    Statement,
    TimedOut,
    Unauthorized,
    UsageError,
    User,
)
from faceplate.services import tasks

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
SLEEP = Statement(str, sa.select(sa.func.pg_sleep(60)))


@pytest.fixture
async def quick(settings: Settings) -> AsyncIterator[Database]:
    """A Database that retries without a pause."""
    async with opened(settings, retry_delay_s=0) as db:
        yield db


@pytest.fixture
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    async with outside(settings) as connection:
        yield connection


async def test_a_unit_whose_connection_is_lost_runs_once_more(
    quick: Database,
    user: User,
    operator: Operator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else every restart of the server costs the requests that were under way."""
    minted = []

    async def unit(scope: Scope) -> None:
        minted.append(scope.new_id())
        await tasks.create(scope, title="before")
        if len(minted) == 1:
            await end(operator, await scope.one(PID))
        await tasks.create(scope, title="after")

    await quick.run(user.id, unit)
    assert len(minted) == 2
    assert minted[0] == minted[1]
    assert await titles(quick, user) == ["after", "before"]
    (logged,) = [record for record in caplog.records if record.name == "faceplate"]
    assert logged.levelno == logging.WARNING
    assert logged.message.startswith("retrying test_runner.test_a_unit_whose")


async def test_a_second_loss_is_reported(quick: Database, user: User, operator: Operator) -> None:
    """Else a unit that itself brings the server down does so for ever."""
    attempts = []

    async def unit(scope: Scope) -> None:
        attempts.append(await scope.one(PID))
        await tasks.create(scope, title="lost")
        await end(operator, attempts[-1])
        await scope.one(PID)

    with pytest.raises(ConnectionLost) as raised:
        await quick.run(user.id, unit)
    assert raised.value.unit == f"test_runner.{unit.__qualname__}"
    assert len(set(attempts)) == 2
    assert await titles(quick, user) == []


async def test_a_serialization_failure_is_repeated(quick: Database, user: User) -> None:
    """Else a unit at a stricter isolation level has to be retried by its caller."""
    task = await quick.run(user.id, tasks.create, title="mine")
    read = []

    async def unit(scope: Scope) -> None:
        await scope.session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        read.append((await tasks.get(scope, task.id)).title)
        if len(read) == 1:
            await quick.run(user.id, tasks.edit, task.id, title="theirs")
        await tasks.edit(scope, task.id, title="mine again")

    await quick.run(user.id, unit)
    assert read == ["mine", "theirs"]
    assert await titles(quick, user) == ["mine again"]


async def test_of_two_units_in_a_deadlock_both_succeed(quick: Database, user: User) -> None:
    """Else one of two requests that touch the same rows fails at random."""
    both_hold_one = asyncio.Barrier(2)
    one = await quick.run(user.id, tasks.create, title="one")
    two = await quick.run(user.id, tasks.create, title="two")
    attempts = 0

    async def unit(scope: Scope, first: Any, second: Any) -> None:
        nonlocal attempts
        attempts += 1
        await tasks.complete(scope, first)
        if attempts <= 2:
            await both_hold_one.wait()
        await tasks.complete(scope, second)

    await asyncio.gather(
        quick.run(user.id, unit, one.id, two.id), quick.run(user.id, unit, two.id, one.id)
    )
    assert attempts == 3


@pytest.mark.parametrize(
    ("statement", "error", "sqlstate"),
    [
        ("INSERT INTO faceplate.tasks SELECT * FROM faceplate.tasks", Conflict, "23505"),
        ("UPDATE faceplate.tasks SET title = ''", InvalidInput, "23514"),
        ("UPDATE faceplate.tasks SET title = NULL", InvalidInput, "23502"),
        ("SELECT title::int FROM faceplate.tasks", InvalidInput, "22P02"),
        ("SELECT 1/0", InvalidInput, "22012"),
        ("DELETE FROM faceplate.users", Unauthorized, "42501"),
        ("SET LOCAL statement_timeout = 10; SELECT pg_sleep(60)", TimedOut, "57014"),
        ("SELECT nothing", FaceplateError, "42703"),
        ("SELEKT", FaceplateError, "42601"),
    ],
)
async def test_what_would_fail_again_is_not_repeated(
    quick: Database,
    user: User,
    statement: str,
    error: type[FaceplateError],
    sqlstate: str,
) -> None:
    """Else a bad request costs twice, and one that timed out keeps the server busy twice."""
    attempts = 0

    async def unit(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        await tasks.create(scope, title="a")
        for part in statement.split("; "):
            await scope.session.execute(text(part))

    with pytest.raises(error) as raised:
        await quick.run(user.id, unit)
    assert attempts == 1
    assert (raised.value.sqlstate, raised.value.unit) == (
        sqlstate,
        f"test_runner.{unit.__qualname__}",
    )
    assert await titles(quick, user) == []


@pytest.mark.parametrize(
    "failure",
    [
        FileNotFoundError(2, "no such prompt"),
        TimeoutError("the model took too long"),
        ConnectionResetError(104, "the model hung up"),
        LookupError("nothing of ours"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_units_own_error_comes_out_as_it_is(
    quick: Database, user: User, failure: Exception
) -> None:
    """Else an application cannot tell its own mistake, or its model's, from the database's."""
    attempts = 0

    async def unit(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        await tasks.create(scope, title="a")
        raise failure

    with pytest.raises(type(failure)) as raised:
        await quick.run(user.id, unit)
    assert raised.value is failure
    assert attempts == 1
    assert await titles(quick, user) == []


async def test_a_units_own_time_limit_is_its_own(quick: Database, user: User) -> None:
    """Else the application hears of command_timeout_s, which is not what it set."""

    async def unit(scope: Scope) -> None:
        async with asyncio.timeout(0.05):
            await scope.one(SLEEP)

    with pytest.raises(TimeoutError) as raised:
        await quick.run(user.id, unit)
    assert not isinstance(raised.value, FaceplateError)


async def test_a_block_is_never_repeated(quick: Database, user: User, operator: Operator) -> None:
    """Else its first half would be missing from what is committed."""

    async def block() -> None:
        async with quick.begin(user.id) as scope:
            await tasks.create(scope, title="a")
            await end(operator, await scope.one(PID))
            await tasks.create(scope, title="b")

    with pytest.raises(ConnectionLost):
        await block()
    assert await titles(quick, user) == []


async def titles(db: Database, user: User) -> list[str]:
    return [task.title for task in (await db.run(user.id, tasks.page)).items]


async def test_before_it_was_entered_and_after_it_was_left(settings: Settings, user: User) -> None:
    """Else it fails with an error of the pool's that says nothing of the reason."""
    db = Database(settings)
    with pytest.raises(UsageError, match="async with Database"):
        await db.run(user.id, tasks.page)
    async with db:
        await db.run(user.id, tasks.page)
    await db.dispose()
    for use in (db.run(user.id, tasks.page), db.check()):
        with pytest.raises(UsageError, match="async with Database"):
            await use
    with pytest.raises(UsageError, match="async with Database"):
        db.begin(user.id)
    async with db:  # and it can be entered again
        await db.run(user.id, tasks.page)


async def test_in_another_event_loop(db: Database, user: User) -> None:
    """Else two loops share a socket, and one of them waits for ever."""

    def elsewhere() -> None:
        asyncio.run(db.run(user.id, tasks.page))

    with pytest.raises(UsageError, match="another event loop"):
        await asyncio.to_thread(elsewhere)
    await db.run(user.id, tasks.page)


def test_in_a_forked_process(settings: Settings) -> None:
    """Else two processes speak on one connection, and get each other's rows."""
    ran = subprocess.run(
        [sys.executable, "-c", FORK],
        env={"DATABASE_URL": str(settings.dsn)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.splitlines() == ["child: UsageError", "parent: usable"], ran.stderr


FORK = """
import asyncio, os
from faceplate import Database, UsageError

async def main():
    async with Database() as db:
        child = os.fork()
        if not child:
            try:
                asyncio.run(db.check())
            except UsageError:
                print("child: UsageError", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        if (await db.check()).reachable:
            print("parent: usable")

asyncio.run(main())
"""
