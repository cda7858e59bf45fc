"""Faults that are known between SQLAlchemy, asyncpg and PostgreSQL, and that no campaign provokes.

The page docs/faults.md lists all of them, with the tests of the others.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import bindparam, text
from tests.databases import Operator, end, opened, outside
from uuid6 import uuid7

from faceplate import (
    Database,
    DatabaseError,
    FaceplateError,
    InvalidInput,
    NotFound,
    Scope,
    Settings,
    Statement,
    TimedOut,
    Unauthorized,
    UsageError,
    User,
)
from faceplate.models import Task
from faceplate.services import tasks, users

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
FRESH = Statement(int, sa.select(sa.literal_column("6")))
SLEEP = Statement(str, sa.select(sa.func.pg_sleep(60)))
NO_TABLE: Any = "secret"
NUMBER = Statement(int, sa.select(sa.cast(bindparam("n", type_=sa.Integer()), sa.Integer)))


@pytest.fixture
async def quick(settings: Settings) -> AsyncIterator[Database]:
    """A Database that retries without a pause."""
    async with opened(settings, retry_delay_s=0) as db:
        yield db


@pytest.fixture
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    async with outside(settings) as connection:
        yield connection


class Attempts:
    """A unit that writes a task and then does what may fail; it counts how often it was begun."""

    def __init__(self, fail: Any) -> None:
        self._fail = fail
        self.count = 0

    async def __call__(self, scope: Scope) -> None:
        self.count += 1
        await tasks.create(scope, title="a")
        await self._fail(scope)


async def refused(db: Database, user: User, fail: Any, kind: type[FaceplateError]) -> Any:
    """Return the error of a unit that is run once, leaves nothing, and keeps no connection."""
    unit = Attempts(fail)
    with pytest.raises(kind) as raised:
        await db.run(user.id, unit)
    assert type(raised.value) is kind
    assert unit.count == 1
    assert (await db.run(user.id, tasks.page)).items == []
    assert db.pool().checked_out == 0
    return raised.value


def execute(*statements: str) -> Any:
    async def run(scope: Scope) -> None:
        for statement in statements:
            await scope.session.execute(text(statement))

    return run


async def test_a_transaction_that_runs_too_long_is_not_run_again(
    quick: Database, user: User
) -> None:
    """Else what brings a server to its knees does so twice: it looks like a lost connection."""
    async with quick.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if driver.get_server_version() < (17,):
            pytest.skip("transaction_timeout came with PostgreSQL 17")
    too_long = execute("SET LOCAL transaction_timeout = 50", "SELECT pg_sleep(60)")
    error = await refused(quick, user, too_long, TimedOut)
    assert (error.sqlstate, "transaction_timeout" in error.message) == ("25P04", True)


async def test_a_connection_that_ends_within_a_statement_is_a_lost_one(
    quick: Database, user: User, operator: Operator
) -> None:
    """Else a restart of the server fails each unit that waits for an answer at that moment."""
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def unit(scope: Scope) -> bool:
        pid = await scope.one(PID)
        if quick.counters.retries:
            return True
        pids.put_nowait(pid)
        await scope.one(SLEEP)
        return False

    running = asyncio.create_task(quick.run(user.id, unit))
    await end(operator, await pids.get())
    assert await running
    assert quick.counters.retries == {"ConnectionLost": 1}


async def test_a_connection_that_is_closed_between_two_steps_of_the_driver_is_a_lost_one(
    quick: Database, user: User
) -> None:
    """Else a caller gets an AttributeError of asyncpg's, which nobody retries."""

    driver: Any = None

    class Closing(set[Any]):
        def __iter__(self) -> Iterator[Any]:
            driver.terminate()
            return super().__iter__()

    async def unit(scope: Scope, run: Callable[[Scope], Awaitable[Any]]) -> None:
        nonlocal driver
        if not quick.counters.retries:
            driver = scope._driver
            driver._stmts_to_close = Closing({object()})  # asyncpg closes these first
        await run(scope)

    for run in (
        lambda scope: scope.all(FRESH),
        lambda scope: scope.session.execute(text("SELECT 7")),
    ):
        await quick.run(user.id, unit, run)
        assert quick.counters.retries == {"ConnectionLost": 1}
        quick.counters.retries.clear()


async def test_what_was_read_before_the_connection_ended_is_returned(
    quick: Database, user: User, operator: Operator
) -> None:
    """Else a list that was there is fetched a second time, or is an error."""

    pid = await quick.run(user.id, lambda scope: scope.one(PID))  # the pool's only connection

    async def unit(scope: Scope) -> list[str]:
        titles = [task.title for task in (await tasks.page(scope)).items]
        await end(operator, pid)
        return titles

    await quick.run(user.id, tasks.create, title="a")
    assert await quick.run(user.id, unit) == ["a"]
    assert not quick.counters.retries


async def test_a_full_disk_is_said_to_be_one_and_not_tried_again(
    quick: Database, user: User
) -> None:
    """Else every unit doubles the load of a server that cannot write."""
    full = execute("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$")
    error = await refused(quick, user, full, DatabaseError)
    assert (error.sqlstate, error.message) == ("53100", "the server's disk is full")


async def test_more_values_than_a_statement_takes(quick: Database, user: User) -> None:
    """Else the caller learns that the driver has an unexpected InterfaceError."""

    async def look_for_many(scope: Scope) -> None:
        titles = [str(number) for number in range(32_768)]
        await scope.session.execute(sa.select(Task).where(Task.title.in_(titles)))

    error = await refused(quick, user, look_for_many, UsageError)
    assert "at most 32,767 values" in error.message


async def test_a_row_that_is_not_there_to_be_changed_is_not_found(
    quick: Database, user: User
) -> None:
    """Else an update of a row that was deleted meanwhile is an unexpected error of the driver."""

    async def change(scope: Scope) -> None:
        await scope.session.execute(
            sa.update(Task), [{"user_id": scope.user_id, "id": uuid7(), "title": "late"}]
        )

    error = await refused(quick, user, change, NotFound)
    assert "no longer exists" in error.message


@pytest.mark.parametrize(
    "make",
    [
        lambda: sa.insert(Task).values(secret="secret"),
        lambda: sa.select(Task).join(NO_TABLE),
    ],
)
async def test_a_statement_that_sqlalchemy_refuses_is_a_misuse(
    quick: Database, user: User, make: Any
) -> None:
    """Else the caller looks for a fault of the driver, or finds what a user typed in its words."""
    error = await refused(quick, user, lambda scope: scope.session.execute(make()), UsageError)
    assert "secret" not in error.message


@pytest.mark.parametrize("value", [2**31, 2**80, "secret"], ids=str)
async def test_a_value_that_the_driver_refuses_shows_nowhere(
    quick: Database, user: User, value: object
) -> None:
    """Else what a user typed is in the log, since the driver quotes it."""

    async def send(scope: Scope) -> None:
        await scope.one(NUMBER, n=value)

    error = await refused(quick, user, send, InvalidInput)
    assert str(value) not in str(error)
    assert error.__cause__ is None


async def test_a_scope_that_tasks_share_says_what_to_do(quick: Database, user: User) -> None:
    """Else a developer who writes gather in a unit looks for a fault in the driver."""

    async def gather(scope: Scope) -> None:
        await asyncio.gather(*(tasks.page(scope) for _ in range(3)))

    error = await refused(quick, user, gather, UsageError)
    assert "one task at a time" in error.message


async def test_a_session_that_tasks_share_says_so(quick: Database, user: User) -> None:
    """Else half of what two tasks wrote is flushed, and nobody knows which."""

    async def gather(scope: Scope) -> None:
        scope.session.add(Task(user_id=scope.user_id, title="b"))
        await asyncio.gather(scope.session.flush(), scope.session.flush())

    error = await refused(quick, user, gather, UsageError)
    assert "already flushing" in error.message


@pytest.mark.parametrize(
    ("sql", "kind", "sqlstate"),
    [
        ("COPY faceplate.tasks FROM STDIN", DatabaseError, "0A000"),
        ("TRUNCATE faceplate.tasks", Unauthorized, "42501"),
    ],
)
async def test_what_would_go_round_the_policies_is_refused(
    quick: Database, user: User, sql: str, kind: type[FaceplateError], sqlstate: str
) -> None:
    """Else one user's raw SQL writes or empties everybody's rows."""
    error = await refused(quick, user, execute(sql), kind)
    assert error.sqlstate == sqlstate


NOTES = sa.Table("notes", sa.MetaData(schema="public"), sa.Column("body", sa.Text()))
READ = Statement(str, sa.select(NOTES.c.body))


async def by_statement(scope: Scope) -> str:
    return await scope.one(READ)


async def by_session(scope: Scope) -> str:
    found: str | None = await scope.session.scalar(sa.select(NOTES.c.body))
    assert found is not None
    return found


@pytest.mark.parametrize("read", [by_statement, by_session])
async def test_a_table_that_another_process_has_changed_is_read_all_the_same(
    fresh_database_url: str, read: Callable[[Scope], Awaitable[str]]
) -> None:
    """Else a migration costs one request for each connection of every process."""
    own = Settings(database_url=SecretStr(fresh_database_url), pool_size=3, max_overflow=0)
    async with Database(own) as db, outside(own) as operator:
        user = await db.run_system(users.create, subject_id="somebody")
        await operator.execute("CREATE TABLE public.notes AS SELECT varchar 'a' AS body")
        await operator.execute("GRANT SELECT ON public.notes TO faceplate_app")
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await read(await stack.enter_async_context(db.begin(user.id)))
        await operator.execute("ALTER TABLE public.notes ALTER body TYPE text")
        assert await asyncio.gather(*(db.run(user.id, read) for _ in range(9))) == ["a"] * 9
        assert 1 <= db.counters.retries["SchemaChanged"] <= 3
