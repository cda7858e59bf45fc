"""Tasks of the scope's user."""

from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.models import Task
from faceplate.pagination import (
    DEFAULT_LIMIT,
    Page,
    after_moment,
    check_limit,
    moment_key,
    page_of,
)
from faceplate.scope import Scope, one_statement, read_only
from faceplate.statement import Statement

State = Literal["all", "open", "done"]
COMPLETED: dict[State, bool | None] = {"all": None, "open": False, "done": True}

_by_id = Task.id == bindparam("id")
_columns = Task.columns()
_completed: sa.BindParameter[bool | None] = bindparam(
    "completed", type_=Task.completed.type.optional()
)

CREATE = Statement(
    records.Task,
    insert(Task)
    .values(
        user_id=bindparam("user_id"),
        id=bindparam("id"),
        title=bindparam("title"),
        description=bindparam("description"),
        created_at=func.statement_timestamp(),
    )
    .on_conflict_do_nothing(constraint="pk_tasks")
    .returning(*_columns),
)
GET = Statement(records.Task, sa.select(*_columns).where(_by_id))
PAGE = Statement(
    records.Task,
    sa.select(*_columns)
    .where(
        sa.tuple_(Task.created_at, Task.id)
        < sa.tuple_(
            bindparam("after_time", type_=Task.created_at.type),
            bindparam("after_id", type_=Task.id.type),
        ),
        _completed.is_(None) | (Task.completed == _completed),
    )
    .order_by(Task.created_at.desc(), Task.id.desc())
    .limit(bindparam("limit", type_=sa.Integer())),
)
EDIT = Statement(
    records.Task,
    sa.update(Task)
    .where(_by_id)
    .values(
        title=func.coalesce(bindparam("new_title", type_=Task.title.type.optional()), Task.title),
        description=func.coalesce(
            bindparam("new_description", type_=Task.description.type.optional()), Task.description
        ),
    )
    .returning(*_columns),
)
SET_COMPLETED = Statement(
    records.Task,
    sa.update(Task).where(_by_id).values(completed=bindparam("completed")).returning(*_columns),
)
DELETE = Statement(records.Task, sa.delete(Task).where(_by_id))


@one_statement
async def create(
    scope: Scope,
    *,
    title: str,
    description: str = "",
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> records.Task:
    """Create an open task and return it.

    ``title`` has 1 to 500 characters and is not blank, ``description`` has up to 5,000. A caller
    that gives an ``id`` may retry the call: the retry returns what the first call stored.

    Raises Conflict if the id exists with other text, InvalidInput.
    """
    new_id = id or scope.new_id()
    created = await scope.first(CREATE, id=new_id, title=title, description=description)
    if created is not None:
        return created
    stored = await scope.one(GET, id=new_id)
    if id is not None and (stored.title, stored.description) != (title, description):
        raise Conflict("a task with this id exists already", constraint="pk_tasks")
    return stored


@read_only
async def get(scope: Scope, task_id: UUID) -> records.Task:
    """Return a task. Raises NotFound, InvalidInput."""
    return await scope.one(GET, id=task_id)


@read_only
async def page(
    scope: Scope,
    *,
    state: State = "all",
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[records.Task]:
    """Return up to ``limit`` tasks (1 to 200) in ``state``, the newest first.

    ``cursor`` is the ``next_cursor`` of the page before, for the same ``state``.

    Raises InvalidInput for an invalid state, limit or cursor.
    """
    if state not in COMPLETED:
        raise InvalidInput("state", f"must be one of {', '.join(COMPLETED)}")
    listing = f"tasks {state}"
    after_time, after_id = after_moment(scope, listing, cursor)
    rows = await scope.all(
        PAGE,
        after_time=after_time,
        after_id=after_id,
        completed=COMPLETED[state],
        limit=check_limit(limit) + 1,
    )
    return page_of(scope, listing, rows, limit, lambda row: moment_key(row.created_at, row.id))


async def edit(
    scope: Scope, task_id: UUID, *, title: str | None = None, description: str | None = None
) -> records.Task:
    """Change the fields that are not None; return the task.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(EDIT, id=task_id, new_title=title, new_description=description)


async def complete(scope: Scope, task_id: UUID) -> records.Task:
    """Mark a task as done; return it. Raises NotFound, InvalidInput."""
    return await scope.one(SET_COMPLETED, id=task_id, completed=True)


async def reopen(scope: Scope, task_id: UUID) -> records.Task:
    """Mark a task as open again; return it. Raises NotFound, InvalidInput."""
    return await scope.one(SET_COMPLETED, id=task_id, completed=False)


async def delete(scope: Scope, task_id: UUID) -> None:
    """Delete a task. Raises NotFound, InvalidInput."""
    if not await scope.execute(DELETE, id=task_id):
        raise NotFound(records.Task)
