"""A deploy on a database in use: replicas that migrate at once, writers, a report in the way."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from tests.databases import Operator, end, outside, settings_of
from tests.migrations.programs import run

from faceplate import DatabaseError, FaceplateError, Settings, migrate

MESSAGES = 2_000
# Far above what a migration may hold an append up, for the sake of a machine that is busy.
LONGEST_APPEND_S = 1.0
PAUSE_S = 0.01  # between two appends of a writer, so that the replicas get some of the processor
# Imports once and migrates in eight processes.
REPLICAS = """
import asyncio, os, sys
from faceplate import Settings, migrate

children = []
while len(children) < 8 and all(children):
    children.append(os.fork())
if not children[-1]:
    asyncio.run(migrate.upgrade(Settings()))
    sys.exit()
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""
SETTLE = f"""
INSERT INTO faceplate.users (id, subject_id)
    SELECT gen_random_uuid(), n FROM generate_series(1, 3) n;
INSERT INTO faceplate.conversations (user_id, id, message_count)
    SELECT id, id, {MESSAGES} FROM faceplate.users;
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role)
    SELECT u.id, u.id, gen_random_uuid(), n, 'user'
    FROM faceplate.users u, generate_series(1, {MESSAGES}) n
"""
# As the program of revision 0001 says it; the conversation is called like its user.
APPEND = """
WITH counted AS (
    UPDATE faceplate.conversations SET message_count = message_count + 1
    WHERE user_id = $1 AND id = $1 RETURNING message_count
)
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role, content)
SELECT $1, $1, $2, message_count, 'user', 'hello' FROM counted
"""
KEPT = "SELECT id FROM faceplate.messages WHERE user_id = $1 AND position > $2 ORDER BY position"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
WAITING = """
SELECT waitstart FROM (SELECT pg_sleep(0.01)) nap, pg_locks
WHERE NOT granted AND mode = 'AccessExclusiveLock' AND waitstart IS NOT NULL
    AND relation = ('faceplate.' || $1)::regclass
"""
BUILDER = "SELECT pid FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots'"


@dataclass
class Writer:
    """Appends until it is told to end; remembers what was acknowledged, and how long it took."""

    user_id: UUID
    acknowledged: list[UUID] = field(default_factory=list)
    longest_s: float = 0.0

    async def write(self, settings: Settings, done: asyncio.Event) -> None:
        async with outside(settings) as connection:
            while not done.is_set():
                message_id, started_s = uuid4(), time.perf_counter()
                await connection.execute(APPEND, self.user_id, message_id)
                self.longest_s = max(self.longest_s, time.perf_counter() - started_s)
                self.acknowledged.append(message_id)
                await asyncio.sleep(PAUSE_S)


@pytest.fixture
async def old(empty_database_url: str) -> Settings:
    """A database at the first revision with some thousands of messages in it."""
    settings = settings_of(empty_database_url)
    await migrate.upgrade(settings, "0001")
    async with outside(settings) as connection:
        await connection.execute(SETTLE)
    return settings


@pytest.fixture
async def operator(old: Settings) -> AsyncIterator[Operator]:
    async with outside(old) as connection:
        yield connection


async def report(settings: Settings, table: str, begun: asyncio.Event) -> None:
    """Read a table in a transaction that outlasts three tries to change it."""
    async with outside(settings) as reader, reader.transaction():
        await reader.execute(f"SELECT count(*) FROM faceplate.{table}")
        begun.set()
        tries: set[object] = set()
        while len(tries) < 3:
            tries |= {row["waitstart"] for row in await reader.fetch(WAITING, table)}


@pytest.mark.parametrize("table", ["messages", "users"])
async def test_a_deploy_beside_writers_and_a_report(
    old: Settings, empty_database_url: str, operator: Operator, table: str
) -> None:
    """Else a deploy in the day is an outage: appends queue up behind it, fail, or are lost."""
    writers = [Writer(row["id"]) for row in await operator.fetch("SELECT id FROM faceplate.users")]
    begun, done = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.write(old, done))
        reading = group.create_task(report(old, table, begun))
        await begun.wait()
        await run(empty_database_url, sys.executable, "-c", REPLICAS)
        await reading
        done.set()
    longest_s = max(writer.longest_s for writer in writers)
    count = sum(len(writer.acknowledged) for writer in writers)
    print(f"{table}: longest of {count} appends {longest_s * 1000:.0f} ms")  # noqa: T201 - the figure
    assert longest_s < LONGEST_APPEND_S
    assert await migrate.current(old) == migrate.head()
    assert await migrate.check(old) == []
    assert await operator.fetchval(INVALID) == 0
    for writer in writers:
        kept = await operator.fetch(KEPT, writer.user_id, MESSAGES)
        assert [row["id"] for row in kept] == writer.acknowledged


async def test_an_index_whose_making_was_ended_is_made_by_the_next_try(
    old: Settings, operator: Operator
) -> None:
    """Else a deploy that is stopped in the middle leaves an index that costs and is not used."""
    async with outside(old) as reader:
        async with reader.transaction(isolation="repeatable_read"):
            await reader.execute("SELECT 1")
            first = asyncio.create_task(migrate.upgrade(old))
            async with asyncio.timeout(60):
                while (builder := await operator.fetchval(BUILDER)) is None:
                    assert not first.done()
            await end(operator, builder)
            with pytest.raises(FaceplateError):
                await first
        assert await operator.fetchval(INVALID) == 1
        assert await migrate.current(old) != migrate.head()
    await migrate.upgrade(old)
    assert await operator.fetchval(INVALID) == 0
    assert await migrate.current(old) == migrate.head()
    assert await migrate.check(old) == []


async def test_an_invalid_index_that_no_revision_repairs_is_told_of(
    old: Settings, operator: Operator
) -> None:
    """Else every page is a scan of the table, and nobody knows why."""
    await operator.execute(
        "INSERT INTO faceplate.tasks (user_id, id, title)"
        " SELECT u.id, gen_random_uuid(), 'twice' FROM faceplate.users u, generate_series(1, 2)"
    )
    await operator.execute("DROP INDEX faceplate.ix_tasks_newest")
    with pytest.raises(Exception, match="could not create unique index"):
        await operator.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY ix_tasks_newest ON faceplate.tasks (title)"
        )
    advice = "REINDEX INDEX CONCURRENTLY faceplate.ix_tasks_newest"
    with pytest.raises(DatabaseError, match=advice):
        await migrate.upgrade(old)
    assert await migrate.current(old) == migrate.head()
    await operator.execute("UPDATE faceplate.tasks SET title = id::text")
    await operator.execute(advice)
    await migrate.upgrade(old)
