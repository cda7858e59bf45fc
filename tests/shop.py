"""A project's own tables as its models declare them, and a user who has rows in each."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import ForeignKeyConstraint, MetaData, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateTable
from uuid6 import uuid7

from faceplate import Database, Scope, User, models
from faceplate._driver.dialect import DIALECT
from faceplate._schema.policies import USER
from faceplate.column_types import Id, Json, JsonObject, Secret, Text
from faceplate.models import Base, Conversation, Owned, Private
from tests.databases import Operator
from tests.units import say


class ShopBase(Base):
    __abstract__ = True
    metadata = MetaData("shop", naming_convention=Base.metadata.naming_convention)


def of_user() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["user_id"], [models.User.id], ondelete="CASCADE")


class Line(Owned, ShopBase):
    """Refers to a table that is declared later, has a longer key, and does not cascade."""

    __tablename__ = "lines"
    __table_args__ = (
        ForeignKeyConstraint(["user_id", "note_id"], ["shop.notes.user_id", "shop.notes.id"]),
    )

    note_id: Mapped[UUID] = mapped_column(Id(), primary_key=True)
    text: Mapped[str] = mapped_column(Text(100))


class Note(Owned, ShopBase):
    """Says all that a model can say."""

    __tablename__ = "notes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "conversation_id"],
            [Conversation.user_id, Conversation.id],
            ondelete="CASCADE",
        ),
    )
    noun = "a remark"
    export_key = "note"
    export_without = ("draft",)
    is_purged = True

    conversation_id: Mapped[UUID] = mapped_column(Id())
    body: Mapped[str] = mapped_column(Text(100))
    draft: Mapped[str] = mapped_column(Text(100, blank=True), server_default="")
    token: Mapped[bytes | None] = mapped_column(Secret())


class Label(Owned, ShopBase):
    """Says nothing, and has columns of many types, one of them called as a scope's user."""

    __tablename__ = "labels"
    __table_args__ = (of_user(), UniqueConstraint("user_id", "owner"))

    owner: Mapped[str] = mapped_column(Text(100))
    marks: Mapped[JsonObject] = mapped_column(Json(dict, max_chars=100))
    price: Mapped[Decimal] = mapped_column(sa.Numeric(20, 10))
    day: Mapped[date]
    picture: Mapped[bytes]
    lasts: Mapped[timedelta]
    ratio: Mapped[float]
    words: Mapped[list[str]] = mapped_column(postgresql.ARRAY(sa.Text))
    parent: Mapped[UUID | None]


class Cached(Owned, ShopBase):
    """Is made anew from the rest, and so not exported."""

    __tablename__ = "cached"
    __table_args__ = (of_user(),)
    export_key = None


class Mark(Private, ShopBase):
    __tablename__ = "marks"
    __table_args__ = (of_user(),)

    id: Mapped[UUID] = mapped_column(Id(), primary_key=True)


class Visit(Owned, ShopBase):
    """Has a column that JSON has no form for."""

    __tablename__ = "visits"

    address: Mapped[str] = mapped_column(postgresql.INET)


class Turned(sa.TypeDecorator[str]):
    """Text that is stored the other way round."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Any) -> str | None:
        return value and value[::-1]

    def process_result_value(self, value: str | None, _dialect: Any) -> str | None:
        return value and value[::-1]


class Named(NamedTuple):
    """Its fields are called as the attributes, and not as the columns."""

    id: UUID
    kind: str
    is_open: bool


class Reading(Owned, ShopBase):
    """Has columns of odd names and types, and some that PostgreSQL generates."""

    __tablename__ = 'readings "a:b'
    __table_args__ = (of_user(),)
    is_purged = True

    kind: Mapped[str] = mapped_column("class", sa.Text, primary_key=True)
    upper: Mapped[str] = mapped_column(sa.Text, sa.Computed("upper(class)", persisted=True))
    number: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True))
    ratio: Mapped[float | None]
    ratios: Mapped[list[float | None]] = mapped_column(postgresql.ARRAY(sa.Double))
    times: Mapped[list[datetime]] = mapped_column(postgresql.ARRAY(sa.DateTime(timezone=True)))
    turned: Mapped[str] = mapped_column(Turned())


class Door(Owned, ShopBase):
    __tablename__ = "doors"
    __table_args__ = (of_user(),)
    record = Named

    kind: Mapped[str] = mapped_column("class", sa.Text)
    is_open: Mapped[bool] = mapped_column("open")


class Node(Owned, ShopBase):
    """Refers to itself."""

    __tablename__ = "nodes"
    __table_args__ = (
        of_user(),
        ForeignKeyConstraint(["user_id", "parent"], ["shop.nodes.user_id", "shop.nodes.id"]),
    )

    parent: Mapped[UUID | None]


class Theme(Owned, ShopBase):
    """A user has one row at most."""

    __tablename__ = "themes"
    __table_args__ = (of_user(),)
    id = None  # type: ignore[assignment]  # leaves the key to the user

    name: Mapped[str]


class Planned(Owned, ShopBase):
    """Its migration has not been run."""

    __tablename__ = "planned"


async def create(operator: Operator, *tables: Any) -> None:
    """Create tables as a project's revision does."""
    await operator.execute(
        "CREATE SCHEMA IF NOT EXISTS shop; GRANT USAGE ON SCHEMA shop TO faceplate_app"
    )
    for table in tables:
        sql = str(CreateTable(table).compile(dialect=DIALECT))
        name = DIALECT.identifier_preparer.format_table(table)
        await operator.execute(
            f"{sql};"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO faceplate_app;"
            f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;"
            f"CREATE POLICY of_user ON {name} USING (user_id = {USER})"
            f" WITH CHECK (user_id = {USER})"
        )


TABLES: list[Any] = [model.__table__ for model in (Note, Line, Label, Cached, Mark)]


async def add(scope: Scope, *rows: Any) -> None:
    scope.session.add_all(rows)


LABEL: dict[str, Any] = {
    "marks": {"a": [1, None]},
    "price": Decimal("12345678.0123456789"),
    "day": date(2024, 2, 29),
    "picture": b"\x00\xff",
    "lasts": timedelta(days=3, microseconds=7),
    "ratio": 0.1,
    "words": ["a", 'b"'],
}


async def settle(db: Database, user: User) -> Conversation | Any:
    """Give a user two rows in each table, one of them as long ago as it may be."""
    [chat] = await say(db, user.id, 2)
    notes = [
        Note(id=uuid7(), conversation_id=chat.id, body=body, draft="so far", token=b"secret")
        for body in ("one", "two")
    ]
    await db.run(user.id, add, *notes)
    rows = [Line(id=uuid7(), note_id=note.id, text="a line") for note in notes]
    labels = [Label(id=uuid7(), owner=name, parent=uuid7(), **LABEL) for name in ("one", "two")]
    await db.run(user.id, add, *rows, *labels, Cached(id=uuid7()), Mark(id=uuid7()))
    return chat


async def rows_of(operator: Operator, user_id: UUID, *but: str) -> dict[str, list[Any]]:
    """All rows of a user in the tables that are exported, column by column."""
    without = ["user_id", *but]
    return {
        table: [
            json.loads(row[0])
            for row in await operator.fetch(
                f"SELECT to_jsonb(t) - $2::text[] FROM shop.{table} t WHERE user_id = $1"
                " ORDER BY id",
                user_id,
                without,
            )
        ]
        for table in ("notes", "lines", "labels")
    }
