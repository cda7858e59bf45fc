"""Revision 0003 on a database that is in use, and after a try that broke off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from faceplate import Settings, migrate

NEW_USER = """
    INSERT INTO faceplate.users (id, subject_id) VALUES (gen_random_uuid(), 's') RETURNING id
"""
NEW_CHAT = """
    INSERT INTO faceplate.conversations (user_id, id) VALUES ($1, gen_random_uuid()) RETURNING id
"""
APPEND = """
    INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role)
    SELECT $1, $2, gen_random_uuid(), count(*) + 1, 'user' FROM faceplate.messages
"""
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND relation = 'faceplate.messages'::regclass
    AND mode = 'AccessExclusiveLock'
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def before(empty_database_url: str) -> Settings:
    """A database at the revision before."""
    settings = Settings(database_url=empty_database_url)
    await migrate.upgrade(settings, "0002")
    return settings


async def chat_of(program: "asyncpg.Connection[Any]") -> tuple[Any, Any]:
    user = await program.fetchval(NEW_USER)
    return user, await program.fetchval(NEW_CHAT, user)


async def test_a_reader_in_the_way_stops_no_append(
    before: Settings, empty_database_url: str
) -> None:
    """Else a report that runs for minutes, and a deploy beside it, stop every chat."""
    async with connected(empty_database_url) as reader, connected(empty_database_url) as program:
        chat = await chat_of(program)
        await program.execute("SET lock_timeout = '5s'")
        reading = reader.transaction()
        await reading.start()
        await reader.execute("SELECT FROM faceplate.messages")
        upgrade = asyncio.create_task(migrate.upgrade(before))
        async with asyncio.timeout(30):
            tries = 0
            while tries < 3:  # it waits, lets the queue through, and tries again
                while not await reader.fetchval(WAITING):
                    assert not upgrade.done()
                tries += 1
                await program.execute(APPEND, *chat)
                while await reader.fetchval(WAITING):
                    pass
        await reading.rollback()
        await upgrade
        statuses = await program.fetch("SELECT status FROM faceplate.messages")
    assert [row["status"] for row in statuses] == ["complete"] * 3
    assert await migrate.check(before) == []


async def test_what_a_broken_try_left_is_repaired(
    before: Settings, empty_database_url: str
) -> None:
    """Else the sweep's index stays invalid: written to for ever, and never read."""
    async with connected(empty_database_url) as reader, connected(empty_database_url) as program:
        await program.execute(
            "ALTER TABLE faceplate.messages ADD status text DEFAULT 'complete' NOT NULL,"
            " ADD CONSTRAINT ck_messages_status CHECK (status <> '') NOT VALID"
        )
        async with reader.transaction(isolation="repeatable_read"):
            await reader.execute("SELECT FROM faceplate.users")
            await program.execute("SET lock_timeout = '50ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await program.execute(
                    "CREATE INDEX CONCURRENTLY ix_messages_drafts"
                    " ON faceplate.messages (created_at) WHERE status = 'streaming'"
                )
        assert await program.fetchval(INVALID) == 1
        await migrate.upgrade(before)
        assert await program.fetchval(INVALID) == 0
    assert await migrate.check(before) == []


async def test_it_waits_for_old_transactions_without_starting_over(
    before: Settings, empty_database_url: str
) -> None:
    """Else on a busy server the index is built again and again, and never done."""
    async with connected(empty_database_url) as reader, connected(empty_database_url) as watcher:
        reading = reader.transaction(isolation="repeatable_read")
        await reading.start()
        await reader.execute("SELECT FROM faceplate.users")
        upgrade = asyncio.create_task(migrate.upgrade(before))
        index = "SELECT 'faceplate.ix_messages_drafts'::regclass::oid"
        async with asyncio.timeout(30):
            while not await watcher.fetchval("SELECT to_regclass('faceplate.ix_messages_drafts')"):
                assert not upgrade.done()
            started = await watcher.fetchval(index)
            # Longer than a lock that is in somebody's way is waited for.
            await watcher.execute("SELECT pg_sleep(0.5)")
        await reading.rollback()
        await upgrade
        assert await watcher.fetchval(index) == started


async def test_the_program_before_it_goes_on_working(
    before: Settings, empty_database_url: str
) -> None:
    """Else a rolling deploy, or one that is rolled back, loses messages."""
    async with connected(empty_database_url) as program:
        chat = await chat_of(program)
        await migrate.upgrade(before)
        await program.execute(APPEND, *chat)
        await migrate.downgrade(before, "0002")
        await program.execute(APPEND, *chat)
        await migrate.upgrade(before)
        statuses = await program.fetch("SELECT status FROM faceplate.messages")
    assert [row["status"] for row in statuses] == ["complete"] * 2
