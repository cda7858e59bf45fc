"""A `one_statement` unit that needs several, and has the last one commit."""

from contextlib import suppress

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam

from faceplate import Conflict, Database, NotFound, Scope, Statement, User, models, one_statement
from faceplate.services import tasks

CREATE = Statement(
    str,
    sa.insert(models.Task)
    .values(user_id=bindparam("user_id"), id=bindparam("id"), title=bindparam("title"))
    .returning(models.Task.title),
)
TITLES = Statement(str, sa.select(models.Task.title).order_by(models.Task.title))


async def create_two(scope: Scope) -> None:
    """Create two tasks, the second of which commits both."""
    may_commit = scope.begin_with_next()
    await tasks.create(scope, title="first")
    if may_commit:
        scope.commit_with_next()
    await tasks.create(scope, title="second")


async def titles(db: Database, user: User) -> list[str]:
    return await db.run(user.id, lambda scope: scope.all(TITLES))


async def test_all_statements_are_kept(db: Database, user: User) -> None:
    """Else a user is told of a task that is gone."""
    await db.run(user.id, one_statement(create_two))
    assert await titles(db, user) == ["first", "second"]


async def test_what_fails_in_the_last_statement_is_kept_in_no_part(
    db: Database, user: User
) -> None:
    """Else a message is counted that nobody stored."""
    taken = (await db.run(user.id, tasks.create, title="taken")).id

    @one_statement
    async def unit(scope: Scope) -> None:
        may_commit = scope.begin_with_next()
        await scope.one(CREATE, id=scope.new_id(), title="first")
        if may_commit:
            scope.commit_with_next()
        await scope.one(CREATE, id=taken, title="second")

    with pytest.raises(Conflict):
        await db.run(user.id, unit)
    assert await titles(db, user) == ["taken"]
    assert db.pool().checked_out == 0


@pytest.mark.pipelined
@pytest.mark.parametrize("fails", [False, True])
async def test_a_unit_that_goes_on_is_run_again_in_one_transaction(
    db: Database, user: User, *, fails: bool
) -> None:
    """Else what follows is in a transaction of its own, and can be kept or lost alone."""
    attempts = 0

    @one_statement
    async def unit(scope: Scope) -> None:
        nonlocal attempts
        attempts += 1
        await create_two(scope)
        with suppress(BaseException):  # NeedsTransaction too, which the runner must not lose
            await tasks.create(scope, title="third")
        if fails and attempts == 2:
            raise NotFound(models.Task)

    if fails:
        with pytest.raises(NotFound):
            await db.run(user.id, unit)
        assert await titles(db, user) == ["first", "second"]
    else:
        await db.run(user.id, unit)
        assert await titles(db, user) == ["first", "second", "third"]
    assert attempts == 2


async def test_within_another_unit_nothing_commits(db: Database, user: User) -> None:
    """Else a part is kept of a unit that is rolled back."""

    async def unit(scope: Scope) -> None:
        await create_two(scope)
        raise NotFound(models.Task)

    with pytest.raises(NotFound):
        await db.run(user.id, unit)
    assert await titles(db, user) == []
