"""What the log says of statements: their text and how long they took, never what is in them."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, text
from tests.databases import opened

from faceplate import Database, Scope, Settings, Statement, User, models
from faceplate.services import tasks

Unit = Callable[[Scope], Awaitable[object]]

WORDS = "what nobody else may read"
# The server takes this long over it, whatever the machine does.
NAP_S = 0.05
NAP = Statement(str, sa.select(sa.func.pg_sleep(bindparam("nap_s", type_=sa.Float))))


async def by_a_statement(scope: Scope) -> None:
    await scope.one(NAP, nap_s=NAP_S)


async def by_the_session(scope: Scope) -> None:
    await scope.session.execute(text("SELECT pg_sleep(:nap_s)"), {"nap_s": NAP_S})


async def by_a_statement_that_fails(scope: Scope) -> None:
    await scope.session.execute(text("SET LOCAL statement_timeout = 50"))
    await scope.one(NAP, nap_s=60.0)


async def by_the_session_that_fails(scope: Scope) -> None:
    await scope.session.execute(text("SET LOCAL statement_timeout = 50"))
    await scope.session.execute(text("SELECT pg_sleep(:nap_s)"), {"nap_s": 60.0})


async def logged(db: Database, user: User, unit: Unit, caplog: Any) -> list[logging.LogRecord]:
    caplog.clear()
    await asyncio.gather(db.run(user.id, unit), return_exceptions=True)
    return [record for record in caplog.records if record.name == "faceplate.sql"]


@pytest.mark.parametrize(
    "unit", [by_a_statement, by_the_session, by_a_statement_that_fails, by_the_session_that_fails]
)
async def test_a_slow_statement_is_warned_of_once(
    settings: Settings, user: User, unit: Unit, caplog: pytest.LogCaptureFixture
) -> None:
    """Else nobody sees which query to look at, or sees it twice and counts wrong."""
    async with opened(settings, slow_statement_s=NAP_S * 0.9) as db:
        (record,) = await logged(db, user, unit, caplog)
        assert record.levelno == logging.WARNING
        assert re.match(r"slow statement, 0\.\d{3} s: SELECT pg_sleep\(\$1", record.getMessage())
    async with opened(settings, slow_statement_s=0) as db:
        assert await logged(db, user, unit, caplog) == []


async def every_way(scope: Scope) -> None:
    """The driver, the ORM and text."""
    await tasks.create(scope, title=WORDS)
    scope.session.add(models.Task(user_id=scope.user_id, title=WORDS))
    await scope.session.flush()
    found = sa.select(models.Task.id).where(models.Task.title == WORDS)
    assert len((await scope.session.execute(found)).all()) == 2
    await scope.session.execute(text("SELECT CAST(:words AS text)"), {"words": WORDS})


async def test_each_statement_is_logged_once_without_its_values(
    settings: Settings, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """Else there is no way to see what is sent, or what users write lies in the logs."""
    caplog.set_level(logging.INFO)
    async with opened(settings, log_sql=True) as db:
        records = await logged(db, user, every_way, caplog)
        said = " ".join(record.getMessage().partition(" s: ")[2] for record in records)
        for verb, count in {"BEGIN ISOLATION": 1, "INSERT INTO": 2, "COMMIT": 1}.items():
            assert len(re.findall(rf"\b{verb}\b", said)) == count
        statements = [text for text in caplog.messages if "SELECT CAST($1" in text]
        assert len(statements) == 1
        assert {record.levelno for record in records} == {logging.INFO}
        assert WORDS not in caplog.text
    async with opened(settings) as db:
        assert await logged(db, user, every_way, caplog) == []


async def test_sqlalchemys_own_log_says_no_row_either(
    settings: Settings, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a program that logs at DEBUG writes down every message that a session reads."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy")

    async def read(scope: Scope) -> int:
        await tasks.create(scope, title=WORDS)
        return len((await scope.session.scalars(sa.select(models.Task))).all())

    async with opened(settings) as db:
        assert await db.run(user.id, read) == 1
        async with db.sessions() as session:
            mine = sa.select(models.Task).where(models.Task.user_id == user.id)
            assert len((await session.scalars(mine)).all()) == 1
    assert "SELECT faceplate.tasks" in caplog.text  # its statements are still to be had
    assert WORDS not in caplog.text
