"""Isolation of raw SQL in a unit: under the policies it sees and changes only what is one's own."""

from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import text
from tests.integration.conftest import House, World
from tests.units import KINDS, OWNED, valid

from faceplate import Conflict, Database, InvalidInput, NotFound, Scope, Settings, Unauthorized
from faceplate.services._kinds import Kind

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLES = ("users", *OWNED)


class Sql(NamedTuple):
    """What a statement did: how many rows it touched, and the rows that it returned."""

    touched: int
    rows: list[dict[str, Any]]


async def execute(scope: Scope, /, *sql: str, **values: Any) -> Sql:
    for statement in sql:
        result: Any = await scope.session.execute(text(statement), values)
    rows = [dict(row) for row in result.mappings()] if result.returns_rows else []
    return Sql(result.rowcount, rows)


def owner_of(row: dict[str, Any]) -> UUID:
    owner: UUID = row["user_id"] if "user_id" in row else row["id"]
    return owner


@pytest.mark.parametrize("table", TABLES)
async def test_raw_sql_without_a_filter_sees_ones_own_rows(policed: World, table: str) -> None:
    sql = f"SELECT * FROM faceplate.{table}"
    found = await policed.db.run(policed.mine.user_id, execute, sql)
    assert {owner_of(row) for row in found.rows} == {policed.mine.user_id}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "unset",
    [
        "SET LOCAL faceplate.user_id = ''",
        "SET LOCAL faceplate.user_id TO DEFAULT",
        "RESET faceplate.user_id",
    ],
)
async def test_raw_sql_after_the_user_is_unset_sees_nothing(
    policed: World, unset: str, table: str
) -> None:
    sql = f"SELECT * FROM faceplate.{table}"
    assert (await policed.db.run(policed.mine.user_id, execute, unset, sql)).rows == []
    if table in OWNED:
        touch = f"UPDATE faceplate.{table} SET updated_at = now()"
        assert (await policed.db.run(policed.mine.user_id, execute, unset, touch)).touched == 0
        wipe = f"DELETE FROM faceplate.{table}"
        assert (await policed.db.run(policed.mine.user_id, execute, unset, wipe)).touched == 0


@pytest.mark.parametrize("table", TABLES)
async def test_a_connection_that_never_set_a_user_sees_nothing(policed: World, table: str) -> None:
    async with policed.db.sessions() as session:
        await session.execute(text("SET LOCAL ROLE faceplate_app"))
        await session.execute(text("SET LOCAL row_security = on"))  # else it is an error
        found = await session.execute(text(f"SELECT * FROM faceplate.{table}"))
        assert found.all() == []


@pytest.mark.citus_may_refuse("it would move rows to another shard")
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE faceplate.messages SET content = 'stolen' WHERE user_id = :their",
        "UPDATE faceplate.tasks SET user_id = :mine WHERE user_id = :their",
        "UPDATE faceplate.conversations SET title = 'stolen' WHERE id = :conversation",
        """UPDATE faceplate.tasks t SET title = c.title
           FROM faceplate.conversations c WHERE c.id = :conversation""",
        "DELETE FROM faceplate.messages WHERE user_id = :their",
        "DELETE FROM faceplate.mcp_configs WHERE user_id <> :mine",
        """MERGE INTO faceplate.tasks t USING (SELECT CAST(:their AS uuid) AS id) u
           ON t.user_id = u.id WHEN MATCHED THEN DELETE""",
    ],
)
async def test_raw_sql_changes_nothing_of_somebody_else(policed: World, sql: str) -> None:
    values = {
        name: value
        for name, value in {
            "mine": policed.mine.user_id,
            "their": policed.theirs.user_id,
            "conversation": policed.theirs.conversation_id,
        }.items()
        if f":{name}" in sql
    }
    assert (await policed.db.run(policed.mine.user_id, execute, sql, **values)).touched < 1


async def test_raw_sql_without_a_filter_changes_ones_own_rows(policed: World) -> None:
    """The other user's are compared when the test is over."""
    for sql in ("UPDATE faceplate.messages SET content = ''", "DELETE FROM faceplate.tasks"):
        assert (await policed.db.run(policed.mine.user_id, execute, sql)).touched > 0


def _values(kind: Kind) -> str:
    """A row of another table as SQL has it, but for whose it is."""
    columns = kind.model.__table__.c
    row = {name: value for name, value in valid(kind).items() if name in columns}
    literals = ", ".join(f"'{value}'" for value in row.values())
    return f"(user_id, {', '.join(row)}) VALUES (:user, {literals})"


INSERT = {
    "conversations": "(user_id, id) VALUES (:user, gen_random_uuid())",
    "messages": "(user_id, conversation_id, id, position, role)"
    " VALUES (:user, :conversation, gen_random_uuid(), 99, 'user')",
    **{kind.table: _values(kind) for kind in KINDS if not kind.is_chats},
}
NOBODY = "SET LOCAL faceplate.user_id = ''"


async def insert(world: World, table: str, *before: str, user_id: UUID) -> Sql:
    values = {"user": user_id, "conversation": world.theirs.conversation_id}
    if table != "messages":
        del values["conversation"]
    sql = f"INSERT INTO faceplate.{table} {INSERT[table]}"

    async def unit(scope: Scope) -> Sql:
        for statement in before:
            await execute(scope, statement)
        return await execute(scope, sql, **values)

    return await world.db.run(world.mine.user_id, unit)


@pytest.mark.parametrize("table", OWNED)
async def test_raw_sql_inserts_nothing_for_somebody_else(policed: World, table: str) -> None:
    for before in ((), (NOBODY,)):
        with pytest.raises(Unauthorized) as refusal:
            await insert(policed, table, *before, user_id=policed.theirs.user_id)
        assert refusal.value.sqlstate == "42501"
    with pytest.raises(Unauthorized):
        await insert(policed, table, NOBODY, user_id=policed.mine.user_id)


async def test_raw_sql_inserts_nothing_into_the_conversation_of_somebody_else(
    policed: World,
) -> None:
    with pytest.raises(NotFound, match="the conversation does not exist"):
        await insert(policed, "messages", user_id=policed.mine.user_id)


@pytest.mark.citus_may_refuse("it would move rows to another shard")
@pytest.mark.parametrize("table", OWNED)
async def test_raw_sql_gives_nothing_away(policed: World, table: str) -> None:
    """A row that appears in somebody else's list is a message put in their mouth."""
    sql = f"UPDATE faceplate.{table} SET user_id = :their"
    with pytest.raises((Unauthorized, Conflict)):
        await policed.db.run(policed.mine.user_id, execute, sql, their=policed.theirs.user_id)


@pytest.mark.parametrize(
    "sql",
    [
        "TRUNCATE faceplate.tasks",
        "UPDATE faceplate.users SET email = NULL",
        "DELETE FROM faceplate.users",
        "INSERT INTO faceplate.users (id, subject_id) VALUES (gen_random_uuid(), 'a')",
        "UPDATE faceplate.alembic_version SET version_num = '0001'",
        "CREATE TEMPORARY TABLE tasks AS SELECT * FROM faceplate.tasks",
        "CREATE FUNCTION pg_temp.now() RETURNS int RETURN 1",
        "ALTER TABLE faceplate.tasks DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tasks_of_user ON faceplate.tasks",
        "CREATE POLICY all_of_them ON faceplate.tasks USING (true)",
        "CREATE TABLE faceplate.copy AS SELECT * FROM faceplate.tasks",
        "CREATE ROLE intruder",
    ],
)
async def test_raw_sql_does_not_loosen_the_rules(policed: World, sql: str) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await policed.db.run(policed.mine.user_id, execute, sql)
    assert refusal.value.sqlstate == "42501"


async def test_asking_for_no_row_security_gets_an_error_and_no_rows(policed: World) -> None:
    off = "SET LOCAL row_security = off"
    with pytest.raises(Unauthorized):
        await policed.db.run(policed.mine.user_id, execute, off, "SELECT * FROM faceplate.messages")


async def test_a_user_that_is_none_is_an_error(policed: World) -> None:
    with pytest.raises(InvalidInput):
        await policed.db.run(
            policed.mine.user_id,
            execute,
            "SET LOCAL faceplate.user_id = 'everybody'",
            "SELECT * FROM faceplate.messages",
        )


async def test_the_user_of_one_unit_is_forgotten_before_the_next(policed: World) -> None:
    """A pooled connection that remembered its last user would show their rows to anybody."""
    seen = "SELECT current_setting('faceplate.user_id', true) AS seen, current_user AS role"
    async with Database(
        Settings(database_url=policed.db.settings.database_url, pool_size=1, max_overflow=0)
    ) as db:
        within = (await db.run(policed.mine.user_id, execute, seen)).rows[0]
        assert within == {"seen": str(policed.mine.user_id), "role": "faceplate_app"}
        async with db.sessions() as session:
            after = (await session.execute(text(seen))).mappings().one()
    assert not after["seen"]
    assert after["role"] != "faceplate_app"


PRIVILEGES = {"SELECT", "INSERT", "UPDATE", "DELETE"}
ALL_PRIVILEGES = (*sorted(PRIVILEGES), "TRUNCATE", "REFERENCES", "TRIGGER")


async def test_the_role_may_do_what_units_need_and_nothing_else(house: House) -> None:
    async with house.policed.sessions() as session:
        granted = await session.execute(
            text(
                "SELECT relname, privilege FROM pg_class, unnest(CAST(:all AS text[])) AS privilege"
                " WHERE relnamespace = 'faceplate'::regnamespace AND relkind IN ('r', 'v', 'm')"
                " AND has_table_privilege('faceplate_app', pg_class.oid, privilege)"
            ),
            {"all": list(ALL_PRIVILEGES)},
        )
        rights: dict[str, set[str]] = {}
        for table, privilege in granted:
            rights.setdefault(table, set()).add(privilege)
    assert rights == dict.fromkeys(OWNED, PRIVILEGES) | {
        "users": {"SELECT"},
        "alembic_version": {"SELECT"},
    }


@pytest.mark.not_on_citus("Citus connects to its workers as the role of units, which may log in")
async def test_the_role_cannot_bypass_own_or_create_anything(house: House) -> None:
    async with house.policed.sessions() as session:
        role = await session.execute(
            text(
                "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin,"
                " rolreplication, has_schema_privilege(oid, 'faceplate', 'CREATE'),"
                " EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid),"
                " EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)"
                " FROM pg_roles WHERE rolname = 'faceplate_app'"
            )
        )
        assert set(role.one()) == {False}


async def test_every_table_has_its_policy(house: House) -> None:
    async with house.policed.sessions() as session:
        secured = await session.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'faceplate'::regnamespace"
                " AND relrowsecurity"
            )
        )
        assert set(secured) == set(TABLES)
        policies = await session.execute(
            text(
                "SELECT tablename, permissive, array_to_string(roles, ','), cmd FROM pg_policies"
                " WHERE schemaname = 'faceplate'"
            )
        )
        expected = {(table, "PERMISSIVE", "public", "ALL") for table in OWNED}
        expected.add(("users", "PERMISSIVE", "public", "SELECT"))
        assert {tuple(policy) for policy in policies} == expected
