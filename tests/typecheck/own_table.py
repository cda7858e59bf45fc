"""A project's own table, as the tutorial makes one, and units over it."""

from typing import NamedTuple, assert_type
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, MetaData, bindparam, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from faceplate import Database, NotErased, Scope, Statement, erasure, export
from faceplate.column_types import Json, JsonObject, Text
from faceplate.models import Base, Message, Owned, references


class AppBase(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Note(Owned, AppBase):
    __tablename__ = "notes"

    body: Mapped[str] = mapped_column(Text(1_000))
    reminder: Mapped[str | None] = mapped_column(Text(100))
    marks: Mapped[JsonObject] = mapped_column(Json(dict, max_chars=1_000), server_default="{}")


class Rating(Owned, AppBase):
    __tablename__ = "ratings"
    __table_args__ = (references(Message),)

    conversation_id: Mapped[UUID]
    message_id: Mapped[UUID]


class Summary(NamedTuple):
    id: UUID
    body: str


ADD = Statement(
    UUID, insert(Note).values(id=bindparam("id"), body=bindparam("body")).returning(Note.id)
)
SUMMARIES = Statement(Summary, select(Note.id, Note.body).order_by(Note.id))
COUNT = Statement(int, select(func.count()).select_from(Note))
# The column may be NULL, which no class says: the type stands in front.
REMINDERS = Statement[str | None](str, select(Note.reminder))
NOTES = Statement(Note, select(Note))
MARKS = Statement(dict[str, object], select(Note.marks))
CLEAR = Statement(int, update(Note).values(reminder=None))


def columns(note: Note) -> None:
    assert_type(note.user_id, UUID)
    assert_type(note.id, UUID)
    assert_type(note.body, str)
    assert_type(note.reminder, str | None)
    assert_type(note.marks, JsonObject)


def keys() -> None:
    assert_type(references(Message, id="answer_id", name="fk_a"), ForeignKeyConstraint)
    assert_type(references(Note, ondelete="SET NULL", user_id="owner_id"), ForeignKeyConstraint)


async def erasing(db: Database, user_id: UUID) -> None:
    erased = await erasure.erase(db, user_id)
    assert_type(erased.left, dict[str, int])
    assert_type(erased.unproven, dict[str, str])
    assert_type(await erasure.unproven(db), dict[str, str])
    assert_type(await export.left_out(db), list[str])
    try:
        await erasure.erase(db, user_id)
    except NotErased as error:
        assert_type(error.left, dict[str, int])


def statements() -> None:
    assert_type(ADD, Statement[UUID])
    assert_type(SUMMARIES, Statement[Summary])
    assert_type(COUNT, Statement[int])
    assert_type(REMINDERS, Statement[str | None])
    assert_type(NOTES, Statement[Note])
    assert_type(MARKS, Statement[dict[str, object]])


async def add(scope: Scope, body: str) -> UUID:
    return await scope.one(ADD, id=scope.new_id(), body=body)


async def summaries(scope: Scope, *, longest: int = 10) -> list[Summary]:
    return (await scope.all(SUMMARIES))[:longest]


async def through_a_scope(scope: Scope) -> None:
    assert_type(await scope.one(COUNT), int)
    assert_type(await scope.first(REMINDERS), str | None)
    assert_type(await scope.one(REMINDERS), str | None)
    assert_type(await scope.all(REMINDERS), list[str | None])
    assert_type(await scope.one(MARKS), dict[str, object])
    assert_type(await scope.all(NOTES), list[Note])
    assert_type(await scope.first(NOTES), Note | None)
    assert_type(await scope.execute(CLEAR), int)
    assert_type([row.body async for row in scope.stream(SUMMARIES)], list[str])


async def through_a_session(scope: Scope, note_id: UUID) -> None:
    assert_type(await scope.session.get(Note, (scope.user_id, note_id)), Note | None)
    assert_type((await scope.session.scalars(select(Note))).all()[0].body, str)


async def through_run(db: Database, user_id: UUID) -> None:
    assert_type(await db.run(user_id, add, "Ask about the museum"), UUID)
    assert_type(await db.run(user_id, summaries, longest=3), list[Summary])
