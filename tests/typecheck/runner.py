"""What `Database` returns, for every way to write a unit."""

import asyncio
from functools import partial
from typing import TypeVar, assert_type
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from faceplate import (
    Database,
    Health,
    Scope,
    Settings,
    Statement,
    SystemScope,
    isolation_level,
    one_statement,
    records,
    replayable,
    was_committed,
)
from faceplate.health import Pool
from faceplate.services import tasks, users

T = TypeVar("T")


async def plain(scope: Scope, count: int, *, prefix: str = "") -> str:
    return f"{prefix}{count} {scope.user_id}"


async def nothing(scope: Scope) -> None:
    await scope.open()


async def across_users(scope: SystemScope, subject_id: str) -> bool:
    return bool(await users.by_subject(scope, subject_id))


async def generic(scope: Scope, value: T) -> T:
    await scope.open()
    return value


class Planner:
    async def plan(self, scope: Scope, title: str) -> records.Task:
        return await tasks.create(scope, title=title)


@replayable
async def resent(scope: Scope, count: int) -> str:
    return await plain(scope, count)


@one_statement
async def short(scope: Scope, title: str) -> records.Task:
    return await tasks.create(scope, title=title)


@isolation_level("serializable")
@replayable
async def strict(scope: Scope, title: str) -> records.Task:
    return await tasks.create(scope, title=title)


async def one_user(db: Database, user_id: UUID) -> None:
    assert_type(await db.run(user_id, plain, 1, prefix="no. "), str)
    assert_type(await db.run(user_id, generic, 1.5), float)
    assert_type(await db.run(user_id, Planner().plan, "Pack"), records.Task)
    assert_type(await db.run(user_id, partial(plain, count=1)), str)
    assert_type(await db.run(user_id, lambda scope: tasks.create(scope, title="A")), records.Task)
    await db.run(user_id, nothing)


async def marked(db: Database, user_id: UUID) -> None:
    assert_type(await db.run(user_id, resent, 1), str)
    assert_type(await db.run(user_id, short, "Pack"), records.Task)
    assert_type(await db.run(user_id, strict, title="Pack"), records.Task)


async def all_users(db: Database) -> None:
    assert_type(await db.run_system(across_users, subject_id="ada"), bool)
    assert_type(await db.run_system(users.ensure, "ada", email=None), records.User)


async def together(db: Database, user_id: UUID) -> None:
    async with asyncio.TaskGroup() as group:
        told = group.create_task(db.run(user_id, plain, 1))
    assert_type(told, asyncio.Task[str])
    both = await asyncio.gather(
        db.run(user_id, plain, 1), db.run(user_id, tasks.create, title="Pack")
    )
    assert_type(both, tuple[str, records.Task])


async def block(db: Database, user_id: UUID) -> int:
    """A checker that took the block for one that swallows errors would miss a return here."""
    async with db.begin(user_id, isolation="repeatable read") as scope:
        assert_type(scope, Scope)
        return len(await tasks.create(scope, title="Pack"))


async def scopes(scope: Scope, across: SystemScope, statement: Statement[records.Task]) -> None:
    assert_type(scope.user_id, UUID)
    assert_type(scope.new_id(), UUID)
    assert_type(scope.session, AsyncSession)
    assert_type(await scope.all(statement, title="Pack"), list[records.Task])
    assert_type(await scope.first(statement), records.Task | None)
    assert_type(await scope.one(statement), records.Task)
    assert_type(await scope.execute(statement), int)
    assert_type(await scope.execute_many(statement, [{"title": "Pack"}]), int)
    assert_type([row async for row in scope.stream(statement)], list[records.Task])
    assert_type(await across.all(statement), list[records.Task])
    assert_type(across.session, AsyncSession)


async def life(settings: Settings, secret: SecretStr, error: BaseException) -> None:
    async with Database() as db, Database("postgresql://") as other:
        assert_type(db, Database)
        assert_type(other, Database)
    assert_type(Database(settings), Database)
    assert_type(Database(secret), Database)
    assert_type(await db.dispose(), int)
    assert_type(await db.check(), Health)
    assert_type(db.pool(), Pool)
    assert_type(db.engine, AsyncEngine)
    assert_type(db.sessions, async_sessionmaker[AsyncSession])
    assert_type(was_committed(error), bool)
