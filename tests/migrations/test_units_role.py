"""What the migrations take from the role of units, and give back on the way down."""

import secrets

import asyncpg
import pytest
from sqlalchemy import make_url
from tests.databases import outside, settings_of

from faceplate import migrate

MAY = "SELECT has_database_privilege($1::text, current_database(), 'TEMPORARY')"
READS_REVISION = "SELECT has_table_privilege('faceplate_app', 'faceplate.alembic_version', $1)"
UNITS = "faceplate_app"


async def test_units_make_no_temporary_tables_and_the_owner_may(fresh_database_url: str) -> None:
    """Else one user's unit leaves tables to the next user's, or a report of the owner's fails."""
    async with outside(settings_of(fresh_database_url)) as owner:
        me = await owner.fetchval("SELECT current_user")
        assert [await owner.fetchval(MAY, role) for role in (UNITS, me)] == [False, True]
        await owner.execute("SET ROLE faceplate_app")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute("CREATE TEMPORARY TABLE messages (content text)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await owner.execute("CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1")


async def test_units_read_the_revision_and_cannot_change_it(fresh_database_url: str) -> None:
    """Else `check` cannot tell a login of units whether the schema is up to date."""
    async with outside(settings_of(fresh_database_url)) as owner:
        for privilege, granted in {"SELECT": True, "INSERT": False, "UPDATE": False}.items():
            assert await owner.fetchval(READS_REVISION, privilege) is granted


async def test_a_downgrade_gives_back_what_was_taken(fresh_database_url: str) -> None:
    """Else an older version of the application meets rights that it does not know of."""
    settings = settings_of(fresh_database_url)
    await migrate.downgrade(settings, "0004")
    async with outside(settings) as owner:
        assert await owner.fetchval(MAY, UNITS) is True
        assert await owner.fetchval(READS_REVISION, "SELECT") is False
    await migrate.upgrade(settings)
    async with outside(settings) as owner:
        assert await owner.fetchval(MAY, UNITS) is False


POLICY_ROLES = "SELECT roles::text[] FROM pg_policies WHERE tablename = $1"
NOTES = """
CREATE TABLE notes (user_id uuid); ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_user ON notes TO faceplate_app USING (user_id IS NULL)
"""


async def test_policies_are_for_all_roles_so_that_units_cannot_drop_them(
    fresh_database_url: str,
) -> None:
    """Else DROP OWNED in one user's unit hides all rows of all users from them."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as owner:
        await migrate.downgrade(settings, "0004")
        await owner.execute(NOTES)
        for revision, roles in {"0005": ["public"], "0004": [UNITS]}.items():
            await migrate.upgrade(settings, "0005")
            if revision == "0004":
                await migrate.downgrade(settings, revision)
            for table in ("notes", "users", "conversations", "messages", "tasks", "mcp_configs"):
                assert await owner.fetchval(POLICY_ROLES, table) == roles
        await migrate.upgrade(settings)
        await owner.execute("SET ROLE faceplate_app; DROP OWNED BY faceplate_app; RESET ROLE")
        for table in ("notes", "users", "messages"):
            assert await owner.fetchval(POLICY_ROLES, table) == ["public"]


async def test_a_role_that_does_not_own_the_database_migrates(
    server_url: str, empty_database_url: str
) -> None:
    """Else a host that lends a schema of its database cannot be migrated at all."""
    name, password = f"tenant_{secrets.token_hex(4)}", secrets.token_hex()
    database = make_url(empty_database_url).database
    inside = make_url(server_url).set(database=database).render_as_string(hide_password=False)
    tenant = make_url(empty_database_url).set(username=name, password=password)
    settings = settings_of(tenant.render_as_string(hide_password=False))
    async with outside(settings_of(inside)) as admin:
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        await admin.execute(f"GRANT {UNITS} TO {name}")
        await admin.execute(f"GRANT CREATE ON DATABASE {database} TO {name}")
        try:
            await migrate.upgrade(settings)
            assert await migrate.check(settings) == []
            assert await admin.fetchval(MAY, UNITS) is True
            await migrate.downgrade(settings, "base")
        finally:
            await admin.execute(f"DROP OWNED BY {name}")
            await admin.execute(f"DROP ROLE {name}")
