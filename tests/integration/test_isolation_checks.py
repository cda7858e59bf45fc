"""What lets a user at another one's rows is named by `check`: each thing by its name, with a cure.

Each test changes one thing by hand, as an administrator may, and puts it right again.
"""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from tests.damage import ALL_LAYERS, GAPS, HARMLESS, WARNINGS, Case, check, damaged
from tests.databases import Operator, settings_of
from tests.faults.servers import OwnServer, own_server

from faceplate import _checks
from faceplate._checks import catalog
from faceplate._schema.policies import stored_expression

MINE = stored_expression("user_id")


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


@pytest.mark.parametrize("case", GAPS.values(), ids=GAPS.keys())
async def test_what_lets_a_user_at_others_rows_is_a_gap(
    own: OwnServer, admin: Operator, case: Case
) -> None:
    """Nobody else would notice: every unit works on, with one layer less behind it."""
    async with damaged(admin, *case.damage.split(";;"), repair=case.repair):
        health = await check(settings_of(own.url))
    [gap] = health.gaps
    assert case.told in gap
    assert health.isolation == tuple(name for name in ALL_LAYERS if name != case.layer)
    assert not health.ok
    assert (await check(settings_of(own.url))).gaps == ()


async def test_a_policy_that_was_altered_is_a_gap(own: OwnServer, admin: Operator) -> None:
    """It has the right name, and lets everybody's rows through."""
    name = "POLICY messages_of_user ON faceplate.messages"
    async with damaged(admin, f"ALTER {name} USING (true)", repair=f"ALTER {name} USING {MINE}"):
        gaps = (await check(settings_of(own.url))).gaps
    assert gaps[0].startswith("the policy messages_of_user on faceplate.messages lets units")
    assert gaps[1].startswith(
        "faceplate.messages lacks the policy of the migrations: CREATE POLICY"
    )


async def test_a_policy_for_a_role_that_units_are_a_member_of_is_a_gap(
    own: OwnServer, admin: Operator
) -> None:
    """A policy is for the members of its role too, and says nothing of faceplate_app."""
    async with damaged(
        admin,
        "CREATE ROLE staff",
        "CREATE ROLE guild",
        "GRANT staff TO guild",
        "GRANT guild TO faceplate_app",
        "CREATE POLICY extra ON faceplate.messages TO staff USING (true)",
        repair="DROP POLICY extra ON faceplate.messages;DROP ROLE staff;DROP ROLE guild",
    ):
        health = await check(settings_of(own.url))
    [gap] = health.gaps
    assert gap.startswith("the policy extra on faceplate.messages")
    [warning] = health.warnings
    assert warning.startswith("faceplate_app is a member of guild: ")


@pytest.mark.parametrize(("damage", "repair", "told"), WARNINGS.values(), ids=WARNINGS.keys())
async def test_what_an_administrator_may_have_meant_is_a_warning(
    own: OwnServer,
    admin: Operator,
    damage: str,
    repair: str,
    told: str,
) -> None:
    """Else the next one on duty does not know of it; nothing reaches a row by it as things are."""
    async with damaged(admin, *damage.split(";;"), repair=repair):
        health = await check(settings_of(own.url))
    assert (health.ok, health.gaps, health.isolation) == (True, (), ALL_LAYERS)
    [warning] = health.warnings
    assert told in warning


@pytest.mark.parametrize(("change", "repair"), HARMLESS.values(), ids=HARMLESS.keys())
async def test_what_reaches_nothing_is_not_told(
    own: OwnServer, admin: Operator, change: str, repair: str
) -> None:
    """An operator whom a sound database worries stops reading."""
    async with damaged(admin, *change.split(";;"), repair=repair):
        health = await check(settings_of(own.url))
    assert (health.gaps, health.warnings, health.isolation) == ((), (), ALL_LAYERS)


async def test_isolation_is_one_statement(own: OwnServer) -> None:
    """A probe asks all the time, and may not cost what a unit does."""
    connection = await asyncpg.connect(own.url)
    statements: list[str] = []
    try:
        connection.add_query_logger(lambda record: statements.append(record.query))
        await _checks.inspect_schema(connection, settings_of(own.url))
    finally:
        await connection.close()
    assert statements == [catalog.QUERY]
