"""Two logins: units connect as a role that owns nothing, and the owner's URL is beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from tests.commands import Result, Run
from tests.databases import login_of_units, outside, settings_of
from tests.integration.test_isolation_sql import execute
from tests.units import settle_in

from faceplate import (
    CannotConnect,
    Database,
    Settings,
    Statement,
    Unauthorized,
    encryption,
    migrate,
)
from faceplate.services import conversations, messages, users

WHO = "SELECT session_user::text AS login, current_user::text AS role"


@pytest.fixture(params=["faceplate_app", "a role of its own"])
async def two(
    request: pytest.FixtureRequest, server_url: str, fresh_database_url: str
) -> AsyncIterator[Settings]:
    """Settings with both logins, over a migrated database of the test's own."""
    async with login_of_units(server_url, fresh_database_url, request.param) as url:
        settings = settings_of(
            url, owner_url=fresh_database_url, encryption_keys=encryption.generate_key()
        )
        await migrate.upgrade(settings)
        yield settings


async def test_units_and_the_work_across_users_connect_by_their_own_login(two: Settings) -> None:
    """Else the second URL is there, and hostile SQL in a unit still reaches the owner."""
    async with Database(two) as db:
        user = await db.run_system(users.create, subject_id="ada")
        unit = (await db.run(user.id, execute, WHO)).rows
        across = await db.run_system(lambda s: s.session.execute(text(WHO)))
        async with db.sessions() as session:
            plain = (await session.execute(text(WHO))).one()
        assert unit == [{"login": two.login, "role": "faceplate_app"}]
        owner = (two.of_owner.login,) * 2
        assert (across.one(), plain) == (owner, owner)


async def test_everything_works_with_two_logins(two: Settings) -> None:
    """Else the safer arrangement loses features, and nobody uses it."""
    async with Database(two) as db:
        mine = await settle_in(db)
        assert await db.run(mine.user_id, messages.history, mine.conversation_id)
        health = await db.check()
        assert (health.ok, health.gaps, health.revision) == (True, (), migrate.head())
        assert await migrate.current(db) == migrate.head()
        assert await migrate.check(db) == []
        await db.run_system(users.delete, mine.user_id)
        assert await db.run(mine.user_id, conversations.page) is not None


ESCAPES = [
    "RESET ROLE",
    "SET LOCAL ROLE NONE",
    "SET ROLE NONE",
    "RESET SESSION AUTHORIZATION",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET LOCAL SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
    "SELECT set_config('role', 'none', true)",
    "DISCARD PLANS",
]


@pytest.mark.parametrize("escape", ESCAPES)
async def test_stepping_out_of_the_role_gains_a_unit_nothing(two: Settings, escape: str) -> None:
    """Else SQL injected into a unit reads and changes everybody's rows."""
    async with Database(two.model_copy(update={"pool_size": 1, "max_overflow": 0})) as db:
        bob, ada = await settle_in(db), await settle_in(db)
        for table in ("conversations", "messages", "tasks", "mcp_configs"):
            found = await db.run(
                ada.user_id, execute, escape, f"SELECT user_id FROM faceplate.{table}"
            )
            assert {row["user_id"] for row in found.rows} <= {ada.user_id}
        seen = await db.run(ada.user_id, execute, escape, "SELECT id FROM faceplate.users")
        assert {row["id"] for row in seen.rows} <= {ada.user_id}
        wipe = "DELETE FROM faceplate.messages"
        await db.run(ada.user_id, execute, escape, wipe)
        assert await db.run(bob.user_id, messages.history, bob.conversation_id)
        assert (await db.run(bob.user_id, execute, WHO)).rows[0]["role"] == "faceplate_app"


@pytest.mark.parametrize("become", ["SET ROLE {}", "SET SESSION AUTHORIZATION {}"])
async def test_a_unit_cannot_become_the_owner(two: Settings, become: str) -> None:
    """Else the second login is one in name only."""
    sql = become.format(two.of_owner.login)
    async with Database(two) as db:
        user = await db.run_system(users.create, subject_id="ada")
        for before in ((), ("SET ROLE NONE",), ("RESET ROLE",)):
            with pytest.raises(Unauthorized):
                await db.run(user.id, execute, *before, sql)


async def test_a_login_without_the_owners_url_is_told_what_is_missing(two: Settings) -> None:
    """Else work across users fails without a reason, or finds nothing and calls that success."""
    alone = settings_of(_shown(two.database_url))
    everybody: Statement[Any] = Statement(tuple, text("SELECT id FROM faceplate.users"))
    tried: list[Callable[[Database], Awaitable[object]]] = [
        lambda db: db.run_system(users.ensure, "sub", email="a@example.com"),
        lambda db: db.run_system(users.by_email, "a@example.com"),
        lambda db: db.run_system(lambda scope: scope.all(everybody)),
    ]
    async with Database(alone) as db:
        for work in tried:
            with pytest.raises(Unauthorized, match="FACEPLATE_OWNER_URL"):
                await work(db)
    with pytest.raises(Unauthorized):
        await migrate.downgrade(alone, "base")


async def test_migrating_lets_the_login_of_units_become_their_role(
    server_url: str, empty_database_url: str
) -> None:
    """Else a new login is refused until somebody finds out by which GRANT."""
    async with login_of_units(server_url, empty_database_url, "a role of its own") as url:
        both = settings_of(url, owner_url=empty_database_url)
        async with outside(settings_of(server_url)) as admin:
            before = await admin.fetchval("SELECT count(*) FROM pg_auth_members")
            async with Database(both) as db:
                await migrate.upgrade(settings_of(empty_database_url))
                user = await db.run_system(users.create, subject_id="ada")
                with pytest.raises(CannotConnect, match="GRANT faceplate_app TO"):
                    await db.run(user.id, conversations.create)
                await migrate.upgrade(db)
                await migrate.upgrade(db)
                assert await db.run(user.id, conversations.create)
            assert await admin.fetchval("SELECT count(*) FROM pg_auth_members") >= before + 1


async def test_the_commands_work_with_two_logins(two: Settings, faceplate: Run) -> None:
    """Else an operator has to change the settings of such a database for each command."""
    async with Database(two) as db:
        mine, gone = await settle_in(db), await settle_in(db)

    async def run(*arguments: object) -> Result:
        return await asyncio.to_thread(  # which has no event loop, as the command makes one
            faceplate,
            *arguments,
            DATABASE_URL=_shown(two.database_url),
            FACEPLATE_OWNER_URL=_shown(two.owner_url),
            FACEPLATE_ENCRYPTION_KEYS=",".join(map(_shown, two.encryption_keys)),
        )

    for arguments in (
        ("migrate",),
        ("check",),
        ("conversations", "--user", mine.email),
        ("show", mine.conversation_id, "--user", mine.email),
        ("export", "--user", mine.email),
        ("rotate-keys",),
        ("sweep", "--older-than", "1d"),
        ("purge", "--older-than", "30d", "--yes"),
        ("erase", "--user", gone.email, "--yes"),
        ("stats",),
        ("demo",),
    ):
        result = await run(*arguments)
        assert result.returncode == 0, (arguments, result.stderr)
    assert (await run("conversations", "--user", gone.email)).returncode == 1


def _shown(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
