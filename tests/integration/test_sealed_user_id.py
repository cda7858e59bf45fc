"""The sealed user id: the policies believe the application, and no SQL that runs in a unit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from pydantic import SecretStr
from sqlalchemy import Connection, text
from tests.databases import Operator, login_of_units, outside, settings_of
from tests.integration.test_isolation_sql import execute
from tests.units import settle_in

from faceplate import (
    Database,
    Scope,
    Settings,
    Statement,
    Unauthorized,
    UsageError,
    encryption,
    migrate,
)
from faceplate._alembic.operations import EnableUserIsolation
from faceplate._driver.engine import create_migration_engine
from faceplate._operations import doctor
from faceplate.services import conversations, messages

POLICIES = "SELECT tablename, qual, with_check FROM pg_policies ORDER BY 1"
NOTES = """
CREATE TABLE notes (user_id uuid NOT NULL);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON notes TO faceplate_app;
CREATE POLICY of_user ON notes
    USING (user_id = nullif(current_setting('faceplate.user_id', true), '')::uuid)
"""


@pytest.fixture
async def sealed(server_url: str, fresh_database_url: str) -> AsyncIterator[Settings]:
    """Settings with two logins and a key for the seal, over a database that is not sealed yet."""
    async with login_of_units(server_url, fresh_database_url, "a role of its own") as url:
        yield settings_of(
            url,
            owner_url=fresh_database_url,
            encryption_keys=encryption.generate_key(),
            seal_key=encryption.generate_key(),
        )


@pytest.fixture
async def owner(sealed: Settings) -> AsyncIterator[Operator]:
    async with outside(sealed.of_owner) as connection:
        yield connection


async def test_migrating_seals_every_policy_and_it_can_be_undone(
    sealed: Settings, owner: Operator
) -> None:
    """Else one table is left that believes any user id, or nobody gets rid of the seal."""
    await owner.execute(NOTES)
    before = await owner.fetch(POLICIES)
    for _ in range(2):
        await migrate.upgrade(sealed)
        after = await owner.fetch(POLICIES)
        assert len(after) == len(before) == 7
        for name, using, check in after:
            assert "faceplate_seal.user_id()" in using, name
            assert check is None or check == using
        assert [row["with_check"] is None for row in after] == [
            row["with_check"] is None for row in before
        ]
    assert await migrate.check(sealed) == []
    await migrate.unseal_user_ids(sealed)
    assert await owner.fetch(POLICIES) == before
    assert await owner.fetchval("SELECT to_regnamespace('faceplate_seal')") is None


async def test_any_number_may_seal_at_once(sealed: Settings, owner: Operator) -> None:
    """Else a deploy of several replicas fails on a row of the catalog that two of them change."""
    await asyncio.gather(*(migrate.upgrade(sealed) for _ in range(6)))
    assert await owner.fetchval("SELECT count(*) FROM faceplate_seal.keys") == 1


async def test_processes_have_the_key_before_the_policies_ask_for_it(sealed: Settings) -> None:
    """Else turning it on takes the service down between two deploys."""
    plain = sealed.model_copy(update={"seal_key": None})
    await migrate.upgrade(plain)
    async with Database(sealed) as db:
        mine = await settle_in(db)
        await migrate.upgrade(sealed)
        assert await db.run(mine.user_id, messages.history, mine.conversation_id)
        theirs = await settle_in(db)
        await migrate.unseal_user_ids(sealed)
        assert await db.run(theirs.user_id, messages.history, theirs.conversation_id)


async def test_another_key_is_refused(sealed: Settings) -> None:
    """Else one process with a mistaken key hides all rows from the others."""
    await migrate.upgrade(sealed)
    mistaken = sealed.model_copy(update={"seal_key": SecretStr(encryption.generate_key())})
    async with Database(sealed) as db:
        mine = await settle_in(db)
        with pytest.raises(UsageError, match="sealed with another key"):
            await migrate.upgrade(mistaken)
        assert await db.run(mine.user_id, messages.history, mine.conversation_id)
    await migrate.unseal_user_ids(sealed)
    await migrate.upgrade(mistaken)


async def test_a_table_of_a_later_migration_asks_for_the_seal(
    sealed: Settings, owner: Operator
) -> None:
    """Else the new table believes any user id until somebody runs `faceplate migrate` again."""
    await migrate.upgrade(sealed)
    await owner.execute("CREATE TABLE notes (user_id uuid NOT NULL)")

    def enable(connection: Connection) -> None:
        Operations(MigrationContext.configure(connection)).invoke(EnableUserIsolation("notes"))

    engine = create_migration_engine(sealed.of_owner)
    async with engine.begin() as connection:
        await connection.run_sync(enable)
    await engine.dispose()
    (policy,) = [row for row in await owner.fetch(POLICIES) if row["tablename"] == "notes"]
    assert policy["qual"] == "(user_id = ( SELECT faceplate_seal.user_id() AS user_id))"
    assert policy["with_check"] == policy["qual"]
    await migrate.unseal_user_ids(sealed)
    (policy,) = [row for row in await owner.fetch(POLICIES) if row["tablename"] == "notes"]
    assert "faceplate_seal" not in f"{policy['qual']} {policy['with_check']}"


CONTENT = Statement(str, text("SELECT content FROM faceplate.messages"))


async def by_statement(scope: Scope) -> list[str]:
    return await scope.all(CONTENT)


async def by_stream(scope: Scope) -> list[str]:
    return [content async for content in scope.stream(CONTENT)]


async def after_opening(scope: Scope) -> list[str]:
    await scope.open()
    return await scope.all(CONTENT)


async def by_session(scope: Scope) -> list[str]:
    return list((await scope.session.execute(CONTENT.statement)).scalars())


async def by_cursor(scope: Scope) -> list[str]:
    return [content async for content in await scope.session.stream_scalars(CONTENT.statement)]


@pytest.mark.parametrize("unit", [by_statement, by_stream, after_opening, by_session, by_cursor])
@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_every_way_to_begin_carries_the_seal(
    sealed: Settings, unit: Callable[[Scope], Awaitable[list[str]]], *, pgbouncer: bool
) -> None:
    """Else a unit that streams finds nothing, and takes its user for a new one."""
    await migrate.upgrade(sealed)
    async with Database(sealed.model_copy(update={"pgbouncer": pgbouncer})) as db:
        mine = await settle_in(db)
        assert f"a question of {mine.subject_id}" in await db.run(mine.user_id, unit)


@pytest.mark.parametrize("key", [None, encryption.generate_key()], ids=["none", "another"])
async def test_a_process_without_the_key_reaches_nothing(sealed: Settings, key: str | None) -> None:
    """Else a thief of the units' login reads the rows of every user id that they know."""
    await migrate.upgrade(sealed)
    async with Database(sealed) as db:
        mine = await settle_in(db)
    other = settings_of(sealed.database_url.get_secret_value(), seal_key=key)  # type: ignore[union-attr]  # a SecretStr once read
    async with Database(other) as db:
        assert (await db.run(mine.user_id, conversations.page)).items == []
        with pytest.raises(Unauthorized):
            await db.run(mine.user_id, conversations.create)


async def test_the_seal_is_asked_for_once_a_statement_and_keeps_the_index(
    sealed: Settings,
) -> None:
    """Else a page of messages costs an HMAC for each row, or reads the whole table."""
    await migrate.upgrade(sealed)
    async with Database(sealed) as db:
        mine = await settle_in(db)
        plan = await db.run(
            mine.user_id,
            execute,
            "SET LOCAL enable_seqscan = off",
            "EXPLAIN SELECT * FROM faceplate.messages",
        )
    lines = [row["QUERY PLAN"] for row in plan.rows]
    assert any("InitPlan" in line for line in lines)
    (condition,) = (line for line in lines if "Index Cond" in line)
    # Until PostgreSQL 16 a plan calls what its InitPlan returns $0.
    assert "(user_id = (InitPlan" in condition or "(user_id = $0)" in condition


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM faceplate_seal.keys",
        "CREATE OR REPLACE FUNCTION faceplate_seal.user_id() RETURNS uuid RETURN NULL",
        "DROP SCHEMA faceplate_seal CASCADE",
        "ALTER FUNCTION faceplate_seal.user_id() RESET search_path",
    ],
)
async def test_a_unit_neither_reads_the_key_nor_changes_the_function(
    sealed: Settings, sql: str
) -> None:
    """Else hostile SQL makes a seal for Bob, or a function that believes everything."""
    await migrate.upgrade(sealed)
    async with Database(sealed) as db:
        mine = await settle_in(db)
        with pytest.raises(Unauthorized):
            await db.run(mine.user_id, execute, sql)


async def test_the_seal_is_not_in_the_text_of_a_statement(sealed: Settings) -> None:
    """Else pg_stat_activity shows Bob's seal to a unit of Ada's, which can then pose as him."""
    watch = text("SELECT coalesce(string_agg(query, ' '), '') FROM pg_stat_activity")
    await migrate.upgrade(sealed)
    async with Database(sealed) as db:
        bob, ada = await settle_in(db), await settle_in(db)
        async with db.begin(bob.user_id) as scope:
            await messages.append(scope, bob.conversation_id, role="user", content="hello")
            seal = "SELECT current_setting('faceplate.seal')"
            value = (await scope.session.execute(text(seal))).scalar_one()
            async with db.begin(ada.user_id) as hers:
                await hers.session.execute(text("SET LOCAL ROLE NONE"))
                assert value not in (await hers.session.execute(watch)).scalar_one()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            (
                "CREATE OR REPLACE FUNCTION faceplate_seal.user_id() RETURNS uuid LANGUAGE sql"
                " AS 'SELECT current_setting(''faceplate.user_id'')::uuid'"
            ),
            "the function faceplate_seal.user_id() is not as the migrations create it",
        ),
        (
            "GRANT SELECT ON faceplate_seal.keys TO PUBLIC",
            "PUBLIC has SELECT on faceplate_seal.keys, which the migrations do not grant",
        ),
        (
            "GRANT CREATE ON SCHEMA faceplate_seal TO faceplate_app",
            "units may create objects in the schema faceplate_seal",
        ),
    ],
)
async def test_check_tells_a_seal_that_was_broken(
    sealed: Settings, owner: Operator, damage: str, told: str
) -> None:
    """The policies still ask for it, and it tells what hostile SQL wants."""
    await migrate.upgrade(sealed)
    async with Database(sealed) as db:
        assert (await db.check()).gaps == ()
        await owner.execute(damage)
        [gap] = (await db.check()).gaps
    assert gap.startswith(told)


async def test_check_knows_the_seal_on_a_table_of_which_no_model_told(
    sealed: Settings, owner: Operator
) -> None:
    """Else every project that seals is told to put its tables under a policy that is there."""
    await owner.execute(NOTES)
    await migrate.upgrade(sealed)
    async with Database(sealed) as db:
        [warning] = (await db.check()).warnings
    assert warning.startswith("public.notes has rows of users, and no model that was imported")


async def test_check_tells_a_seal_that_only_one_side_asks_for(sealed: Settings) -> None:
    """Else units see no row, or hostile SQL sees too many, and check says that all is well."""
    plain = sealed.model_copy(update={"seal_key": None})
    await migrate.upgrade(plain)
    async with Database(plain) as without, Database(sealed) as with_key:
        assert (await without.check()).gaps == ()
        [gap] = (await with_key.check()).gaps
        assert "run `faceplate migrate`" in gap
        await migrate.upgrade(sealed)
        assert (await with_key.check()).gaps == ()
        [gap] = (await without.check()).gaps
        assert "FACEPLATE_SEAL_KEY" in gap


async def test_doctor_says_what_the_seal_takes_away(sealed: Settings) -> None:
    """Else an operator who sealed the ids reads that hostile SQL can still name another user."""
    plain = sealed.model_copy(update={"seal_key": None})
    said = []
    for settings in (plain, sealed):
        await migrate.upgrade(settings)
        [found] = [f for f in await doctor.diagnose(settings) if f.check == "logins"]
        said.append(found.found)
    assert "can act as another user whose id it knows" in said[0]
    assert "can act as no other user, as the ids are sealed" in said[1]
