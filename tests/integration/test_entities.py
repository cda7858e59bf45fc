"""Statements that return instances of a model, without a session."""

import enum
import pickle
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from uuid6 import uuid7

from faceplate import (
    Database,
    InvalidInput,
    NotFound,
    Scope,
    Statement,
    SystemScope,
    UsageError,
    User,
    models,
)
from faceplate.models import Conversation, Message, Task
from faceplate.services import conversations, messages, tasks
from faceplate.services.messages import NewMessage

TASKS = Statement(Task, sa.select(Task).order_by(Task.id))
TASK = Statement(Task, sa.select(Task).where(Task.id == sa.bindparam("id")))


def state_of(row: Any) -> Any:
    return sa.inspect(row)


def values_of(row: Any) -> dict[str, Any]:
    """Return the loaded columns of an instance, of a Statement or of a session."""
    return {key: value for key, value in vars(row).items() if not key.startswith("_sa_")}


@pytest.mark.parametrize(
    "model", [models.User, Conversation, Message, Task, models.McpConfig, models.Document]
)
async def test_an_instance_equals_what_a_session_loads(
    db: Database, user: User, model: type[Any]
) -> None:
    """Else a program that leaves the session reads other values, or misses some."""
    chat = await db.run(user.id, conversations.create, metadata={"a": [1]})
    turn = [NewMessage("user", "a"), NewMessage("assistant", "b", metadata={"b": None})]
    await db.run(user.id, messages.append_many, chat.id, turn)
    await db.run(user.id, tasks.create, title="a")
    table = sa.select(model).order_by(model.id)
    entities = Statement(model, table)

    async def both(scope: Scope) -> tuple[list[Any], list[Any]]:
        tracked = list(await scope.session.scalars(table))
        return [values_of(row) for row in tracked], await scope.all(entities)

    loaded, found = await db.run(user.id, both)
    assert [values_of(row) for row in found] == loaded
    assert all(type(row) is model and state_of(row).detached for row in found)
    keys = [state_of(row).identity for row in found]
    assert keys == [tuple(row[key] for key in primary_key(model)) for row in loaded]
    assert all(not state_of(row).modified for row in found)


def primary_key(model: type[Any]) -> list[str]:
    mapper: Any = sa.inspect(model)
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


async def test_instances_come_by_each_method_of_a_scope(db: Database, user: User) -> None:
    """Else a type checker promises a model where something else comes."""
    task = await db.run(user.id, tasks.create, title="a")

    async def unit(scope: Scope) -> list[Task | None]:
        streamed = [row async for row in scope.stream(TASKS)]
        missing = await scope.first(TASK, id=uuid7())
        found: Task = await scope.one(TASK, id=task.id)
        return [*await scope.all(TASKS), *streamed, found, missing]

    *found, missing = await db.run(user.id, unit)
    assert missing is None
    assert [row.title for row in found if row is not None] == ["a"] * 3
    with pytest.raises(NotFound, match="task"):
        await db.run(user.id, lambda scope: scope.one(TASK, id=uuid7()))


async def test_another_users_rows_are_out_of_reach(db: Database, user: User) -> None:
    """Else the columns of a model are read past the owner."""
    other = await db.run_system(_other)
    theirs = await db.run(other, tasks.create, title="theirs")
    assert await db.run(user.id, lambda scope: scope.first(TASK, id=theirs.id)) is None
    named = orm.aliased(Task)
    by_alias = Statement(Task, sa.select(named).where(named.id == theirs.id))
    assert await db.run(user.id, lambda scope: scope.all(by_alias)) == []
    (found,) = await db.run_system(lambda scope: scope.all(by_alias))
    assert found.title == "theirs"
    with pytest.raises(InvalidInput, match="must be the user"):
        await db.run(user.id, lambda scope: _add(scope, found))


async def _other(scope: SystemScope) -> UUID:
    row = models.User(subject_id=str(uuid7()))
    scope.session.add(row)
    await scope.session.flush()
    return row.id


async def _add(scope: Scope, row: Any) -> None:
    scope.session.add(row)


async def test_a_change_is_written_when_a_session_gets_the_instance(
    db: Database, user: User
) -> None:
    """Else an instance is inserted once more, or a change of it is lost or written unasked."""
    await db.run(user.id, tasks.create, title="a")
    (task,) = await db.run(user.id, lambda scope: scope.all(TASKS))
    task.title = "b"
    assert state_of(task).modified

    async def read(scope: Scope) -> str:
        return (await scope.one(TASK, id=task.id)).title

    assert await db.run(user.id, read) == "a"
    merged = await db.run(user.id, lambda scope: scope.session.merge(task))
    assert (merged is task, merged.title) == (False, "b")
    assert await db.run(user.id, read) == "b"
    task.title = "c"
    await db.run(user.id, lambda scope: _add(scope, task))
    assert await db.run(user.id, read) == "c"
    assert state_of(task).detached


async def test_a_session_has_one_instance_of_a_row(db: Database, user: User) -> None:
    """Else two instances of a row write over each other in one flush."""
    await db.run(user.id, tasks.create, title="a")

    async def unit(scope: Scope) -> None:
        (task,) = await scope.all(TASKS)
        tracked = (await scope.session.scalars(sa.select(Task))).one()
        assert tracked is not task
        assert (await scope.all(TASKS))[0] is not tracked
        with pytest.raises(sa.exc.InvalidRequestError, match="already present in this session"):
            scope.session.add(task)

    await db.run(user.id, unit)


async def test_what_was_not_loaded_is_not_loaded_later(db: Database, user: User) -> None:
    """Else reading an attribute sends a statement, outside of a unit and for no known user."""
    chat = await db.run(user.id, conversations.create)
    await db.run(user.id, messages.append, chat.id, role="user", content="a")
    every = Statement(Message, sa.select(Message))
    (message,) = await db.run(user.id, lambda scope: scope.all(every))
    with pytest.raises(sa.exc.InvalidRequestError):
        _ = message.conversation
    copied = pickle.loads(pickle.dumps(message))
    assert values_of(copied) == values_of(message)
    config = models.McpConfig(name="a", config={})

    async def add(scope: Scope) -> None:
        scope.session.add(config)

    await db.run(user.id, add)
    configs = Statement(models.McpConfig, sa.select(models.McpConfig))
    (found,) = await db.run(user.id, lambda scope: scope.all(configs))
    with pytest.raises(orm.exc.DetachedInstanceError):
        _ = found.secrets


class Base(orm.DeclarativeBase):
    pass


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Doubled(sa.TypeDecorator[int]):
    """A type that changes what the driver returns."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Any) -> int | None:
        return None if value is None else value // 2

    def process_result_value(self, value: int | None, _dialect: Any) -> int | None:
        return None if value is None else value * 2


class Kit(Base):
    """Has types that SQLAlchemy reads itself, a deferred column, and attributes of other names."""

    __tablename__ = "entity_kits"

    number: orm.Mapped[int] = orm.mapped_column("no", primary_key=True)
    colour: orm.Mapped[Colour]
    price: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(10, 2))
    ratio: orm.Mapped[float] = orm.mapped_column(sa.Numeric(10, 3, asdecimal=False))
    weight: orm.Mapped[float] = orm.mapped_column(sa.Double)
    worn: orm.Mapped[timedelta | None]
    tags: orm.Mapped[list[str]] = orm.mapped_column(sa.ARRAY(sa.Text))
    doubled: orm.Mapped[int | None] = orm.mapped_column("twice", Doubled)
    extra: orm.Mapped[str | None] = orm.mapped_column(sa.Text, deferred=True)
    loaded: bool = False

    @orm.reconstructor
    def note_load(self) -> None:
        self.loaded = True


Kit.length = orm.column_property(sa.func.length(sa.cast(Kit.price, sa.Text)))


class Part(Base):
    __tablename__ = "entity_parts"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    kit_number: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("entity_kits.no"))
    kit: orm.Mapped[Kit] = orm.relationship(lazy="joined")


class Shape(Base):
    __tablename__ = "entity_shapes"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    kind: orm.Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "shape"}  # noqa: RUF012 - as SQLAlchemy documents it


class Circle(Shape):
    __mapper_args__ = {"polymorphic_identity": "circle"}  # noqa: RUF012 - as SQLAlchemy documents it


async def test_a_model_of_a_project_is_read_by_its_types(fresh_database_url: str) -> None:
    """Else a column comes as the driver has it, where a session returns what the model says."""
    table = sa.select(Kit).order_by(Kit.number)
    kits: list[dict[str, Any]] = [
        {"number": 1, "worn": timedelta(days=40, seconds=1), "doubled": 8, "extra": "x"},
        {"number": 2, "worn": None, "doubled": None, "extra": None},
    ]
    same: dict[str, Any] = {
        "colour": Colour.BLUE,
        "price": Decimal("1.50"),
        "ratio": 0.125,
        "weight": 2.5,
    }

    async def unit(scope: SystemScope) -> tuple[list[Any], list[Kit]]:
        session = scope.session
        session.add_all([Kit(**kit, **same, tags=["a", "b"]) for kit in kits])
        await session.flush()
        session.expunge_all()
        loaded = [values_of(row) for row in await session.scalars(table)]
        return loaded, await scope.all(Statement(Kit, table))

    async with Database(fresh_database_url) as db:
        async with db.sessions.begin() as session:
            await (await session.connection()).run_sync(Base.metadata.create_all)
        loaded, found = await db.run_system(unit)
    assert [values_of(row) for row in found] == loaded
    assert [row.doubled for row in found] == [8, None]
    assert (found[0].colour, found[0].ratio, found[0].loaded) == (Colour.BLUE, 0.125, True)
    assert state_of(found[1]).identity == (2,)


REFUSED: dict[str, tuple[type[Any], Any, str]] = {
    "a column": (Task, sa.select(Task.title), "select the model itself"),
    "two models": (Task, sa.select(Task, Message), "select the model itself"),
    "another model": (Task, sa.select(Message), "select the model itself"),
    "a table": (Task, sa.select(Task.__table__), "select the model itself"),
    "a union": (Task, sa.union_all(sa.select(Task), sa.select(Task)), "select the model itself"),
    "text": (Task, sa.text("SELECT 1"), "select the model itself"),
    "part of a model": (
        Task,
        sa.select(Task).options(orm.load_only(Task.title)),
        "loads every column of Task and nothing else",
    ),
    "an eager load": (
        Message,
        sa.select(Message).options(orm.joinedload(Message.conversation)),
        "loads every column of Message and nothing else",
    ),
    "a model that loads eagerly": (Part, sa.select(Part), "Part.kit is loaded eagerly"),
    "a model with subclasses": (Shape, sa.select(Shape), "may be of another class"),
    "a subclass": (Circle, sa.select(Circle), "may be of another class"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_is_refused_in_words(db: Database, user: User, name: str) -> None:
    """Else an instance lacks columns, or is of another class than the row's."""
    model, statement, words = REFUSED[name]
    with pytest.raises(UsageError, match=words):
        await db.run(user.id, lambda scope: scope.all(Statement(model, statement)))
    with pytest.raises(UsageError, match=words):
        await db.run_system(lambda scope: scope.all(Statement(model, statement)))


async def test_an_outer_join_may_find_no_instance(db: Database, user: User) -> None:
    """Else a row of nothing comes as an instance without a key."""
    await db.run(user.id, conversations.create)
    joined = sa.select(Message).select_from(Conversation).outerjoin(Conversation.messages)
    found = await db.run(user.id, lambda scope: scope.all(Statement(Message, joined)))
    assert found == [None]
