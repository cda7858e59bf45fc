"""What text leaves on its connection is gone before the next unit of another user.

Each test has one connection, so that the next unit meets whatever was left.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import opened, temporary_objects

from faceplate import (
    Database,
    DatabaseError,
    FaceplateError,
    Scope,
    Settings,
    Statement,
    SystemScope,
    User,
)
from faceplate.services import tasks

LEAVES = {
    "a temporary table": "CREATE TEMP TABLE tasks AS SELECT 1 AS a",
    "a temporary view": "CREATE TEMP VIEW tasks AS SELECT 1 AS a",
    "a function in pg_temp": "CREATE FUNCTION pg_temp.left_behind() RETURNS int"
    " LANGUAGE sql RETURN 1",
    "a cursor WITH HOLD": "DECLARE left_behind CURSOR WITH HOLD FOR SELECT 'of the user'",
    "SET": "SET application_name = 'left behind'",
    "SET search_path": "SET search_path = pg_temp, public",
    "SET statement_timeout": "SET statement_timeout = '7s'",
    "set_config": "SELECT set_config('faceplate.user_id', '{user}', false)",
    "a setting of its own": "SELECT set_config('app.left', 'behind', false)",
    "SET ROLE": "SET ROLE NONE",
    "SET SESSION AUTHORIZATION": "SET SESSION AUTHORIZATION faceplate_test",
    "SET SESSION CHARACTERISTICS": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET default_transaction_isolation": "SET default_transaction_isolation = 'serializable'",
    "LISTEN": "LISTEN left_behind",
    "a session lock": "SELECT pg_advisory_lock(hashtext('{user}'))",
    "a shared session lock": "SELECT pg_advisory_lock_shared(hashtext('{user}'))",
    "PREPARE": "PREPARE left_behind AS SELECT 1",
    "a DO block": "DO $$BEGIN PERFORM set_config('app.left', 'behind', false); END$$",
}
STATE = """
    SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) AS tables,
           (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()) AS functions,
           (SELECT count(*) FROM pg_cursors WHERE is_holdable) AS cursors,
           (SELECT count(*) FROM pg_listening_channels()) AS channels,
           (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
               AS locks,
           (SELECT count(*) FROM pg_prepared_statements WHERE from_sql) AS statements,
           current_setting('application_name') AS application_name,
           current_setting('search_path') AS search_path,
           current_setting('statement_timeout') AS statement_timeout,
           current_setting('default_transaction_read_only') AS read_only,
           current_setting('default_transaction_isolation') AS default_isolation,
           coalesce(current_setting('app.left', true), '') AS own,
           current_setting('role') AS role,
           current_user::text AS "user", session_user::text AS session_user
"""


async def state(scope: Scope | SystemScope) -> dict[str, Any]:
    found = await scope.session.execute(sa.text(STATE))
    return dict(found.mappings().one())


async def say(scope: Scope | SystemScope, sql: str) -> None:
    await scope.execute(Statement(str, sa.text(sql)))


@pytest.fixture(autouse=True)
async def _temporary_objects(settings: Settings) -> AsyncIterator[None]:
    async with temporary_objects(settings):
        yield


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    async with opened(settings, pool_size=1, max_overflow=0, log_sql=True) as db:
        yield db


async def by_run(db: Database, user: User, sql: str) -> None:
    await db.run(user.id, say, sql)


async def by_begin(db: Database, user: User, sql: str) -> None:
    async with db.begin(user.id) as scope:
        await say(scope, sql)


async def by_stream_or_many(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await scope.execute_many(Statement(str, sa.text(sql)), [{}])

    await db.run(user.id, unit)


async def by_failure(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await say(scope, sql)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await db.run(user.id, unit)


async def by_cancellation(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await say(scope, sql)
        said.set()
        await say(scope, "SELECT pg_sleep(60)")

    said = asyncio.Event()
    running = asyncio.create_task(db.run(user.id, unit))
    await said.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def by_session(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await scope.session.execute(sa.text(sql))

    await db.run(user.id, unit)


async def by_driver_sql(db: Database, user: User, sql: str) -> None:
    async def unit(scope: Scope) -> None:
        await (await scope.session.connection()).exec_driver_sql(sql)

    await db.run(user.id, unit)


async def by_run_system(db: Database, _: User, sql: str) -> None:
    await db.run_system(say, sql)


async def by_plain_session(db: Database, _: User, sql: str) -> None:
    async with db.sessions.begin() as session:
        await session.execute(sa.text(sql))


async def by_plain_session_that_fails(db: Database, _: User, sql: str) -> None:
    async with db.sessions() as session:
        await session.execute(sa.text(sql))


WAYS = [
    *(by_run, by_begin, by_stream_or_many, by_failure, by_cancellation, by_session),
    *(by_driver_sql, by_run_system, by_plain_session, by_plain_session_that_fails),
]
Way = Callable[[Database, User, str], Awaitable[None]]


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_the_session_is_left_to_the_next_user(
    narrow: Database, user: User, other_user: User, way: Way
) -> None:
    """Else one user's unit runs with another's tables, settings, locks or rows under a cursor."""
    clean = await narrow.run(other_user.id, state)
    clean_system = await narrow.run_system(state)
    for sql in LEAVES.values():
        await way(narrow, user, sql.format(user=user.id))
        assert await narrow.run(other_user.id, state) == clean, sql
        assert await narrow.run_system(state) == clean_system, sql
    assert await narrow.run(other_user.id, lambda scope: scope.all(TITLES)) == []


TITLES = Statement(str, sa.text("SELECT title FROM faceplate.tasks"))
REDEFINE = [
    "DEALLOCATE ALL",
    "DEALLOCATE faceplate_enter",
    "DEALLOCATE faceplate_mark",
    "DISCARD PLANS",
    "DO $$BEGIN EXECUTE 'DEALLOCATE faceplate_enter'; END$$",
    "DO $$BEGIN EXECUTE 'DEALL' || 'OCATE ALL'; END$$",
]


@pytest.mark.pipelined
@pytest.mark.parametrize("way", [by_run, by_failure, by_session, by_plain_session])
@pytest.mark.parametrize("sql", REDEFINE)
async def test_what_the_runner_has_prepared_cannot_be_taken_from_the_next_unit(
    narrow: Database, user: User, other_user: User, way: Way, sql: str
) -> None:
    """Else a block of another user, which is never retried, fails for no reason of its own."""
    for each in (user, other_user):
        await narrow.run(each.id, tasks.create, title=each.subject_id)
        task = (await narrow.run(each.id, tasks.page)).items[0]
        await narrow.run(each.id, tasks.complete, task.id)  # it asks for its mark
    await way(narrow, user, sql)
    retries = narrow.counters.retries.total()  # the unit itself may miss what it has dropped
    async with narrow.begin(other_user.id) as scope:
        assert [item.title for item in (await tasks.page(scope)).items] == [other_user.subject_id]
    assert narrow.counters.retries.total() == retries


@pytest.mark.parametrize("name", ["faceplate_enter", "faceplate_mark", "faceplate_step_up"])
async def test_what_the_runner_has_prepared_cannot_be_redefined(
    narrow: Database, user: User, other_user: User, name: str
) -> None:
    """Else one user's text says for whom another user's unit runs."""
    await narrow.run(user.id, tasks.create, title=f"of {user.id}")
    as_the_user = f"SELECT WHERE set_config('faceplate.user_id', '{user.id}', true) IS NULL"

    async def redefine(scope: Scope) -> None:
        await say(scope, "SAVEPOINT before")
        try:
            await say(scope, f"DEALLOCATE {name}")
        except FaceplateError:  # it is there or not, as it happens
            await say(scope, "ROLLBACK TO before")
        await say(scope, f"PREPARE {name} (text) AS {as_the_user}")

    for _ in range(2):
        await narrow.run(user.id, redefine)
        assert (await narrow.run(other_user.id, tasks.page)).items == []
        await narrow.run(other_user.id, tasks.create, title="theirs")
        assert (await narrow.run_system(lambda scope: scope.all(TITLES))).count(
            f"of {user.id}"
        ) == 1
        await narrow.run(other_user.id, lambda scope: say(scope, "DELETE FROM faceplate.tasks"))


async def test_the_value_of_a_sequence_is_taken_back(narrow: Database, other_user: User) -> None:
    """Else lastval() tells the next user how far another one has come."""

    async def count(scope: SystemScope) -> None:
        await say(scope, "CREATE TEMP SEQUENCE counted")
        await say(scope, "SELECT nextval('counted')")

    await narrow.run_system(count)
    with pytest.raises(DatabaseError, match="ObjectNotInPrerequisiteState"):
        await narrow.run(other_user.id, say, "SELECT lastval()")


COUNT = Statement(int, sa.select(sa.func.count()))
UNITS: dict[str, Callable[[Database, User], Awaitable[Any]]] = {
    "a read": lambda db, user: db.run(user.id, tasks.page),
    "a write": lambda db, user: db.run(user.id, tasks.create, title="a"),
    "across users": lambda db, _: db.run_system(lambda scope: scope.all(COUNT)),
    "a block": lambda db, user: _block(db, user=user),
    "a plain session": lambda db, _: _plain(db),
}


async def _block(db: Database, *, user: User) -> None:
    async with db.begin(user.id) as scope:
        await tasks.page(scope)


async def _plain(db: Database) -> None:
    async with db.sessions() as session:
        await session.execute(sa.select(sa.func.count()))


@pytest.mark.parametrize("name", UNITS)
async def test_a_unit_without_text_takes_nothing_back(
    narrow: Database, user: User, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Else each unit pays for what only those with text may leave."""
    caplog.set_level(logging.INFO, "faceplate.sql")
    for _ in range(2):
        caplog.clear()
        await UNITS[name](narrow, user)
    assert not [line for line in caplog.messages if "RESET" in line]
    caplog.clear()
    await by_run(narrow, user, "SELECT 1")
    assert [line for line in caplog.messages if "RESET" in line]
