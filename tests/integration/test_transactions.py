"""Transactions: units compose, and what a transaction did is there all or not at all."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)
from tests.units import EARLIER, OWNED, everything_of
from uuid6 import uuid7

from faceplate import (
    Conflict,
    Database,
    DatabaseError,
    InvalidInput,
    NotFound,
    Scope,
    Settings,
    Statement,
    SystemScope,
    UsageError,
    User,
    models,
)
from faceplate.services import conversation_statements, conversations, messages, tasks
from faceplate.services.messages import NewMessage


async def book(scope: Scope, *, last_title: str = "Pack") -> UUID:
    """A unit of an application's own: a conversation, three messages and two tasks."""
    conversation = await conversations.create(scope, title="Oslo")
    await messages.append(scope, conversation.id, role="user", content="Book it")
    turn = [NewMessage("assistant", "Which day?"), NewMessage("user", "Friday")]
    await messages.append_many(scope, conversation.id, turn)
    await tasks.create(scope, title="Book")
    await tasks.create(scope, title=last_title)
    return conversation.id


async def owned_rows(db: Database, user: User) -> dict[str, int]:
    everything = await everything_of(db, user.id)
    return {table: len(everything[table]) for table in OWNED}


NOTHING = dict.fromkeys(OWNED, 0)
BOOKED = NOTHING | {"conversations": 1, "messages": 3, "tasks": 2}


async def test_units_that_call_units_are_kept_together(db: Database, user: User) -> None:
    await db.run(user.id, book)
    assert await owned_rows(db, user) == BOOKED


async def test_a_failure_in_the_last_unit_leaves_nothing_of_the_first(
    db: Database, user: User
) -> None:
    with pytest.raises(InvalidInput, match=r"tasks\.title"):
        await db.run(user.id, book, last_title="")
    assert await owned_rows(db, user) == NOTHING


@pytest.mark.parametrize(
    "failure", [RuntimeError("the model is down"), asyncio.CancelledError(), KeyboardInterrupt()]
)
async def test_whatever_ends_a_unit_early_leaves_nothing(
    db: Database, user: User, failure: BaseException
) -> None:
    async def interrupted(scope: Scope) -> None:
        await book(scope)
        raise failure

    with pytest.raises(type(failure)):
        await db.run(user.id, interrupted)
    assert await owned_rows(db, user) == NOTHING
    await db.run(user.id, book)  # and the pool is as good as before
    assert await owned_rows(db, user) == BOOKED


async def test_a_block_commits_at_its_end_and_not_when_it_fails(db: Database, user: User) -> None:
    async def failing() -> None:
        async with db.begin(user.id) as scope:
            await book(scope)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await failing()
    assert await owned_rows(db, user) == NOTHING
    async with db.begin(user.id) as scope:
        await book(scope)
        assert await owned_rows(db, user) == NOTHING  # not before the commit
    assert await owned_rows(db, user) == BOOKED


async def test_a_failed_statement_whose_error_was_swallowed_is_not_taken_for_success(
    db: Database, user: User
) -> None:
    """PostgreSQL answers such a COMMIT with a quiet ROLLBACK."""

    async def swallow(scope: Scope) -> None:
        await book(scope)
        with contextlib.suppress(InvalidInput):
            await scope.all(Statement(int, sa.select(sa.literal_column("1/0"))))

    with pytest.raises(DatabaseError, match="nothing was written"):
        await db.run(user.id, swallow)
    assert await owned_rows(db, user) == NOTHING


async def test_orm_and_units_share_one_transaction(db: Database, user: User) -> None:
    async def mixed(scope: Scope) -> tuple[UUID, UUID]:
        session = scope.session
        task = models.Task(user_id=user.id, title="By the session")
        session.add(task)
        await session.flush()
        await tasks.complete(scope, task.id)
        by_unit = await tasks.create(scope, title="By the unit")
        loaded = await session.get_one(models.Task, (user.id, by_unit.id))
        loaded.title = "Renamed, and flushed by the runner"
        return task.id, by_unit.id

    by_session, by_unit = await db.run(user.id, mixed)
    assert (await db.run(user.id, tasks.get, by_session)).completed
    assert (await db.run(user.id, tasks.get, by_unit)).title.startswith("Renamed")


def a_family() -> tuple[UUID, *tuple[models.Base, ...]]:
    """A user's id, what is theirs, and the user: each needs what comes after it to be there."""
    user_id, conversation_id = uuid7(), uuid7()
    return (
        user_id,
        models.Message(user_id=user_id, conversation_id=conversation_id, position=1, role="user"),
        models.Conversation(user_id=user_id, id=conversation_id, message_count=1),
        models.Task(user_id=user_id, title="a"),
        models.McpConfig(user_id=user_id, name="a", config={"command": "a"}),
        models.Document(user_id=user_id, kind="a", key="b", body="{}"),
        models.User(id=user_id, subject_id=str(user_id)),
    )


@pytest.mark.parametrize("step", [1, -1], ids=["children first", "parents first"])
@pytest.mark.parametrize("sessions", ["scope", "db"])
async def test_rows_that_belong_together_are_written_and_deleted_in_any_order(
    db: Database, sessions: str, step: int
) -> None:
    """Else a flush of several is refused by a foreign key, or not, as the order falls."""

    async def add(session: AsyncSession) -> None:
        session.add_all(family[::step])

    async def delete(session: AsyncSession) -> None:
        found = [await session.get_one(type(row), sa.inspect(row).identity) for row in family]
        for row in found[::step]:
            await session.delete(row)

    async def within(work: Callable[[AsyncSession], Awaitable[None]]) -> None:
        if sessions == "db":
            async with db.sessions.begin() as session:
                await work(session)
        else:
            await db.run_system(lambda scope: work(scope.session))

    user_id, *family = a_family()
    await within(add)
    added = await everything_of(db, user_id)
    counts = {table: len(rows) for table, rows in added.items() if rows}
    assert counts == dict.fromkeys(("users", *EARLIER), 1)
    await within(delete)
    assert not any((await everything_of(db, user_id)).values())


class Own(DeclarativeBase):
    """A project's tables."""


class Chapter(Own):
    __tablename__ = "chapters"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey(models.User.id))
    first_id: Mapped[int | None] = mapped_column(sa.ForeignKey("pages.id", use_alter=True))
    pages: Mapped[list["Page"]] = relationship(foreign_keys="Page.chapter_id")
    first: Mapped["Page | None"] = relationship(foreign_keys=first_id, post_update=True)


class Page(Own):
    __tablename__ = "pages"
    id: Mapped[int] = mapped_column(primary_key=True)
    chapter_id: Mapped[int] = mapped_column(sa.ForeignKey("chapters.id"))


async def test_tables_of_a_project_may_refer_to_each_other(fresh_database_url: str) -> None:
    """Else a flush of them fails within SQLAlchemy, which can tell how to break the circle."""
    async with Database(fresh_database_url) as db:
        async with db.sessions.begin() as session:
            await (await session.connection()).run_sync(Own.metadata.create_all)
        user = models.User(id=uuid7(), subject_id="reader")
        page = Page(id=1)
        chapter = Chapter(id=1, user_id=user.id, pages=[page], first=page)
        async with db.sessions.begin() as session:
            session.add_all([chapter, user])
        async with db.sessions.begin() as session:
            assert await session.scalar(sa.select(Chapter.first_id)) == 1
            for row in (user, chapter, page):
                await session.delete(row)
        async with db.sessions() as session:
            assert await session.scalar(sa.select(sa.func.count()).select_from(Page)) == 0


async def test_a_collection_says_that_it_is_not_written(db: Database, user: User) -> None:
    """Else a message that is appended to its conversation's is lost without a word."""

    async def append(scope: Scope) -> None:
        chat = await conversations.create(scope)
        loaded = await scope.session.get_one(
            models.Conversation,
            (user.id, chat.id),
            options=[selectinload(models.Conversation.messages)],
        )
        assert loaded.messages == []
        loaded.messages.append(
            models.Message(user_id=user.id, conversation_id=chat.id, position=1, role="user")
        )

    with pytest.raises(UsageError, match="of Conversation are for reading: add to the session"):
        await db.run(user.id, append)


async def test_a_first_statement_for_many_rows_belongs_to_its_transaction(
    db: Database, user: User
) -> None:
    """Else it is sent before BEGIN is, by another way than most, and stays when the unit fails."""
    ids = [(await db.run(user.id, tasks.create, title="a")).id for _ in range(2)]

    async def rename(scope: Scope, title: str, *, fails: bool = False) -> None:
        renamed = sa.update(models.Task).where(
            models.Task.user_id == scope.user_id, models.Task.id == sa.bindparam("of")
        )
        connection = await scope.session.connection()
        await connection.execute(renamed.values(title=title), [{"of": id_} for id_ in ids])
        if fails:
            raise RuntimeError

    await db.run(user.id, rename, "b")  # it is prepared from now on
    with pytest.raises(RuntimeError):
        await db.run(user.id, rename, "c", fails=True)
    assert [(await db.run(user.id, tasks.get, id_)).title for id_ in ids] == ["b", "b"]


async def test_orm_writes_of_a_failed_unit_are_gone(db: Database, user: User) -> None:
    async def failing(scope: Scope) -> None:
        scope.session.add(models.Task(user_id=user.id, title="a"))
        await scope.session.flush()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await db.run(user.id, failing)
    assert await owned_rows(db, user) == NOTHING


async def test_a_flush_that_fails_at_the_end_leaves_nothing(db: Database, user: User) -> None:
    async def duplicated(scope: Scope) -> None:
        task = await tasks.create(scope, title="a")
        scope.session.add(models.Task(user_id=user.id, id=task.id, title="b"))

    with pytest.raises(Conflict, match="id exists already"):
        await db.run(user.id, duplicated)
    assert await owned_rows(db, user) == NOTHING


async def commit(session: AsyncSession) -> None:
    await session.commit()


async def roll_back(session: AsyncSession) -> None:
    await session.rollback()


async def commit_connection(session: AsyncSession) -> None:
    await (await session.connection()).commit()


async def roll_back_connection(session: AsyncSession) -> None:
    await (await session.connection()).rollback()


@pytest.mark.parametrize("end", [commit, roll_back, commit_connection, roll_back_connection])
async def test_a_unit_cannot_end_its_transaction(db: Database, user: User, end: Any) -> None:
    """A caller that composes it with another unit would find half of the two."""

    async def hasty(scope: Scope) -> None:
        await book(scope)
        await end(scope.session)

    with pytest.raises(UsageError, match=r"the runner (commits|rolls back)"):
        await db.run(user.id, hasty)
    assert await owned_rows(db, user) == NOTHING


async def fail_in_block(session: AsyncSession) -> None:
    with contextlib.suppress(RuntimeError):
        async with session.begin():
            session.add(models.Task(title="a"))
            await session.flush()
            raise RuntimeError


async def roll_back_block(session: AsyncSession) -> None:
    async with session.begin() as block:
        session.add(models.Task(title="a"))
        await session.flush()
        await block.rollback()


async def roll_back_connections_own(session: AsyncSession) -> None:
    connection = await session.connection()
    await connection.execute(sa.insert(models.Task).values(id=uuid7(), title="a"))
    transaction = connection.get_transaction()
    assert transaction is not None
    await transaction.rollback()


async def roll_back_another_session(session: AsyncSession) -> None:
    def work(connection: sa.Connection) -> None:
        with Session(bind=connection) as other:
            other.execute(sa.insert(models.Task).values(id=uuid7(), title="a"))
            other.rollback()

    await (await session.connection()).run_sync(work)


@pytest.mark.parametrize(
    "undo",
    [fail_in_block, roll_back_block, roll_back_connections_own, roll_back_another_session],
)
async def test_what_a_session_rolled_back_is_not_kept(db: Database, user: User, undo: Any) -> None:
    """Else a unit that caught the error of a block commits what SQLAlchemy says is undone."""
    with pytest.raises(UsageError, match="was rolled back"):
        await db.run(user.id, lambda scope: undo(scope.session))
    assert await owned_rows(db, user) == NOTHING


async def test_a_block_of_the_session_commits_nothing_early(db: Database, user: User) -> None:
    async def nested(scope: Scope) -> None:
        async with scope.session.begin():
            scope.session.add(models.Task(user_id=user.id, title="a"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await db.run(user.id, nested)
    assert await owned_rows(db, user) == NOTHING


async def test_a_savepoint_saves_what_came_before_it(db: Database, user: User) -> None:
    async def with_savepoint(scope: Scope) -> None:
        task = await tasks.create(scope, title="kept")
        with pytest.raises(Conflict):
            async with scope.session.begin_nested():
                scope.session.add(models.Task(user_id=user.id, id=task.id, title="again"))

    await db.run(user.id, with_savepoint)
    (kept,) = (await db.run(user.id, tasks.page)).items
    assert kept.title == "kept"


async def test_a_savepoint_undoes_what_statements_wrote_in_it(db: Database, user: User) -> None:
    """Else half of a part that failed is kept, or its failure ends the whole unit."""

    async def with_savepoint(scope: Scope) -> None:
        with contextlib.suppress(ZeroDivisionError):
            async with scope.session.begin_nested():
                await tasks.create(scope, title="undone")
                raise ZeroDivisionError
        with contextlib.suppress(InvalidInput):
            async with scope.session.begin_nested():
                await scope.all(Statement(int, sa.select(sa.literal_column("1/0"))))
        await tasks.create(scope, title="kept")

    await db.run(user.id, with_savepoint)
    assert [task.title for task in (await db.run(user.id, tasks.page)).items] == ["kept"]


async def test_a_unit_does_not_return_over_a_flush_that_was_refused(
    db: Database, user: User
) -> None:
    """Else what it added is acknowledged and forgotten, since PostgreSQL never heard of it."""

    async def swallow(scope: Scope) -> None:
        scope.session.add(models.Task(title="a"))
        locked = Statement(UUID, sa.select(models.Task.id).with_for_update())
        running = scope.all(locked), scope.session.flush()  # the second one is refused
        await asyncio.gather(*running, return_exceptions=True)

    with pytest.raises(UsageError, match="begin_nested"):
        await db.run(user.id, swallow)
    assert not (await db.run(user.id, tasks.page)).items


async def a_task_that_is_there(scope: Scope) -> models.Task:
    (task,) = (await tasks.page(scope)).items
    return models.Task(id=task.id, title="lost")


async def in_a_block(scope: Scope) -> None:
    async with scope.session.begin_nested():
        scope.session.add(await a_task_that_is_there(scope))
        with contextlib.suppress(Conflict):
            await scope.session.flush()


async def in_a_block_of_the_sync_session(scope: Scope) -> None:
    task = await a_task_that_is_there(scope)

    def work(session: Session) -> None:
        with session.begin_nested():
            session.add(task)
            with contextlib.suppress(Conflict):
                session.scalars(sa.select(models.Task.title)).all()  # which flushes

    await scope.session.run_sync(work)


async def in_a_block_that_is_cancelled(scope: Scope) -> None:
    async with scope.session.begin_nested():
        scope.session.add(models.Task(title="lost"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await scope.session.flush()


async def in_a_block_with_more_to_do(scope: Scope) -> None:
    async with scope.session.begin_nested():
        scope.session.add(await a_task_that_is_there(scope))
        with contextlib.suppress(Conflict):
            await scope.session.flush()
        await tasks.create(scope, title="lost")


@pytest.mark.parametrize(
    "swallow",
    [
        in_a_block,
        in_a_block_of_the_sync_session,
        in_a_block_that_is_cancelled,
        in_a_block_with_more_to_do,
    ],
)
async def test_a_nested_block_does_not_end_well_over_a_flush_that_failed(
    db: Database, user: User, swallow: Callable[[Scope], Awaitable[None]]
) -> None:
    """Else what was added in it is acknowledged and forgotten."""
    await db.run(user.id, tasks.create, title="kept")

    async def unit(scope: Scope) -> None:
        with pytest.raises(UsageError, match="catch the error outside of that block"):
            await swallow(scope)
        await tasks.create(scope, title="kept, too")

    await db.run(user.id, unit)
    titles = {task.title for task in (await db.run(user.id, tasks.page)).items}
    assert titles == {"kept", "kept, too"}


async def many_of_which_one_is_refused(scope: Scope) -> None:
    row: dict[str, Any] = {name: sa.bindparam(name) for name in ("id", "title")}
    rows: list[dict[str, Any]] = [{"id": uuid7(), "title": "lost"} for _ in range(5_000)]
    insert = Statement(int, sa.insert(models.Task).values(row))
    await scope.execute_many(insert, [*rows, {"id": uuid7(), "title": 7}])


async def test_a_unit_does_not_return_over_many_rows_of_which_one_was_refused(
    db: Database, user: User
) -> None:
    """Else as many of them are kept as had been sent by then."""

    async def swallow(scope: Scope) -> None:
        with contextlib.suppress(InvalidInput):
            await many_of_which_one_is_refused(scope)

    async def swallow_in_a_block(scope: Scope) -> None:
        async with scope.session.begin_nested():
            await swallow(scope)

    for unit in (swallow, swallow_in_a_block):
        with pytest.raises(UsageError, match="execute_many failed"):
            await db.run(user.id, unit)
    assert not (await db.run(user.id, tasks.page)).items


async def test_many_rows_of_which_one_was_refused_are_undone_by_a_block(
    db: Database, user: User
) -> None:
    async def ride_out(scope: Scope) -> None:
        with contextlib.suppress(InvalidInput):
            async with scope.session.begin_nested():
                await many_of_which_one_is_refused(scope)
        with contextlib.suppress(UsageError):
            async with scope.session.begin_nested():
                with contextlib.suppress(InvalidInput):
                    await many_of_which_one_is_refused(scope)
        await tasks.create(scope, title="kept")

    await db.run(user.id, ride_out)
    assert [task.title for task in (await db.run(user.id, tasks.page)).items] == ["kept"]


async def leave_open(_: AsyncSessionTransaction) -> None:
    pass


async def commit_by_hand(block: AsyncSessionTransaction) -> None:
    with contextlib.suppress(UsageError):
        await block.commit()


@pytest.mark.parametrize("end", [leave_open, commit_by_hand])
@pytest.mark.parametrize("swallow", ["flush", "many"])
async def test_a_unit_does_not_return_over_a_loss_in_a_block_that_it_has_not_ended(
    db: Database,
    user: User,
    swallow: str,
    end: Callable[[AsyncSessionTransaction], Awaitable[None]],
) -> None:
    """Else what was lost in it is forgotten with it, and the unit is acknowledged."""
    await db.run(user.id, tasks.create, title="kept")

    async def unit(scope: Scope) -> None:
        block = await scope.session.begin_nested()
        with contextlib.suppress(Conflict, InvalidInput):
            if swallow == "many":
                await many_of_which_one_is_refused(scope)
            scope.session.add(await a_task_that_is_there(scope))
            await scope.session.flush()
        await end(block)

    with pytest.raises(UsageError, match="catch the error outside of that block"):
        await db.run(user.id, unit)
    assert [task.title for task in (await db.run(user.id, tasks.page)).items] == ["kept"]


async def test_a_nested_block_that_is_rolled_back_by_hand_ends_well(
    db: Database, user: User
) -> None:
    await db.run(user.id, tasks.create, title="kept")

    async def unit(scope: Scope) -> None:
        async with scope.session.begin_nested() as block:
            scope.session.add(await a_task_that_is_there(scope))
            with contextlib.suppress(Conflict):
                await scope.session.flush()
            await tasks.create(scope, title="lost")
            await block.rollback()
        await tasks.create(scope, title="kept, too")

    await db.run(user.id, unit)
    titles = {task.title for task in (await db.run(user.id, tasks.page)).items}
    assert titles == {"kept", "kept, too"}


async def serialization_failure(scope: Scope) -> None:
    await scope.session.execute(
        text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$")
    )


async def lost_connection(scope: Scope) -> None:
    await scope.session.execute(text("SET LOCAL ROLE NONE"))
    await scope.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.mark.parametrize("fault", [serialization_failure, lost_connection])
async def test_a_repeated_unit_makes_the_same_rows_once(
    settings: Settings, user: User, fault: Any
) -> None:
    """A retry that minted new ids could store a message twice."""
    attempts: list[list[UUID]] = []

    async def disturbed(scope: Scope) -> None:
        ids = [scope.new_id() for _ in range(2)]
        conversation_id = await book(scope)
        task = models.Task(user_id=user.id, title="by the session")
        scope.session.add(task)
        await scope.session.flush()
        attempts.append([*ids, conversation_id, task.id])
        if len(attempts) == 1:
            await fault(scope)

    impatient = Settings(database_url=settings.database_url, retry_delay_s=0)
    async with Database(impatient) as db:
        await db.run(user.id, disturbed)
        first, second = attempts
        assert first == second
        assert len(set(first)) == 4
        assert await owned_rows(db, user) == BOOKED | {"tasks": 3}


async def test_two_runs_never_get_the_same_id(db: Database, user: User) -> None:
    async def mint(scope: Scope) -> list[UUID]:
        return [scope.new_id() for _ in range(100)]

    minted = await asyncio.gather(*(db.run(user.id, mint) for _ in range(10)))
    assert len(set(itertools.chain(*minted))) == 1000


@pytest.mark.parametrize("user_id", [None, "", "x'; RESET ROLE; --", 7])
async def test_a_unit_runs_for_a_user_or_not_at_all(db: Database, user_id: Any) -> None:
    with pytest.raises(UsageError, match="must be a UUID"):
        await db.run(user_id, conversations.page)
    with pytest.raises(UsageError, match="must be a UUID"):
        async with db.begin(user_id):
            pytest.fail("a block without a user has begun")


async def test_a_unit_takes_arguments_of_every_name(db: Database, user: User) -> None:
    """None of the runner's own parameters may get in the way of a unit's."""

    async def greedy(
        _scope: Scope | SystemScope, *, kind: int, unit: int, user_id: int, self: int
    ) -> tuple[int, ...]:
        return kind, unit, user_id, self

    given = {"kind": 1, "unit": 2, "user_id": 3, "self": 4}
    assert await db.run(user.id, greedy, **given) == (1, 2, 3, 4)
    assert await db.run_system(greedy, **given) == (1, 2, 3, 4)


async def test_an_error_names_the_unit_and_the_target_is_not_found_after_a_rollback(
    db: Database, user: User
) -> None:
    seen: list[UUID] = []

    async def failing(scope: Scope) -> None:
        seen.append(await book(scope))
        await tasks.get(scope, seen[0])

    with pytest.raises(NotFound, match="task not found") as missing:
        await db.run(user.id, failing)
    assert missing.value.unit is not None
    assert "failing" in missing.value.unit
    with pytest.raises(NotFound, match="conversation not found"):
        await db.run(user.id, conversations.get, seen[0])


@pytest.mark.parametrize(
    ("values", "problem"),
    [({}, "needs a value for id"), ({"id": None, "title": "x"}, "no parameter title")],
)
async def test_a_statement_with_the_wrong_values_says_which(
    db: Database, user: User, values: dict[str, Any], problem: str
) -> None:
    async def wrong(scope: Scope) -> Any:
        return await scope.all(conversation_statements.GET, **values)

    with pytest.raises(UsageError, match=problem):
        await db.run(user.id, wrong)
