"""Isolation in the ORM session of a unit: it finds, changes and adds only what is one's own."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import make_transient_to_detached, selectinload
from tests.integration.conftest import World
from tests.units import Belongings

from faceplate import (
    Conflict,
    DatabaseError,
    InvalidInput,
    NotFound,
    Scope,
    Unauthorized,
    UsageError,
    models,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

Orm = Callable[[Scope, Belongings], Awaitable[Any]]


async def get_by_key(scope: Scope, their: Belongings) -> Any:
    return await scope.session.get(models.Task, (their.user_id, their.task_id))


async def get_with_own_key(scope: Scope, their: Belongings) -> Any:
    return await scope.session.get(models.Task, (scope.user_id, their.task_id))


async def get_user(scope: Scope, their: Belongings) -> Any:
    return await scope.session.get(models.User, their.user_id)


async def select_by_id(scope: Scope, their: Belongings) -> Any:
    found = await scope.session.scalars(
        sa.select(models.Message).where(models.Message.conversation_id == their.conversation_id)
    )
    return found.all()


async def select_columns(scope: Scope, their: Belongings) -> Any:
    found = await scope.session.execute(
        sa.select(models.McpConfig.name, models.McpConfig.config).where(
            models.McpConfig.user_id == their.user_id
        )
    )
    return found.all()


async def select_alias(scope: Scope, their: Belongings) -> Any:
    alias = orm.aliased(models.Task)
    found = await scope.session.scalars(sa.select(alias).where(alias.id == their.task_id))
    return found.all()


async def count_in_subquery(scope: Scope, their: Belongings) -> Any:
    inner = sa.select(models.Message.id).where(models.Message.user_id == their.user_id).subquery()
    return await scope.session.scalar(sa.select(sa.func.count()).select_from(inner))


async def exists_elsewhere(scope: Scope, their: Belongings) -> Any:
    # SQLAlchemy 2.0 adds no criterion to an exists() that names a table in its WHERE alone.
    there = sa.exists(models.Task.id).where(models.Task.id == their.task_id)
    found = await scope.session.scalars(sa.select(models.Conversation.id).where(there))
    return found.all()


async def join(scope: Scope, their: Belongings) -> Any:
    found = await scope.session.scalars(
        sa.select(models.Message)
        .join(models.Message.conversation)
        .where(models.Conversation.id == their.conversation_id)
    )
    return found.all()


async def outer_join(scope: Scope, their: Belongings) -> Any:
    found = await scope.session.scalars(
        sa.select(models.Task.title)
        .select_from(models.Conversation)
        .outerjoin(models.Task, models.Task.id == their.task_id)
    )
    return [title for title in found if title is not None]


async def union(scope: Scope, their: Belongings) -> Any:
    of_tasks = sa.select(models.Task.id).where(models.Task.id == their.task_id)
    of_conversations = sa.select(models.Conversation.id).where(
        models.Conversation.id == their.conversation_id
    )
    found = await scope.session.execute(sa.union_all(of_tasks, of_conversations))
    return found.all()


async def select_users(scope: Scope, _their: Belongings) -> Any:
    found = await scope.session.scalars(sa.select(models.User.id))
    return [id_ for id_ in found if id_ != scope.user_id]


async def load_relationship(scope: Scope, _their: Belongings) -> Any:
    loaded = await scope.session.scalars(
        sa.select(models.User).options(
            selectinload(models.User.conversations).selectinload(models.Conversation.messages)
        )
    )
    rows = [row for user in loaded for row in user.conversations]
    rows += [message for row in rows for message in row.messages]  # type: ignore[misc]  # both
    return [row for row in rows if row.user_id != scope.user_id]


async def update(scope: Scope, their: Belongings) -> Any:
    stolen = sa.update(models.Task).values(title="stolen")
    done: Any = await scope.session.execute(stolen.where(models.Task.id == their.task_id))
    return done.rowcount


async def update_returning(scope: Scope, their: Belongings) -> Any:
    done = await scope.session.execute(
        sa.update(models.McpConfig)
        .where(models.McpConfig.user_id == their.user_id)
        .values(name="stolen")
        .returning(models.McpConfig.id)
    )
    return done.all()


async def delete(scope: Scope, their: Belongings) -> Any:
    gone: Any = await scope.session.execute(
        sa.delete(models.Conversation).where(models.Conversation.id == their.conversation_id)
    )
    return gone.rowcount


FINDING = (
    get_by_key,
    get_user,
    select_by_id,
    select_columns,
    select_alias,
    count_in_subquery,
    exists_elsewhere,
    join,
    outer_join,
    union,
    select_users,
    load_relationship,
    update,
    update_returning,
    delete,
)


@pytest.mark.parametrize("orm_call", [*FINDING, get_with_own_key])
async def test_the_orm_finds_nothing_of_somebody_else(world: World, orm_call: Orm) -> None:
    assert not await world.db.run(world.mine.user_id, orm_call, world.theirs)


@pytest.mark.citus_may_refuse("without the user in it, it has no shard")
@pytest.mark.parametrize("orm_call", FINDING)
async def test_without_any_layer_the_orm_would_find_it(lawless: World, orm_call: Orm) -> None:
    """Else the test above would prove nothing."""
    assert await lawless.db.run(lawless.mine.user_id, orm_call, lawless.theirs)


async def test_the_orm_without_a_filter_finds_what_is_ones_own(world: World) -> None:
    async def owners(scope: Scope, model: Any) -> set[UUID]:
        return set(await scope.session.scalars(sa.select(model.user_id)))

    for model in (models.Conversation, models.Message, models.Task, models.McpConfig):
        assert await world.db.run(world.mine.user_id, owners, model) == {world.mine.user_id}


async def test_one_users_statement_is_not_reused_for_the_next(world: World) -> None:
    """SQLAlchemy caches statements; whose they were must not be cached along."""
    for belongings in (world.mine, world.theirs, world.mine):
        task = await world.db.run(belongings.user_id, get_with_own_key, belongings)
        assert task.user_id == belongings.user_id
        assert len(await world.db.run(belongings.user_id, select_alias, belongings)) == 1


async def forge(scope: Scope, their: Belongings) -> models.Task:
    """Put their task into the session as if it had been loaded."""
    task = models.Task(user_id=their.user_id, id=their.task_id, title="a")
    make_transient_to_detached(task)
    scope.session.add(task)
    return task


async def refresh(scope: Scope, their: Belongings) -> None:
    await scope.session.refresh(await forge(scope, their))


async def load_expired(scope: Scope, their: Belongings) -> None:
    task = await forge(scope, their)
    await scope.session.run_sync(lambda _: task.description)


async def change(scope: Scope, their: Belongings) -> None:
    (await forge(scope, their)).title = "stolen"


async def remove(scope: Scope, their: Belongings) -> None:
    await scope.session.delete(await forge(scope, their))


async def merge(scope: Scope, their: Belongings) -> None:
    await scope.session.merge(models.Task(user_id=their.user_id, id=their.task_id, title="stolen"))


async def add(scope: Scope, their: Belongings) -> None:
    scope.session.add(models.Task(user_id=their.user_id, title="intruding"))


async def give_away(scope: Scope, their: Belongings) -> None:
    for task in await scope.session.scalars(sa.select(models.Task)):
        task.user_id = their.user_id


async def add_to_their_conversation(scope: Scope, their: Belongings) -> None:
    scope.session.add(
        models.Message(
            user_id=scope.user_id, conversation_id=their.conversation_id, position=9, role="user"
        )
    )


@pytest.mark.parametrize(
    "orm_call",
    [refresh, load_expired, change, remove, merge, add, give_away, add_to_their_conversation],
)
async def test_the_orm_refuses_rows_of_somebody_else(world: World, orm_call: Orm) -> None:
    # The warning is SQLAlchemy's, where a DELETE that the session sends finds no row.
    warned = sa.exc.SAWarning
    refusals = (InvalidInput, UsageError, Unauthorized, Conflict, NotFound, DatabaseError, warned)
    with pytest.raises(refusals):
        await world.db.run(world.mine.user_id, orm_call, world.theirs)
