"""Through PgBouncer, a table changes under statements that were described before."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ENUM
from tests.databases import settings_of
from tests.faults.bouncer import PROGRAM, TRACKING, WHY_NOT, bouncer
from tests.faults.servers import OwnServer

from faceplate import Database, FaceplateError, Scope, Statement, User, one_statement
from faceplate.services import users

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)

CREATE = """
CREATE TYPE mood AS ENUM ('calm', 'happy');
CREATE TABLE changing (id int PRIMARY KEY, at timestamptz, value int, mood mood);
INSERT INTO changing VALUES (1, '2026-01-02T03:04:05Z', 7, 'calm');
GRANT ALL ON changing TO PUBLIC;
"""
REPLACE_MOOD = """
ALTER TYPE mood RENAME TO old_mood;
CREATE TYPE mood AS ENUM ('calm', 'happy', 'sad');
ALTER TABLE changing ALTER COLUMN mood TYPE mood USING mood::text::mood;
DROP TYPE old_mood;
"""
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
columns: Any = (
    sa.column("id", sa.Integer),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("value", sa.Integer),
    sa.column("mood", ENUM("calm", "happy", name="mood", create_type=False)),
)
changing = sa.table("changing", *columns)
of_id = changing.c.id == sa.bindparam("id")


class Stored(NamedTuple):
    id: int
    value: int


VALUE = Statement(int, sa.select(changing.c.value).where(of_id))
MOODS = Statement(int, sa.select(changing.c.id).where(changing.c.mood == sa.bindparam("mood")))
SET_AT = Statement(int, sa.update(changing).where(of_id).values(at=sa.bindparam("new_at")))
STORED = Statement(Stored, sa.select(changing.c.id, changing.c.value).where(of_id))
STORE = Statement(
    Stored,
    sa.insert(changing)
    .from_select(
        ["id", "value"],
        sa.select(sa.bindparam("id", type_=sa.Integer), sa.literal(8)).where(
            ~sa.exists().select_from(changing.alias("other")).where(sa.text("other.id = :id"))
        ),
    )
    .returning(changing.c.id, changing.c.value),
)


@one_statement
async def store(scope: Scope, key: int) -> Stored:
    stored = await scope.first(STORE, id=key)
    return await scope.one(STORED, id=key) if stored is None else stored


async def value_of(scope: Scope, key: int) -> int:
    return await scope.one(VALUE, id=key)


async def with_mood(scope: Scope, mood: str) -> list[int]:
    return await scope.all(MOODS, mood=mood)


async def set_at(scope: Scope, key: int, new_at: Any) -> int:
    return await scope.execute(SET_AT, id=key, new_at=new_at)


@pytest.fixture(scope="module", params=TRACKING, ids=("plain", "tracking"))
def pooled_url(steady_server: OwnServer, request: pytest.FixtureRequest) -> Iterator[str]:
    with bouncer(steady_server, tracks=request.param) as url:
        yield url


@pytest.fixture
async def owner(steady_server: OwnServer) -> AsyncIterator[Any]:
    """A connection past the pooler, which makes the table and changes it."""
    connection = await asyncpg.connect(steady_server.url)
    await connection.execute(CREATE)
    yield connection
    await connection.execute("DROP TABLE changing; DROP TYPE mood")
    await connection.close()


@pytest.fixture
async def db(pooled_url: str) -> AsyncIterator[Database]:
    settings = settings_of(pooled_url, pgbouncer=True, pipelining=True, pool_size=2)
    async with Database(settings) as db:
        yield db


@pytest.fixture
async def user(db: Database) -> User:
    return await db.run_system(users.create, subject_id=secrets.token_hex(8))


def retries(db: Database) -> int:
    return db.counters.retries["SchemaChanged"]


async def test_a_column_of_another_type_is_read_as_what_it_is(
    db: Database, user: User, owner: Any
) -> None:
    """Else the bytes of a new type are taken for a value of the old one."""
    assert await db.run(user.id, value_of, 1) == 7
    for kind, value in (("bigint", 7), ("text", "7"), ("int", 7)):
        await owner.execute(f"ALTER TABLE changing ALTER value TYPE {kind} USING value::{kind}")
        before = retries(db)
        assert await db.run(user.id, value_of, 1) == value
        assert await db.run(user.id, value_of, 1) == value
        assert retries(db) == before + 1


async def test_a_value_is_not_taken_for_one_of_another_type(
    db: Database, user: User, owner: Any
) -> None:
    """Else a time is stored as a number of microseconds."""
    assert await db.run(user.id, set_at, 1, NOON) == 1
    await owner.execute("ALTER TABLE changing ALTER at TYPE bigint USING 1")
    with pytest.raises(FaceplateError):
        await db.run(user.id, set_at, 1, NOON)
    assert await owner.fetchval("SELECT at FROM changing") == 1


async def test_a_type_that_was_replaced_is_learned_again(
    db: Database, user: User, owner: Any
) -> None:
    """Else each statement with an enum fails until the program is restarted."""
    assert await db.run(user.id, with_mood, "calm") == [1]
    await owner.execute(REPLACE_MOOD)
    assert await db.run(user.id, with_mood, "calm") == [1]
    assert await db.run(user.id, with_mood, "sad") == []
    assert retries(db) == 1


async def test_a_write_whose_answer_cannot_be_read_is_made_once(
    db: Database, user: User, owner: Any
) -> None:
    """Else a statement that has committed is reported as failed, or made twice."""
    await db.run(user.id, store, 2)
    await owner.execute("ALTER TABLE changing ALTER value TYPE bigint")
    assert await db.run(user.id, store, 3) == (3, 8)
    assert await owner.fetchval("SELECT count(*) FROM changing WHERE id = 3") == 1
    assert db.counters.retries["ConnectionLost"] == 1


async def test_a_unit_that_writes_is_undone_and_retried(
    db: Database, user: User, owner: Any
) -> None:
    """Else the part of the unit ahead of the changed statement stays."""

    async def write_and_read(scope: Scope) -> int:
        await scope.execute(SET_AT, id=1, new_at=NOON)
        return await value_of(scope, 1)

    assert await db.run(user.id, write_and_read) == 7
    await owner.execute("ALTER TABLE changing ALTER value TYPE bigint")
    assert await db.run(user.id, write_and_read) == 7
    assert retries(db) == 1


async def test_a_unit_that_catches_the_change_cannot_commit(
    db: Database, user: User, owner: Any
) -> None:
    """Else a statement that the unit was told has failed takes effect."""

    async def write_and_catch(scope: Scope) -> None:
        await scope.execute(SET_AT, id=1, new_at=NOON)
        with suppress(FaceplateError):
            await value_of(scope, 1)

    await db.run(user.id, write_and_catch)
    await owner.execute("ALTER TABLE changing ALTER value TYPE bigint")
    await owner.execute("UPDATE changing SET at = NULL")
    await db.run(user.id, write_and_catch)
    assert await owner.fetchval("SELECT at FROM changing") == NOON  # by the retry, in whole
