"""What people write stays in the database: errors, their causes and the log go without it."""

import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.databases import opened

from faceplate import FaceplateError, Scope, Settings, User, models
from faceplate.services import tasks

Unit = Callable[[Scope], Awaitable[object]]

SECRET = f"diary of {secrets.token_hex(8)}"


async def same_key_twice(scope: Scope) -> None:
    config = {"user": scope.user_id, "name": SECRET}
    insert = "INSERT INTO faceplate.mcp_configs (user_id, id, name, config)"
    values = "VALUES (:user, gen_random_uuid(), :name, '{}')"
    for _ in range(2):
        await scope.session.execute(text(f"{insert} {values}"), config)


async def broken_rule(scope: Scope) -> None:
    await tasks.create(scope, title=SECRET)
    await scope.session.execute(text("UPDATE faceplate.tasks SET description = repeat(title, 999)"))


async def missing_value(scope: Scope) -> None:
    await tasks.create(scope, title=SECRET)
    await scope.session.execute(text("UPDATE faceplate.tasks SET completed = NULL"))


async def wrong_number(scope: Scope) -> None:
    await scope.session.execute(text("SELECT CAST(CAST(:title AS text) AS int)"), {"title": SECRET})


async def wrong_type_for_the_driver(scope: Scope) -> None:
    await scope.session.execute(text("SELECT CAST(:number AS int)"), {"number": SECRET})


async def orm_flush(scope: Scope) -> None:
    for _ in range(2):
        scope.session.add(models.McpConfig(user_id=scope.user_id, name=SECRET, config={}))
    await scope.session.flush()


async def orm_flush_swallowed(scope: Scope) -> None:
    """SQLAlchemy repeats the first error in the second one."""
    number = sa.cast(sa.cast(SECRET, sa.Text), sa.Integer)
    scope.session.add(models.Task(user_id=scope.user_id, title=sa.cast(number, sa.Text)))
    with suppress(DBAPIError):
        await scope.session.flush()
    await scope.session.execute(text("SELECT 1"))


async def refused_at_construction(_scope: Scope) -> None:
    models.Task(user_id=SECRET, title=SECRET)


async def refused_by_a_rule(scope: Scope) -> None:
    await tasks.create(scope, title=SECRET * 100)


async def killed(scope: Scope) -> None:
    await tasks.create(scope, title=SECRET)
    await scope.session.execute(text("RESET ROLE"))
    await scope.session.execute(
        text("SELECT pg_terminate_backend(pg_backend_pid()), CAST(:title AS text)"),
        {"title": SECRET},
    )


@pytest.mark.parametrize(
    "unit",
    [
        same_key_twice,
        broken_rule,
        missing_value,
        wrong_number,
        wrong_type_for_the_driver,
        orm_flush,
        orm_flush_swallowed,
        refused_at_construction,
        refused_by_a_rule,
        killed,
    ],
)
@pytest.mark.parametrize("policed", [True, False])  # PostgreSQL itself says less under policies
async def test_what_a_row_holds_is_in_no_error_and_no_log(
    settings: Settings, user: User, unit: Unit, caplog: pytest.LogCaptureFixture, *, policed: bool
) -> None:
    """Else a user's words end up in the logs."""
    caplog.set_level(logging.DEBUG)
    shown = {"log_sql": True, "slow_statement_s": 0.000001, "row_level_security": policed}
    async with opened(settings, retry_delay_s=0, **shown) as db:
        with pytest.raises(FaceplateError) as raised:
            await db.run(user.id, unit)
    printed = "".join(traceback.format_exception(raised.value))
    for text_shown in (printed, str(raised.value), repr(raised.value), caplog.text):
        assert SECRET not in text_shown
