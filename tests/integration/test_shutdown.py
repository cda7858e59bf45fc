"""Closing a Database under load: what runs may end, what lasts is cut off, nothing stays behind."""

import asyncio
import gc
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.databases import Operator, opened, outside

from faceplate import (
    ConnectionLost,
    Conversation,
    Database,
    Scope,
    Settings,
    ShuttingDown,
    Statement,
    UsageError,
    User,
    drafts,
)
from faceplate.errors import was_committed
from faceplate.services import conversations, messages, tasks, users

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
SLEEP = Statement(str, sa.select(sa.func.pg_sleep(60)))
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"


class House:
    """A small pool and somebody in it; ``other`` sees what is stored."""

    def __init__(self, db: Database, other: Database, user: User, operator: Operator) -> None:
        self.db, self.other, self.user, self._operator = db, other, user, operator

    async def titles(self) -> list[str]:
        page = await self.other.run(self.user.id, tasks.page)
        return sorted(task.title for task in page.items)

    async def connections(self) -> int:
        """How many the server still has, once it has noticed that a client is gone."""
        name = self.db.settings.application_name
        async with asyncio.timeout(30):
            while count := await self._operator.fetchval(OPEN, name):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        return int(count)


@pytest.fixture
async def make_house(
    settings: Settings, db: Database, user: User, recwarn: pytest.WarningsRecorder
) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    async with AsyncExitStack() as stack:
        operator = await stack.enter_async_context(outside(settings))

        async def make(**changes: Any) -> House:
            limits = {"pool_size": 2, "max_overflow": 0} | changes
            opening = opened(settings, **limits)
            return House(await stack.enter_async_context(opening), db, user, operator)

        yield make
    gc.collect()
    assert not recwarn.list


Make = Callable[..., Awaitable[House]]


class Gate:
    """Units that have begun, and go on when they are let."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.opens = asyncio.Event()

    async def unit(self, scope: Scope, /, title: str) -> str:
        await tasks.create(scope, title=title)
        self.begun.release()
        await self.opens.wait()
        return title


async def closing(db: Database) -> "asyncio.Task[int]":
    """Begin to close, and return when it is under way."""
    task = asyncio.create_task(db.dispose())
    await asyncio.sleep(0)
    return task


async def test_what_ends_in_time_is_kept_and_what_is_new_is_refused(
    make_house: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a deploy fails requests that were as good as done, or goes on taking new ones."""
    house, gate = await make_house(), Gate()
    running = asyncio.create_task(house.db.run(house.user.id, gate.unit, "a"))
    await gate.begun.acquire()
    disposing = await closing(house.db)
    with pytest.raises(ShuttingDown, match=r"^tasks.create: not begun, .* another process"):
        await house.db.run(house.user.id, tasks.create, title="b")
    with pytest.raises(ShuttingDown):
        async with house.db.begin(house.user.id):
            pass
    with pytest.raises(ShuttingDown):
        house.db.sessions()
    gate.opens.set()
    assert await running == "a"
    assert await disposing == 0
    assert await house.titles() == ["a"]
    assert await house.connections() == 0
    assert house.db.counters.refusals == {"ShuttingDown": 2}
    assert [(r.levelno, r.message.partition(" after")[0]) for r in caplog.records] == [
        (logging.WARNING, "gave up tasks.create"),
        (logging.WARNING, "gave up begin"),
    ]
    with pytest.raises(UsageError, match="async with Database"):
        await house.db.run(house.user.id, tasks.page)


async def test_what_does_not_end_in_time_is_cut_off(
    make_house: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Else one stuck request holds up a deploy until its process is killed."""
    house, gate = await make_house(pool_size=5, shutdown_timeout_s=0.1), Gate()

    async def in_a_statement(scope: Scope) -> None:
        await tasks.create(scope, title="statement")
        gate.begun.release()
        await scope.one(SLEEP)

    async def in_the_orm(scope: Scope) -> None:
        await tasks.create(scope, title="orm")
        gate.begun.release()
        await scope.session.execute(sa.text("SELECT pg_sleep(60)"))

    async def in_a_block() -> None:
        async with house.db.begin(house.user.id) as scope:
            await gate.unit(scope, "block")

    async def in_a_session() -> None:
        async with house.db.sessions() as session:
            await session.execute(sa.text("SELECT 1"))
            gate.begun.release()
            await gate.opens.wait()
            await session.execute(sa.text("SELECT 1"))

    running: list[asyncio.Task[Any]] = [
        asyncio.create_task(house.db.run(house.user.id, in_a_statement)),
        asyncio.create_task(house.db.run(house.user.id, in_the_orm)),
        asyncio.create_task(house.db.run(house.user.id, gate.unit, "unit")),
        asyncio.create_task(in_a_block()),
    ]
    in_session = asyncio.create_task(in_a_session())
    for _ in range(5):
        await gate.begun.acquire()
    assert await house.db.dispose() == len(running)
    for task in running:
        with pytest.raises(ShuttingDown, match="cut off and rolled back"):
            await task
        assert not task.cancelling()  # who catches it goes on
    gate.opens.set()
    with pytest.raises(sa.exc.DBAPIError):
        await in_session
    assert await house.connections() == 0
    assert await house.titles() == []
    (said,) = (r.message for r in caplog.records if r.message.startswith("closing"))
    assert said.startswith(
        "closing cuts off what is in flight: 4 of begin, test_shutdown.Gate.unit"
    )


async def test_units_that_wait_for_a_connection_get_their_turn(make_house: Make) -> None:
    """Else what was accepted is refused, because it came a moment before the deploy."""
    house, gate = await make_house(pool_size=1), Gate()
    names = [str(number) for number in range(5)]
    running = [asyncio.create_task(house.db.run(house.user.id, gate.unit, n)) for n in names]
    await gate.begun.acquire()
    disposing = await closing(house.db)
    gate.opens.set()
    assert await asyncio.gather(*running) == names
    assert await disposing == 0
    assert await house.titles() == names


async def test_units_that_wait_in_vain_are_cut_off(make_house: Make) -> None:
    """Else they get a connection of a Database that is closed, and nobody closes it."""
    house, gate = await make_house(pool_size=1, shutdown_timeout_s=0.1), Gate()
    running = [asyncio.create_task(house.db.run(house.user.id, gate.unit, "a")) for _ in range(5)]
    await gate.begun.acquire()
    assert await house.db.dispose() == 5
    ends = await asyncio.gather(*running, return_exceptions=True)
    assert {type(end) for end in ends} == {ShuttingDown}
    assert await house.connections() == 0
    assert await house.titles() == []


async def test_a_second_call_waits_for_the_first(make_house: Make) -> None:
    """Else it says that the pool is closed while units still run, and the program ends."""
    house, gate = await make_house(), Gate()
    running = asyncio.create_task(house.db.run(house.user.id, gate.unit, "a"))
    await gate.begun.acquire()
    first, second = await closing(house.db), await closing(house.db)
    impatient = await closing(house.db)
    impatient.cancel()  # who need not wait does not end it for the others
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert not second.done()
    gate.opens.set()
    assert [await first, await second, await house.db.dispose()] == [0, 0, 0]
    assert await running == "a"


async def test_who_is_cancelled_while_closing_cuts_all_off_at_once(make_house: Make) -> None:
    """Else a deploy that runs out of patience leaves connections and transactions behind."""
    house, gate = await make_house(), Gate()
    running = asyncio.create_task(house.db.run(house.user.id, gate.unit, "a"))
    await gate.begun.acquire()
    disposing = await closing(house.db)
    disposing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await disposing
    with pytest.raises(ShuttingDown):
        await running
    assert await house.connections() == 0
    with pytest.raises(UsageError):
        await house.db.run(house.user.id, tasks.page)


async def test_to_close_and_open_again(make_house: Make) -> None:
    """Else a program that was reloaded refuses everything from then on."""
    house = await make_house()
    for title in ("a", "b"):
        await house.db.run(house.user.id, tasks.create, title=title)
        await house.db.dispose()
        await house.db.__aenter__()
    assert await house.titles() == ["a", "b"]


async def test_it_is_entered_once(make_house: Make) -> None:
    """Else the pool of the first time is lost with its connections."""
    house = await make_house()
    with pytest.raises(UsageError, match="open already"):
        async with house.db:
            pass
    await house.db.run(house.user.id, tasks.page)


async def test_who_closes_within_a_block_of_ones_own_does_not_wait_for_it(
    make_house: Make,
) -> None:
    """Else it waits for itself."""
    house = await make_house()

    async def block() -> None:
        async with house.db.begin(house.user.id) as scope:
            await tasks.create(scope, title="a")
            assert await house.db.dispose() == 0
            await tasks.create(scope, title="b")

    with pytest.raises(ConnectionLost):
        await block()
    assert await house.titles() == []
    assert await house.connections() == 0


async def test_what_a_unit_calls_passes(make_house: Make) -> None:
    """Else a unit that may go on fails half-way, since a part of it is new."""
    house, gate = await make_house(), Gate()

    async def compose(scope: Scope) -> None:
        await gate.unit(scope, "a")
        await house.db.run(house.user.id, tasks.create, title="b")

    running = asyncio.create_task(house.db.run(house.user.id, compose))
    await gate.begun.acquire()
    disposing = await closing(house.db)
    gate.opens.set()
    await running
    assert await disposing == 0
    assert await house.titles() == ["a", "b"]


async def test_a_unit_that_will_not_be_cancelled_loses_its_connection(
    make_house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one stubborn handler leaves its locks behind, and holds the process up for good."""
    monkeypatch.setattr("faceplate._runner.shutdown.CUT_OFF_S", 0.1)
    house, gate = await make_house(shutdown_timeout_s=0), Gate()

    async def stubborn(scope: Scope) -> None:
        try:
            await gate.unit(scope, "a")
        except asyncio.CancelledError:
            await gate.opens.wait()
        await tasks.create(scope, title="b")

    running = asyncio.create_task(house.db.run(house.user.id, stubborn))
    await gate.begun.acquire()
    assert await house.db.dispose() == 1
    assert await house.connections() == 0
    gate.opens.set()
    with pytest.raises(ShuttingDown, match="closed"):
        await running
    assert await house.titles() == []


async def test_a_session_maker_from_before_opens_nothing_any_more(make_house: Make) -> None:
    """Else a connection is made that nobody closes."""
    house = await make_house()
    sessions = house.db.sessions
    await house.db.dispose()
    with pytest.raises(ShuttingDown, match="closed"):
        async with sessions() as session:
            await session.execute(sa.text("SELECT 1"))
    assert await house.connections() == 0


async def test_who_is_cancelled_by_somebody_else_too_is_told_so(make_house: Make) -> None:
    """Else a time limit or a task group takes its own cancellation for a fault."""
    house, gate = await make_house(shutdown_timeout_s=0), Gate()

    async def slow_to_end(scope: Scope) -> None:
        try:
            await gate.unit(scope, "a")
        finally:
            gate.begun.release()
            await gate.opens.wait()

    running = asyncio.create_task(house.db.run(house.user.id, slow_to_end))
    await gate.begun.acquire()
    running.cancel()
    await gate.begun.acquire()
    assert await house.db.dispose() == 1
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelling() == 1


# COMMIT waits until the holder of the lock lets it go.
WAIT_AT_COMMIT = """
CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON faceplate.tasks
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_commit()
"""
COMMITTING = "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def test_who_is_cut_off_during_commit_can_tell(fresh_database_url: str) -> None:
    """Else what is stored is done once more by the process that takes over."""
    own = Settings(database_url=SecretStr(fresh_database_url), shutdown_timeout_s=0)
    async with Database(own) as db, outside(own) as operator:
        user = await db.run_system(users.create, subject_id="somebody")
        await operator.execute(WAIT_AT_COMMIT)
        await operator.execute("SELECT pg_advisory_lock(1)")
        running = asyncio.create_task(db.run(user.id, tasks.create, title="a"))
        while not await operator.fetchval(COMMITTING):
            pass
        disposing = await closing(db)
        await operator.execute("SELECT pg_advisory_unlock(1)")
        with pytest.raises(asyncio.CancelledError) as raised:
            await running
        assert was_committed(raised.value)
        assert await disposing == 1
        assert await operator.fetchval("SELECT title FROM faceplate.tasks") == "a"


LOCK_MESSAGES = "SELECT 1 FROM faceplate.messages WHERE conversation_id = $1 FOR UPDATE"
OWN_PID = "SELECT pg_backend_pid()"
WAITING_FOR = "SELECT true FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"


class Stream:
    """A reply that is streamed as a web framework does it, a chunk each time it is asked for."""

    def __init__(self, house: House, chat: Conversation) -> None:
        self._house = house
        self.chat = chat
        self.chunks: asyncio.Queue[str | None] = asyncio.Queue()
        self.written = asyncio.Semaphore(0)

    async def run(self) -> None:
        async with drafts.open(self._house.db, self._house.user.id, self.chat.id) as draft:
            while (chunk := await self.chunks.get()) is not None:
                await draft.write(chunk)
                self.written.release()

    async def again(self) -> None:
        await Stream(self._house, self.chat).run()

    async def message(self) -> tuple[str, str]:
        history = await self._house.other.run(self._house.user.id, messages.history, self.chat.id)
        return history[-1].content, history[-1].status


@pytest.fixture
async def make_stream(
    db: Database, user: User
) -> Callable[[House], Awaitable[tuple[Stream, "asyncio.Task[None]"]]]:
    async def make(house: House) -> tuple[Stream, asyncio.Task[None]]:
        stream = Stream(house, await db.run(user.id, conversations.create))
        running = asyncio.create_task(stream.run())
        stream.chunks.put_nowait("half of")
        await stream.written.acquire()
        return stream, running

    return make


MakeStream = Callable[[House], Awaitable[tuple[Stream, "asyncio.Task[None]"]]]


async def test_a_draft_may_be_written_to_its_end(make_house: Make, make_stream: MakeStream) -> None:
    """Else each deploy cuts short whatever a model is just saying."""
    house = await make_house()
    stream, running = await make_stream(house)
    disposing = await closing(house.db)
    with pytest.raises(ShuttingDown):
        await stream.again()
    stream.chunks.put_nowait(" the reply")
    stream.chunks.put_nowait(None)
    await running
    assert await disposing == 0
    assert await stream.message() == ("half of the reply", "complete")


async def test_a_draft_that_goes_on_is_kept_as_interrupted(
    make_house: Make, make_stream: MakeStream
) -> None:
    """Else what a user has read is gone when they reload, and the draft streams for ever."""
    house = await make_house(shutdown_timeout_s=0.1)
    going_on, running = await make_stream(house)
    done, ending = await make_stream(house)
    assert await house.db.dispose() == 2
    assert await going_on.message() == ("half of", "interrupted")
    going_on.chunks.put_nowait(" the reply")
    with pytest.raises(ShuttingDown, match="ended as interrupted"):
        await running
    done.chunks.put_nowait(None)
    with pytest.raises(ShuttingDown, match="ended as interrupted"):
        await ending
    assert await done.message() == ("half of", "interrupted")
    assert await house.connections() == 0


async def test_a_draft_that_is_just_ending_ends_as_it_was_to(
    make_house: Make, make_stream: MakeStream, settings: Settings
) -> None:
    """Else a reply that was complete is said to be interrupted, or its last words are lost."""
    house = await make_house(shutdown_timeout_s=0)
    stream, running = await make_stream(house)
    async with outside(settings) as operator:
        async with operator.transaction():
            await operator.execute(LOCK_MESSAGES, stream.chat.id)
            stream.chunks.put_nowait(" the reply")
            stream.chunks.put_nowait(None)
            while not await operator.fetchval(WAITING_FOR, await operator.fetchval(OWN_PID)):
                pass
            disposing = await closing(house.db)
            await asyncio.sleep(0)
        assert await disposing == 1
    await running
    assert await stream.message() == ("half of the reply", "complete")


def test_a_forked_process_leaves_the_parents_connections_alone(
    settings: Settings, user: User
) -> None:
    """Else a worker that ends takes the connections of all the others with it."""
    ran = subprocess.run(
        [sys.executable, "-c", FORK, str(user.id)],
        env={"DATABASE_URL": str(settings.dsn)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout.splitlines(), ran.stderr) == (["child: 0", "parent: the same"], "")


FORK = """
import asyncio, gc, os, sys, uuid
import sqlalchemy as sa
from faceplate import Database, Statement

PID = Statement(int, sa.select(sa.func.pg_backend_pid()))
pid = lambda scope: scope.one(PID)

async def use_own(db, user_id):
    disposed = await db.dispose()
    async with db:
        await db.run(user_id, pid)
    return disposed

async def main(user_id):
    async with Database() as db:
        async with db.begin(user_id), db.begin(user_id):
            pass
        async with db.begin(user_id) as scope:
            before = await scope.one(PID)
            child = os.fork()
            if not child:
                print("child:", asyncio.run(use_own(db, user_id)), flush=True)
                gc.collect()
                os._exit(0)
            os.waitpid(child, 0)
            if await scope.one(PID) == before:
                print("parent: the same")

asyncio.run(main(uuid.UUID(sys.argv[1])))
"""
