"""What `check` tells an operator: reached or not, at which migration, and which layers hold."""

from collections.abc import Iterator

import asyncpg
import pytest
from pydantic import SecretStr
from tests.faults.proxy import Proxy, Traffic
from tests.faults.servers import OwnServer, own_server
from tests.unusable import fake, let_in_and_hang

from faceplate import Database, Health, Settings, migrate
from faceplate._driver.connecting import open_connection

ALL_LAYERS = ("owner criterion", "composite keys", "row-level security")


async def check(url: str, *, row_level_security: bool = True) -> Health:
    settings = Settings(database_url=SecretStr(url), row_level_security=row_level_security)
    async with Database(settings) as db:
        return await db.check()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server as one would run it, for tests that change its roles, or stop it."""
    with own_server() as server:
        yield server


async def test_a_database_in_order_has_every_layer_and_no_warning(own: OwnServer) -> None:
    """An operator whom a sound database worries stops reading."""
    async with Database(Settings(database_url=SecretStr(own.url))) as db:
        health = await db.check()
    assert health.ok
    assert health.isolation == ALL_LAYERS
    assert (health.problem, health.gaps, health.warnings) == (None, (), ())
    assert health.revision == health.head == migrate.head()
    assert health.latency_ms is not None
    assert health.server_version
    assert (health.pool.size, health.pool.limit, health.pool.checked_out) == (5, 20, 0)


async def test_a_login_to_which_commits_are_not_kept_is_warned_of(
    own: OwnServer, admin_url: str
) -> None:
    """What was said to be stored is gone after a crash, against all that is promised."""
    await execute(admin_url, "ALTER ROLE faceplate SET synchronous_commit = off")
    try:
        health = await check(own.url)
    finally:
        await execute(admin_url, "ALTER ROLE faceplate RESET synchronous_commit")
    [warning] = health.warnings
    assert warning.startswith("synchronous_commit is off for faceplate")
    assert health.ok


async def test_connections_in_use_are_counted(db: Database) -> None:
    async with db.engine.connect(), db.engine.connect():
        pool = (await db.check()).pool
        assert (pool.checked_out, pool.idle) == (2, 0)
    pool = (await db.check()).pool
    assert (pool.checked_out, pool.idle) == (0, 2)


async def test_row_level_security_that_was_switched_off_is_a_warning(database_url: str) -> None:
    """It is somebody's decision, and the next one on duty has to know of it."""
    health = await check(database_url, row_level_security=False)
    assert health.ok
    assert health.isolation == ("owner criterion", "composite keys")
    assert health.gaps == ()
    [warning] = health.warnings
    assert "row_level_security is switched off" in warning


async def test_an_empty_database_has_one_thing_to_do(empty_database_url: str) -> None:
    health = await check(empty_database_url)
    assert not health.ok
    assert (health.reachable, health.at_head, health.revision) == (True, False, None)
    assert (health.isolation, health.gaps) == (("owner criterion",), ())
    assert health.warnings == (
        f"the schema is not there, and {health.head} is needed: run `faceplate migrate`",
    )


async def test_an_older_schema_is_told_from_the_one_that_is_needed(fresh_database_url: str) -> None:
    """A new program on an old schema fails only when a unit needs what is new."""
    settings = Settings(database_url=SecretStr(fresh_database_url))
    await migrate.downgrade(settings, "0001")
    health = await check(fresh_database_url)
    assert (health.ok, health.at_head, health.revision) == (False, False, "0001")
    assert health.warnings[-1].startswith("the schema is at 0001, and ")


async def test_a_check_costs_three_round_trips(own: OwnServer) -> None:
    """A probe asks all the time: what it costs the server, it takes from the users."""
    async with Proxy(own.url) as proxy, Database(proxy.url) as db:
        proxy.traffic = Traffic()
        connection = await open_connection(db.settings)
        connection.terminate()
        connecting = proxy.traffic.round_trips
        proxy.traffic = Traffic()
        assert (await db.check()).ok
        assert (proxy.traffic.connections, proxy.traffic.round_trips) == (1, connecting + 3)


async def test_a_schema_of_a_newer_version_is_no_fault(fresh_database_url: str) -> None:
    """Else an image that was rolled back behind an additive revision is taken out of service."""
    await execute(fresh_database_url, "UPDATE faceplate.alembic_version SET version_num = '9999'")
    health = await check(fresh_database_url)
    assert (health.ok, health.at_head, health.is_newer) == (True, False, True)
    assert health.isolation == ALL_LAYERS
    assert health.warnings[-1].startswith(
        "the schema is at 9999, which is newer than this version knows ("
    )


async def test_what_a_newer_version_may_have_meant_is_a_warning(fresh_database_url: str) -> None:
    """Else each change of a policy takes the older instances out of service during a deploy."""
    await execute(
        fresh_database_url,
        "UPDATE faceplate.alembic_version SET version_num = '9999'",
        "ALTER POLICY users_self ON faceplate.users USING (id::text = current_user)",
        "GRANT UPDATE ON faceplate.users TO faceplate_app",
    )
    health = await check(fresh_database_url)
    assert (health.ok, health.isolation) == (True, ALL_LAYERS)
    assert any(text.startswith("the policy users_self on") for text in health.warnings)
    assert any(text.startswith("faceplate_app has UPDATE on") for text in health.warnings)


async def test_an_owners_login_that_fails_is_a_gap(own: OwnServer, admin_url: str) -> None:
    """Else units go on, and nobody can sign in."""
    await execute(admin_url, "ALTER ROLE faceplate_app LOGIN")
    try:
        settings = Settings(
            database_url=SecretStr(own.url.replace("//faceplate@", "//faceplate_app@")),
            owner_url=SecretStr(own.url.replace("//faceplate@", "//lost:canary@")),
        )
        async with Database(settings) as db:
            health = await db.check()
    finally:
        await execute(admin_url, "ALTER ROLE faceplate_app NOLOGIN")
    assert not health.ok
    assert health.gaps[0].startswith("FACEPLATE_OWNER_URL: ")
    assert 'role "lost" does not exist' in health.gaps[0]
    assert "canary" not in repr(health)


@pytest.fixture
def admin_url(own: OwnServer) -> str:
    return own.admin_url.replace("/postgres?", "/faceplate?")


@pytest.mark.parametrize(
    ("attribute", "words"), [("SUPERUSER", "is a superuser"), ("BYPASSRLS", "has BYPASSRLS")]
)
async def test_a_connecting_role_above_the_policies_is_a_warning(
    own: OwnServer, admin_url: str, attribute: str, words: str
) -> None:
    """A mistake in what runs as that role reaches every row of the whole server."""
    await execute(admin_url, f"ALTER ROLE faceplate {attribute}")
    try:
        health = await check(own.url)
    finally:
        await execute(admin_url, f"ALTER ROLE faceplate NO{attribute}")
    assert health.ok
    assert health.isolation == ALL_LAYERS
    [warning] = health.warnings
    assert warning.startswith(f"the connecting role faceplate {words}: ")


async def test_a_server_that_went_away_is_reported_and_not_raised(own: OwnServer) -> None:
    """A health endpoint that fails with the server says nothing about why."""
    async with Database(Settings(database_url=SecretStr(own.url))) as db:
        own.kill()
        health = await db.check()
        own.start()
        assert not health.ok
        assert not health.reachable
        assert health.problem
        assert health.problem.startswith(f"{db.settings.target}: ")
        assert (health.latency_ms, health.revision, health.isolation) == (None, None, None)
        assert (await db.check()).ok


async def test_a_server_that_lets_in_and_answers_nothing_is_given_up(db: Database) -> None:
    """A check that hangs takes the load balancer's probe with it."""
    async with fake(let_in_and_hang) as port:
        db.settings = Settings(
            database_url=SecretStr(f"postgresql://app:canary@127.0.0.1:{port}/shop"),
            connect_timeout_s=0.2,
        )
        health = await db.check()
    assert health.problem == f"127.0.0.1:{port}/shop: no answer within 0.2 s"
    assert "canary" not in repr(health)
