"""Reads over a unit's session: each by itself, until something begins the transaction."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import sqlalchemy as sa

from faceplate import (
    Database,
    InvalidInput,
    Scope,
    Statement,
    SystemScope,
    User,
    isolation_level,
    models,
)
from faceplate.models import Conversation, Message, Task
from faceplate.services import conversations, messages, tasks


class Own(NamedTuple):
    user_id: UUID
    task_id: UUID
    message_id: UUID


Use = Callable[[Any, Own], Awaitable[Any]]
MESSAGES = sa.select(Message)
COLUMNS = sa.select(Task.title, Task.completed)


def under_connection(statement: Any) -> Use:
    async def use(session: Any, _: Own) -> Any:
        return (await (await session.connection()).execute(statement)).all()

    return use


ALONE: dict[str, Use] = {
    "models": lambda session, _: session.scalars(MESSAGES),
    "columns": lambda session, _: session.execute(COLUMNS),
    "an aggregate": lambda session, _: session.scalar(sa.select(sa.func.count()).select_from(Task)),
    "a join": lambda session, _: session.execute(sa.select(Message.id).join(Message.conversation)),
    "a subquery": lambda session, _: session.scalars(
        sa.select(Conversation).where(Conversation.id.in_(sa.select(Message.conversation_id)))
    ),
    "by its key": lambda session, own: session.get(Task, (own.user_id, own.task_id)),
    "a table": lambda session, _: session.execute(sa.select(Task.__table__)),
    "a list that grows": lambda session, own: session.scalars(
        sa.select(Task).where(Task.id.in_([own.task_id, own.message_id]))
    ),
    "by the connection": under_connection(COLUMNS),
}
BEGINS: dict[str, Use] = {
    "a lock": lambda session, own: session.get(
        Task, (own.user_id, own.task_id), with_for_update=True
    ),
    "a lock in a subquery": lambda session, _: session.execute(
        sa.select(sa.select(Task.id).with_for_update().limit(1).scalar_subquery())
    ),
    "text": lambda session, _: session.execute(sa.text("SELECT 1")),
    "text in a column": lambda session, _: session.execute(sa.select(sa.text("1"))),
    "an unknown function": lambda session, _: session.execute(
        sa.select(sa.func.pg_current_xact_id_if_assigned())
    ),
    "a function that writes": lambda session, _: session.execute(
        sa.select(sa.func.pg_advisory_xact_lock(sa.literal(14, sa.BigInteger)))
    ),
    "an update": lambda session, own: session.execute(
        sa.update(Task).where(Task.id == own.task_id).values(title="b")
    ),
    "a write in a CTE": lambda session, own: session.execute(
        sa.select(
            sa.update(Task).where(Task.id == own.task_id).values(title="b").returning(Task.id).cte()
        )
    ),
    "a cursor": lambda session, _: session.stream_scalars(MESSAGES),
    "a savepoint": lambda session, _: session.begin_nested().start(),
    "the driver's connection": lambda session, _: raw(session),
    "driver SQL": lambda session, _: driver_sql(session),
}

READING = {"a lock", "a lock in a subquery", "a cursor"}
"""What begins the transaction, although it writes nothing."""


async def raw(session: Any) -> Any:
    return await (await session.connection()).get_raw_connection()


async def driver_sql(session: Any) -> Any:
    return await (await session.connection()).exec_driver_sql("SELECT 1")


@pytest.fixture
async def own(db: Database, user: User) -> Own:
    chat = await db.run(user.id, conversations.create)
    message = await db.run(user.id, messages.append, chat.id, role="user", content="a")
    task = await db.run(user.id, tasks.create, title="a")
    return Own(user.id, task.id, message.id)


@pytest.mark.pipelined
@pytest.mark.parametrize("name", ALONE)
async def test_a_read_begins_nothing(db: Database, own: Own, name: str) -> None:
    """Else each read over a session pays for BEGIN and COMMIT."""

    async def unit(scope: Scope) -> bool:
        for _ in range(2):
            await ALONE[name](scope.session, own)
        return scope.is_open or scope.may_have_written

    assert not await db.run(own.user_id, unit)
    assert not await db.run_system(lambda scope: unit_across(scope, own, name))


async def unit_across(scope: SystemScope, own: Own, name: str) -> bool:
    await ALONE[name](scope.session, own)
    return scope.is_open or scope.may_have_written


@pytest.mark.parametrize("name", BEGINS)
async def test_what_may_write_or_lock_begins(db: Database, own: Own, name: str) -> None:
    """Else a lock is gone before the unit acts on it, and a failed unit leaves what it wrote."""

    async def unit(scope: Scope) -> bool:
        await ALONE["by its key"](scope.session, own)
        await BEGINS[name](scope.session, own)
        return scope.is_open and (scope.may_have_written or name in READING)

    assert await db.run(own.user_id, unit)


async def test_a_read_of_a_stricter_unit_sees_its_snapshot(db: Database, own: Own) -> None:
    """Else a unit at REPEATABLE READ reads two states of the database."""

    async def rename() -> None:
        await db.run(
            own.user_id,
            lambda scope: scope.session.execute(sa.update(Task).values(title="meanwhile")),
        )

    @isolation_level("repeatable read")
    async def unit(scope: Scope) -> list[Any]:
        first = await scope.session.scalar(sa.select(Task.title))
        await rename()
        return [first, await scope.session.scalar(sa.select(Task.title))]

    first, second = await db.run(own.user_id, unit)
    assert first == second != "meanwhile"


@pytest.mark.pipelined
async def test_a_unit_goes_on_after_a_read_that_failed(db: Database, own: Own) -> None:
    """Else a unit that handles its error is rolled back for it, as it is not with a Statement."""

    async def unit(scope: Scope) -> Task:
        with pytest.raises(InvalidInput, match="22012"):
            await scope.session.scalar(sa.select(sa.literal_column("1/0")))
        task = await scope.session.get_one(Task, (own.user_id, own.task_id))
        task.title = "after it"
        return task

    await db.run(own.user_id, unit)
    read = Statement(str, sa.select(models.Task.title))
    assert await db.run(own.user_id, lambda scope: scope.all(read)) == ["after it"]


async def test_what_a_read_by_itself_loaded_can_be_changed(db: Database, own: Own) -> None:
    """Else the rows of a read that was no part of the transaction are not flushed."""

    async def rename(scope: Scope) -> None:
        for task in await scope.session.scalars(sa.select(Task)):
            task.title += ", changed"

    async def fail(scope: Scope) -> None:
        await rename(scope)
        await scope.session.flush()
        raise RuntimeError

    titles = Statement(str, sa.select(Task.title))
    before = await db.run(own.user_id, lambda scope: scope.all(titles))
    with pytest.raises(RuntimeError):
        await db.run(own.user_id, fail)
    assert await db.run(own.user_id, lambda scope: scope.all(titles)) == before
    await db.run(own.user_id, rename)
    changed = [f"{title}, changed" for title in before]
    assert await db.run(own.user_id, lambda scope: scope.all(titles)) == changed
