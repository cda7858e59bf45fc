"""Each table of ours is exported, erased, counted and seen, and a new one by its model alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.databases import settings_of
from tests.units import KINDS, valid

from faceplate import Database, Settings, User, erasure, export
from faceplate._operations import stats
from faceplate.importers.faceplate_export import restore
from faceplate.services import archives

ROOT = Path(__file__).parents[2]
ROWS = {kind.table: kind for kind in KINDS if not kind.is_chats}


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone."""
    return settings_of(fresh_database_url)


@pytest.mark.parametrize("name", ROWS)
async def test_each_table_of_ours_takes_part(
    name: str, db: Database, user: User, other_user: User, tmp_path: Path
) -> None:
    """Else a table that was added is not exported, not erased, not counted, or not seen."""
    kind = ROWS[name]
    row = kind.record(**valid(kind))
    assert await db.run(user.id, archives.restore_row, row)
    assert not await db.run(user.id, archives.restore_row, row)
    assert (await db.run(user.id, archives.holdings))[name] == 1
    path = tmp_path / "archive.jsonl"
    assert (await export.write_file(db, user.id, path))[name] == 1
    assert kind.key in json.loads(path.read_text(encoding="utf-8").splitlines()[2])
    assert (await restore(db, other_user.id, path)).rows[name] == 1
    found = await stats.collect(db, exact=True)
    assert [table.rows for table in found.tables if table.name == name] == [2]
    assert name in [growth.table for growth in found.growth]
    assert (await erasure.remains(db, user.id))[name] == 1
    assert (await erasure.erase(db, user.id)).rows[name] == 1
    assert (await erasure.remains(db, user.id))[name] == 0


# What a contributor adds, but for the revision; in a process of its own, as the schema is ours.
NEW_TABLE = """
import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint, insert, bindparam
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from faceplate import Conflict, Database, Statement, erasure, export
from faceplate._driver.dialect import DIALECT
from faceplate._operations import stats
from faceplate._schema.policies import USER
from faceplate.column_types import Text
from faceplate.importers.faceplate_export import restore
from faceplate.models import Base, Owned, User
from faceplate.services import users
from tests.databases import outside


class Bookmark(NamedTuple):
    id: UUID
    place: str


class Row(Owned, Base):
    __tablename__ = "bookmarks"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),
        UniqueConstraint("user_id", "place"),
    )
    record = Bookmark
    noun = "a bookmark"

    place: Mapped[str] = mapped_column(Text(100))


ADD = Statement(Bookmark, insert(Row).values(
    user_id=bindparam("user_id"), id=bindparam("id"), place=bindparam("place")
).returning(*Row.columns()))


async def add(scope, place):
    return await scope.one(ADD, id=scope.new_id(), place=place)


async def main():
    async with Database() as db, outside(db.settings) as operator:
        await operator.execute(f'''
            {CreateTable(Row.__table__).compile(dialect=DIALECT)};
            GRANT SELECT, INSERT, UPDATE, DELETE ON faceplate.bookmarks TO faceplate_app;
            ALTER TABLE faceplate.bookmarks ENABLE ROW LEVEL SECURITY;
            CREATE POLICY of_user ON faceplate.bookmarks USING (user_id = {USER})
        ''')
        ada, bob = [await db.run_system(users.ensure, name) for name in ("ada", "bob")]
        await db.run(ada.id, add, "here")
        try:
            await db.run(ada.id, add, "here")
        except Conflict as error:
            print(error.message)
        path = Path("ada.jsonl")
        await export.write_file(db, ada.id, path)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        print(*lines[2], lines[2]["row"]["place"], lines[-1]["end"]["bookmarks"])
        print((await restore(db, bob.id, path)).rows["bookmarks"])
        found = await stats.collect(db, exact=True)
        print(*(table.rows for table in found.tables if table.name == "bookmarks"))
        print((await erasure.remains(db, ada.id))["bookmarks"])
        print((await erasure.erase(db, ada.id)).rows["bookmarks"])
        print((await erasure.remains(db, ada.id))["bookmarks"])


asyncio.run(main())
"""


def test_a_new_table_of_ours_needs_no_more_than_its_model(
    fresh_database_url: str, tmp_path: Path
) -> None:
    """Else a developer who adds a table must find every list of tables, and misses one."""
    done = subprocess.run(
        [sys.executable, "-c", NEW_TABLE],
        cwd=tmp_path,
        env=os.environ | {"DATABASE_URL": fresh_database_url, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "a bookmark with this place exists already",
        "row here 1",
        *("1", "2", "1", "1", "0"),
    ]
