"""What a test finds: a clean database, a user, a runner, a client."""

import asyncio

import httpx
import pytest
from app import models
from app.main import count
from sqlalchemy import text

from faceplate import Database, Scope, Settings, SystemScope, User
from faceplate.integrations.web import UserRunner
from faceplate.services import users

LEFT_OPEN: list[object] = []
"""What a test has forgotten to close, kept from the garbage collector, which would warn."""


async def plans(scope: SystemScope) -> list[str]:
    found = await scope.session.execute(text("SELECT name FROM plans ORDER BY name"))
    return [name for (name,) in found]


async def ticket(scope: Scope) -> int:
    number: int = (
        await scope.session.execute(text("SELECT nextval('ticket_numbers')"))
    ).scalar_one()
    return number


async def stored(scope: SystemScope) -> tuple[int, int]:
    tables = ("notes", "faceplate.users")
    rows = [await scope.session.scalar(text(f"SELECT count(*) FROM {t}")) for t in tables]
    return rows[0], rows[1]


@pytest.mark.parametrize("number", range(100))
async def test_each_test_has_a_database_of_its_own(
    faceplate_runner: UserRunner, faceplate_db: Database, number: int
) -> None:
    assert await faceplate_db.run_system(stored) == (0, 1)
    await faceplate_runner.run(models.add, f"note {number}")
    assert await faceplate_runner.run(models.bodies) == [f"note {number}"]
    assert await faceplate_runner.run(ticket) == 1


@pytest.mark.parametrize("number", range(80))
async def test_each_test_has_a_signed_in_client(
    faceplate_client: httpx.AsyncClient, faceplate_user: User, number: int
) -> None:
    assert faceplate_user.subject_id
    assert (await faceplate_client.post("/notes", json={"text": str(number)})).status_code == 200
    assert (await faceplate_client.get("/notes")).json() == [str(number)]


async def test_what_one_test_deletes_of_the_revisions_rows(faceplate_db: Database) -> None:
    async def delete(scope: SystemScope) -> None:
        await scope.session.execute(text("DELETE FROM plans"))

    await faceplate_db.run_system(delete)
    assert await faceplate_db.run_system(plans) == []


async def test_is_there_for_the_next(faceplate_db: Database) -> None:
    assert await faceplate_db.run_system(plans) == ["free", "team"]


async def test_what_one_test_does_to_a_table(faceplate_db: Database) -> None:
    async def change(scope: SystemScope) -> None:
        await scope.session.execute(text("ALTER TABLE notes ADD COLUMN colour text"))
        await scope.session.execute(text("CREATE TABLE scraps (id integer)"))

    await faceplate_db.run_system(change)


async def test_is_undone_for_the_next(faceplate_db: Database) -> None:
    async def columns(scope: SystemScope) -> int:
        found = await scope.session.execute(
            text(
                "SELECT count(*) FROM information_schema.columns"
                " WHERE column_name = 'colour' OR table_name = 'scraps'"
            )
        )
        number: int = found.scalar_one()
        return number

    assert await faceplate_db.run_system(columns) == 0


async def test_a_transaction_that_is_left_open(faceplate_settings: Settings) -> None:
    db = await Database(faceplate_settings).__aenter__()
    user = await db.run_system(users.create, subject_id="left open")
    block = db.begin(user.id)
    scope = await block.__aenter__()
    await models.add(scope, "left open")
    LEFT_OPEN.extend((db, block))


async def test_does_not_reach_the_next(faceplate_db: Database) -> None:
    assert await faceplate_db.run_system(stored) == (0, 0)


async def test_units_run_at_the_same_time_and_on_several_databases(
    faceplate_runner: UserRunner, faceplate_settings: Settings
) -> None:
    async with Database(faceplate_settings) as second:
        other = UserRunner(second, faceplate_runner.user_id)
        runners = [faceplate_runner, other] * 4
        await asyncio.gather(*(one.run(models.add, "note") for one in runners))
        assert await faceplate_runner.run(count) == await other.run(count) == 8


def test_a_synchronous_test_has_a_clean_database(faceplate_settings: Settings) -> None:
    async def scenario() -> tuple[int, int]:
        async with Database() as db:
            return await db.run_system(stored)

    assert Database().settings.target == faceplate_settings.target
    assert asyncio.run(scenario()) == (0, 0)


async def test_the_probe_says_ready(faceplate_client: httpx.AsyncClient) -> None:
    assert (await faceplate_client.get("/readyz")).json()["ready"]
