"""Revision 0009 on a database in use, after a try that broke off, and down again."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from uuid import UUID, uuid4

import pytest
from tests.databases import Operator, outside, settings_of

from faceplate import Settings, UsageError, migrate

REVISION = import_module("faceplate.migrations.versions.0009_active_hour")
CHATS = 300
SETTLE = f"""
INSERT INTO faceplate.users (id, subject_id) VALUES (gen_random_uuid(), 'me');
INSERT INTO faceplate.conversations (user_id, id, created_at, updated_at)
    SELECT id, gen_random_uuid(), now() - n * interval '7 hours', now() - n * interval '5 hours'
    FROM faceplate.users, generate_series(1, {CHATS}) n
"""
# As the program of revision 0005 says both.
APPEND = """
WITH counted AS (
    UPDATE faceplate.conversations
    SET message_count = message_count + 1, updated_at = clock_timestamp()
    WHERE user_id = $1 AND id = $2 RETURNING message_count
)
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role, content)
SELECT $1, $2, gen_random_uuid(), message_count, 'user', 'hello' FROM counted
"""
CREATE = """
INSERT INTO faceplate.conversations (user_id, id, created_at, updated_at)
VALUES ($1, $2, clock_timestamp(), '2020-02-29 23:30+00')
"""
IMPORT = """
INSERT INTO faceplate.conversations (user_id, id, created_at) VALUES ($1, $2, '2020-02-29 23:30+00')
"""
WRONG = """
SELECT count(*) FROM faceplate.conversations
WHERE active_hour IS DISTINCT FROM date_trunc('hour', updated_at, 'UTC') OR stored_at IS NULL
"""
INDEXES = """
SELECT indexname FROM pg_indexes JOIN pg_index ON indexrelid = ('faceplate.' || indexname)::regclass
WHERE schemaname = 'faceplate' AND tablename = 'conversations' AND indisvalid ORDER BY 1
"""
FILLED = "SELECT count(*) FROM faceplate.conversations WHERE active_hour IS NOT NULL"
LOCKED = "FROM faceplate.conversations WHERE id = $1"
BEFORE = ["ix_conversations_activity", "pk_conversations"]
AFTER = ["ix_conversations_active_hour", "ix_conversations_source", "pk_conversations"]


@pytest.fixture
async def old(empty_database_url: str) -> Settings:
    """A database at revision 0005 with some hundreds of conversations."""
    settings = settings_of(empty_database_url)
    await migrate.upgrade(settings, "0005")
    async with outside(settings) as connection:
        await connection.execute(SETTLE)
    return settings


@pytest.fixture
async def operator(old: Settings) -> AsyncIterator[Operator]:
    async with outside(old) as connection:
        yield connection


async def chats_of(operator: Operator) -> tuple[UUID, list[UUID]]:
    found = await operator.fetch("SELECT user_id, id FROM faceplate.conversations ORDER BY id")
    return found[0]["user_id"], [row["id"] for row in found]


async def indexes(operator: Operator) -> list[str]:
    return [row["indexname"] for row in await operator.fetch(INDEXES)]


async def test_the_program_before_goes_on_in_a_deploy_and_back(
    old: Settings, operator: Operator
) -> None:
    """Else what it appends meanwhile stays at its old place in the list, or is lost."""
    user_id, ids = await chats_of(operator)
    done, appended = asyncio.Event(), 0

    async def write() -> None:
        nonlocal appended
        async with outside(old) as program:
            while not done.is_set():
                await program.execute(APPEND, user_id, ids[appended % 50])
                await program.execute(CREATE, user_id, uuid4())
                appended += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        await migrate.upgrade(old)
        assert await operator.fetchval(WRONG) == 0
        assert await migrate.check(old) == []
        assert await indexes(operator) == AFTER
        await migrate.downgrade(old, "0005")
        assert await indexes(operator) == BEFORE
        done.set()
    assert await operator.fetchval("SELECT count(*) FROM faceplate.messages") == appended > 0
    assert await operator.fetchval("SELECT count(*) FROM faceplate.conversations") == (
        CHATS + appended
    )
    await migrate.upgrade(old)
    assert await operator.fetchval(WRONG) == 0


async def test_what_was_stored_before_keeps_its_time(old: Settings, operator: Operator) -> None:
    """Else all conversations seem to be stored at the time of the deploy."""
    await migrate.upgrade(old)
    later = "SELECT count(*) FROM faceplate.conversations WHERE stored_at <> created_at"
    assert await operator.fetchval(later) == 0


async def test_a_conversation_that_is_locked_is_filled_in_later(
    old: Settings, operator: Operator
) -> None:
    """Else a unit that runs for long stops the deploy, and the deploy stops all appends."""
    user_id, ids = await chats_of(operator)
    await migrate.upgrade(old, "0008")
    await operator.execute(
        "ALTER TABLE faceplate.conversations ADD active_hour timestamptz, ADD stored_at timestamptz"
    )
    await operator.execute(f"{REVISION.FUNCTION}; {REVISION.TRIGGER}")
    async with outside(old) as program, outside(old) as migration:
        async with program.transaction():
            await program.execute(f"SELECT {LOCKED} FOR UPDATE", ids[0])
            filling = asyncio.create_task(migration.execute(REVISION.FILL))
            async with asyncio.timeout(60):
                while await operator.fetchval(FILLED) < CHATS - 1:
                    assert not filling.done()
            await operator.execute(APPEND, user_id, ids[1])
            assert not filling.done()
        await filling
    assert await operator.fetchval(FILLED) == CHATS
    await migrate.upgrade(old)
    assert await operator.fetchval(WRONG) == 0


async def test_a_try_that_broke_off_is_finished(old: Settings, operator: Operator) -> None:
    """Else the next deploy fails, or leaves rows without an hour and an index that is not valid."""
    await migrate.upgrade(old, "0008")
    await operator.execute(
        "ALTER TABLE faceplate.conversations ADD active_hour timestamptz, ADD stored_at timestamptz"
        " DEFAULT now(), ADD CONSTRAINT ck_conversations_stored_at CHECK (stored_at IS NOT NULL)"
        " NOT VALID"
    )
    await operator.execute(
        "CREATE INDEX ix_conversations_active_hour ON faceplate.conversations (active_hour)"
    )
    await migrate.upgrade(old)
    assert await operator.fetchval(WRONG) == 0
    assert await indexes(operator) == AFTER
    assert await migrate.check(old) == []


async def test_a_downgrade_that_would_lose_when_a_chat_was_stored_is_refused(
    old: Settings, operator: Operator
) -> None:
    """Else nobody knows afterwards what an import brought, and when: it kept its own dates."""
    await migrate.upgrade(old)
    user_id, _ = await chats_of(operator)
    await operator.execute(CREATE, user_id, uuid4())
    await migrate.downgrade(old, "0008")
    await migrate.upgrade(old)
    await operator.execute(IMPORT, user_id, uuid4())
    with pytest.raises(UsageError, match="would lose when conversations with a date"):
        await migrate.downgrade(old, "0008")
    assert await migrate.current(old) == migrate.head()


async def test_a_downgrade_that_would_lose_a_source_is_refused(
    old: Settings, operator: Operator
) -> None:
    """Else a deploy that is taken back takes away what only the new program has stored."""
    await migrate.upgrade(old)
    await operator.execute("UPDATE faceplate.conversations SET source = 'sheep', key = id::text")
    with pytest.raises(UsageError, match="would lose bodies, branches"):
        await migrate.downgrade(old, "0005")
    assert await migrate.current(old) == migrate.head()
    assert await indexes(operator) == AFTER
    await migrate.downgrade(old, "0008")
    assert await indexes(operator) == BEFORE
    await migrate.downgrade(old, "0005", may_lose_data=True)
    assert await migrate.current(old) == "0005"
