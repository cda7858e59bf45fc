"""Tasks: made once, edited in part, done and open again."""

from typing import Any

import pytest
from uuid6 import uuid7

from faceplate import Conflict, Database, InvalidInput, NotFound, User
from faceplate.services import tasks
from faceplate.services.tasks import State


async def test_a_task_comes_back_as_it_was_made(db: Database, user: User) -> None:
    plain = await db.run(user.id, tasks.create, title="Call Oslo")
    assert (plain.title, plain.description, plain.completed) == ("Call Oslo", "", False)
    long = await db.run(user.id, tasks.create, title="Write", description="Two\nlines")
    assert long.description == "Two\nlines"
    for task in (plain, long):
        assert await db.run(user.id, tasks.get, task.id) == task


async def test_a_repeated_create_makes_one_task(db: Database, user: User) -> None:
    given: dict[str, Any] = {"id": uuid7(), "title": "Call", "description": "Oslo"}
    first = await db.run(user.id, tasks.create, **given)
    assert await db.run(user.id, tasks.create, **given) == first
    for other in ({"title": "Write"}, {"description": ""}):
        with pytest.raises(Conflict, match="id exists already") as conflict:
            await db.run(user.id, tasks.create, **given | other)
        assert conflict.value.constraint == "pk_tasks"
    assert (await db.run(user.id, tasks.page)).items == [first]


async def test_tasks_are_listed_by_state_the_newest_first(db: Database, user: User) -> None:
    made = [await db.run(user.id, tasks.create, title=title) for title in "abcd"]
    for task in made[1:3]:
        await db.run(user.id, tasks.complete, task.id)

    async def titles(state: State) -> str:
        page = await db.run(user.id, tasks.page, state=state)
        return "".join(task.title for task in page.items)

    assert (await titles("all"), await titles("open"), await titles("done")) == ("dcba", "da", "cb")
    await db.run(user.id, tasks.reopen, made[1].id)
    assert (await titles("all"), await titles("open"), await titles("done")) == ("dcba", "dba", "c")


async def test_an_edit_changes_what_is_given_and_nothing_else(db: Database, user: User) -> None:
    made = await db.run(user.id, tasks.create, title="Call", description="Oslo")
    titled = await db.run(user.id, tasks.edit, made.id, title="Write")
    assert titled == made._replace(title="Write", updated_at=titled.updated_at)
    assert titled.updated_at > made.updated_at
    cleared = await db.run(user.id, tasks.edit, made.id, description="")
    assert (cleared.title, cleared.description) == ("Write", "")
    assert await db.run(user.id, tasks.get, made.id) == cleared


async def test_completing_twice_is_completing_once(db: Database, user: User) -> None:
    made = await db.run(user.id, tasks.create, title="Call")
    for unit, completed in ((tasks.complete, True), (tasks.reopen, False)):
        for _ in range(2):
            assert (await db.run(user.id, unit, made.id)).completed is completed


async def test_a_deleted_task_is_gone_and_no_other_is(db: Database, user: User) -> None:
    leaving, staying = [await db.run(user.id, tasks.create, title=title) for title in "ab"]
    await db.run(user.id, tasks.delete, leaving.id)
    with pytest.raises(NotFound, match=r"task not found$"):
        await db.run(user.id, tasks.get, leaving.id)
    assert (await db.run(user.id, tasks.page)).items == [staying]


@pytest.mark.parametrize(
    ("unit", "given", "field"),
    [
        (tasks.create, {"title": ""}, "tasks.title"),
        (tasks.create, {"title": "a" * 501}, "tasks.title"),
        (tasks.create, {"title": None}, "tasks.title"),
        (tasks.create, {"title": "a", "description": "a" * 5_001}, "tasks.description"),
        (tasks.create, {"title": "a", "id": 7}, "tasks.id"),
        (tasks.get, {"task_id": "7"}, "tasks.id"),
        (tasks.page, {"state": "late"}, "state"),
        (tasks.page, {"limit": 201}, "limit"),
        (tasks.edit, {"task_id": uuid7(), "title": " "}, "tasks.title"),
        (tasks.edit, {"task_id": uuid7(), "description": 7}, "tasks.description"),
        (tasks.complete, {"task_id": "7"}, "tasks.id"),
        (tasks.reopen, {"task_id": "7"}, "tasks.id"),
        (tasks.delete, {"task_id": "7"}, "tasks.id"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, user: User, unit: Any, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, unit, **given)
    assert refusal.value.field == field
    assert (await db.run(user.id, tasks.page)).items == []
