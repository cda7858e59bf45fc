"""What `check` tells an operator: reached or not, at which migration, and which layers hold."""

from collections.abc import Iterator

import asyncpg
import pytest
from pydantic import SecretStr
from tests.faults.servers import OwnServer, own_server
from tests.unusable import fake, let_in_and_hang

from faceplate import Database, Health, Settings, migrate

ALL_LAYERS = ("owner criterion", "composite keys", "row-level security")
GIVE_AWAY = (
    "GRANT CREATE ON SCHEMA faceplate TO faceplate_app;"
    "ALTER TABLE faceplate.tasks OWNER TO faceplate_app"
)
EXEMPT = "the role faceplate_app is a superuser or has BYPASSRLS: no policy holds it"


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


async def test_a_database_in_order_has_every_layer_and_no_warning(db: Database) -> None:
    """An operator whom a sound database worries stops reading."""
    health = await db.check()
    assert health.ok
    assert health.isolation == ALL_LAYERS
    assert (health.problem, health.gaps, health.warnings) == (None, (), ())
    assert health.revision == health.head == migrate.head()
    assert health.latency_ms is not None
    assert health.server_version
    assert (health.pool.size, health.pool.limit, health.pool.checked_out) == (5, 20, 0)


async def test_connections_in_use_are_counted(db: Database) -> None:
    async with db.engine.connect(), db.engine.connect():
        pool = (await db.check()).pool
        assert (pool.checked_out, pool.idle) == (2, 0)
    pool = (await db.check()).pool
    assert (pool.checked_out, pool.idle) == (0, 2)


@pytest.mark.parametrize(
    ("damage", "layer", "gap"),
    [
        ("ALTER TABLE faceplate.tasks DISABLE ROW LEVEL SECURITY", "row-level security", "tasks"),
        ("DROP POLICY users_self ON faceplate.users", "row-level security", "users"),
        (
            "CREATE POLICY everything ON faceplate.messages USING (true)",
            "row-level security",
            "messages",
        ),
        (
            GIVE_AWAY,
            "row-level security",
            "the role faceplate_app owns tables, or is a member of the role that does",
        ),
        (
            "ALTER TABLE faceplate.messages DROP CONSTRAINT fk_messages_conversations",
            "composite keys",
            "keys are missing: fk_messages_conversations",
        ),
    ],
)
async def test_a_layer_that_does_not_hold_is_not_reported_as_holding(
    fresh_database_url: str, damage: str, layer: str, gap: str
) -> None:
    """Nobody else would notice: every unit works on, with one layer less behind it."""
    await execute(fresh_database_url, damage)
    health = await check(fresh_database_url)
    assert not health.ok
    assert health.isolation == tuple(name for name in ALL_LAYERS if name != layer)
    [told] = health.gaps
    assert told.endswith(gap)


async def test_a_policy_that_only_narrows_is_no_gap(fresh_database_url: str) -> None:
    narrow = "CREATE POLICY short ON faceplate.tasks AS RESTRICTIVE USING (title <> 'x')"
    await execute(fresh_database_url, narrow)
    assert (await check(fresh_database_url)).isolation == ALL_LAYERS


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


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """For tests that change roles, which belong to the whole server, or stop it."""
    with own_server(fsync="off") as server:
        yield server


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


@pytest.mark.parametrize(
    ("damage", "repair", "gap"),
    [
        ("faceplate_app SUPERUSER", "faceplate_app NOSUPERUSER", EXEMPT),
        ("faceplate_app BYPASSRLS", "faceplate_app NOBYPASSRLS", EXEMPT),
        (
            "faceplate_app RENAME TO lost",
            "lost RENAME TO faceplate_app",
            "the role faceplate_app is missing",
        ),
    ],
)
async def test_a_units_role_that_no_policy_holds_is_a_gap(
    own: OwnServer, admin_url: str, damage: str, repair: str, gap: str
) -> None:
    """One ALTER ROLE, meant for something else, and raw SQL reaches everybody's rows."""
    await execute(admin_url, f"ALTER ROLE {damage}")
    try:
        health = await check(own.url)
    finally:
        await execute(admin_url, f"ALTER ROLE {repair}")
    assert not health.ok
    assert "row-level security" not in (health.isolation or ())
    assert health.gaps[0] == gap


async def test_a_role_that_may_not_become_the_units_role_is_told_how_it_may(
    own: OwnServer, admin_url: str
) -> None:
    """Every unit would fail under it, with no more than a privilege that is missing."""
    await execute(
        admin_url,
        "CREATE ROLE reader LOGIN",
        "GRANT USAGE ON SCHEMA faceplate TO reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA faceplate TO reader",
    )
    health = await check(own.url.replace("//faceplate@", "//reader@"))
    assert not health.ok
    assert health.gaps == ("reader may not become faceplate_app: GRANT faceplate_app TO reader",)


async def test_a_role_with_the_owners_rights_is_a_gap(own: OwnServer, admin_url: str) -> None:
    """It owns nothing itand is under no policy all the same."""
    await execute(admin_url, "CREATE ROLE landlord", "GRANT landlord TO faceplate_app")
    move = "ALTER TABLE faceplate.tasks OWNER TO"
    await execute(admin_url, f"{move} landlord")
    try:
        health = await check(own.url)
    finally:
        await execute(admin_url, f"{move} faceplate", "DROP ROLE landlord")
    assert health.gaps == (
        "the role faceplate_app owns tables, or is a member of the role that does",
    )


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
