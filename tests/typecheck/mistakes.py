"""Wrong calls, each of which both type checkers must refuse.

Each line's two comments name the error that is expected there, to mypy and to pyright. An error
that is no longer reported makes its comment an unused one, and that fails the check.
"""

from uuid import UUID

from sqlalchemy import select

from faceplate import Database, Scope, Statement, SystemScope, isolation_level, records
from faceplate.models import Task, references
from faceplate.services import messages, tasks, users

OPEN = Statement(records.Task, select(*Task.columns()).where(~Task.completed))


async def across_users(scope: SystemScope) -> int:
    return await scope.execute(OPEN)


async def of_one_user(scope: Scope) -> int:
    return await scope.execute(OPEN)


def not_async(scope: Scope) -> UUID:
    return scope.user_id


async def run(db: Database, user_id: UUID, chat_id: UUID) -> None:
    await db.run(user_id, across_users)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await db.run_system(of_one_user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await db.run(user_id, users.get, user_id)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await db.run(user_id, not_async)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await db.run(str(user_id), of_one_user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await db.run(of_one_user)  # type: ignore[arg-type,call-arg]  # pyright: ignore[reportCallIssue]
    await db.run(user_id, of_one_user, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await db.run(user_id, messages.append, chat_id, role="user", content=b"Hi")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await db.run(user_id, messages.append, chat_id, "user", "Hi")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await db.run(user_id, tasks.create, titel="Pack")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    _length: str = await db.run(user_id, of_one_user)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]


async def forgotten_await(db: Database, user_id: UUID) -> None:
    db.run(user_id, of_one_user)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def begin(db: Database, user_id: UUID) -> None:
    async with db.begin(user_id, isolation="read uncommitted"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass
    async with db.begin(user_id) as scope:
        await across_users(scope)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with db.begin(user_id):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def statements(scope: Scope) -> None:
    found: list[records.User] = await scope.all(OPEN)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    _title = (await scope.first(OPEN)).title  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    found.append((await scope.one(OPEN)).titel)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue,reportUnknownArgumentType,reportUnknownMemberType]
    scope.user_id = UUID(int=0)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    await scope.all(select(Task))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    list(scope.stream(OPEN))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def definitions() -> None:
    Statement("Task", select(Task))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Statement(int, "SELECT 1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    isolation_level("chaos")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def record(task: records.Task) -> None:
    task.completed = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def keys() -> None:
    references(Task, ondelete="cascade")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    references("tasks")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
