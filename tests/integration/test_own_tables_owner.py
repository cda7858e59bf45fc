"""A project's own tables get their user by every way to insert, whatever the column is called."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column, synonym
from tests.databases import Operator, settings_of
from tests.shop import create
from uuid6 import uuid7

from faceplate import Database, Scope, Settings, Statement, User, erasure, export
from faceplate._schema.policies import USER
from faceplate.column_types import Id
from faceplate.importers.faceplate_export import restore
from faceplate.models import Base, Owned


class OwnerBase(Base):
    __abstract__ = True
    metadata = MetaData("shop", naming_convention=Base.metadata.naming_convention)


class Page(Owned, OwnerBase):
    __tablename__ = "pages"

    body: Mapped[str] = mapped_column(server_default="")


class Held(Owned, OwnerBase):
    """Calls its user's column otherwise."""

    __tablename__ = "held"

    owner_id: Mapped[UUID] = mapped_column("owner", Id(), primary_key=True, sort_order=-3)
    user_id = synonym("owner_id")
    body: Mapped[str] = mapped_column(server_default="")


Work = Callable[[Scope], Awaitable[Any]]


def new() -> dict[str, Any]:
    return {"id": uuid7(), "body": "a"}


def selected() -> Any:
    return sa.select(sa.literal(uuid7(), Id()), sa.literal("a"))


def upsert(model: Any) -> Any:
    made = insert(model).values(new())
    key = [column.name for column in model.__table__.primary_key]
    return made.on_conflict_do_update(index_elements=key, set_={"body": made.excluded.body})


async def added(scope: Scope, model: Any) -> None:
    scope.session.add_all([model(body="a"), model(body="b")])


WAYS: dict[str, tuple[int, Callable[[Any], Work]]] = {
    "statement": (1, lambda m: lambda s: s.execute(Statement(int, sa.insert(m).values(new())))),
    "rows": (2, lambda m: lambda s: s.execute(Statement(int, sa.insert(m).values([new(), new()])))),
    "execute_many": (
        2,
        lambda m: (
            lambda s: s.execute_many(
                Statement(int, sa.insert(m).values({name: sa.bindparam(name) for name in new()})),
                [new(), new()],
            )
        ),
    ),
    "select": (
        1,
        lambda m: (
            lambda s: s.execute(
                Statement(int, sa.insert(m).from_select(["id", "body"], selected()))
            )
        ),
    ),
    "conflict": (1, lambda m: lambda s: s.execute(Statement(int, upsert(m)))),
    "session, add": (2, lambda m: lambda s: added(s, m)),
    "session, rows": (2, lambda m: lambda s: s.session.execute(sa.insert(m), [new(), new()])),
    "session, table": (1, lambda m: lambda s: s.session.execute(sa.insert(m.__table__), [new()])),
    "session, select": (
        1,
        lambda m: lambda s: s.session.execute(sa.insert(m).from_select(["id", "body"], selected())),
    ),
    "session, conflict": (1, lambda m: lambda s: s.session.execute(upsert(m))),
}


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone."""
    return settings_of(fresh_database_url)


@pytest.mark.parametrize("model", [Page, Held])
async def test_a_row_gets_its_user_by_every_way(  # noqa: PLR0917 - fixtures
    model: Any, db: Database, operator: Operator, user: User, other_user: User, tmp_path: Path
) -> None:
    """Else a project writes the user into each statement, or an export and an erasure miss rows."""
    await create(operator, Page.__table__)
    if model is Held:
        await operator.execute(
            "CREATE TABLE shop.held (owner uuid REFERENCES faceplate.users ON DELETE CASCADE,"
            " id uuid, body text, created_at timestamptz DEFAULT now(),"
            " updated_at timestamptz DEFAULT now(), PRIMARY KEY (owner, id));"
            "GRANT SELECT, INSERT, UPDATE, DELETE ON shop.held TO faceplate_app;"
            "ALTER TABLE shop.held ENABLE ROW LEVEL SECURITY;"
            f"CREATE POLICY of_user ON shop.held USING (owner = {USER}) WITH CHECK (owner = {USER})"
        )
    expected = 0
    for name, (number, work) in WAYS.items():
        await db.run(user.id, work(model))
        expected += number
        found = (await erasure.remains(db, user.id))[f"shop.{model.__tablename__}"]
        assert found == expected, name
    path = tmp_path / "archive.jsonl"
    table = f"shop.{model.__tablename__}"
    assert (await export.write_file(db, user.id, path))[table] == expected
    assert (await restore(db, other_user.id, path)).rows[table] == expected
    assert (await erasure.erase(db, user.id)).rows[table] == expected
    assert (await erasure.remains(db, other_user.id))[table] == expected
    assert (await db.check()).warnings == ()
