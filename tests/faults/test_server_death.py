"""What was acknowledged is there, once, after the whole server was killed in the middle of it."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.faults.plans import TABLES, insert_a_note
from tests.faults.proxy import Action, Fault, Message, Proxy, is_commit, is_committed
from tests.faults.servers import OwnServer, own_server

from faceplate import CommitOutcomeUnknown, Database, Settings
from faceplate.services import conversations, messages, tasks, users

WRITERS = 8
DEADLINE_S = 60.0

# Nothing but a full buffer, or this delay, makes the server write what it has acknowledged.
FORGETFUL = {
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
    "checkpoint_timeout": "1h",
}

WRITTEN = """
    SELECT user_id, content FROM faceplate.messages UNION ALL SELECT user_id, body FROM public.notes
"""


@dataclass
class Writer:
    """Writes numbered texts for as long as it is let: messages, or notes of a unit of its own.

    Messages have ids that replay; notes have keys of the server's making.
    """

    user_id: UUID
    conversation_id: UUID | None
    acknowledged: list[str] = field(default_factory=list)
    error: Exception | None = None

    async def write(self, db: Database, end: asyncio.Event, heard: asyncio.Condition) -> None:
        while not (end.is_set() or self.error):
            text = f"number {len(self.acknowledged)}"
            try:
                await self._write_one(db, text)
                self.acknowledged.append(text)
            except Exception as error:  # noqa: BLE001 - the campaign counts it
                self.error = error
            async with heard:
                heard.notify_all()

    async def _write_one(self, db: Database, text: str) -> None:
        if self.conversation_id is None:
            await db.run(self.user_id, insert_a_note, text)
        else:
            await db.run(
                self.user_id, messages.append, self.conversation_id, role="user", content=text
            )


@dataclass(frozen=True)
class Toll:
    acknowledged: int
    lost: int
    doubled: int
    errors: list[Exception]


async def settle_writer(db: Database, number: int) -> Writer:
    user = await db.run_system(users.create, subject_id=f"writer {number}")
    if number % 2:
        return Writer(user.id, None)
    return Writer(user.id, (await db.run(user.id, conversations.create)).id)


async def reap(server: OwnServer, kills: int, dice: random.Random) -> Toll:
    """Kill and restart the server under writers; return what that did.

    It is killed when each of them has been acknowledged something since the last time, and some
    more, as the dice say.
    """
    end, heard = asyncio.Event(), asyncio.Condition()
    async with Database(server.url) as db:
        writers = [await settle_writer(db, number) for number in range(WRITERS)]
        await ask(server, "CHECKPOINT")  # so that a loss is one of texts, not of their writers
        running = [asyncio.create_task(writer.write(db, end, heard)) for writer in writers]
        for _ in range(kills):
            await _progress(writers, heard, more=dice.randint(0, 200))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await _progress(writers, heard, more=0)
        end.set()
        await asyncio.gather(*running)
    written = Counter(tuple(row) for row in await ask(server, WRITTEN))
    told = {(writer.user_id, text) for writer in writers for text in writer.acknowledged}
    return Toll(
        acknowledged=len(told),
        lost=len(told - written.keys()),
        doubled=written.total() - len(written),
        errors=[writer.error for writer in writers if writer.error],
    )


async def _progress(writers: list[Writer], heard: asyncio.Condition, *, more: int) -> None:
    """Wait until each writer has got on, and together by ``more``; or until one has failed."""
    so_far = [len(writer.acknowledged) for writer in writers]

    def has_come() -> bool:
        done = [len(writer.acknowledged) - n for writer, n in zip(writers, so_far, strict=True)]
        failed = any(writer.error for writer in writers)
        return failed or (min(done) > 0 and sum(done) >= more)

    async with asyncio.timeout(DEADLINE_S), heard:
        await heard.wait_for(has_come)


async def ask(server: OwnServer, query: str) -> list[Any]:
    admin = await asyncpg.connect(server.admin_url, database="faceplate")
    try:
        rows: list[Any] = await admin.fetch(query)
    finally:
        await admin.close()
    return rows


@pytest.fixture
def mortal_server() -> Iterator[OwnServer]:
    with own_server(script=TABLES) as server:
        yield server


@pytest.fixture
def forgetful_server() -> Iterator[OwnServer]:
    with own_server(script=TABLES, **FORGETFUL) as server:
        yield server


@pytest.fixture(scope="module")
def death_row() -> Iterator[OwnServer]:
    """A server for many crashes."""
    with own_server(script=TABLES) as server:
        yield server


async def test_a_killed_server_loses_and_doubles_nothing(
    mortal_server: OwnServer, campaign: Campaign
) -> None:
    """Else a crash of the server costs a user a message, or shows it twice."""
    toll = await reap(mortal_server, campaign.size(2, 20), campaign.dice)
    print(toll)  # noqa: T201 - that it had any strength
    assert toll == Toll(toll.acknowledged, lost=0, doubled=0, errors=[])


async def test_the_campaign_sees_a_loss(forgetful_server: OwnServer, campaign: Campaign) -> None:
    """Else the test above passes on a server that loses what it has acknowledged."""
    toll = await reap(forgetful_server, 1, campaign.dice)
    print(toll)  # noqa: T201 - how much
    assert toll.lost > 0


async def die(server: OwnServer) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def lose_a_backend(server: OwnServer) -> None:
    """Which makes the postmaster start all over, since shared memory may be damaged."""
    admin = await asyncpg.connect(server.admin_url)
    os.kill(admin.get_server_pid(), signal.SIGKILL)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await admin.execute("SELECT pg_sleep(60)")
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await ask(server, "SELECT")
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.01)
            else:
                return


async def die_and_take_a_checkpoint(server: OwnServer) -> None:
    """Which covers up what the recovery had found."""
    await die(server)
    await ask(server, "SELECT pg_current_xact_id()")
    await ask(server, "CHECKPOINT")


async def die_and_restart(server: OwnServer) -> None:
    """Which does so too."""
    await die(server)
    await ask(server, "SELECT pg_current_xact_id()")
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def stop_and_start(server: OwnServer) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def put_back_cold_copy(server: OwnServer) -> None:
    """Which has the same timeline and, not having crashed, knows nothing of an interruption."""
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.put_back)
    await asyncio.to_thread(server.start)


async def put_back_cold_copy_and_give_ids(server: OwnServer) -> None:
    """So that another transaction has the id."""
    last = await next_id(server)
    await put_back_cold_copy(server)
    await give_ids(server, last)


async def put_back_cold_copy_and_take_a_checkpoint(server: OwnServer) -> None:
    """Which says that the id had been given."""
    await put_back_cold_copy_and_give_ids(server)
    await ask(server, "CHECKPOINT")


async def put_back_cold_copy_and_restart(server: OwnServer) -> None:
    """Whose last checkpoint says so too, and is that of a stop."""
    await put_back_cold_copy_and_give_ids(server)
    await stop_and_start(server)


async def put_back_cold_copy_and_die(server: OwnServer) -> None:
    """Whose last checkpoint is that of a crash recovery."""
    await put_back_cold_copy_and_give_ids(server)
    await die(server)


async def put_back_crashed_copy_and_give_ids(server: OwnServer) -> None:
    """A snapshot of a volume that was taken while the server ran."""
    last = await next_id(server)
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.put_back)
    await asyncio.to_thread(server.start)
    await give_ids(server, last)


async def next_id(server: OwnServer) -> int:
    found = await ask(server, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    return int(found[0][0])


async def give_ids(server: OwnServer, last: int) -> None:
    """Let transactions that write nothing have the ids up to ``last``, and a few more."""
    admin = await asyncpg.connect(server.admin_url)
    while int(await admin.fetchval("SELECT pg_current_xact_id()::text")) < last + 3:
        pass
    await admin.close()


@pytest.mark.parametrize("at", [is_commit, is_committed])
@pytest.mark.parametrize(
    ("happens", "is_told"),
    [
        (put_back_cold_copy, True),
        (put_back_cold_copy_and_give_ids, True),
        (put_back_cold_copy_and_take_a_checkpoint, True),
        (put_back_cold_copy_and_restart, True),
        (put_back_cold_copy_and_die, False),
        (put_back_crashed_copy_and_give_ids, False),
    ],
)
async def test_a_commit_is_not_found_in_an_older_backup(
    death_row: OwnServer,
    happens: Callable[[OwnServer], Awaitable[None]],
    is_told: bool,  # noqa: FBT001 - a parameter of the test
    at: Callable[[Message], bool],
) -> None:
    """Else a note is acknowledged that nobody has: a backup gives its transaction's id again.

    Where a crash recovery shows that the transaction is not there, the unit is run again.
    """
    server = death_row
    crashes = happens is put_back_crashed_copy_and_give_ids
    await asyncio.to_thread(server.kill if crashes else server.stop)
    await asyncio.to_thread(server.copy)
    await asyncio.to_thread(server.start)
    async with Database(server.url) as direct:
        user = await direct.run_system(users.create, subject_id=f"{happens.__name__} {at.__name__}")
    async with Proxy(server.url) as proxy, Database(hasty(proxy.url)) as db:
        proxy.plan(Fault(Action.HANG, at))
        noting = asyncio.create_task(db.run(user.id, insert_a_note, "a note"))
        await asyncio.wait_for(proxy.has_struck.wait(), DEADLINE_S)
        proxy.is_black_hole = True  # so that the backup is there first
        await happens(server)
        proxy.drop_all()
        proxy.is_black_hole = False
        if is_told:
            with pytest.raises(CommitOutcomeUnknown):
                await noting
        else:
            await noting
    noted = await ask(server, f"SELECT FROM public.notes WHERE user_id = '{user.id}'")
    assert len(noted) == (0 if is_told else 1)


def hasty(url: str) -> Settings:
    return Settings(database_url=SecretStr(url), retry_delay_s=0.01, connect_timeout_s=1.0)


@pytest.mark.parametrize("at", [is_commit, is_committed])
@pytest.mark.parametrize(
    ("happens", "others", "can_tell"),
    [
        (stop_and_start, 3, True),
        (die, 0, True),
        (die, 3, True),
        (lose_a_backend, 3, True),
        (die_and_take_a_checkpoint, 0, False),
        (die_and_restart, 0, False),
    ],
)
async def test_another_transaction_is_not_taken_for_one_that_a_crash_has_lost(
    death_row: OwnServer,
    happens: Callable[[OwnServer], Awaitable[None]],
    others: int,
    can_tell: bool,  # noqa: FBT001 - a parameter of the test
    at: Callable[[Message], bool],
) -> None:
    """Else a note is acknowledged that is not there: after a crash, ids are given a second time.

    COMMIT, or its answer, is held up; meanwhile the server goes down and comes back, and
    ``others`` may be given the id.
    """
    server = death_row
    async with Proxy(server.url) as proxy, Database(server.url) as direct:
        name = f"{happens.__name__} {others} {at.__name__}"
        user = await direct.run_system(users.create, subject_id=name)
        async with Database(hasty(proxy.url)) as db:
            proxy.plan(Fault(Action.HANG, at))
            noting = asyncio.create_task(db.run(user.id, insert_a_note, name))
            await asyncio.wait_for(proxy.has_struck.wait(), DEADLINE_S)
            proxy.is_black_hole = True  # so that the others come first
            await happens(server)
            for number in range(others):
                await direct.run(user.id, tasks.create, title=f"another {number}")
            proxy.drop_all()
            proxy.is_black_hole = False
            try:
                await noting
            except CommitOutcomeUnknown:
                assert not can_tell
            else:
                noted = await ask(server, f"SELECT FROM public.notes WHERE body = '{name}'")
                assert len(noted) == 1
