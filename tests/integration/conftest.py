"""The command, databases with a key for secrets, and two users who must be kept apart.

The isolation suite takes away one layer of isolation after the other. Its tests share an event
loop for each file, and in it the databases and the user whose rows must stay out of reach.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import orm
from tests.commands import TRIP, Result, Run, run_in_process, run_on_terminal, write
from tests.databases import Operator, outside
from tests.units import Belongings, everything_of, settle_in, statements

from faceplate import Database, Settings, encryption, models, statement
from faceplate._driver.dialect import DIALECT
from faceplate._orm import connection as unit_connection
from faceplate._orm import session as unit_session


@pytest.fixture
async def keyed(settings: Settings) -> AsyncIterator[Database]:
    """An open Database over the shared database that has a key for secrets."""
    key = SecretStr(encryption.generate_key())
    async with Database(
        Settings(database_url=settings.database_url, encryption_keys=(key,))
    ) as database:
        yield database


class Layers(NamedTuple):
    """Which of the layers of isolation are in force."""

    criterion: bool = True
    policies: bool = True


class World(NamedTuple):
    """The database as one of two users gets it. Each has one of everything."""

    db: Database
    mine: Belongings
    theirs: Belongings


class House(NamedTuple):
    """The same database with row-level security in force, and without."""

    policed: Database
    unpoliced: Database
    theirs: Belongings
    their_rows: dict[str, list[Any]]


def _remove_criterion(patch: pytest.MonkeyPatch) -> None:
    """Take the owner out of all that `Scope` adds it to."""

    def everybody(*_: Any, **__: Any) -> Any:
        return orm.with_loader_criteria(models.Private, lambda _: sa.true())

    patch.setattr(statement, "OWNER_CRITERIA", everybody())
    patch.setattr(statement, "OWNER_DIALECT", DIALECT)
    patch.setattr(unit_connection, "_unit_dialect", lambda dialect: dialect)
    patch.setattr(unit_session, "set_owner", lambda *_: None)
    for each in statements():
        patch.setitem(vars(each), "compiled", None)
        del vars(each)["compiled"]


@asynccontextmanager
async def _world(house: House, layers: Layers) -> AsyncIterator[World]:
    mine = await settle_in(house.policed)
    with pytest.MonkeyPatch.context() as patch:
        if not layers.criterion:
            _remove_criterion(patch)
        db = house.policed if layers.policies else house.unpoliced
        yield World(db, mine, house.theirs)
    assert await everything_of(house.policed, house.theirs.user_id) == house.their_rows


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database_url: str) -> AsyncIterator[House]:
    key = SecretStr(encryption.generate_key())

    def over(*, row_level_security: bool) -> Database:
        return Database(
            Settings(
                database_url=SecretStr(database_url),
                encryption_keys=(key,),
                row_level_security=row_level_security,
            )
        )

    policed, unpoliced = over(row_level_security=True), over(row_level_security=False)
    async with policed, unpoliced:
        theirs = await settle_in(policed)
        yield House(policed, unpoliced, theirs, await everything_of(policed, theirs.user_id))


LAYERS = {
    "both": Layers(),
    "policies": Layers(criterion=False),
    "criterion": Layers(policies=False),
}


_NO_USER = pytest.mark.citus_may_refuse("without the user in it, it has no shard")


def _marks(name: str) -> list[pytest.MarkDecorator]:
    return [_NO_USER] if name == "policies" else []


@pytest_asyncio.fixture(
    loop_scope="module",
    params=[pytest.param(LAYERS[name], id=name, marks=_marks(name)) for name in LAYERS],
)
async def world(request: pytest.FixtureRequest, house: House) -> AsyncIterator[World]:
    """Whatever is tried in it, the other user's rows must be what they were."""
    async with _world(house, request.param) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def policed(house: House) -> AsyncIterator[World]:
    """As `world`, under the policies alone: raw SQL has nothing else."""
    async with _world(house, LAYERS["policies"]) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def lawless(house: House) -> AsyncIterator[World]:
    """As `world`, without any layer, and with another user whose rows may come to harm."""
    theirs = await settle_in(house.policed)
    async with _world(house, Layers(criterion=False, policies=False)) as world:
        yield world._replace(theirs=theirs)


@pytest.fixture
def without_criterion(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and until the end of the test no statement has its owner added."""
    return lambda: _remove_criterion(monkeypatch)


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return os.environ | {"DATABASE_URL": database_url, "COLUMNS": "80", "TERM": "xterm-256color"}


@pytest.fixture
def faceplate(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run the command as a script does, with pipes for outputs, but within this process."""

    def run(*arguments: object, **variables: str) -> Result:
        with monkeypatch.context() as patch:
            for name, value in (environment | variables).items():
                patch.setenv(name, value)
            code = run_in_process(*map(str, arguments))
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def on_terminal(environment: dict[str, str]) -> Callable[..., str]:
    """Run the command as a person does, and return what the terminal was sent."""

    def run(*arguments: object, typed: str = "", **variables: str) -> str:
        return run_on_terminal(environment | variables, *map(str, arguments), typed=typed)

    return run


@pytest.fixture
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    """A connection beside the pool, as the owner of the tables."""
    async with outside(settings) as connection:
        yield connection


@pytest.fixture
def trip(tmp_path: Path) -> Path:
    """A file with one chat of four messages."""
    return write(tmp_path / "trip.jsonl", TRIP)
