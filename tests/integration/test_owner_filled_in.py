"""A new row gets the scope's user as its owner by every way, and no other user by any."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, make_transient_to_detached
from tests.units import everything_of
from uuid6 import uuid7

from faceplate import Database, DatabaseError, InvalidInput, Scope, Statement, UsageError, records
from faceplate.models import McpConfig, Message, Task, User

Work = Callable[[Scope], Awaitable[Any]]
TASKS: Any = Task.__table__


def new(**values: Any) -> dict[str, Any]:
    return {"id": uuid7(), "title": "a", **values}


def selected(row: dict[str, Any]) -> Any:
    return sa.select(*[sa.literal(value, TASKS.c[name].type) for name, value in row.items()])


def union() -> Any:
    return sa.union_all(selected(new()), selected(new()))


def statement(sql: Any) -> Work:
    return lambda scope: scope.execute(Statement(str, sql))


def session(sql: Any, rows: Any = None) -> Work:
    return lambda scope: scope.session.execute(sql, rows)


def connection(sql: Any, rows: Any = None) -> Work:
    async def work(scope: Scope) -> Any:
        return await (await scope.session.connection()).execute(sql, rows)

    return work


def sync(run: Callable[[Session], Any]) -> Work:
    return lambda scope: scope.session.run_sync(run)


def many(scope: Scope) -> Awaitable[int]:
    row: dict[str, Any] = {name: sa.bindparam(name) for name in new()}
    return scope.execute_many(Statement(str, sa.insert(Task).values(row)), [new(), new()])


async def added(scope: Scope) -> None:
    task = Task(title="a")
    scope.session.add(task)
    assert task.user_id == scope.user_id
    scope.session.add_all([Task(title="b"), McpConfig(name="a", config={})])


WITHOUT_OWNER: dict[str, tuple[int, Callable[[], Work]]] = {
    "statement": (1, lambda: statement(sa.insert(Task).values(new()))),
    "statement, table": (1, lambda: statement(sa.insert(TASKS).values(new()))),
    "statement, rows": (2, lambda: statement(sa.insert(Task).values([new(), new()]))),
    "statement, select": (1, lambda: statement(_from(selected(new())))),
    "statement, union": (2, lambda: statement(_from(union()))),
    "statement, cte": (1, lambda: statement(_in_cte())),
    "statement, two": (2, lambda: statement(_two())),
    "statement, conflict": (1, lambda: statement(_upsert())),
    "statement, parameter": (
        1,
        lambda: statement(sa.insert(Task).values(new(user_id=sa.bindparam("user_id")))),
    ),
    "execute_many": (2, lambda: many),
    "session": (1, lambda: session(sa.insert(Task).values(new()))),
    "session, table": (1, lambda: session(sa.insert(TASKS).values(new()))),
    "session, rows": (2, lambda: session(sa.insert(Task).values([new(), new()]))),
    "session, select": (1, lambda: session(_from(selected(new())))),
    "session, union": (2, lambda: session(_from(union()))),
    "session, cte": (1, lambda: session(_in_cte())),
    "session, two": (2, lambda: session(_two())),
    "session, conflict": (1, lambda: session(_upsert())),
    "session, values": (1, lambda: session(sa.insert(Task), new())),
    "session, None": (1, lambda: session(sa.insert(Task), new(user_id=None))),
    "session, list of one": (1, lambda: session(sa.insert(Task), [new()])),
    "session, list": (2, lambda: session(sa.insert(Task), [new(), new()])),
    "session, table's list": (2, lambda: session(sa.insert(TASKS), [new(), new()])),
    "session, returning": (2, lambda: session(sa.insert(Task).returning(Task), [new(), new()])),
    "session, in order": (
        2,
        lambda: session(
            sa.insert(Task).returning(Task, sort_by_parameter_order=True), [new(), new()]
        ),
    ),
    "session, batches": (
        1500,
        lambda: session(sa.insert(Task).returning(Task.id), [new() for _ in range(1500)]),
    ),
    "connection": (1, lambda: connection(sa.insert(TASKS), new())),
    "connection, list": (2, lambda: connection(sa.insert(Task), [new(), new()])),
    "add": (2, lambda: added),
    "merge": (1, lambda: lambda scope: scope.session.merge(Task(**new()))),
    "bulk_insert_mappings": (
        2,
        lambda: sync(
            lambda session: session.bulk_insert_mappings(sa.inspect(Task), [new(), new()])
        ),
    ),
    "bulk_save_objects": (
        2,
        lambda: sync(lambda session: session.bulk_save_objects([Task(**new()), Task(**new())])),
    ),
}


def _from(source: Any) -> Any:
    return sa.insert(Task).from_select([*new()], source)


def _in_cte() -> Any:
    return sa.select(sa.insert(Task).values(new()).returning(Task.title).cte().c.title)


def _two() -> Any:
    return sa.insert(Task).values(new()).add_cte(sa.insert(TASKS).values(new()).cte("other"))


def _upsert() -> Any:
    stored = insert(Task).values(new())
    key = ["user_id", "id"]
    return stored.on_conflict_do_update(index_elements=key, set_={"title": stored.excluded.title})


COUNT = Statement(int, sa.select(sa.func.count()).select_from(Task))


@pytest.mark.citus_may_refuse("it inserts rows of no table without RETURNING")
@pytest.mark.parametrize("how", WITHOUT_OWNER)
async def test_a_row_without_an_owner_gets_the_scopes_user(
    db: Database, user: records.User, how: str
) -> None:
    """Else a unit repeats in each row whom it runs for, and one day names somebody else."""
    count, make = WITHOUT_OWNER[how]
    await db.run(user.id, make())
    assert await db.run(user.id, lambda scope: scope.one(COUNT)) == count


async def test_across_users_an_owner_has_to_be_named(db: Database) -> None:
    """Else what is missing is said by the database, in words about a constraint."""

    async def add(session: Any) -> None:
        session.add(Task(title="a"))
        await session.flush()

    with pytest.raises(InvalidInput, match=r"tasks\.user_id: is required"):
        await db.run_system(lambda scope: add(scope.session))
    async with db.sessions() as session:
        with pytest.raises(InvalidInput, match=r"tasks\.user_id: is required"):
            await add(session)


@pytest.mark.citus_may_refuse("it sets the column by which rows are distributed")
async def test_naming_the_own_user_is_fine_in_a_session(db: Database, user: records.User) -> None:
    """Else programs that always gave their rows an owner stop working."""
    mine, id_ = {"user_id": user.id}, uuid7()
    for work in (
        session(sa.insert(Task).values(new(**mine, id=id_))),
        session(sa.insert(Task), [new(**mine), new()]),
        session(sa.insert(Task).values([new(**mine), new()])),
        session(sa.update(Task), [{**mine, "id": id_, "title": "b"}]),
        session(sa.update(Task).values(mine)),
        session(sa.delete(TASKS).where(TASKS.c.user_id == user.id, TASKS.c.id != id_)),
    ):
        await db.run(user.id, work)
    assert await db.run(user.id, lambda scope: scope.one(COUNT)) == 1


def _forged(row: Any) -> Any:
    make_transient_to_detached(row)
    return row


async def change_user(scope: Scope, their: UUID) -> None:
    user = _forged(User(id=their, subject_id="a"))
    scope.session.add(user)
    user.email = "stolen@example.com"


async def delete_user(scope: Scope, their: UUID) -> None:
    await scope.session.delete(_forged(User(id=their, subject_id="a")))


async def add_user(scope: Scope, their: UUID) -> None:
    scope.session.add(User(id=uuid7(), subject_id=f"friend of {their}"))


async def merge_user(scope: Scope, their: UUID) -> None:
    await scope.session.merge(User(id=their, subject_id="stolen"))


async def add_expression(scope: Scope, their: UUID) -> None:
    task = Task(title="a")
    task.user_id = sa.cast(str(their), sa.Uuid)
    scope.session.add(task)


BY_SESSION: dict[str, Callable[[Scope, UUID], Awaitable[Any]]] = {
    "change_user": change_user,
    "delete_user": delete_user,
    "add_user": add_user,
    "merge_user": merge_user,
    "insert list": lambda s, their: session(sa.insert(Task), [new(), new(user_id=their)])(s),
    "insert table": lambda s, their: session(sa.insert(TASKS), new(user_id=their))(s),
    "update list": lambda s, their: session(
        sa.update(Task), [{"user_id": their, "id": uuid7(), "title": "a"}]
    )(s),
    "bulk_insert_mappings": lambda s, their: sync(
        lambda session: session.bulk_insert_mappings(sa.inspect(Task), [new(user_id=their)])
    )(s),
    "bulk_update_mappings": lambda s, their: sync(
        lambda session: session.bulk_update_mappings(sa.inspect(Task), [new(user_id=their)])
    )(s),
    "bulk_save_objects": lambda s, their: sync(
        lambda session: session.bulk_save_objects([Task(**new(user_id=their))])
    )(s),
    "expression": add_expression,
}


@pytest.mark.parametrize("how", BY_SESSION)
async def test_a_session_refuses_another_users_row(
    db: Database, user: records.User, other_user: records.User, how: str
) -> None:
    """Else with the policies off a unit writes what another user then reads as their own.

    With InvalidInput, which is said before anything is sent.
    """
    before = await everything_of(db, other_user.id)
    unpoliced = db.settings.model_copy(update={"row_level_security": False})
    async with Database(unpoliced) as without_policies:
        for one in (db, without_policies):
            with pytest.raises(InvalidInput, match=r"\.(user_)?id: must be the user"):
                await one.run(user.id, BY_SESSION[how], other_user.id)
    assert await everything_of(db, other_user.id) == before


async def test_what_is_not_compiled_by_the_unit_is_refused(
    db: Database, user: records.User
) -> None:
    """Else a statement takes a way around the owner."""
    table = sa.table("tasks", sa.column("title"), schema="other")
    translated = {"schema_translate_map": {"other": "faceplate"}}
    engine = db.engine.sync_engine
    for refused in (
        connection(sa.schema.CreateTable(TASKS)),
        statement(sa.schema.DropTable(TASKS)),
        lambda scope: scope.session.execute(sa.select(table), execution_options=translated),
        lambda scope: scope.session.execute(sa.select(TASKS), bind_arguments={"bind": engine}),
        lambda scope: scope.session.connection(bind_arguments={"bind": engine}),
        statement(sa.insert(Task).values(new(user_id=user.id))),
        statement(sa.insert(Task).values(new(user_id=sa.bindparam("who")))),
        statement(sa.insert(Task).from_select(["user_id"], sa.text("SELECT 1").columns())),
        session(_upsert_of(user.id)),
    ):
        with pytest.raises(UsageError):
            await db.run(user.id, refused)
    with pytest.raises((UsageError, DatabaseError)):  # SQLAlchemy 2.1 executes none at all
        await db.run(user.id, connection(sa.select(Message.content).compile(engine)))


def _upsert_of(user_id: UUID) -> Any:
    upsert = insert(Task).values(new())
    value = sa.cast(str(user_id), sa.Uuid)
    return upsert.on_conflict_do_update(index_elements=["id"], set_={"user_id": value})


@pytest.mark.parametrize("way", [statement, session, connection])
async def test_an_insert_into_a_table_that_names_no_owner_is_told_so(
    db: Database, user: records.User, way: Callable[[Any], Work]
) -> None:
    """Else SQLAlchemy says that a column which nobody has written is unconsumed."""
    table = sa.table("tasks", sa.column("id"), sa.column("title"), schema="faceplate")
    insertion = sa.insert(table).values(new())
    with pytest.raises(UsageError, match=r"^.*tasks\.user_id is not among the columns"):
        await db.run(user.id, way(insertion))
