"""What an operator learns of retries, reconnects, refusals, lost outcomes: a count and a line."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.databases import Operator, end, opened, outside
from uuid6 import uuid7

from faceplate import (
    CommitOutcomeUnknown,
    ConnectionLost,
    Database,
    NotFound,
    PoolExhausted,
    Scope,
    Settings,
    Statement,
    Unavailable,
    User,
)
from faceplate.events import Counters, Event, Kind, Observed
from faceplate.services import tasks, users

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
CANARY = "what nobody else may read"
# The connection ends in the middle of COMMIT, before it has taken effect.
NO_TRIGGER = pytest.mark.not_on_citus("it refuses the trigger that ends a connection at COMMIT")
END_AT_COMMIT = """
CREATE FUNCTION end_at_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER end_at_commit AFTER INSERT OR UPDATE ON faceplate.tasks
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_at_commit()
"""


class Heard:
    """A listener that lets a test wait for what happens."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.came = asyncio.Event()

    def observe(self, _call: Observed) -> nullcontext[None]:
        return nullcontext()

    def record(self, event: Event) -> None:
        self.events.append(event)
        self.came.set()


@pytest.fixture
def own(fresh_database_url: str) -> Settings:
    """A database that is the test's alone, so that it may be closed to everybody."""
    return Settings(database_url=SecretStr(fresh_database_url))


@pytest.fixture
async def operator(own: Settings) -> AsyncIterator[Operator]:
    async with outside(own) as connection:
        yield connection


async def allow_connections(operator: Operator, count: int) -> None:
    name = await operator.fetchval("SELECT current_database()")
    await operator.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {count}")


async def settle(db: Database) -> UUID:
    return (await db.run_system(users.create, subject_id="somebody")).id


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, dict[str, Any]]]:
    """The level and the fields of each line, once it is sure that the text has them too."""
    found = []
    for record in caplog.records:
        if record.name != "faceplate":
            continue
        fields: dict[str, Any] = record.__dict__["faceplate"]
        text = record.getMessage()
        assert f"{fields['unit']} after attempt {fields['attempt']}, " in text
        assert f"{fields['elapsed_s']:.3f} s: {fields['reason']}: " in text
        assert (f"[SQLSTATE {fields['sqlstate']}]" in text) == bool(fields["sqlstate"])
        found.append((record.levelno, fields))
    assert CANARY not in caplog.text
    return found


async def test_ordinary_units_leave_no_trace(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator whom every row that is not found worries stops reading."""
    caplog.set_level(logging.DEBUG, "faceplate")
    task = await db.run(user.id, tasks.create, title=CANARY)
    await db.run(user.id, tasks.delete, task.id)
    with pytest.raises(NotFound):
        await db.run(user.id, tasks.get, task.id)
    assert db.counters == Counters()
    assert lines(caplog) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [("app.chats", "chats"), ("app.chats._reading", "chats"), ("__main__", "__main__")],
)
async def test_a_unit_has_the_name_by_which_it_is_called(
    db: Database, user: User, module: str, name: str
) -> None:
    """Else an operator looks for a unit in a module that no caller knows."""

    async def unit(scope: Scope) -> None:
        await tasks.get(scope, uuid7())

    unit.__module__ = module
    with pytest.raises(NotFound) as missing:
        await db.run(user.id, unit)
    assert missing.value.unit == f"{name}.{unit.__qualname__}"


async def test_a_repeat_after_a_lost_connection(
    own: Settings, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody sees that something ends connections until it does so twice in a row."""
    async with opened(own, retry_delay_s=0) as db:
        user_id = await settle(db)

        async def unit(scope: Scope) -> None:
            await tasks.create(scope, title=CANARY)
            if not db.counters.retries:
                await end(operator, await scope.one(PID))
            await scope.one(PID)

        await db.run(user_id, unit)
        assert db.counters == Counters(retries=db.counters.retries)
        assert db.counters.retries == {"ConnectionLost": 1}
    [(level, fields)] = lines(caplog)
    assert level == logging.WARNING
    assert (fields["kind"], fields["attempt"]) == ("retry", 1)
    assert fields["unit"] == f"test_events.{unit.__qualname__}"


async def test_a_unit_that_is_lost_twice_is_given_up(own: Settings, operator: Operator) -> None:
    """Else a failure of the database is counted as one of the application."""
    async with opened(own, retry_delay_s=0) as db:
        user_id = await settle(db)

        async def unit(scope: Scope) -> None:
            await end(operator, await scope.one(PID))
            await scope.one(PID)

        db.events.listener = heard = Heard()
        with pytest.raises(ConnectionLost):
            await db.run(user_id, unit)
        assert db.counters.retries == db.counters.refusals == {"ConnectionLost": 1}
        assert [event.attempt for event in heard.events] == [1, 2]


async def test_repeats_that_come_with_traffic_are_no_warning(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the log of a busy server is full of warnings about nothing."""
    caplog.set_level(logging.INFO, "faceplate")

    async def unit(scope: Scope) -> None:
        if not db.counters.retries:
            raise_contention = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"
            await scope.session.execute(sa.text(raise_contention))

    await db.run(user.id, unit)
    assert db.counters.retries == {"Contention": 1}
    [(level, fields)] = lines(caplog)
    assert (level, fields["kind"], fields["sqlstate"]) == (logging.INFO, "retry", "40001")


async def test_waiting_for_the_server_is_recorded_once(
    own: Settings, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    """Else an outage shows only in how slow everything is, or in a line for every attempt."""
    async with opened(own) as db:
        user_id = await settle(db)
        await db.engine.dispose()
        await allow_connections(operator, 0)
        db.events.listener = heard = Heard()
        waiting = asyncio.create_task(db.run(user_id, tasks.page))
        await heard.came.wait()
        await allow_connections(operator, -1)
        await waiting
        assert db.counters == Counters(reconnects=1)
    [(level, fields)] = lines(caplog)
    assert (level, fields["kind"], fields["sqlstate"]) == (logging.WARNING, "reconnect", "53300")
    assert (fields["unit"], fields["reason"]) == ("tasks.page", "Unavailable")


async def test_a_server_that_does_not_come_back_is_a_refusal(
    own: Settings, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the requests that an outage has cost cannot be counted."""
    async with opened(own, reconnect_timeout_s=0) as db:
        user_id = await settle(db)
        await db.engine.dispose()
        await allow_connections(operator, 0)
        with pytest.raises(Unavailable):
            await db.run(user_id, tasks.page)
        assert (db.counters.reconnects, db.counters.refusals) == (1, {"Unavailable": 1})
    assert [(level, fields["kind"]) for level, fields in lines(caplog)] == [
        (logging.WARNING, "reconnect"),
        (logging.ERROR, "refusal"),
    ]


async def by_run(db: Database, user: User) -> None:
    await db.run(user.id, tasks.page)


async def by_run_in_run(db: Database, user: User) -> None:
    async def unit(_scope: Scope) -> None:
        await db.run(user.id, tasks.page)

    await db.run(user.id, unit)


async def by_begin(db: Database, user: User) -> None:
    async with db.begin(user.id):
        raise AssertionError


@pytest.mark.parametrize(
    ("call", "unit"), [(by_run, "tasks.page"), (by_run_in_run, "tasks.page"), (by_begin, "begin")]
)
async def test_a_refusal_is_recorded_once(
    settings: Settings,
    user: User,
    call: Callable[[Database, User], Awaitable[None]],
    unit: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else nobody knows whether the pool is too small, or knows of twice as many as there are."""
    size = 2 if call is by_run_in_run else 1
    async with opened(settings, pool_size=size, max_overflow=0, pool_timeout_s=0.05) as db:
        async with db.begin(user.id):
            with pytest.raises(PoolExhausted) as raised:
                await call(db, user)
        assert raised.value.unit == unit
        assert db.counters.refusals == {"PoolExhausted": 1}
        assert not db.counters.retries
    [(level, fields)] = lines(caplog)
    assert (level, fields["kind"], fields["unit"]) == (logging.WARNING, "refusal", unit)


@NO_TRIGGER
async def test_an_unknown_outcome_is_an_error_in_the_log(
    own: Settings, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    """Else what may be there, or may not, is found by the user first."""
    async with opened(own, reconnect_timeout_s=0.1) as db:
        user_id = await settle(db)
        task = await db.run(user_id, tasks.create, title=CANARY)
        await operator.execute(END_AT_COMMIT)

        async def unit(scope: Scope) -> None:
            await tasks.complete(scope, task.id)
            await allow_connections(operator, 0)

        with pytest.raises(CommitOutcomeUnknown) as raised:
            await db.run(user_id, unit)
        assert db.counters == Counters(unknown_outcomes=1)
    [(level, fields)] = lines(caplog)
    assert raised.value.unit == fields["unit"]
    assert (level, fields["kind"], fields["attempt"]) == (logging.ERROR, "unknown_outcome", 1)


@NO_TRIGGER
async def test_a_repeat_that_leaves_the_outcome_unknown(own: Settings, operator: Operator) -> None:
    """Else it is taken for a refusal, which it is safe to try again with another id."""
    async with opened(own, retry_delay_s=0) as db:
        user_id = await settle(db)
        await operator.execute(END_AT_COMMIT)
        db.events.listener = heard = Heard()
        with pytest.raises(CommitOutcomeUnknown):
            await db.run(user_id, tasks.create, title=CANARY)
        assert [event.kind for event in heard.events] == [Kind.RETRY, Kind.UNKNOWN_OUTCOME]
        assert heard.events[1].attempt == 2
        assert not db.counters.refusals
