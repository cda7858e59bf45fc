"""A standby takes the primary's place: the program goes on, and is told nothing that is not so."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.faults.servers import OwnServer, own_server
from tests.faults.standbys import Standby, standby_of
from tests.faults.writers import Writer, append_in_a_unit_of_ones_own
from uuid6 import uuid7

from faceplate import ConnectionLost, Database, Scope, Settings, Statement, Unavailable, User
from faceplate._driver.connecting import open_connection
from faceplate._runner import commit_outcome, transaction_mark
from faceplate._runner.commit_outcome import Outcome
from faceplate.services import conversations, messages, tasks, users

POOL = 5
READ_ONLY = Statement(str, sa.select(sa.func.current_setting("default_transaction_read_only")))


@pytest.fixture(scope="module")
def primary() -> Iterator[OwnServer]:
    with own_server(fsync="off") as server:
        yield server


class Pair(NamedTuple):
    primary: OwnServer
    standby: Standby

    def settings(self, kind: str, **changes: Any) -> Settings:
        host = sa.make_url(self.primary.url).query["host"]
        url = (
            f"postgresql://faceplate@/faceplate?host={host},{self.standby.host}"
            f"&port=5432,5432&target_session_attrs={kind}"
        )
        limits = {"pool_size": POOL, "max_overflow": 0, "retry_delay_s": 0.1}
        return Settings(database_url=SecretStr(url), **(limits | changes))


@pytest.fixture
def pair(primary: OwnServer) -> Iterator[Pair]:
    with standby_of(primary) as standby:
        yield Pair(primary, standby)
    primary.start()


async def settle_writers(db: Database, name: str) -> list[Writer]:
    """Two for each connection of the pool; the units of half of them are not replayable."""
    user = await db.run_system(users.create, subject_id=name)
    units = [messages.append, append_in_a_unit_of_ones_own] * POOL
    chats = [await db.run(user.id, conversations.create) for _ in units]
    return [
        Writer(str(number), user.id, chat.id, unit)
        for number, (chat, unit) in enumerate(zip(chats, units, strict=True))
    ]


async def test_a_promotion_costs_no_more_than_a_unit_for_each_connection(pair: Pair) -> None:
    """Else a failover, which the database survives, is an outage until somebody restarts us."""
    promoted = asyncio.Event()

    async def write(db: Database, writer: Writer, begun: asyncio.Semaphore) -> None:
        so_far = 0
        while not promoted.is_set() or len(writer.told) < so_far + 5:
            await writer.say(db)
            begun.release()
            so_far = so_far if promoted.is_set() else len(writer.told)

    async with Database(pair.settings("primary")) as db:
        writers = await settle_writers(db, "promotion")
        begun = asyncio.Semaphore(0)
        writing = [asyncio.create_task(write(db, writer, begun)) for writer in writers]
        for _ in range(10 * len(writers)):
            await begun.acquire()
        await asyncio.to_thread(pair.primary.stop)  # it leaves when the standby has everything
        await pair.standby.promote()
        promoted.set()
        await asyncio.gather(*writing)
        for writer in writers:
            await writer.check(db)
    ends = Counter(word for writer in writers for word in writer.told.values())
    print(dict(ends))  # noqa: T201 - that it had any strength
    assert ends.total() - ends["stored"] <= POOL


@asynccontextmanager
async def demoted(pair: Pair, **changes: Any) -> AsyncIterator[tuple[Database, User]]:
    """A full pool of connections to a primary that has begun to refuse to write."""
    admin = await asyncpg.connect(pair.primary.admin_url)
    try:
        async with Database(pair.settings("read-write", **changes)) as db:
            user = await db.run_system(users.create, subject_id=secrets.token_hex())
            await asyncio.gather(*(db.run(user.id, tasks.page) for _ in range(POOL)))
            await wait_until_replayed(admin)
            await admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await admin.execute("SELECT pg_reload_conf()")
            await wait_until_read_only(db, user.id)
            yield db, user
            assert (await db.check()).pool.checked_out == 0
    finally:
        await admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()


async def test_units_wait_for_a_server_that_takes_writes(pair: Pair) -> None:
    """Else each pooled connection to a demoted primary, which works well, fails for ever."""
    async with demoted(pair) as (db, user):
        waiting = [
            asyncio.create_task(db.run(user.id, tasks.create, title=str(number)))
            for number in range(POOL)
        ]
        await wait_until(lambda: db.counters.reconnects == POOL)
        with pytest.raises(Unavailable, match="no host is what target_session_attrs asks for"):
            async with db.begin(user.id):
                pass
        await pair.standby.promote()
        await asyncio.gather(*waiting)
        assert dict(db.counters.retries) == {"ConnectionLost": POOL}
        for number in range(POOL, 2 * POOL):
            async with db.begin(user.id) as scope:  # which never retries
                await tasks.create(scope, title=str(number))
        page = await db.run(user.id, tasks.page, limit=100)
        assert {task.title for task in page.items} == {str(n) for n in range(2 * POOL)}


async def test_a_repeat_does_not_meet_another_connection_of_that_kind(pair: Pair) -> None:
    """Else a unit fails although there is a server for it, and uses up two connections."""
    async with demoted(pair, retry_delay_s=1.0) as (db, user):
        await pair.standby.promote()
        retrying = asyncio.create_task(db.run(user.id, tasks.create, title="a"))
        await wait_until(lambda: bool(db.counters.retries))
        async with db.begin(user.id):  # takes the place of the one that was given up
            await retrying


async def test_a_role_that_a_host_has_made_read_only_is_named(primary: OwnServer) -> None:
    """Else a full disk, at which hosts do so, reads like a network fault, or writes hang on it."""
    alter = "ALTER ROLE faceplate {} default_transaction_read_only"
    settings = Settings(database_url=SecretStr(primary.url), retry_delay_s=0.01)
    admin = await asyncpg.connect(primary.admin_url)
    async with Database(settings) as db:
        user = await db.run_system(users.create, subject_id=secrets.token_hex())
    await admin.execute(alter.format("SET") + " = on")
    try:
        async with Database(settings) as db:
            with pytest.raises(ConnectionLost, match="the server is read-only") as told:
                await db.run(user.id, tasks.create, title="a")
            assert told.value.sqlstate == "25006"
            assert dict(db.counters.retries) == {"ConnectionLost": 1}
            assert (await db.run(user.id, tasks.page)).items == []
    finally:
        await admin.execute(alter.format("RESET"))
        await admin.close()
    async with Database(settings) as db:
        await db.run(user.id, tasks.create, title="a")


async def wait_until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def wait_until_replayed(admin: asyncpg.Connection) -> None:
    """Return when the standby has all that the primary has now."""
    now = await admin.fetchval("SELECT pg_current_wal_lsn()::text")
    query = "SELECT bool_and(replay_lsn >= $1::text::pg_lsn) FROM pg_stat_replication"
    async with asyncio.timeout(30):
        while not await admin.fetchval(query, now):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def wait_until_read_only(db: Database, user_id: Any) -> None:
    """Return when every connection of the pool has heard of it."""
    async with asyncio.timeout(30):
        while True:
            async with AsyncExitStack() as stack:
                scopes = [await stack.enter_async_context(db.begin(user_id)) for _ in range(POOL)]
                if {await scope.one(READ_ONLY) for scope in scopes} == {"on"}:
                    return


async def test_a_standby_is_read_from(pair: Pair) -> None:
    """Else what may write, for all that is known, fails where nothing can be written at all."""

    async def read_as_text(scope: Scope) -> int:
        counted = await scope.session.execute(sa.text("SELECT count(*) FROM faceplate.users"))
        return int(counted.scalar_one())

    async with Database(pair.settings("standby")) as db:
        for _ in range(2):
            assert await db.run(uuid7(), read_as_text) == 0


async def test_a_commit_is_not_found_on_a_server_that_never_saw_it(pair: Pair) -> None:
    """Else another transaction, to which the promoted server gave the same id, vouches for it."""
    lost = await open_connection(pair.settings("primary"))
    await lost.execute("BEGIN")
    await lost.fetchval("SELECT pg_current_xact_id()")
    mark = await transaction_mark.take_mark(lost, may_prepare=True)
    assert mark is not None
    await asyncio.to_thread(pair.primary.kill)
    lost.terminate()
    await pair.standby.promote()
    settings = pair.settings("primary")
    assert (
        await commit_outcome.find_outcome(settings, mark) is Outcome.UNKNOWN
    )  # the id is not given yet
    promoted = await asyncpg.connect(pair.standby.url)
    while int(await promoted.fetchval("SELECT pg_current_xact_id()::text")) < int(mark.xid):
        pass
    status = await promoted.fetchval("SELECT pg_xact_status($1::text::xid8)", mark.xid)
    await promoted.close()
    assert status == "committed"  # says the id alone
    assert await commit_outcome.find_outcome(settings, mark) is Outcome.UNKNOWN
