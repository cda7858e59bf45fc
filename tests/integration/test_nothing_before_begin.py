"""Nothing of a unit is sent before BEGIN and its user, whatever its first statement ran into.

Each unit here fails at its first statement, catches that, and goes on as text, which nothing but
the connection's role and its user holds back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import hurdle, opened
from uuid6 import uuid7

from faceplate import (
    Database,
    DatabaseError,
    FaceplateError,
    InvalidInput,
    Scope,
    Settings,
    Statement,
    TimedOut,
    Unauthorized,
    UsageError,
    User,
    models,
)
from faceplate.services import tasks

TITLES = Statement(str, sa.select(models.Task.title).order_by(models.Task.title))
WHO = Statement(
    str, sa.text("SELECT current_user || ' ' || current_setting('faceplate.user_id', true)")
)
WRITE = "INSERT INTO faceplate.tasks (user_id, id, title) VALUES (:of, :id, 'by text')"
WRITE_AS_TEXT = Statement(int, sa.text(WRITE))
SLEEP = sa.select(sa.func.pg_sleep(60))
UNDEFINED = sa.text("SELECT a FROM nowhere")
RUN_TIME: sa.Select[Any] = sa.select(sa.literal_column("1/0"))
NAMES = Statement(str, sa.select(models.McpConfig.name))
CAST = sa.select(sa.cast(sa.bindparam("value", type_=sa.Text), sa.Integer))


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    async with opened(settings, pool_size=1, max_overflow=0, lock_timeout_s=0.2) as db:
        yield db


async def drain(rows: AsyncIterator[Any]) -> None:
    async for _ in rows:
        pass


async def cancelled(first: Awaitable[Any]) -> None:
    """Cancel the statement once it is on its way, as a client that goes away does."""
    running = asyncio.ensure_future(first)
    for _ in range(8):
        await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def in_short(first: Awaitable[Any]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):  # a busy machine needs some of it for BEGIN
            await first


async def rows_of_cursor(scope: Scope, statement: Any) -> None:
    await drain(await scope.session.stream_scalars(statement))


def text(sql: str) -> Statement[str]:
    return Statement(str, sa.text(sql))


# Within one that is not open yet, a failure leaves nothing behind: the unit may go on.
HARMLESS: dict[str, Callable[[Scope], Awaitable[Any]]] = {
    "a table that is not there": lambda scope: scope.all(Statement(str, UNDEFINED)),
    "the session": lambda scope: scope.session.execute(UNDEFINED),
    "the session, when it runs": lambda scope: scope.session.execute(RUN_TIME),
    "the session's cancelled read of a locked table": lambda scope: cancelled(
        scope.session.execute(NAMES.statement)
    ),
    "a syntax error": lambda scope: scope.all(text("SELEKT 1")),
    "a value that cannot be encoded": lambda scope: scope.all(
        Statement(int, sa.select(sa.bindparam("value", type_=sa.Integer))), value="no number"
    ),
    "a parameter that is not known": lambda scope: scope.all(TITLES, unknown=1),
    "many, of which the first cannot be encoded": lambda scope: scope.execute_many(
        Statement(int, sa.select(sa.bindparam("value", type_=sa.Integer))), [{}]
    ),
    "a statement that is a transaction of its own": lambda scope: scope.all(
        Statement(int, RUN_TIME)
    ),
    "a time limit while preparing for a locked table": lambda scope: in_short(
        scope.all(Statement(str, sa.select(models.McpConfig.enabled)))
    ),
    "lock_timeout while preparing for a locked table": lambda scope: scope.all(
        Statement(str, sa.select(models.McpConfig.enabled))
    ),
    "a cancelled read of a locked table": lambda scope: cancelled(scope.all(NAMES)),
    "lock_timeout in a read of a locked table": lambda scope: scope.all(NAMES),
}
# Within one that is open, it ends the transaction: what follows is refused by the server.
ENDING: dict[str, Callable[[Scope], Awaitable[Any]]] = {
    "a privilege": lambda scope: scope.all(text("SELECT pg_read_file('/etc/passwd')")),
    "a run-time error of text": lambda scope: scope.all(text("SELECT 1/0")),
    "a stream": lambda scope: drain(scope.stream(Statement(str, UNDEFINED))),
    "a stream that fails when it runs": lambda scope: drain(scope.stream(Statement(int, RUN_TIME))),
    "text in the session": lambda scope: scope.session.execute(sa.text("SELECT 1/0")),
    "a cursor of the session": lambda scope: rows_of_cursor(scope, UNDEFINED),
    "many": lambda scope: scope.execute_many(Statement(int, CAST), [{"value": "no number"}]),
    "a time limit around text": lambda scope: in_short(scope.all(text("SELECT pg_sleep(60)"))),
    "a time limit around the session": lambda scope: in_short(scope.session.execute(SLEEP)),
    "a time limit around a stream": lambda scope: in_short(
        drain(scope.stream(Statement(str, SLEEP)))
    ),
    "a time limit around a cursor": lambda scope: in_short(rows_of_cursor(scope, SLEEP)),
}


def _unit_after(
    first: Callable[[Scope], Awaitable[Any]], errors: list[BaseException], *, fails: bool
) -> Callable[[Scope], Awaitable[str]]:
    async def unit(scope: Scope) -> str:
        with suppress(FaceplateError):
            await first(scope)
        try:
            who = await scope.one(WHO)
            await scope.execute(WRITE_AS_TEXT, of=scope.user_id, id=scope.new_id())
        except DatabaseError as error:
            errors.append(error)
            raise
        if fails:
            raise RuntimeError
        return who

    return unit


@pytest.mark.pipelined
@pytest.mark.parametrize("name", HARMLESS)
async def test_a_unit_that_caught_an_error_goes_on_in_its_transaction(
    narrow: Database, user: User, name: str
) -> None:
    """Else what it does afterwards is for nobody, as the wrong role, and stays when it fails."""
    is_locked = "locked table" in name
    lock = "LOCK TABLE faceplate.mcp_configs IN ACCESS EXCLUSIVE MODE" if is_locked else "SELECT 1"
    await narrow.run(user.id, lambda scope: scope.all(NAMES))  # this one is prepared
    async with hurdle(narrow.settings, lock):
        errors: list[BaseException] = []
        with pytest.raises(RuntimeError):
            await narrow.run(user.id, _unit_after(HARMLESS[name], errors, fails=True))
        assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == []
        unit = _unit_after(HARMLESS[name], errors, fails=False)
        assert await narrow.run(user.id, unit) == f"faceplate_app {user.id}"
    assert errors == []
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["by text"]


@pytest.mark.parametrize("name", ENDING)
async def test_a_transaction_that_was_aborted_keeps_nothing(
    narrow: Database, user: User, name: str
) -> None:
    """Else what follows the error is run outside of the transaction that was aborted."""
    errors: list[BaseException] = []
    with pytest.raises(DatabaseError, match="nothing was written"):
        await narrow.run(user.id, _unit_after(ENDING[name], errors, fails=False))
    assert len(errors) == 1
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == []
    assert await narrow.run(user.id, lambda scope: scope.one(WHO)) == f"faceplate_app {user.id}"


@pytest.mark.parametrize("name", ENDING)
async def test_a_unit_that_returns_after_an_aborting_error_is_told_that_it_wrote_nothing(
    narrow: Database, user: User, name: str
) -> None:
    """Else a unit's own time limit is blamed on something that ended its transaction."""

    async def unit(scope: Scope) -> None:
        with suppress(FaceplateError):
            await ENDING[name](scope)

    with pytest.raises(DatabaseError, match="nothing was written"):
        await narrow.run(user.id, unit)
    assert await narrow.run(user.id, lambda scope: scope.one(WHO)) == f"faceplate_app {user.id}"


FIRST: dict[str, Callable[[Scope], Awaitable[Any]]] = {
    "a write": lambda scope: tasks.create(scope, title="first"),
    "text": lambda scope: scope.all(text("SELECT 1")),
    "the session": lambda scope: scope.session.execute(sa.select(models.Task.title)),
    "a stream": lambda scope: drain(scope.stream(TITLES)),
    "a cursor": lambda scope: rows_of_cursor(scope, sa.select(models.Task.title)),
    "many": lambda scope: scope.execute_many(text("SELECT 1"), [{}]),
}


@pytest.mark.parametrize("name", FIRST)
async def test_a_cancellation_at_any_step_of_the_first_statement(
    narrow: Database, user: User, name: str
) -> None:
    """Else a time limit that a unit handles leaves it without BEGIN, or ends it for no reason.

    It may have aborted the transaction, as each error does; then nothing is kept.
    """
    expected = 0
    for steps in range(40):
        kept = len(await narrow.run(user.id, lambda scope: scope.all(TITLES)))

        async def unit(scope: Scope, steps: int) -> str:
            running = asyncio.ensure_future(FIRST[name](scope))
            for _ in range(steps % 20):
                await asyncio.sleep(0)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            # The driver refuses a cursor where it has not heard yet that the transaction is open.
            await rows_of_cursor(scope, sa.select(models.Task.title))
            return await scope.one(WHO)

        try:
            assert await narrow.run(user.id, unit, steps) == f"faceplate_app {user.id}"
            expected += 1
        except (DatabaseError, TimedOut) as error:
            state = error.sqlstate
        else:
            continue
        if state in {"25P02", "57014"}:
            assert len(await narrow.run(user.id, lambda scope: scope.all(TITLES))) == kept
        else:
            pytest.fail(f"ended by {state}")
    assert expected


CONTROL = [
    "COMMIT",
    "commit work",
    "CoMMiT AND CHAIN",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "rollback transaction",
    "END",
    "ABORT",
    "BEGIN",
    "START TRANSACTION",
    "PREPARE TRANSACTION 'a'",
    "COMMIT PREPARED 'a'",
    "ROLLBACK PREPARED 'a'",
    "; ;COMMIT",
    " \n\t-- a comment\nCOMMIT",
    "--\rCOMMIT",
    "/* a /* nested */ */ ;-- and one\n ROLLBACK",
    "PREPARE/**/TRANSACTION 'a'",
    "ROLLBACK -- TO a\n",
    "/**/END",
]
WAYS: dict[str, Callable[[Scope, str], Awaitable[Any]]] = {
    "a statement": lambda scope, sql: scope.execute(text(sql)),
    "a stream": lambda scope, sql: drain(scope.stream(text(sql))),
    "many": lambda scope, sql: scope.execute_many(text(sql), [{}]),
    "the session": lambda scope, sql: scope.session.execute(sa.text(sql)),
}


@pytest.mark.parametrize("way", WAYS)
async def test_text_cannot_end_or_begin_a_transaction(
    narrow: Database, user: User, way: str
) -> None:
    """Else half of a unit is kept when the other half fails, and the rest runs for nobody."""

    async def unit(scope: Scope, sql: str) -> None:
        await tasks.create(scope, title=sql)
        with pytest.raises(UsageError, match="the runner's"):
            await WAYS[way](scope, sql)
        assert await scope.one(WHO) == f"faceplate_app {user.id}"  # refused before it was sent
        raise RuntimeError

    for sql in CONTROL:
        with pytest.raises(RuntimeError):
            await narrow.run(user.id, unit, sql)
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == []


@pytest.mark.parametrize("way", ["a statement", "the session"])
async def test_a_savepoint_of_text_undoes_a_part(narrow: Database, user: User, way: str) -> None:
    """Else a unit that expects an error has to give up all that it has done before."""
    say = WAYS[way]

    async def unit(scope: Scope) -> str:
        await tasks.create(scope, title="kept")
        await say(scope, "SAVEPOINT part")
        await tasks.create(scope, title="undone")
        with pytest.raises((InvalidInput, DatabaseError, Unauthorized)):
            await say(scope, "SELECT 1/0")
        await say(scope, "ROLLBACK /* all of it */ TO part")
        await say(scope, "rollback work to savepoint part")
        await say(scope, "RELEASE SAVEPOINT part")
        return await scope.one(WHO)

    assert await narrow.run(user.id, unit) == f"faceplate_app {user.id}"
    assert await narrow.run(user.id, lambda scope: scope.all(TITLES)) == ["kept"]


async def test_a_task_of_nobody_is_written_by_no_text(narrow: Database, user: User) -> None:
    """Else text of a unit writes rows for whomever it names."""

    async def unit(scope: Scope) -> None:
        await scope.execute(WRITE_AS_TEXT, of=uuid7(), id=scope.new_id())

    with pytest.raises(Unauthorized):
        await narrow.run(user.id, unit)
