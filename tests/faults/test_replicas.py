"""A user who reads from replicas sees no less than before, also when a replica fails."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.faults.replica_reads import IS_STANDBY, is_standby, until_read_from
from tests.faults.servers import OwnServer, own_server
from tests.faults.standbys import Standby, standby_of
from tests.unusable import frozen
from uuid6 import uuid7

from faceplate import (
    Database,
    InvalidInput,
    NotFound,
    Scope,
    Settings,
    Statement,
    Unavailable,
    UsageError,
    isolation_level,
    one_statement,
    read_only,
)
from faceplate._replicas.watch import ANSWER_S, NOT_ASKED, PACE_S
from faceplate._runner.shared_flights import FEWEST_CALLERS
from faceplate._transaction.transaction import WRITES
from faceplate.config import REPLICA_WAIT_S
from faceplate.scope import shareable
from faceplate.services import conversations, messages, tasks, users

TRANSACTION_ID = Statement(int, sa.text("SELECT pg_current_xact_id()::text::bigint"))
DELETE = Statement[Any](int, sa.text("DELETE FROM faceplate.tasks"))
END_WATCHES = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'faceplate' AND query LIKE '%pg_control_system%'
"""
LONG_S = 30.0
"""A delay that no test waits for."""


class Cluster(NamedTuple):
    primary: OwnServer
    standbys: list[Standby]

    def url_of_primary(self, promoted: Standby) -> str:
        """The URL of whichever is the primary, the one of now or a standby that was promoted."""
        host = sa.make_url(self.primary.url).query["host"]
        return (
            f"postgresql://faceplate@/faceplate?host={host},{promoted.host}"
            "&port=5432,5432&target_session_attrs=primary"
        )

    def database(self, **changes: Any) -> Database:
        urls = tuple(standby.url for standby in self.standbys)
        settings: dict[str, Any] = {"database_url": SecretStr(self.primary.url), "read_urls": urls}
        return Database(Settings(**settings | changes))


@pytest.fixture(scope="module")
def primary() -> Iterator[OwnServer]:
    with own_server(fsync="off") as server:
        yield server


@pytest.fixture
def cluster(primary: OwnServer) -> Iterator[Cluster]:
    with ExitStack() as standbys:
        yield Cluster(primary, [standbys.enter_context(standby_of(primary)) for _ in range(2)])
    primary.start()


@pytest.fixture
def one(primary: OwnServer) -> Iterator[Cluster]:
    with standby_of(primary) as standby:
        yield Cluster(primary, [standby])
    primary.start()


async def a_user(db: Database) -> UUID:
    return (await db.run_system(users.create, subject_id=secrets.token_hex())).id


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def test_reads_go_to_a_replica_and_find_what_was_just_written(one: Cluster) -> None:
    async with one.database() as db:
        user = await a_user(db)
        await until_read_from(db)
        for number in range(50):
            task = await db.run(user, tasks.create, title=str(number))
            assert await db.run(user, tasks.get, task.id) == task
        await until_read_from(db, user)
        [replica] = db.replicas()
        assert replica.problem is None
        assert replica.lag_s is not None
        assert replica.reads == db.counters.reads_on_replicas > 0


async def test_a_read_does_not_see_less_than_its_user_has_written(one: Cluster) -> None:
    """A replica that is behind serves the others."""
    [standby] = one.standbys
    async with one.database() as db:
        writer, other = await a_user(db), await a_user(db)
        await until_read_from(db)
        await standby.delay(2.0)
        task = await db.run(writer, tasks.create, title="new")
        assert (await db.run(writer, tasks.get, task.id)).title == "new"
        assert not await db.run(writer, is_standby)
        await until_read_from(db, other)
        await until_read_from(db, writer)  # the replica catches up, if the user waits
        assert (await db.run(writer, tasks.get, task.id)).title == "new"


async def test_a_block_and_a_failed_unit_count_as_well(one: Cluster) -> None:
    """Whatever may have written: a commit may have been acknowledged to somebody."""

    async def fail(scope: Scope) -> None:
        await tasks.create(scope, title="rolled back")
        raise LookupError

    [standby] = one.standbys
    async with one.database() as db:
        await until_read_from(db)
        blocked, failed = await a_user(db), await a_user(db)
        await standby.delay(LONG_S)
        async with db.begin(blocked) as scope:
            task = await tasks.create(scope, title="in a block")
        assert await db.run(blocked, tasks.get, task.id) == task
        with pytest.raises(LookupError):
            await db.run(failed, fail)
        assert not await db.run(failed, is_standby)


async def test_reads_never_go_back(cluster: Cluster) -> None:
    """Another replica takes over only with all that the first one has shown."""
    ahead, behind = cluster.standbys
    async with cluster.database() as db:
        await until(lambda: all(each.problem is None for each in db.replicas()))
        user = await a_user(db)
        await db.run(user, tasks.create, title="0")
        await until_has(behind, user, 1)
        await asyncio.to_thread(behind.kill)
        await until(lambda: db.replicas()[1].problem is not None)
        await until_read_from(db, user)  # the one that is ahead
        await asyncio.to_thread(behind.start)
        await behind.delay(LONG_S)
        await until(lambda: db.replicas()[1].problem is None)
        async with Database(cluster.primary.url) as elsewhere:  # no token comes from there
            await elsewhere.run(user, tasks.create, title="1")
        await until_page_has(db, user, 2)
        await asyncio.to_thread(ahead.kill)
        await until(lambda: db.replicas()[0].problem is not None)  # or a read fails there first
        for _ in range(20):
            assert len((await db.run(user, tasks.page)).items) == 2
        ahead.start()


async def until_has(standby: Standby, user: UUID, count: int) -> None:
    """Return when a standby has so many tasks of a user, or shows that it has no more."""
    admin = await asyncpg.connect(standby.url.replace("faceplate@", "postgres@", 1))
    query = "SELECT count(*) FROM faceplate.tasks WHERE user_id = $1"
    async with asyncio.timeout(30):
        while await admin.fetchval(query, user) != count:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    await admin.close()


async def until_page_has(db: Database, user: UUID, count: int) -> None:
    async with asyncio.timeout(30):
        while len((await db.run(user, tasks.page)).items) < count:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def test_a_database_that_is_opened_again_shows_no_less(one: Cluster) -> None:
    [standby] = one.standbys
    db = one.database()
    async with db:
        user = await a_user(db)
        await until_read_from(db)
        await standby.delay(LONG_S)
        task = await db.run(user, tasks.create, title="a")
    async with db:
        await until(lambda: db.replicas()[0].lag_s is not None)
        assert await db.run(user, tasks.get, task.id) == task


async def test_a_unit_that_a_standby_takes_for_a_write_runs_on_the_primary(one: Cluster) -> None:
    @read_only
    async def transaction_id(scope: Scope) -> int:
        return await scope.one(TRANSACTION_ID)

    async with one.database() as db:
        await until_read_from(db)
        assert await db.run(uuid7(), transaction_id) > 0


async def test_a_unit_that_reads_a_replica_keeps_its_user_there(cluster: Cluster) -> None:
    ahead, behind = cluster.standbys
    async with cluster.database() as db:
        user = await a_user(db)
        await behind.delay(LONG_S)
        await db.run(user, tasks.create, title="0")
        await until_read_from(db, user)  # the one that is ahead
        async with Database(cluster.primary.url) as elsewhere:
            await elsewhere.run(user, tasks.create, title="a")
        await until_has(ahead, user, 2)

        @read_only
        async def outer(scope: Scope) -> tuple[int, int]:
            begun = len((await tasks.page(scope)).items)
            reading = db._opened.reading if db._opened else None
            assert reading is not None
            reading.replicas.all[0].leave_out(Unavailable("left out by the test"))
            return begun, len((await db.run(user, tasks.page)).items)

        assert await db.run(user, outer) == (2, 2)


async def test_a_token_holds_in_another_process(one: Cluster) -> None:
    [standby] = one.standbys
    async with one.database() as here, one.database() as there:
        await until_read_from(there)
        user = await a_user(here)
        await standby.delay(LONG_S)
        task = await here.run(user, tasks.create, title="new")
        token = await here.causal_token(user)
        with pytest.raises(NotFound):  # this process knows nothing of it
            await there.run(user, tasks.get, task.id)
        there.accept_causal_token(user, token)
        assert await there.run(user, tasks.get, task.id) == task


async def test_a_token_is_made_and_taken_without_replicas(one: Cluster) -> None:
    [standby] = one.standbys
    async with Database(one.primary.url) as worker, one.database() as web:
        await until_read_from(web)
        user = await a_user(worker)
        await standby.delay(LONG_S)
        task = await worker.run(user, tasks.create, title="new")
        token = await worker.causal_token(user)
        worker.accept_causal_token(user, token)
        web.accept_causal_token(user, token)
        assert await web.run(user, tasks.get, task.id) == task
        for wrong in ("", token[:-1], f"{token}A", "é", token * 1000):
            with pytest.raises(InvalidInput, match="token: is not a causal token of this user"):
                web.accept_causal_token(user, wrong)
        with pytest.raises(InvalidInput):
            web.accept_causal_token(uuid7(), token)


async def test_what_a_reading_unit_must_not_do(one: Cluster) -> None:
    """The same error with and without replicas: else a program works until it has one."""

    @read_only
    async def insert(scope: Scope) -> None:
        await tasks.create(scope, title="a")

    @read_only
    async def lock(scope: Scope) -> None:
        await conversations.lock(scope, uuid7())

    @read_only
    async def write_by_text(scope: Scope) -> None:
        await scope.session.execute(sa.text("DELETE FROM faceplate.tasks"))

    @read_only
    async def write_by_statement(scope: Scope) -> None:
        await scope.execute(DELETE)

    @read_only
    @one_statement
    async def write_by_itself(scope: Scope) -> None:
        await scope.execute(DELETE)

    @read_only
    @shareable
    async def append(scope: Scope) -> None:
        await messages.append(scope, chat.id, role="user", content="a")

    @read_only
    async def write_by_session(scope: Scope) -> None:
        await scope.session.execute(sa.text("UPDATE faceplate.tasks SET title = 'x'"))

    async with one.database() as db, Database(one.primary.url) as plain:
        user = await a_user(db)
        chat = await db.run(user, conversations.create)
        await until_read_from(db, user)
        texts = (write_by_text, write_by_statement, write_by_session, write_by_itself)
        task = await db.run(user, tasks.create, title="stays")
        units = (insert, lock, append, *texts)
        for each in (db, plain):
            for unit in units:
                refused = await asyncio.gather(
                    *(each.run(user, unit) for _ in range(2 * FEWEST_CALLERS)),
                    return_exceptions=True,
                )
                assert all(isinstance(error, UsageError) for error in refused)
                assert all(WRITES in str(error) for error in refused)
            assert (await each.run(user, tasks.page)).items == [task]
            assert await each.run(user, messages.history, chat.id) == []
            assert not each.counters.retries


async def test_a_serializable_read_runs_on_the_primary(one: Cluster) -> None:
    @read_only
    @isolation_level("serializable")
    async def strict(scope: Scope) -> bool:
        return await scope.one(IS_STANDBY)

    @read_only
    @isolation_level("repeatable read")
    async def repeatable(scope: Scope) -> bool:
        return await scope.one(IS_STANDBY)

    async with one.database() as db:
        await until_read_from(db)
        assert await db.run(uuid7(), repeatable)
        assert not await db.run(uuid7(), strict)


class Readers:
    """Users who read all the time. ``slowest_s`` is the longest that one of them waited."""

    def __init__(self, db: Database, count: int = 30) -> None:
        self.done = 0
        self.slowest_s = 0.0
        self._tasks = [asyncio.create_task(self._read(db)) for _ in range(count)]

    async def _read(self, db: Database) -> None:
        while True:
            begun_s = time.monotonic()
            await db.run(uuid7(), tasks.page)
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
            self.done += 1

    async def until_more(self, count: int = 100) -> None:
        """Return when so many more reads are done. Raise the error of one that failed."""
        enough = self.done + count
        await until(lambda: self.done >= enough or any(task.done() for task in self._tasks))
        for task in self._tasks:
            assert not task.done(), task.exception()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)


@pytest.fixture
async def reading(one: Cluster) -> AsyncIterator[tuple[Database, Readers]]:
    async with one.database() as db:
        await until_read_from(db)
        readers = Readers(db)
        await readers.until_more()
        yield db, readers
        await readers.until_more()
        await readers.end()


async def test_a_crash_of_one_backend_takes_a_replica_back(one: Cluster) -> None:
    """The server replays again from the last checkpoint, without being started again."""
    [standby] = one.standbys
    async with one.database() as db:
        user = await a_user(db)
        await until_read_from(db, user)
        await db.run(user, tasks.create, title="0")
        await until_read_from(db, user)
        async with Database(one.primary.url) as elsewhere:  # no token comes from there
            await elsewhere.run(user, tasks.create, title="1")
        await until_page_has(db, user, 2)
        await standby.delay(LONG_S)
        admin = await asyncpg.connect(one.primary.admin_url)
        backend = await asyncpg.connect(standby.admin_url)
        os.kill(backend.get_server_pid(), signal.SIGKILL)
        backend.terminate()
        await until(lambda: db.replicas()[0].problem is not None)
        await until(lambda: db.replicas()[0].problem is None)
        assert len((await db.run(user, tasks.page)).items) == 2
        await admin.close()


async def test_a_replica_that_dies_fails_no_unit(
    one: Cluster, reading: tuple[Database, Readers]
) -> None:
    db, readers = reading
    [standby] = one.standbys
    for _ in range(2):
        await asyncio.to_thread(standby.kill)
        await until(lambda: db.replicas()[0].problem is not None)
        await readers.until_more()
        await asyncio.to_thread(standby.start)
        await until_read_from(db)


async def test_a_replica_that_hangs_is_left_out(
    one: Cluster, reading: tuple[Database, Readers]
) -> None:
    db, readers = reading
    [standby] = one.standbys
    with frozen(standby.pid):
        await until(lambda: db.replicas()[0].problem is not None)
        await readers.until_more()
    await until_read_from(db)
    assert readers.slowest_s < PACE_S + ANSWER_S + 2 * REPLICA_WAIT_S


async def test_a_promoted_replica_is_left_out(
    one: Cluster, reading: tuple[Database, Readers]
) -> None:
    db, readers = reading
    [standby] = one.standbys
    await standby.promote()
    await until(lambda: "was promoted" in str(db.replicas()[0].problem))
    await readers.until_more()
    user = await a_user(db)
    task = await db.run(user, tasks.create, title="on the primary")
    assert await db.run(user, tasks.get, task.id) == task


async def test_a_replica_that_is_far_behind_is_left_out(one: Cluster) -> None:
    [standby] = one.standbys
    async with one.database(max_replica_lag_s=2.0) as db:
        await until_read_from(db)
        await standby.delay(LONG_S)
        user = await a_user(db)
        await db.run(user, tasks.create, title="a")
        await until(lambda: db.replicas()[0].problem == "it is more than 2 s behind")
        assert not await db.run(uuid7(), is_standby)
        await standby.delay(0)
        await until_read_from(db, user)


async def test_a_lock_on_a_replica_is_not_waited_for(one: Cluster) -> None:
    """A standby takes the lock of a migration at once, and keeps it until it replays the commit."""
    [standby] = one.standbys
    async with one.database() as db:
        user = await a_user(db)
        await until_read_from(db, user)
        await standby.delay(LONG_S)
        admin = await asyncpg.connect(one.primary.admin_url, database="faceplate")
        await admin.execute("ALTER TABLE faceplate.tasks ADD COLUMN later int")
        try:
            await until_locked(standby)
            assert (await db.run(uuid7(), tasks.page)).items == []
            assert dict(db.counters.reads_moved) == {"TimedOut": 1}
        finally:
            await admin.execute("ALTER TABLE faceplate.tasks DROP COLUMN later")
            await admin.close()


async def until_locked(standby: Standby) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
    admin = await asyncpg.connect(standby.admin_url)
    async with asyncio.timeout(30):
        while not await admin.fetchval(query):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    await admin.close()


async def test_what_a_block_shows_is_found_while_it_is_open(one: Cluster) -> None:
    [standby] = one.standbys
    async with one.database() as db:
        user = await a_user(db)
        await until_read_from(db, user)
        await standby.delay(LONG_S)
        async with Database(one.primary.url) as elsewhere:
            task = await elsewhere.run(user, tasks.create, title="a")
        async with db.begin(user) as scope:
            assert await tasks.get(scope, task.id) == task
            assert await db.run(user, tasks.get, task.id) == task
        assert await db.run(user, tasks.get, task.id) == task


async def test_a_program_starts_without_its_replicas(one: Cluster) -> None:
    [standby] = one.standbys
    await asyncio.to_thread(standby.kill)
    async with one.database() as db:
        user = await a_user(db)
        assert (await db.run(user, tasks.page)).items == []
        await until(lambda: db.replicas()[0].problem not in {None, NOT_ASKED})
        await asyncio.to_thread(standby.start)
        await until_read_from(db, user)


async def test_a_replica_of_the_old_primary_is_left_out_after_a_failover(cluster: Cluster) -> None:
    """It may be further on in the log than the new primary, and lacks all that is written there."""
    promoted, left_behind = cluster.standbys
    url = cluster.url_of_primary(promoted)
    async with cluster.database(database_url=url, read_urls=[left_behind.url]) as db:
        user = await a_user(db)
        await until_read_from(db, user)
        # What the other standby gets and the promoted one does not.
        with frozen(promoted.pid):
            for _ in range(50):
                await db.run(user, tasks.create, title="x" * 200)
            await until_read_from(db, user)
            await asyncio.to_thread(cluster.primary.kill)
        await promoted.promote()
        task = await db.run(user, tasks.create, title="after the failover")
        assert await db.run(user, tasks.get, task.id) == task
        await until(lambda: "does not follow" in str(db.replicas()[0].problem))
        assert await db.run(user, tasks.get, task.id) == task
        assert not await db.run(uuid7(), is_standby)


async def test_an_old_primary_that_comes_back_is_not_asked(cluster: Cluster) -> None:
    """Else a replica that follows it counts as one that has what the new primary wrote."""
    promoted, left_behind = cluster.standbys
    url = cluster.url_of_primary(promoted)
    async with cluster.database(database_url=url, read_urls=(left_behind.url,)) as db:
        user = await a_user(db)
        await until_read_from(db, user)
        await asyncio.to_thread(cluster.primary.kill)
        await promoted.promote()
        await db.run(user, tasks.create, title="on the new primary")
        await until(lambda: "does not follow" in str(db.replicas()[0].problem))
        await asyncio.to_thread(cluster.primary.start)
        async with db.begin(user) as scope:  # a connection to the new primary
            task = await tasks.create(scope, title="there as well")
        admin = await asyncpg.connect(promoted.admin_url)
        await admin.execute(END_WATCHES)
        await admin.close()
        for _ in range(100):
            assert await db.run(user, is_standby) is False
            await asyncio.sleep(0.02)  # the watch finds the old primary
        assert "does not follow" in str(db.replicas()[0].problem)
        assert task.title == "there as well"


async def test_the_same_errors_and_isolation_hold_on_a_replica(one: Cluster) -> None:
    async with one.database() as db:
        user, other = await a_user(db), await a_user(db)
        chat = await db.run(user, conversations.create)
        await db.run(user, messages.append, chat.id, role="user", content="hi")
        await until_read_from(db, user)
        [message] = await db.run(user, messages.history, chat.id)
        assert message.content == "hi"
        await until_read_from(db, other)
        before = db.counters.reads_on_primary
        with pytest.raises(NotFound):
            await db.run(other, messages.history, chat.id)
        with pytest.raises(InvalidInput):
            await db.run(other, messages.history, chat.id, limit=0)

        @read_only
        async def count(scope: Scope) -> int:
            found = await scope.session.execute(sa.text("SELECT count(*) FROM faceplate.messages"))
            return int(found.scalar_one())

        assert await db.run(other, count) == 0
        assert await db.run(user, count) == 1
        assert db.counters.reads_on_primary == before


async def test_a_replica_needs_no_other_connection_than_its_own(one: Cluster) -> None:
    """Else closing the Database leaves a connection behind, or a task."""
    async with one.database() as db:
        await until_read_from(db)
    [standby] = one.standbys
    for url in (one.primary.admin_url, standby.admin_url):
        admin = await asyncpg.connect(url)
        await until_none(admin)
        await admin.close()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("faceplate") for name in names)


async def until_none(admin: asyncpg.Connection) -> None:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'faceplate'"
    async with asyncio.timeout(10):
        while await admin.fetchval(query):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
