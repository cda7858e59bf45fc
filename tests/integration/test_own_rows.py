"""A project's own tables in an export, an erasure, a purge and the statistics, by their models."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.databases import Operator, settings_of
from tests.shop import TABLES, Cached, Visit, add, create, rows_of, settle
from tests.units import rows
from uuid6 import uuid7

from faceplate import Database, InvalidInput, Settings, UsageError, User, erasure, export
from faceplate._operations import stats
from faceplate.importers import Refusal
from faceplate.importers.faceplate_export import Restored, restore
from faceplate.services import archives, conversations, retention
from faceplate.services._kinds import all_kinds, in_order


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone."""
    return settings_of(fresh_database_url)


@pytest.fixture(autouse=True)
async def shop(operator: Operator) -> None:
    await create(operator, *TABLES)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_lines(path: Path, found: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in found), encoding="utf-8")


NOTHING = rows()
HELD = rows(messages=2, conversations=1)
NEW = HELD | {"shop.notes": 2, "shop.lines": 2, "shop.labels": 2}


class TestExport:
    @pytest.fixture
    async def file(self, db: Database, user: User, tmp_path: Path) -> Path:
        await settle(db, user)
        path = tmp_path / "archive.jsonl"
        assert await export.write_file(db, user.id, path) == NEW
        return path

    async def test_every_row_is_behind_what_it_refers_to(self, file: Path) -> None:
        """Else it is not in the archive, or an import meets it before what it needs."""
        kinds = [next(iter(line)) for line in lines_of(file)][1:]
        assert kinds == [
            *("user", "shop.labels", "shop.labels", "conversation", "message", "message"),
            *("note", "note", "shop.lines", "shop.lines", "end"),
        ]
        assert lines_of(file)[-1]["end"] == NEW

    async def test_no_secret_is_in_it_and_nothing_that_is_left_out(self, file: Path) -> None:
        """Else a copy on somebody's laptop opens what the table keeps closed."""
        notes = [line["note"] for line in lines_of(file) if "note" in line]
        assert {*notes[0]} == {"id", "conversation_id", "body", "created_at", "updated_at"}
        assert "user_id" not in json.dumps(lines_of(file)[3:])

    async def test_it_comes_back_once_for_the_same_user_and_for_another_one(
        self, db: Database, operator: Operator, user: User, other_user: User, file: Path
    ) -> None:
        """Else a move to another database loses the project's own rows."""
        before = await rows_of(operator, user.id)
        assert await restore(db, user.id, file) == Restored(NOTHING, skipped=7)
        assert await rows_of(operator, user.id) == before
        assert await restore(db, other_user.id, file) == Restored(NEW)
        left_out = ("draft", "token")
        assert await rows_of(operator, other_user.id, *left_out) == await rows_of(
            operator, user.id, *left_out
        )
        await erasure.erase(db, user.id)
        again = await db.run_system(
            archives.restore_user, user._replace(subject_id="again", email=None)
        )
        assert await restore(db, again.id, file) == Restored(NEW)

    async def test_what_cannot_be_stored_is_refused_and_the_rest_goes_on(
        self, db: Database, other_user: User, user: User, file: Path
    ) -> None:
        """Else one row costs all that follows, or is stored without what it refers to."""
        found = lines_of(file)
        del found[4:7]  # the conversation: its notes and their lines refer to nothing
        labels = [line["shop.labels"] for line in found if "shop.labels" in line]
        labels[0]["day"] = "yesterday"
        labels[1] |= {"id": str(uuid7())}
        found.insert(2, {"gone": {"id": 1}})
        write_lines(file, found)
        said: list[str] = []

        def hear(refusal: Refusal) -> None:
            said.append(refusal.reason)

        known = ", ".join(str(kind.key) for kind in in_order(all_kinds()) if kind.is_ours)
        done = await restore(db, user.id, file, on_refusal=hear)
        assert said == [
            f"not one of {known}, end; a table of the project's own is known by its model",
            "shop.labels.day: must be a date in ISO 8601",
            "a label with this owner exists already",
            "lines before this one are missing, or were added",
        ]
        assert done.skipped == 4
        said.clear()
        done = await restore(db, other_user.id, file, on_refusal=hear)
        assert said[2:6] == [
            *["the conversation does not exist"] * 2,
            *["the remark does not exist"] * 2,
        ]
        assert done.rows == NOTHING | {"shop.labels": 1}

    async def test_a_key_that_two_tables_have_is_refused(
        self, db: Database, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the rows of one table are read into the other."""
        for key in ("note", "task", "end"):
            monkeypatch.setattr(Cached, "export_key", key)
            with pytest.raises(UsageError, match=f"more than one table has the export_key {key}"):
                await db.run(user.id, archives.holdings)

    async def test_a_value_that_has_no_form_names_the_way_out(
        self, db: Database, operator: Operator, user: User, tmp_path: Path
    ) -> None:
        """Else an archive has a value in it that cannot be read back."""
        await create(operator, Visit.__table__)
        await db.run(user.id, add, Visit(id=uuid7(), address="127.0.0.1"))
        with pytest.raises(UsageError, match=r"no form for IPv4\w+: name its column"):
            await export.write_file(db, user.id, tmp_path / "archive.jsonl")


class TestErase:
    async def test_rows_are_counted_and_removed_in_batches(
        self, db: Database, operator: Operator, user: User, other_user: User
    ) -> None:
        """Else they go with the user's row, in one transaction of any length, and uncounted."""
        await settle(db, user)
        await settle(db, other_user)
        before = await rows_of(operator, other_user.id)
        await operator.execute(
            "INSERT INTO shop.lines (user_id, note_id, id, text)"
            " SELECT user_id, id, gen_random_uuid(), 'x' FROM shop.notes, generate_series(1, 1200)"
            " WHERE user_id = $1",
            user.id,
        )
        seen: list[int] = []
        erased = await erasure.erase(db, user.id, on_progress=seen.append)
        assert erased.rows == NEW | {"shop.lines": 2402, "shop.cached": 1}
        assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) <= 1000
        left = await erasure.remains(db, user.id)
        assert {f"shop.{table.name}" for table in TABLES} <= left.keys()
        assert not any(left.values())
        assert await rows_of(operator, other_user.id) == before

    async def test_a_model_ahead_of_its_migration_is_in_nobodys_way(
        self, db: Database, operator: Operator, user: User, tmp_path: Path
    ) -> None:
        """Else a program deployed before its migration can neither export nor erase."""
        assert "shop.planned" not in await db.run(user.id, archives.tables)
        await operator.execute("DROP SCHEMA shop CASCADE")
        assert not [name for name in await db.run(user.id, archives.tables) if "." in name]
        await export.write_file(db, user.id, tmp_path / "archive.jsonl")
        assert (await erasure.erase(db, user.id)).rows == NOTHING


class TestPurge:
    async def test_rows_of_a_table_that_says_so_go_when_they_are_as_old(
        self, db: Database, operator: Operator, user: User, other_user: User
    ) -> None:
        """Else they are kept for longer than was promised, or a table is emptied that is not."""
        for each in (user, other_user):
            await settle(db, each)
        await operator.execute("DELETE FROM shop.lines")
        aged = "UPDATE shop.{} SET updated_at = now() - interval '100 days' WHERE user_id = $1"
        await operator.execute(aged.format("notes") + " AND body = 'one'", user.id)
        await operator.execute(aged.format("labels"), user.id)
        found = await erasure.survey(db, timedelta(days=90))
        assert found[1:] == (1, {"conversations": 0, "messages": 0, "shop.notes": 1})
        assert await erasure.purge(db, found.before) == found
        left = await rows_of(operator, user.id)
        assert [row["body"] for row in left["notes"]] == ["two"]
        assert len(left["labels"]) == 2
        assert len((await rows_of(operator, other_user.id))["notes"]) == 2

    async def test_a_batch_goes_on_behind_the_last_key(self, db: Database, user: User) -> None:
        """Else each batch looks at all that is kept, once more."""
        await settle(db, user)
        first = await db.run(user.id, retention.remove_rows, "shop.lines", limit=1)
        rest = await db.run(user.id, retention.remove_rows, "shop.lines", after=first[-1])
        assert len({*first, *rest}) == 2
        before = datetime.now(UTC) - timedelta(days=1)
        assert await db.run(user.id, retention.remove_rows, "shop.notes", before=before) == []


async def test_stats_tell_of_rows_growth_and_indexes(db: Database, user: User) -> None:
    """Else the disk fills with what no line of the report has."""
    await settle(db, user)
    found = await stats.collect(db, exact=True)
    rows = {table.name: table.rows for table in found.tables}
    assert [rows[f"shop.{table.name}"] for table in TABLES] == [2, 2, 2, 1, 1]
    assert {growth.table: growth.day for growth in found.growth}["shop.notes"] == 2
    assert {index.name for index in found.indexes if index.table == "shop.labels"} == {
        "shop.pk_labels",
        "shop.uq_labels_user_id_owner",
    }


async def test_rows_are_restored_one_by_one_of_owned_tables_alone(db: Database, user: User) -> None:
    chat = await db.run(user.id, conversations.create)
    for row in (user, chat, ("a",), None):
        with pytest.raises(InvalidInput, match="row: must be one of an owned table"):
            await db.run(user.id, archives.restore_row, row)


def test_a_row_shows_no_content() -> None:
    """Else what a user wrote stands in a log."""
    kinds = {kind.table: kind for kind in all_kinds()}
    kind = kinds["shop.notes"]
    row = kind.record(*["canary"] * len(kind.columns))
    assert "canary" not in repr(row)
