"""The level of a transaction is what its unit asks for, whatever the database's default is."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import asyncpg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import make_url
from tests.databases import settings_of
from uuid6 import uuid7

from faceplate import (
    Contention,
    Database,
    Scope,
    Statement,
    SystemScope,
    UsageError,
    User,
    isolation_level,
    models,
    one_statement,
)
from faceplate.scope import Isolation
from faceplate.services import tasks, users

LEVEL = Statement(str, sa.select(sa.func.current_setting("transaction_isolation")))
OPEN_TASKS = Statement(
    int, sa.select(sa.func.count()).select_from(models.Task).where(~models.Task.completed)
)
COMPLETE = Statement(
    int, sa.update(models.Task).values(completed=True).where(models.Task.id == sa.bindparam("id"))
)

DEFAULTS = [
    ("ROLE", "serializable"),
    ("ROLE", "repeatable read"),
    ("DATABASE", "serializable"),
    ("DATABASE", "repeatable read"),
]


@pytest.fixture
def url(fresh_database_url: str) -> str:
    return fresh_database_url


async def set_default(url: str, kind: str, level: str) -> None:
    """Set the level for the role in this database, or for the database."""
    parts = make_url(url)
    of = f"DATABASE {parts.database}"
    if kind == "ROLE":
        of = f"ROLE {parts.username} IN DATABASE {parts.database}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"ALTER {of} SET default_transaction_isolation = '{level}'")
    finally:
        await connection.close()


async def level(scope: Scope | SystemScope) -> str:
    return await scope.one(LEVEL)


async def level_in_transaction(scope: Scope | SystemScope) -> str:
    await scope.open()
    return await scope.one(LEVEL)


async def level_of_session(scope: Scope | SystemScope) -> Any:
    query = sa.select(sa.func.current_setting("transaction_isolation"))
    return await scope.session.scalar(query)


@one_statement
async def level_alone(scope: Scope) -> str:
    return await scope.one(LEVEL)


@pytest.mark.parametrize(("kind", "default"), DEFAULTS)
async def test_units_run_at_read_committed_whatever_the_default_is(
    url: str, kind: str, default: str
) -> None:
    """Else an append fails with a serialization failure, or reads of a unit miss what was kept."""
    await set_default(url, kind, default)
    one_login = settings_of(url)
    two_logins = settings_of(url, owner_url=SecretStr(url))
    for settings in (one_login, two_logins):
        async with Database(settings) as db:
            user = await db.run_system(users.ensure, "ada")
            for unit in (level, level_in_transaction, level_of_session):
                assert await db.run(user.id, unit) == "read committed", unit
                assert await db.run_system(unit) == "read committed", unit
            assert await db.run(user.id, level_alone) == "read committed"
            async with db.begin(user.id) as scope:
                assert await level(scope) == "read committed"
            async with db.sessions() as session:
                found = sa.select(sa.func.current_setting("transaction_isolation"))
                assert await session.scalar(found) == "read committed"


LEVELS: list[Isolation] = ["read committed", "repeatable read", "serializable"]


@pytest.mark.parametrize("wanted", LEVELS)
async def test_a_unit_runs_at_the_level_that_it_asks_for(
    db: Database, user: User, wanted: Isolation
) -> None:
    """Else an application believes in a guarantee that it does not have."""
    for unit in (level, level_in_transaction, level_of_session):
        marked = isolation_level(wanted)(_copy_of(unit))
        assert await db.run(user.id, marked) == wanted
        assert await db.run_system(marked) == wanted
        assert await db.run(user.id, partial(marked)) == wanted
    alone = isolation_level(wanted)(one_statement(_copy_of(level)))
    assert await db.run(user.id, alone) == wanted
    async with db.begin(user.id, isolation=wanted) as scope:
        assert await level(scope) == wanted
    assert await db.run(user.id, level) == "read committed"  # the next unit has its own


def _copy_of(unit: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def copy(scope: Any) -> Any:
        return await unit(scope)

    return copy


async def test_a_word_that_is_no_level_is_refused(db: Database, user: User) -> None:
    """Else it is sent to the server, within BEGIN, as it is."""
    for word in ("snapshot", "SERIALIZABLE", "serializable; DROP TABLE faceplate.users", ""):
        wrong = cast("Isolation", word)
        with pytest.raises(UsageError, match="an isolation level is one of read committed"):
            isolation_level(wrong)
        with pytest.raises(UsageError, match="an isolation level is one of read committed"):
            db.begin(user.id, isolation=wrong)


class Rota:
    """Two tasks of which one has to stay open, and two units that each complete one of them."""

    def __init__(self) -> None:
        self.ids = [uuid7(), uuid7()]
        self.attempts = 0
        self._have_read = 0
        self._both_have_read = asyncio.Event()

    async def prepare(self, db: Database, user: User) -> None:
        for id_ in self.ids:
            await db.run(user.id, self._create, id_)

    async def _create(self, scope: Scope, id_: Any) -> None:
        scope.session.add(models.Task(user_id=scope.user_id, id=id_, title="on call"))

    async def complete(self, scope: Scope, id_: Any) -> bool:
        """Complete one task if another one stays open; both have read before one writes."""
        self.attempts += 1
        open_tasks = await scope.one(OPEN_TASKS)
        self._have_read += 1
        if self._have_read == 2:
            self._both_have_read.set()
        await self._both_have_read.wait()
        if open_tasks < 2:
            return False
        await scope.execute(COMPLETE, id=id_)
        return True


@pytest.fixture
async def rota(db: Database, user: User) -> Rota:
    rota = Rota()
    await rota.prepare(db, user)
    return rota


@pytest.mark.not_on_citus("a worker finds the conflict at COMMIT, whose outcome is then unknown")
async def test_write_skew_is_prevented_and_the_unit_repeated(
    db: Database, user: User, rota: Rota
) -> None:
    """Else two units that each keep a rule break it together, and both are told that they kept."""
    unit = isolation_level("serializable")(_bound(rota))
    done = await asyncio.gather(*(db.run(user.id, unit, id_) for id_ in rota.ids))
    assert sorted(done) == [False, True]
    assert rota.attempts == 3
    assert await db.run(user.id, lambda scope: scope.one(OPEN_TASKS)) == 1


async def test_write_skew_is_possible_at_the_usual_level(
    db: Database, user: User, rota: Rota
) -> None:
    """Else the test above shows nothing."""
    done = await asyncio.gather(*(db.run(user.id, _bound(rota), id_) for id_ in rota.ids))
    assert done == [True, True]
    assert await db.run(user.id, lambda scope: scope.one(OPEN_TASKS)) == 0


def _bound(rota: Rota) -> Callable[[Scope, Any], Awaitable[bool]]:
    async def complete(scope: Scope, id_: Any) -> bool:
        return await rota.complete(scope, id_)

    return complete


@pytest.mark.not_on_citus("a worker finds the conflict at COMMIT, whose outcome is then unknown")
async def test_of_two_blocks_that_skew_one_is_told(db: Database, user: User, rota: Rota) -> None:
    """Else a block, which cannot be retried, breaks the rule without a word."""

    async def block(id_: Any) -> bool:
        async with db.begin(user.id, isolation="serializable") as scope:
            return await rota.complete(scope, id_)

    ends = await asyncio.gather(*map(block, rota.ids), return_exceptions=True)
    assert sorted(type(ended).__name__ for ended in ends) == ["Contention", "bool"]
    assert any(isinstance(ended, Contention) for ended in ends)
    assert await db.run(user.id, lambda scope: scope.one(OPEN_TASKS)) == 1


async def test_all_reads_of_a_strict_unit_see_one_moment(db: Database, user: User) -> None:
    """Else its first read is a transaction of its own, and the second one sees something newer."""

    @isolation_level("repeatable read")
    async def count_twice(scope: Scope) -> tuple[int, int]:
        first = await scope.one(OPEN_TASKS)
        await db.run(user.id, tasks.create, title="meanwhile")
        return first, await scope.one(OPEN_TASKS)

    assert await db.run(user.id, count_twice) == (0, 0)
