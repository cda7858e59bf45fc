"""Migrating beside others: processes that start at once, tables in use, roles with few rights."""

import asyncio
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.databases import outside, settings_of
from tests.migrations.programs import alembic, run
from tests.unusable import free_port

from faceplate import (
    CannotConnect,
    Database,
    DatabaseError,
    TimedOut,
    Unauthorized,
    Unavailable,
    UsageError,
    embedded,
    migrate,
)
from faceplate._alembic import locking
from faceplate.services import conversations, messages, users

# Imports once and migrates in six processes.
UPGRADE_IN_SIX = """
import asyncio, os, sys
from faceplate import Settings, migrate

children = []
while len(children) < 6 and all(children):
    children.append(os.fork())
if not children[-1]:
    asyncio.run(migrate.upgrade(Settings()))
    sys.exit()
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


async def test_eight_processes_at_once_all_succeed(empty_database_url: str) -> None:
    """Else a deploy of several replicas fails, or leaves an index that is not used."""
    await asyncio.gather(
        run(empty_database_url, sys.executable, "-c", UPGRADE_IN_SIX),
        alembic(empty_database_url, "upgrade", "head"),
        alembic(empty_database_url, "upgrade", "head"),
    )
    settings = settings_of(empty_database_url)
    assert await migrate.current(settings) == migrate.head()
    assert await migrate.check(settings) == []
    async with outside(settings) as connection:
        assert not await connection.fetch("SELECT FROM pg_index WHERE NOT indisvalid")


async def test_tasks_of_one_program_take_turns(empty_database_url: str) -> None:
    """Else an application that migrates several databases as it starts mixes them up."""
    settings = settings_of(empty_database_url)
    await asyncio.gather(*(migrate.upgrade(settings) for _ in range(4)))
    assert await migrate.check(settings) == []


async def test_a_table_in_use_is_waited_for_without_standing_in_the_way(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one long report makes every request queue up behind the migration, or it fails."""
    settings = settings_of(fresh_database_url)
    tried_twice = asyncio.Event()
    pauses = 0
    pause = locking._pause

    async def watch(deadline_s: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 2:
            tried_twice.set()
        await pause(deadline_s)

    monkeypatch.setattr(locking, "_pause", watch)
    await migrate.downgrade(settings, "0002")
    async with outside(settings) as reader:
        async with reader.transaction():
            await reader.execute("SELECT count(*) FROM faceplate.messages")
            upgrade = asyncio.create_task(migrate.upgrade(settings))
            async with asyncio.timeout(30):  # or the upgrade has failed
                await tried_twice.wait()
            assert await migrate.current(settings) == "0002"
        await upgrade
    assert await migrate.check(settings) == []


async def test_a_turn_that_never_comes_is_given_up(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a replica that hangs in its migration holds up every other one for good."""
    settings = settings_of(empty_database_url)
    monkeypatch.setattr(locking, "DEADLINE_S", 0.2)
    async with outside(settings) as other:
        await other.execute(f"SELECT pg_advisory_lock({locking.ADVISORY_LOCK})")
        with pytest.raises(TimedOut, match="another process migrates"):
            await migrate.upgrade(settings)
    await migrate.upgrade(settings)


async def test_what_cannot_be_done_is_an_error_of_ours(empty_database_url: str) -> None:
    """Else a deploy that catches FaceplateError misses the driver's errors and Alembic's."""
    nowhere = settings_of(f"postgresql://me:secret@127.0.0.1:{free_port()}/app")
    for work in (migrate.upgrade(nowhere), migrate.current(nowhere), migrate.check(nowhere)):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+/app: Connection refused"):
            await work
    with pytest.raises(UsageError, match="Can't locate revision identified by 'nonsense'"):
        await migrate.upgrade(settings_of(empty_database_url), "nonsense")


@pytest.fixture(scope="module")
def own() -> Iterator[embedded.Server]:
    """A server that was never migrated, since roles belong to all databases of a server."""
    with tempfile.TemporaryDirectory(prefix="faceplate-test-") as name:
        place = Path(name)
        place.chmod(0o755)  # a server that root starts runs as somebody else
        try:
            yield embedded.start(place / "pg", options={"fsync": "off"})
        finally:
            embedded.wipe(place / "pg")


async def test_a_role_that_may_make_no_roles_is_told_whom_to_ask(own: embedded.Server) -> None:
    """Else a hosted database, where that is usual, ends in a riddle."""
    weak = own.admin_url.replace("//postgres@/postgres", "//weak@/weak")
    settings = settings_of(weak)
    admin = await asyncpg.connect(own.admin_url)
    try:
        await admin.execute("CREATE ROLE weak LOGIN")
        await admin.execute("CREATE DATABASE weak OWNER weak")
        with pytest.raises(Unauthorized) as raised:
            await migrate.upgrade(settings)
        advice = re.search(
            r"ask an administrator to run: (.*); then", str(raised.value), re.IGNORECASE
        )
        assert advice, str(raised.value)
        assert advice[1] == "CREATE ROLE faceplate_app NOLOGIN; GRANT faceplate_app TO weak"
        # Without it, the rest of the schema can be had all the same.
        await migrate.upgrade(settings_of(weak, row_level_security=False))
        assert await migrate.check(settings) == []
        await migrate.downgrade(settings_of(weak, row_level_security=False), "base")
        await admin.execute(advice[1])
        await migrate.upgrade(settings)
        assert await migrate.check(settings) == []
    finally:
        await admin.close()


async def test_a_role_named_like_the_schema_migrates_and_finds_no_difference(
    own: embedded.Server,
) -> None:
    """Else the embedded server's own role, whose default schema is ours, sees other tables."""
    assert "//faceplate@/faceplate?" in own.url
    admin = await asyncpg.connect(own.admin_url)
    try:  # another database's migration may have made the role, under another owner
        await admin.execute("GRANT faceplate_app TO faceplate")
    except asyncpg.UndefinedObjectError:
        pass
    finally:
        await admin.close()
    await migrate.upgrade(settings_of(own.url))
    assert await migrate.check(settings_of(own.url)) == []
    assert "No new upgrade operations detected" in await alembic(own.url, "check")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'", "encoding is SQL_ASCII"),
        ("ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'", "encoding is LATIN1"),
        ("ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'", "locale does not take Ä and ä"),
    ],
)
async def test_a_database_in_which_text_is_not_safe_is_refused(
    own: embedded.Server, options: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else everything is green, until somebody writes ä, or signs in as ÄRZTE@ and as ärzte@."""
    admin = await asyncpg.connect(own.admin_url)
    url = own.url.replace("/faceplate?", "/strange?")
    try:
        await admin.execute(f"CREATE DATABASE strange OWNER faceplate TEMPLATE template0 {options}")
        with pytest.raises(CannotConnect, match=words):
            await migrate.upgrade(settings_of(url))
        async with outside(settings_of(url)) as connection:
            assert await connection.fetchval("SELECT to_regnamespace('faceplate')") is None
            await connection.execute("CREATE SCHEMA faceplate")  # of an earlier version
        await migrate.upgrade(settings_of(url))
        assert words in caplog.text
        async with Database(url) as db:
            health = await db.check()
        assert any(words in told for told in (*health.gaps, *health.warnings))
        assert health.ok == ("locale" in words)
    finally:
        await admin.execute("DROP DATABASE strange WITH (FORCE)")
        await admin.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM faceplate.alembic_version",
        "UPDATE faceplate.alembic_version SET version_num = ''",
        "DROP TABLE faceplate.alembic_version",
    ],
)
async def test_tables_without_a_revision_are_left_alone(
    fresh_database_url: str, damage: str
) -> None:
    """Else check says to migrate, and that fails in words of which nobody learns what to do."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as connection:
        await connection.execute(damage)
    for change in (migrate.upgrade(settings), migrate.downgrade(settings, "base")):
        with pytest.raises(UsageError, match="does not record their revision"):
            await change
    async with Database(settings) as db:
        [gap] = (await db.check()).gaps
    assert "does not record their revision" in gap


async def test_a_migration_does_not_advise_to_migrate(fresh_database_url: str) -> None:
    """Else an operator is told to run the command that has just failed."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as connection:
        await connection.execute("DROP TABLE faceplate.messages")
        await connection.execute("UPDATE faceplate.alembic_version SET version_num = '0002'")
    with pytest.raises(DatabaseError) as failure:
        await migrate.upgrade(settings)
    assert failure.value.message == 'relation "faceplate.messages" does not exist'


async def test_a_schema_of_a_newer_version_is_left_alone(
    fresh_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else an image that was rolled back cannot start, or takes back what another one needs."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as connection:
        await connection.execute("UPDATE faceplate.alembic_version SET version_num = '9999'")
    await migrate.upgrade(settings)
    assert "the schema is at 9999, which is newer than this version knows" in caplog.text
    with pytest.raises(UsageError, match="only that version can take it back"):
        await migrate.downgrade(settings, "0001", may_lose_data=True)
    assert await migrate.current(settings) == "9999"
    command = (sys.executable, "-m", "faceplate.cli", "migrate")
    assert "newer than this version knows" in await run(fresh_database_url, *command)
    with pytest.raises(AssertionError, match="FAILED: the schema is at 9999, which is newer"):
        await alembic(fresh_database_url, "upgrade", "head")


async def test_a_downgrade_loses_nothing_unasked(fresh_database_url: str) -> None:
    """Else a command that was meant for a test database removes every user's chats."""
    settings = settings_of(fresh_database_url)
    async with Database(settings) as db:
        user = await db.run_system(users.create, subject_id="somebody")
        chat = await db.run(user.id, conversations.create)
        await db.run(user.id, messages.append_draft, chat.id)
    head = migrate.head()
    for target, lost in (("base", "all users and everything of theirs"), ("0002", "are drafts")):
        with pytest.raises(UsageError, match=lost):
            await migrate.downgrade(settings, target)
        assert await migrate.current(settings) == head
    with pytest.raises(AssertionError, match="FAILED: the downgrade would lose "):
        await alembic(fresh_database_url, "downgrade", "base")
    assert await migrate.current(settings) == head
    await migrate.downgrade(settings, "0002", may_lose_data=True)
    await alembic(fresh_database_url, "-x", "lose=data", "downgrade", "base")
    assert await migrate.current(settings) is None


async def test_an_older_revision_can_be_stamped(fresh_database_url: str) -> None:
    """Else an operator who has restored a dump cannot tell Alembic which revision it is."""
    await alembic(fresh_database_url, "stamp", "0002")
    settings = settings_of(fresh_database_url)
    assert await migrate.current(settings) == "0002"
    await alembic(fresh_database_url, "stamp", "head")
    assert await migrate.current(settings) == migrate.head()
