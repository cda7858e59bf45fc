"""A user's archive: whole, of one moment, and back again as it was, once."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.chat_files import MORE
from tests.commands import Run, lines
from tests.databases import opened, outside
from tests.units import (
    OWNED,
    SETTLED,
    Belongings,
    calls,
    conversation_of,
    everything_of,
    message_of,
    nobodys,
    results,
    rows,
    settle_in,
    user_of,
)

import faceplate as faceplate_package
from faceplate import Conflict, Database, InvalidInput, NotFound, Settings, User, export
from faceplate.importers import Refusal, Report, import_file
from faceplate.importers.faceplate_export import Restored, read_user, restore
from faceplate.services import archives, conversations, messages, tasks
from faceplate.services.messages import NewMessage

SAMPLE = Path(faceplate_package.__file__).parent / "samples" / "chats.jsonl"


CHATS = [path for path in (SAMPLE, MORE / "mt_bench.jsonl") if path.exists()]
ALL = Restored(SETTLED | {"conversations": 2, "messages": 8, "tasks": 2}, secrets=1)
ITEMS = sum(ALL.rows.values()) - ALL.rows["messages"]
"""Messages come with their conversations."""
NOTHING = rows()


async def settle_in_for_long(db: Database) -> Belongings:
    """A user with one of everything, and then some that is harder to keep."""
    own = await settle_in(db)
    task = await db.run(own.user_id, tasks.create, title="Done", description="a\nb\u2028c")
    await db.run(own.user_id, tasks.complete, task.id)
    chat = await db.run(own.user_id, conversations.create, metadata={"π": [1.5, None, {"a": -0.1}]})
    turn = [
        NewMessage("system", "Be\r\nexact \N{GRINNING FACE}", metadata={"n": 2**63}),
        NewMessage("assistant", tool_calls=calls("a") + calls("b")),
        NewMessage("tool", tool_results=results("a") + results("b")),
    ]
    await db.run(own.user_id, messages.append_many, chat.id, turn)
    await db.run(own.user_id, conversations.rename, chat.id, "Renamed")
    for status in ("interrupted", "failed"):
        draft = await db.run(own.user_id, messages.append_draft, chat.id)
        saved: dict[str, Any] = {"content": "as far as", "status": status}
        await db.run(own.user_id, messages.save_draft, chat.id, draft.id, **saved)
    return own


@pytest.fixture
async def own(keyed: Database) -> Belongings:
    return await settle_in_for_long(keyed)


@pytest.fixture
async def file(keyed: Database, own: Belongings, tmp_path: Path) -> Path:
    path = tmp_path / "archive.jsonl"
    assert await export.write_file(keyed, own.user_id, path) == ALL.rows
    return path


async def rows_of(db: Database, user: User | Belongings) -> dict[str, list[Any]]:
    """Every row of a user, but for whose it is, the secrets and when it was stored."""
    user_id = user.id if isinstance(user, User) else user.user_id
    found = await everything_of(db, user_id)
    left_out = {"user_id": None, "secrets": None, "stored_at": None}
    return {table: [row | left_out for row in found[table]] for table in OWNED}


async def refusals_of(db: Database, user: User, path: Path) -> tuple[Restored, list[str]]:
    refusals: list[Refusal] = []
    done = await restore(db, user.id, path, on_refusal=refusals.append)
    assert done.refused == len(refusals)
    return done, [f"{refusal.place}: {refusal.reason}" for refusal in refusals]


def read(path: Path) -> bytes:
    return path.read_bytes()


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def rewrite(path: Path, change: Callable[[list[Any]], object]) -> Path:
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    change(found)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in found), encoding="utf-8")
    return path


class TestRoundTrip:
    async def test_all_comes_back_elsewhere_as_it_was_and_once(
        self, keyed: Database, own: Belongings, file: Path, make_database: Callable[[], str]
    ) -> None:
        """Else a move to another database loses a link, a position, a time or a state."""
        url = await asyncio.to_thread(make_database)
        async with Database(url) as elsewhere:
            await elsewhere.run_system(archives.restore_user, read_user(file))
            assert await restore(elsewhere, own.user_id, file) == ALL
            assert await rows_of(elsewhere, own) == await rows_of(keyed, own)
            [user] = (await everything_of(elsewhere, own.user_id))["users"]
            assert [user] == (await everything_of(keyed, own.user_id))["users"]
            assert await restore(elsewhere, own.user_id, file) == Restored(NOTHING, skipped=ITEMS)
            assert await rows_of(elsewhere, own) == await rows_of(keyed, own)

    async def test_the_same_database_has_nothing_twice(
        self, keyed: Database, own: Belongings, file: Path
    ) -> None:
        before = await everything_of(keyed, own.user_id)
        assert await restore(keyed, own.user_id, file) == Restored(NOTHING, skipped=ITEMS)
        assert await everything_of(keyed, own.user_id) == before

    async def test_another_user_gets_a_copy_and_nothing_of_the_first(
        self, keyed: Database, own: Belongings, file: Path, user: User
    ) -> None:
        before = await everything_of(keyed, own.user_id)
        assert await restore(keyed, user.id, file) == ALL
        assert await rows_of(keyed, user) == await rows_of(keyed, own)
        assert await everything_of(keyed, own.user_id) == before

    async def test_a_chat_goes_on_behind_what_was_restored(
        self, keyed: Database, own: Belongings, file: Path, user: User
    ) -> None:
        """Else the next message of a restored conversation meets a place that is taken."""
        await restore(keyed, user.id, file)
        message = await keyed.run(
            user.id,
            messages.append,
            own.conversation_id,
            role="tool",
            tool_results=results(own.call_id),
        )
        assert message.position == 4
        await restore(keyed, user.id, file)
        assert await keyed.run(user.id, messages.history, own.conversation_id, limit=1) == [message]

    async def test_what_was_changed_since_is_left(
        self, keyed: Database, own: Belongings, file: Path
    ) -> None:
        """Else restoring one thing takes back everything that was done since."""
        await keyed.run(own.user_id, conversations.rename, own.conversation_id, "Newer")
        await keyed.run(own.user_id, messages.remove_after, own.conversation_id, 1)
        await keyed.run(own.user_id, tasks.delete, own.task_id)
        assert await restore(keyed, own.user_id, file) == Restored(rows(tasks=1), skipped=ITEMS - 1)
        chat = await keyed.run(own.user_id, conversations.get, own.conversation_id)
        assert (chat.title, chat.message_count) == ("Newer", 1)

    async def test_a_long_conversation_comes_back_in_order(
        self, db: Database, user: User, other_user: User, tmp_path: Path
    ) -> None:
        """It takes several batches of either, and still is there as a whole."""
        chat = await db.run(user.id, conversations.create)
        for start in range(0, 2500, 500):
            said = [NewMessage("user", str(number)) for number in range(start, start + 500)]
            await db.run(user.id, messages.append_many, chat.id, said)
        path = tmp_path / "long.jsonl"
        assert await export.write_file(db, user.id, path) == rows(conversations=1, messages=2500)
        assert (await restore(db, other_user.id, path)).rows["messages"] == 2500
        assert await rows_of(db, other_user) == await rows_of(db, user)

    async def test_restores_that_race_store_each_thing_once(
        self, keyed: Database, own: Belongings, file: Path, user: User
    ) -> None:
        done = await asyncio.gather(*(restore(keyed, user.id, file) for _ in range(4)))
        for table, number in ALL.rows.items():
            assert sum(each.rows[table] for each in done) == number
        assert sum(each.skipped for each in done) == 3 * ITEMS
        assert await rows_of(keyed, user) == await rows_of(keyed, own)

    async def test_a_program_may_import_it_like_any_other_file(
        self, keyed: Database, file: Path, user: User
    ) -> None:
        assert await import_file(keyed, user.id, file) == Report(imported=2, messages=8)
        assert await import_file(keyed, user.id, file) == Report(skipped=ITEMS)


VERSION_1 = """\
{"format":"faceplate-export","version":1,"exported_at":"2020-02-29T00:00:00+00:00","faceplate":"0"}
{"user":{"id":"01900000-0000-7000-8000-000000000000","subject_id":"a","email":null,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"task":{"id":"01900000-0000-7000-8000-000000000001","title":"t","description":"","completed":true,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00.000001+00:00"}}
{"mcp_config":{"id":"01900000-0000-7000-8000-000000000002","name":"m","config":{"command":"x"},\
"has_secrets":false,"enabled":true,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"conversation":{"id":"01900000-0000-7000-8000-000000000003","title":"c","message_count":1,\
"metadata":{},"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"message":{"conversation_id":"01900000-0000-7000-8000-000000000003",\
"id":"01900000-0000-7000-8000-000000000004","position":1,"role":"user","content":"hi",\
"tool_calls":null,"tool_results":null,"metadata":{"a":1},"status":"complete",\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"end":{"conversations":1,"messages":1,"tasks":1,"mcp_configs":1}}
"""


VERSION_2 = """\
{"format":"faceplate-export","version":2,"exported_at":"2020-02-29T00:00:00+00:00","faceplate":"0"}
{"user":{"id":"01900000-0000-7000-8000-000000000000","subject_id":"a","email":null,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"task":{"id":"01900000-0000-7000-8000-000000000001","title":"t","description":"","completed":true,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00.000001+00:00"}}
{"mcp_config":{"id":"01900000-0000-7000-8000-000000000002","name":"m","config":{"command":"x"},\
"has_secrets":false,"enabled":true,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"conversation":{"id":"01900000-0000-7000-8000-000000000003","title":"c","message_count":1,\
"head":null,"metadata":{},"source":null,"key":null,"body":null,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"message":{"conversation_id":"01900000-0000-7000-8000-000000000003",\
"id":"01900000-0000-7000-8000-000000000004","position":1,\
"parent_position":null,"role":"user","content":"hi","tool_calls":null,"tool_results":null,\
"metadata":{"a":1},"body":null,"status":"complete",\
"model":null,"input_tokens":null,"output_tokens":null,\
"created_at":"2020-02-29T00:00:00+00:00","updated_at":"2020-02-29T00:00:00+00:00"}}
{"end":{"conversations":1,"messages":1,"tasks":1,"mcp_configs":1}}
"""


class TestFormat:
    @pytest.mark.parametrize("archive", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
    async def test_an_archive_of_any_version_is_read_and_written_to_the_letter(
        self, db: Database, user: User, tmp_path: Path, archive: str
    ) -> None:
        """Else what was exported last year is a file that nobody can read."""
        old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
        write(old, archive.encode())
        there = rows(conversations=1, messages=1, tasks=1, mcp_configs=1)
        assert await restore(db, user.id, old) == Restored(there)
        await export.write_file(db, user.id, new)
        header, _, *before, last = VERSION_2.encode().splitlines()
        written, _, *after, end = read(new).splitlines()
        assert after == before
        assert end.startswith(last[:-2])  # of a table that came later there is nothing
        versions = [json.loads(line)["version"] for line in (header, written)]
        assert versions == [2, 2]

    async def test_a_line_has_the_fields_of_its_version(
        self, db: Database, user: User, tmp_path: Path
    ) -> None:
        """Else a line that lost a field, or one that is not of this format, passes for whole."""
        path = tmp_path / "mixed.jsonl"
        for archive, version in ((VERSION_1, 2), (VERSION_2, 1)):
            mixed = archive.replace(f'"version":{3 - version}', f'"version":{version}')
            write(path, mixed.encode())
            done, said = await refusals_of(db, user, path)
            assert (done.rows["conversations"], done.rows["messages"]) == (0, 0)
            assert "conversation: must have id, title, message_count" in said[0]
            assert ("head" in said[0]) == (version == 2)


class TestFile:
    async def test_no_secret_is_in_it(self, own: Belongings, file: Path) -> None:
        """Else a copy on somebody's laptop opens the servers of the user's configurations."""
        found = [json.loads(line) for line in read(file).splitlines()]
        [config] = [line["mcp_config"] for line in found if "mcp_config" in line]
        assert config["has_secrets"]
        assert "secrets" not in config
        text = read(file).decode().replace(own.config_name, "").replace(own.email, "")
        # user, title, key, body, message, id of a call, task, key and body of a document
        assert text.count(own.subject_id) == 9

    @pytest.mark.not_on_citus("the moment is that of the first row from the user's worker")
    async def test_it_is_of_one_moment(self, settings: Settings, db: Database, user: User) -> None:
        """Else a message may be in it without its conversation, or a count that is wrong."""
        chat = await db.run(user.id, conversations.create)
        await db.run(user.id, messages.append, chat.id, role="user", content="before")
        written: list[Any] = []

        def say_more() -> None:
            async def run() -> None:
                async with opened(settings) as other:
                    await other.run(user.id, messages.append, chat.id, role="user", content="after")
                    await other.run(user.id, tasks.create, title="after")

            asyncio.run(run())

        with ThreadPoolExecutor() as elsewhere:

            def put(line: bytes) -> None:
                written.append(json.loads(line))
                if "user" in written[-1]:
                    elsewhere.submit(say_more).result()

            assert await export.write(db, user.id, put) == rows(conversations=1, messages=1)
        assert [line["message"]["content"] for line in written if "message" in line] == ["before"]
        assert await db.run(user.id, archives.holdings) == rows(
            conversations=1, messages=2, tasks=1
        )

    def test_only_its_owner_may_read_it(self, faceplate: Run, user: User, tmp_path: Path) -> None:
        file = tmp_path / "archive.jsonl"
        faceplate("export", "--user", user.email, "--output", file)
        assert file.stat().st_mode & 0o077 == 0

    async def test_what_is_there_is_not_overwritten(
        self, keyed: Database, own: Belongings, file: Path
    ) -> None:
        """Else the second run of a script that erases leaves an empty archive."""
        before = read(file)
        with pytest.raises(FileExistsError):
            await export.write_file(keyed, own.user_id, file)
        assert read(file) == before

    async def test_it_is_whole_or_not_there(
        self, keyed: Database, own: Belongings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else somebody deletes what they believe to have exported."""

        def stop(_: int) -> None:
            raise RuntimeError

        monkeypatch.setattr(export, "PROGRESS_EVERY", 5)
        path = tmp_path / "archive.jsonl"
        with pytest.raises(RuntimeError):
            await export.write_file(keyed, own.user_id, path, on_progress=stop)
        with pytest.raises(NotFound):
            await export.write_file(keyed, nobodys().user_id, path)
        assert names_in(tmp_path) == []


class TestDamage:
    async def test_a_file_that_is_cut_anywhere_says_so_and_stores_nothing_by_half(
        self, keyed: Database, own: Belongings, file: Path, make_database: Callable[[], str]
    ) -> None:
        """Else a transfer that broke off loses the end of a conversation without a word."""
        whole = read(file)
        expected = {row["id"]: row for row in (await rows_of(keyed, own))["messages"]}
        ends = [at for at in range(len(whole)) if whole[at : at + 1] == b"\n"][1:-1]
        url = await asyncio.to_thread(make_database)
        async with Database(url) as elsewhere:
            user = await elsewhere.run_system(archives.restore_user, read_user(file))
            for at in ends:
                for cut in (at, at + 1, at + 20):
                    write(file, whole[:cut])
                    done, said = await refusals_of(elsewhere, user, file)
                    assert done.refused, cut
                    assert "the file ends before its export did" in said[-1]
                stored = await rows_of(elsewhere, user)
                counts = {row["id"]: row["message_count"] for row in stored["conversations"]}
                for id_, number in counts.items():
                    kept = [row for row in stored["messages"] if row["conversation_id"] == id_]
                    assert len(kept) == number
            write(file, whole)
            done, said = await refusals_of(elsewhere, user, file)
            assert said == []
            stored = await rows_of(elsewhere, user)
            assert {row["id"]: row for row in stored["messages"]} == expected

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("canary", "not JSON"),
            ('"canary"', "not a line of an archive"),
            ('{"message": 1}', "not a line of an archive"),
            ('{"message": {}, "task": {}}', "not a line of an archive"),
            ('{"canary": {}}', "not one of user, task, mcp_config"),
            ('{"task": {"canary": 1}}', "task: must have id, title, description, completed"),
            ("[" * 100_000, "nested too deeply"),
            ("\udcff", "not JSON"),
        ],
    )  # fmt: skip
    async def test_a_line_that_is_none_is_named_and_the_rest_goes_on(
        self, db: Database, user: User, tmp_path: Path, line: str, reason: str
    ) -> None:
        """Else one bad line costs all that follows, or its content is in somebody's log."""
        path = tmp_path / "archive.jsonl"
        await export.write_file(db, user.id, path)
        head, owner, end = read(path).splitlines(keepends=True)
        bad = line.encode(errors="surrogateescape") + b"\n"
        write(path, head + owner + bad + end)
        _, (first, second) = await refusals_of(db, user, path)
        assert first.startswith(f"line 3: {reason}")
        assert "canary" not in first
        assert second == "line 4: lines before this one are missing, or were added"

    async def test_what_is_behind_the_end_is_not_passed_over_in_silence(
        self, db: Database, user: User, tmp_path: Path
    ) -> None:
        """Else of two users' exports in one file the second one is lost, and reported as stored."""
        path = tmp_path / "archive.jsonl"
        await export.write_file(db, user.id, path)
        whole = read(path)
        write(path, whole + whole)
        _, said = await refusals_of(db, user, path)
        reason = "the export ends before this line: import what follows as a file"
        assert said == [f"line 4: {reason}"]
        write(path, whole + b"\n")
        _, said = await refusals_of(db, user, path)
        assert said == []

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"content": ["canary"]}, "messages.content: must be text, not list"),
            ({"content": None}, "messages.content: is required"),
            ({"position": 0}, "messages.position: must be between 1 and"),
            ({"parent_position": 2}, "messages.parent_position: must be that of an earlier"),
            ({"position": "canary"}, "messages.position: must be a whole number"),
            ({"role": "canary"}, "messages.role: must be one of user, assistant, system,"),
            ({"role": "tool"}, "breaks a rule of the table"),
            ({"id": "canary"}, "line 4: message.id: must be a UUID"),
            ({"created_at": "canary"}, "line 4: message.created_at: must be a time in ISO 8601"),
            ({"created_at": "2020-02-29"}, "messages.created_at: must carry a time zone"),
            ({"metadata": {"a": float("nan")}}, "messages.metadata: numbers must be finite"),
            ({"content": "canary\0"}, "messages.content: must not contain the NUL character"),
            ({"content": "canary\ud800"}, "messages.content: must not contain a lone surrogate"),
            ({"conversation_id": str(UUID(int=7))}, "must be that of the"),
        ],
        ids=str,
    )  # fmt: skip
    async def test_a_value_that_breaks_a_rule_refuses_its_conversation(
        self, db: Database, user: User, tmp_path: Path, change: dict[str, Any], reason: str
    ) -> None:
        """Else a conversation is stored without what was bad in it, and looks whole."""
        own = nobodys()
        await db.run(
            user.id, archives.restore_conversation, conversation_of(own), [[message_of(own)]]
        )
        path = tmp_path / "archive.jsonl"
        await export.write_file(db, user.id, path)
        await db.run(user.id, conversations.delete, own.conversation_id)
        rewrite(path, lambda found: found[3]["message"].update(change))
        done, said = await refusals_of(db, user, path)
        assert done.rows["conversations"] == 0
        assert said[0].startswith("line 3: ")
        assert reason in said[0]
        assert "canary" not in said[0].replace("user, assistant", "")
        with pytest.raises(NotFound):
            await db.run(user.id, conversations.get, own.conversation_id)

    async def test_a_message_twice_refuses_its_conversation(
        self, keyed: Database, user: User, file: Path
    ) -> None:
        def double(found: list[Any]) -> None:
            at = next(i for i, line in enumerate(found) if "message" in line)
            found[at + 1]["message"]["id"] = found[at]["message"]["id"]

        done, said = await refusals_of(keyed, user, rewrite(file, double))
        assert done.rows["conversations"] == 1
        assert len(said) == 1

    async def test_a_message_without_its_conversation_is_said_once(
        self, keyed: Database, user: User, file: Path
    ) -> None:
        def orphan(found: list[Any]) -> None:
            del found[next(i for i, line in enumerate(found) if "conversation" in line)]

        done, said = await refusals_of(keyed, user, rewrite(file, orphan))
        assert done.rows["conversations"] == 1
        assert [reason.partition(": ")[2] for reason in said] == [
            "a message without its conversation before it",
            "lines before this one are missing, or were added",
        ]

    async def test_a_configuration_whose_name_is_taken_is_refused(
        self, keyed: Database, user: User, file: Path
    ) -> None:
        """Else one of two configurations is gone, and nobody has said so."""
        other = str(nobodys().config_id)

        def rename(found: list[Any]) -> None:
            config = next(line["mcp_config"] for line in found if "mcp_config" in line)
            config["id"] = other

        await restore(keyed, user.id, file)
        _, said = await refusals_of(keyed, user, rewrite(file, rename))
        assert [reason.partition(": ")[2] for reason in said] == [
            "an MCP configuration with this name exists already"
        ]

    @pytest.mark.parametrize(
        ("header", "words"),
        [
            (
                {"format": "faceplate-export", "version": 3},
                "an archive of version 3; versions 1 and 2",
            ),
            ({"format": "faceplate-export"}, "an archive of version 0; versions 1 and 2"),
            ({"format": "faceplate-export", "version": [2]}, "an archive of version unknown"),
            ({"format": "faceplate-export", "version": "canary"}, "an archive of version unknown"),
            ({"format": "other", "version": 1}, "is not an archive"),
        ],
    )
    async def test_another_format_is_refused_before_anything_is_stored(
        self, keyed: Database, user: User, file: Path, header: dict[str, Any], words: str
    ) -> None:
        """Else an older faceplate drops what a newer one has written, without a word."""

        def change(found: list[Any]) -> None:
            found[0] = header

        with pytest.raises(InvalidInput, match=words):
            await restore(keyed, user.id, rewrite(file, change))
        assert await keyed.run(user.id, archives.holdings) == NOTHING

    async def test_a_user_who_would_take_anothers_place_is_refused(
        self, db: Database, user: User
    ) -> None:
        with pytest.raises(Conflict):
            await db.run_system(
                archives.restore_user, user_of(nobodys())._replace(email=user.email)
            )


MEASURED = """
import resource, sys
from faceplate.cli import main
sys.argv = ["faceplate", *sys.argv[1:]]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""
MANY = """
INSERT INTO faceplate.conversations (user_id, id, message_count)
SELECT '{user}', gen_random_uuid(), 5000 FROM generate_series(1, {number} / 5000);
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role, content)
SELECT user_id, id, gen_random_uuid(), position, 'user', repeat('canary ', 1400)
FROM faceplate.conversations, generate_series(1, 5000) AS position WHERE user_id = '{user}'
"""


BODIES = """
INSERT INTO faceplate.conversations (user_id, id, message_count)
SELECT '{user}', gen_random_uuid(), {number};
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, body)
SELECT user_id, id, gen_random_uuid(), position, to_json(repeat('canary ', 600000))
FROM faceplate.conversations, generate_series(1, {number}) AS position WHERE user_id = '{user}'
"""


class TestMemory:
    @pytest.mark.parametrize(
        ("fill", "number"), [(MANY, 20_000), (BODIES, 50)], ids=["messages", "bodies"]
    )
    async def test_it_is_bounded_however_much_there_is(  # noqa: PLR0917 - fixtures
        self,
        settings: Settings,
        environment: dict[str, str],
        user: User,
        other_user: User,
        tmp_path: Path,
        fill: str,
        number: int,
    ) -> None:
        """Else the users who have most to lose are the ones who cannot be exported."""

        async def measure(*arguments: str) -> int:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", MEASURED, *arguments),
                env=environment, stderr=subprocess.PIPE,
            )  # fmt: skip
            _, stderr = await process.communicate()
            assert process.returncode == 0, stderr
            return int(stderr.split()[-1])

        async with outside(settings) as operator:
            await operator.execute(fill.format(user=user.id, number=number), timeout=120)
        little, much = tmp_path / "little.jsonl", tmp_path / "much.jsonl"
        idle_mb = await measure("export", "--user", str(other_user.id), "--output", str(little))
        export_mb = await measure("export", "--user", str(user.id), "--output", str(much))
        size_mb = much.stat().st_size >> 20
        import_mb = await measure("import", str(much), "--user", str(other_user.id))
        print(f"{size_mb} MB: {idle_mb} at rest, {export_mb} out, {import_mb} in")  # noqa: T201 - a figure to see
        assert size_mb > 180
        assert export_mb < idle_mb + 60
        assert import_mb < idle_mb + 90


class TestCommand:
    def test_stdout_gets_the_lines_and_nothing_else(self, faceplate: Run, user: User) -> None:
        result = faceplate("export", "--user", user.email)
        assert result.returncode == 0, result.stderr
        header, owner, end = lines(result.stdout)
        assert (header["format"], header["version"]) == ("faceplate-export", 2)
        assert owner["user"]["id"] == str(user.id)
        assert end["end"] == NOTHING
        by_id = lines(faceplate("export", "--user", user.id).stdout)
        assert by_id[1:] == [owner, end]

    def test_a_file_is_reported_and_comes_back(
        self, faceplate: Run, user: User, other_user: User, tmp_path: Path, trip: Path
    ) -> None:
        path = tmp_path / "mine.jsonl"
        faceplate("import", trip, "--user", user.email)
        result = faceplate("export", "--user", user.email, "--output", path)
        assert (result.returncode, result.stdout) == (0, "")
        said = "1 conversation with 4 messages, 0 tasks, 0 MCP configurations"
        assert said in result.stderr
        assert f"written to {path}\n" in result.stderr
        result = faceplate("import", path, "--user", other_user.id)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr.startswith(f"new: {said}")
        again = faceplate("import", path, "--user", other_user.email, "--json")
        [line] = lines(again.stdout)
        assert line["report"] == {**NOTHING, "secrets": 0, "skipped": 1, "refused": 0}
        other = faceplate("export", "--user", other_user.email).stdout
        assert other.splitlines()[2:] == path.read_text(encoding="utf-8").splitlines()[2:]

        there = faceplate("export", "--user", user.email, "--output", path)
        assert (there.returncode, there.stdout) == (2, "")
        assert "exists already: name another file, or add --force" in there.stderr
        asked = faceplate("export", "--user", user.email, "--output", f"{path}2", "--json")
        assert lines(asked.stdout)[0]["exported"]["messages"] == 4

    def test_a_file_is_replaced_when_the_new_one_is_whole(
        self, faceplate: Run, on_terminal: Callable[..., str], user: User, tmp_path: Path
    ) -> None:
        """Else a nightly export fails for ever, or a failed one takes yesterday's with it."""
        path = tmp_path / "mine.jsonl"
        path.write_text("yesterday's")
        failed = faceplate("export", "--user", nobodys().email, "--output", path, "--force")
        assert (failed.returncode, path.read_text()) == (1, "yesterday's")
        arguments = ("export", "--user", user.email, "--output", path)
        assert "Nothing was changed." in on_terminal(*arguments, typed="\n")
        assert path.read_text() == "yesterday's"
        assert "written to" in on_terminal(*arguments, typed="y\n")
        assert path.read_text().startswith('{"format"')
        path.write_text("yesterday's")
        assert faceplate(*arguments, "--force").returncode == 0
        assert path.read_text().startswith('{"format"')
        assert path.stat().st_mode & 0o777 == 0o600
        assert [found.name for found in tmp_path.iterdir()] == ["mine.jsonl"]

    def test_the_file_behind_a_link_is_replaced(
        self, faceplate: Run, user: User, tmp_path: Path
    ) -> None:
        """Else the disk that the link leads to keeps yesterday's, and this one fills up."""
        (there := tmp_path / "disk").mkdir()
        (there / "mine.jsonl").write_text("yesterday's")
        link = tmp_path / "mine.jsonl"
        link.symlink_to(there / "mine.jsonl")
        done = faceplate("export", "--user", user.email, "--output", link, "--force")
        assert done.returncode == 0, done.stderr
        assert link.is_symlink()
        assert (there / "mine.jsonl").read_text().startswith('{"format"')

    @pytest.mark.parametrize("chats", CHATS, ids=lambda path: path.name)
    def test_chats_are_imported_shown_exported_moved_and_erased(
        self, faceplate: Run, make_database: Callable[[], str], tmp_path: Path, chats: Path
    ) -> None:
        """Else one of the steps that lead out of faceplate loses what another one has kept."""
        user, path, elsewhere = nobodys().email, tmp_path / "mine.jsonl", make_database()
        imported = lines(faceplate("import", chats, "--user", user, "--json").stdout)[-1]["report"]
        listed = faceplate("conversations", "--user", user, "--limit", 200, "--json").stdout
        found = [line["conversation"] for line in lines(listed) if "conversation" in line]
        shown = {
            chat["id"]: lines(faceplate("show", chat["id"], "--user", user, "--json").stdout)
            for chat in found
        }
        assert sum(len(chat) - 1 for chat in shown.values()) == imported["messages"] > 0

        faceplate("export", "--user", user, "--output", path)
        moved = faceplate("import", path, "--user", user, DATABASE_URL=elsewhere)
        assert moved.returncode == 0, moved.stderr
        for id_, chat in shown.items():
            there = faceplate("show", id_, "--user", user, "--json", DATABASE_URL=elsewhere)
            assert lines(there.stdout) == chat
        again = faceplate("export", "--user", user, DATABASE_URL=elsewhere)
        assert again.stdout.split("\n")[1:] == path.read_text(encoding="utf-8").split("\n")[1:]

        for url in ({}, {"DATABASE_URL": elsewhere}):
            [report] = lines(faceplate("erase", "--user", user, "--yes", "--json", **url).stdout)
            assert report["erased"]["messages"] == imported["messages"]
            assert set(report["left"].values()) == {0}

    def test_a_refusal_fails_the_command(self, faceplate: Run, user: User, tmp_path: Path) -> None:
        """A script that saw 0 would delete the file, and what was refused with it."""
        path = tmp_path / "mine.jsonl"
        faceplate("export", "--user", user.email, "--output", path)
        rewrite(path, lambda found: found.pop())
        result = faceplate("import", path, "--user", user.email)
        assert result.returncode == 1
        assert "line 2: the file ends before its export did" in result.stderr
        result = faceplate("import", path, "--user", user.email, "--json")
        refused, report = lines(result.stdout)
        assert refused["refused"]["line"] == 2
        assert report["report"]["refused"] == 1

    def test_nobody_is_not_found(self, faceplate: Run, user: User, tmp_path: Path) -> None:
        path = tmp_path / "mine.jsonl"
        faceplate("export", "--user", user.email, "--output", path)
        for arguments in (
            ("export", "--user", nobodys().user_id),
            ("export", "--user", nobodys().email, "--output", tmp_path / "new"),
            ("import", path, "--user", nobodys().user_id),
        ):
            result = faceplate(*arguments)
            assert (result.returncode, result.stdout) == (1, ""), arguments
            assert result.stderr == "error: user not found\n"

    def test_a_terminal_shows_how_far_it_is(
        self, faceplate: Run, on_terminal: Callable[..., str], user: User, trip: Path
    ) -> None:
        faceplate("import", trip, "--user", user.email)
        sent = on_terminal("export", "--user", user.email, "--output", "mine.jsonl")
        assert "exporting" in sent
        assert sent.endswith("written to mine.jsonl\r\n")
        sent = on_terminal("import", "mine.jsonl", "--user", user.email)
        assert "importing" in sent
        assert sent.endswith("; 1 already there\r\n")
