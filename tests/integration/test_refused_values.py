"""A value that the driver refuses is never sent; the connection comes back idle all the same.

By then the server has prepared the statement, and waits for what would end that: in a transaction
that the driver does not know of, with locks on the statement's tables.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import opened, outside
from uuid6 import uuid7

from faceplate import Database, InvalidInput, Scope, Settings, Statement, Task, User, models
from faceplate.services import tasks

TASKS: Any = models.Task.__table__
NUMBER = sa.bindparam("number", type_=sa.Integer)
READ = sa.select(models.Task.title).where(NUMBER == 1)
WRITE = sa.update(models.Task).values(title=sa.cast(NUMBER, sa.Text))
BAD = {"number": "no number"}
BUSY = """
SELECT state, query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
    AND backend_type = 'client backend'
UNION ALL
SELECT mode, relation::regclass::text FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    JOIN pg_stat_activity a USING (pid)
WHERE pid <> pg_backend_pid() AND c.relnamespace = 'faceplate'::regnamespace
    AND a.backend_type = 'client backend'  -- an autovacuum has locks as well
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def drained(rows: AsyncIterator[Any]) -> None:
    async for _ in rows:
        pass


Way = Callable[[Scope], Awaitable[Any]]
WAYS: dict[str, Way] = {
    "read": lambda s: s.all(Statement(str, READ), **BAD),
    "write": lambda s: s.execute(Statement(str, WRITE), **BAD),
    "many": lambda s: s.execute_many(Statement(str, WRITE), [BAD, BAD]),
    "stream": lambda s: drained(s.stream(Statement(str, READ), **BAD)),
    "session read": lambda s: s.session.execute(READ, BAD),
    "session write": lambda s: s.session.execute(WRITE, BAD),
    "session text": lambda s: s.session.execute(sa.text("SELECT :number + 1"), BAD),
    "session many": lambda s: s.session.execute(
        sa.insert(TASKS).values(title=sa.cast(NUMBER, sa.Text)),
        [{**BAD, "id": uuid7()}, {**BAD, "id": uuid7()}],
    ),
}


@pytest.fixture(
    params=[
        "direct",
        pytest.param(
            "as behind a pooler", marks=pytest.mark.not_on_citus("no pooler passes the user on")
        ),
    ]
)
async def narrow(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    pgbouncer = request.param != "direct"
    async with opened(settings, pool_size=1, max_overflow=0, pgbouncer=pgbouncer) as db:
        yield db


async def is_served(db: Database, user: User) -> None:
    """Read, write in one statement, and write in a transaction."""
    added: Task = await db.run(user.id, tasks.create, title="on we go")
    found = await db.run(user.id, tasks.page)
    assert added in found.items


@pytest.mark.parametrize("way", WAYS)
async def test_the_connection_comes_back_idle(
    narrow: Database, user: User, other_user: User, way: str
) -> None:
    """Else one user's bad value fails another user's unit, or holds up a migration."""
    await is_served(narrow, other_user)  # what opening left is taken back
    async with outside(narrow.settings) as operator:
        for _ in range(2):
            with pytest.raises(InvalidInput, match="refused the value"):
                await narrow.run(user.id, WAYS[way])
            assert await operator.fetch(BUSY) == []
            await is_served(narrow, other_user)


@pytest.mark.parametrize("way", WAYS)
async def test_the_unit_may_catch_that_and_go_on(narrow: Database, user: User, way: str) -> None:
    """Else a unit that tries another value is in no transaction, or in one that is lost."""

    async def unit(scope: Scope) -> Task:
        with suppress(InvalidInput):
            await WAYS[way](scope)
        return await tasks.create(scope, title="kept")

    kept = await narrow.run(user.id, unit)
    assert await narrow.run(user.id, tasks.get, kept.id) == kept
