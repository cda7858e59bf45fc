"""The logins: which arrangement is in force, what it means, and by what presets units fail."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from pydantic import SecretStr
from tests.damage import ALL_LAYERS, check, damaged
from tests.databases import Operator, settings_of
from tests.faults.servers import OwnServer, own_server

from faceplate import Settings, migrate
from faceplate._operations import doctor
from faceplate._operations.findings import Level

READ = "SELECT ON faceplate.alembic_version"
UNITS = f"ALTER ROLE faceplate_app LOGIN; GRANT {READ} TO faceplate_app"
NO_UNITS = f"ALTER ROLE faceplate_app NOLOGIN; REVOKE {READ} FROM faceplate_app"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """Roles belong to the whole server, so it is one of these tests' own."""
    with own_server() as server:
        yield server


@pytest.fixture
async def admin(own: OwnServer) -> AsyncIterator[Operator]:
    connection = await asyncpg.connect(own.admin_url.replace("/postgres?", "/faceplate?"))
    try:
        yield connection
    finally:
        await connection.close()


FAILS_UNITS = {
    "row_security": ("ALTER ROLE faceplate SET row_security = off", "row_security is off for"),
    "read only": (
        "ALTER ROLE faceplate SET default_transaction_read_only = on",
        "default_transaction_read_only is on for faceplate, so that every write is refused",
    ),
    "foreign keys": (
        "ALTER DATABASE faceplate SET session_replication_role = replica",
        "session_replication_role is replica for faceplate, so that no foreign key holds",
    ),
}


@pytest.mark.parametrize(("damage", "told"), FAILS_UNITS.values(), ids=FAILS_UNITS.keys())
async def test_a_preset_by_which_units_fail_is_a_gap(
    own: OwnServer, admin: Operator, damage: str, told: str
) -> None:
    """Else every write of every user fails, and all that asks says that all is well."""
    repair = "ALTER ROLE faceplate RESET ALL;ALTER DATABASE faceplate RESET ALL"
    async with damaged(admin, damage, repair=repair):
        health = await check(settings_of(own.url))
    assert not health.ok
    assert any(told in gap for gap in health.gaps)


async def test_force_row_level_security_hides_the_rows_from_what_works_across_users(
    own: OwnServer, admin: Operator
) -> None:
    """Else nobody can sign in, and what should remove or re-encrypt rows finds none."""
    table = "ALTER TABLE faceplate.users"
    async with damaged(
        admin,
        f"{table} FORCE ROW LEVEL SECURITY",
        repair=f"{table} NO FORCE ROW LEVEL SECURITY",
    ):
        health = await check(settings_of(own.url))
    [gap] = health.gaps
    assert gap.startswith("FORCE ROW LEVEL SECURITY hides all rows of faceplate.users from their")
    assert health.isolation == ALL_LAYERS


async def arrangement(settings: Settings) -> str:
    [found] = [f for f in await doctor.diagnose(settings) if f.check == "logins"]
    assert found.level == Level.OK
    return found.found


async def test_a_pair_of_logins(own: OwnServer, admin: Operator) -> None:
    """Else an operator does not know that the second login is in use, and what it changes."""
    units = SecretStr(own.url.replace("//faceplate@", "//faceplate_app@"))
    both = Settings(database_url=units, owner_url=SecretStr(own.url))
    async with damaged(admin, UNITS, repair=NO_UNITS):
        health = await check(both)
        said = await arrangement(both)
        findings = await doctor.diagnose(both)
    assert (health.ok, health.gaps, health.warnings) == (True, (), ())
    assert health.isolation == ALL_LAYERS
    assert said.startswith("two logins: units connect as faceplate_app and run as faceplate_app")
    assert "can become no other role" in said
    assert "the commands connect as faceplate" in said
    assert {found.level for found in findings} == {Level.OK, Level.SKIPPED}


async def test_a_units_login_that_can_become_more_is_told(own: OwnServer, admin: Operator) -> None:
    """Two logins protect nothing where the units' one is a member of the other one's role."""
    units = SecretStr(own.url.replace("//faceplate@", "//web@"))
    both = Settings(database_url=units, owner_url=SecretStr(own.url))
    async with damaged(
        admin,
        "CREATE ROLE web LOGIN; GRANT faceplate_app, faceplate TO web",
        repair="DROP ROLE web",
    ):
        health = await check(both)
        said = await arrangement(both)
    assert any(gap.startswith("web is a member of faceplate, which owns") for gap in health.gaps)
    assert "can become faceplate, and" in said


def is_before_16(admin: Operator) -> bool:
    return admin.get_server_version() < (16,)


def as_before(admin: Operator) -> str:
    """Return what gives the owner the attributes back that `own_server` has left it."""
    return f"ALTER ROLE faceplate {'NO' if is_before_16(admin) else ''}CREATEROLE"


async def test_an_owner_that_may_join_any_role_is_a_warning_before_16(
    own: OwnServer, admin: Operator
) -> None:
    """There, what runs as the owner gets at the files of the server, and of every database."""
    async with damaged(admin, "ALTER ROLE faceplate CREATEROLE", repair=as_before(admin)):
        health = await check(settings_of(own.url))
        assert await joins(own, "pg_execute_server_program") == is_before_16(admin)
    assert health.ok
    told = [w for w in health.warnings if w.startswith("faceplate has CREATEROLE, which before")]
    assert len(told) == is_before_16(admin)


async def joins(own: OwnServer, role: str) -> bool:
    """Return whether the owner can make itself a member of ``role``."""
    owner = await asyncpg.connect(own.url)
    try:
        await owner.execute(f"GRANT {role} TO faceplate")
        await owner.execute(f"REVOKE {role} FROM faceplate")
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await owner.close()
    return True


async def test_a_units_login_that_may_join_any_role_is_told(
    own: OwnServer, admin: Operator
) -> None:
    """Else it is said to become no other role, and needs one GRANT to become the owner."""
    units = SecretStr(own.url.replace("//faceplate@", "//web@"))
    both = Settings(database_url=units, owner_url=SecretStr(own.url))
    damage = "CREATE ROLE web LOGIN CREATEROLE; GRANT faceplate_app TO web"
    async with damaged(admin, damage, repair="DROP ROLE web"):
        health = await check(both)
        said = await arrangement(both)
    assert any("web, which units run as, has CREATEROLE" in gap for gap in health.gaps)
    before_16, since_16 = "every role but a superuser's, by CREATEROLE", "no other role"
    reach = before_16 if is_before_16(admin) else since_16
    assert f"can become {reach}, and" in said


async def test_an_owner_without_createrole_admits_another_login(
    own: OwnServer, admin: Operator
) -> None:
    """Else an operator who took the attribute away has to give it back for a second login."""
    units = SecretStr(own.url.replace("//faceplate@", "//web@"))
    both = Settings(database_url=units, owner_url=SecretStr(own.url))
    async with damaged(
        admin,
        "CREATE ROLE web LOGIN; ALTER ROLE faceplate NOCREATEROLE",
        repair=f"DROP ROLE web; {as_before(admin)}",
    ):
        await migrate.upgrade(both)
        health = await check(both)
    assert (health.ok, health.gaps, health.isolation) == (True, (), ALL_LAYERS)


async def test_one_login(own: OwnServer) -> None:
    """Else nobody knows what hostile SQL could do, or that there is something to be done."""
    said = await arrangement(settings_of(own.url))
    assert said.startswith("one login: faceplate owns the tables and steps down to faceplate_app")
    assert "FACEPLATE_OWNER_URL prevents that" in said
    behind = await arrangement(settings_of(own.url, pgbouncer=True))
    assert behind.startswith("one login, by way of a pooler: faceplate owns the tables")
    off = await arrangement(settings_of(own.url, row_level_security=False))
    assert off.startswith("one role for everything, faceplate: the policies are not used")


async def test_a_login_for_units_alone(own: OwnServer, admin: Operator) -> None:
    """A service that is given no more than it needs is right; what it cannot do is said."""
    units = settings_of(own.url.replace("//faceplate@", "//faceplate_app@"))
    async with damaged(admin, UNITS, repair=NO_UNITS):
        health = await check(units)
        said = await arrangement(units)
    assert (health.ok, health.isolation) == (True, ALL_LAYERS)
    [warning] = health.warnings
    assert warning.startswith("faceplate_app does not own faceplate's tables (faceplate does) and")
    assert said.startswith("units only: faceplate_app does not own the tables")


async def test_a_revision_that_may_not_be_read_is_told(own: OwnServer, admin: Operator) -> None:
    """Else a schema that is there is called missing, and migrated by a role that may not."""
    units = settings_of(own.url.replace("//faceplate@", "//faceplate_app@"))
    login = "ALTER ROLE faceplate_app"
    async with damaged(admin, f"{login} LOGIN", repair=f"{login} NOLOGIN"):
        health = await check(units)
    [gap] = health.gaps
    assert gap.startswith("faceplate_app may not read faceplate.alembic_version")
    assert gap.endswith("GRANT SELECT ON faceplate.alembic_version TO faceplate_app")
    assert health.isolation == ALL_LAYERS


async def test_every_grant_to_a_login_that_owns_nothing_is_a_gap(
    own: OwnServer, admin: Operator
) -> None:
    """Else an operator who granted every table expects the login to see all; it sees no rows."""
    async with damaged(
        admin,
        "CREATE ROLE service LOGIN; GRANT faceplate_app TO service;"
        " GRANT USAGE ON SCHEMA faceplate TO service;"
        " GRANT SELECT ON ALL TABLES IN SCHEMA faceplate TO service",
        repair="DROP OWNED BY service; DROP ROLE service",
    ):
        health = await check(settings_of(own.url.replace("//faceplate@", "//service@")))
    [gap] = health.gaps
    assert gap.startswith("service does not own faceplate's tables (faceplate does) and cannot see")
