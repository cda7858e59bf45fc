"""A project's own tables that are unlike ours: in names, types, keys, rights, and references."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.databases import Operator, settings_of
from tests.shop import Door, Node, Reading, Theme, add, create
from uuid6 import uuid7

from faceplate import Conflict, Database, Settings, User, erasure, export
from faceplate._driver.dialect import DIALECT
from faceplate.importers.faceplate_export import restore

MODELS: list[Any] = [Reading, Door, Node, Theme]


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone."""
    return settings_of(fresh_database_url)


@pytest.fixture(autouse=True)
async def shop(operator: Operator) -> None:
    await create(operator, *(model.__table__ for model in MODELS))


async def rows_of(operator: Operator, user_id: UUID, model: Any, *but: str) -> list[Any]:
    name = DIALECT.identifier_preparer.format_table(model.__table__)
    found = await operator.fetch(
        f"SELECT to_jsonb(t) - $2::text[] FROM {name} t WHERE user_id = $1 ORDER BY 1",
        user_id,
        ["user_id", *but],
    )
    return [json.loads(row[0]) for row in found]


async def test_what_is_read_back_is_what_was_there(
    db: Database, user: User, other_user: User, operator: Operator, tmp_path: Path
) -> None:
    """Else a file that was kept for long turns out to hold less than there was."""
    await db.run(
        user.id,
        add,
        Reading(
            id=uuid7(),
            kind="a",
            ratio=math.nan,
            ratios=[-math.inf, None, 0.5],
            times=[datetime(2024, 2, 29, tzinfo=UTC)],
            turned="abc",
        ),
        Door(id=uuid7(), kind="oak", is_open=True),
        Theme(name="dark"),
    )
    path = tmp_path / "archive.jsonl"
    await export.write_file(db, user.id, path)
    done = await restore(db, other_user.id, path)
    assert (done.refused, sum(done.rows.values())) == (0, 3)
    assert (await restore(db, other_user.id, path)).skipped == 3
    # What is generated, and what a record leaves out, is made anew.
    for model, but in ((Reading, ["number"]), (Door, ["created_at", "updated_at"]), (Theme, [])):
        there = await rows_of(operator, user.id, model, *but)
        assert await rows_of(operator, other_user.id, model, *but) == there != []


async def test_a_key_may_be_called_as_python_calls_nothing(
    db: Database, user: User, operator: Operator
) -> None:
    """Else the user cannot be erased, nor anything be purged."""
    rows = (Reading(id=uuid7(), kind=kind, ratios=[], times=[], turned="") for kind in ("a", "b"))
    await db.run(user.id, add, *rows, Theme(name="dark"))
    gone = (await erasure.erase(db, user.id)).rows
    assert (gone['shop.readings "a:b'], gone["shop.themes"]) == (2, 1)
    assert await rows_of(operator, user.id, Reading) == []


async def test_rows_that_refer_to_each_other_are_erased(
    db: Database, user: User, operator: Operator
) -> None:
    """Else a user with more of them than a batch holds is never erased."""
    ids = [uuid7() for _ in range(1_001)]
    await db.run(user.id, add, Node(id=ids[0]))
    await operator.execute(
        "INSERT INTO shop.nodes (user_id, id, parent)"
        " SELECT $1, id, $2 FROM unnest($3::uuid[]) AS id",
        *(user.id, ids[0], ids[1:]),
    )
    erased = await erasure.erase(db, user.id)
    assert (erased.rows["shop.nodes"], erased.user) == (1_001, True)
    assert not any((await erasure.remains(db, user.id)).values())


async def test_rows_that_units_may_not_delete_are_erased(
    db: Database, user: User, operator: Operator
) -> None:
    """Else a project's log that nobody may change holds up the removal of a user."""
    await db.run(user.id, add, Door(id=uuid7(), kind="oak", is_open=True))
    await operator.execute("REVOKE DELETE ON shop.doors FROM faceplate_app")
    assert (await erasure.erase(db, user.id)).rows["shop.doors"] == 1
    assert not any((await erasure.remains(db, user.id)).values())


async def test_what_no_erasure_can_remove_is_told(
    db: Database, user: User, operator: Operator
) -> None:
    """Else a user counts as erased of whom rows are left."""
    await db.run(user.id, add, Door(id=uuid7(), kind="oak", is_open=True))
    await operator.execute("""
        ALTER TABLE shop.doors DROP CONSTRAINT fk_doors_users;
        CREATE TABLE shop.handles (user_id uuid, door uuid, FOREIGN KEY (user_id, door)
            REFERENCES shop.doors (user_id, id));
        INSERT INTO shop.handles SELECT user_id, id FROM shop.doors
    """)
    with pytest.raises(Conflict):
        await erasure.erase(db, user.id)
    assert (await erasure.remains(db, user.id))["shop.doors"] == 1
