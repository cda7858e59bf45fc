"""A conversation with everything in an archive: its branches, bodies, names and old dates."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.databases import Operator
from tests.units import conversation_of, message_of, nobodys, rows

from faceplate import (
    Conversation,
    Database,
    InvalidInput,
    Message,
    NotFound,
    Scope,
    Settings,
    User,
    export,
)
from faceplate.column_types import Timestamp
from faceplate.importers import Refusal, faceplate_export
from faceplate.importers.faceplate_export import restore
from faceplate.services import (
    _row_statements,
    archives,
    conversations,
    documents,
    messages,
)

MOMENT = timedelta(microseconds=1)
LONG_AGO = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
BODIES = [
    r'{"a":"\u0000","b":"\ud800","c":"\udc00\ud800","d":"\uD83D\uDE00 😀"}',
    '{"z":1,"a":2,"z":3,"a":{"z":1,"z":1}}',
    "[1e22,1E+22,1.0,1.00,-0,-0.0,1e-400,1e400," + "9" * 400 + "]",
    ' \t\r\n{ "spaced" : [ 1 ,\n 2 ] }\n ',
    r'{"":"\/\b\f\"\\","\u0061":"a","\u2028":"' + "\u2028\x7f\u200b\ufeff" + '"}',
    "null",
    '""',
    "[" * 500 + "]" * 500,
    json.dumps("text of a picture " * 4_000),
]


class Place:
    """Where a message stands, and what the tests say of it beside that."""

    def __init__(self, position: int, parent: int | None = None, **values: Any) -> None:
        self.position, self.parent, self.values = position, parent, values


# 1 and 5 are first messages, 3 and 9 were removed, 4 and 6 follow 2 and 5, 11 answers 4 again.
TREE = [
    Place(1, role="developer"),
    Place(2, model="a model", input_tokens=0, output_tokens=2**31 - 1, role="assistant"),
    Place(4, 2),
    Place(5, 5),
    *(Place(6 + number, body=body) for number, body in enumerate(BODIES[:3])),
    *(Place(10 + number, 4, body=body, role=None) for number, body in enumerate(BODIES[3:])),
]


def chat_of(places: Sequence[Place], **changes: Any) -> tuple[Conversation, list[Message]]:
    """Return the records of a conversation with these messages."""
    own = nobodys()
    said = [
        message_of(own._replace(message_id=nobodys().message_id), place.position)._replace(
            parent_position=place.parent,
            **{"created_at": LONG_AGO + timedelta(minutes=place.position)} | place.values,
        )
        for place in places
    ]
    return conversation_of(own, len(said))._replace(**changes), said


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def replace(path: Path, old: str, new: str) -> None:
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))


async def archive_of(db: Database, user: User, path: Path) -> list[bytes]:
    """Write the user's archive, and return its lines but for the header and the user."""
    lines: list[bytes] = []
    await export.write(db, user.id, lines.append)
    write(path, b"".join(lines))
    return lines[2:]


@pytest.fixture
def batches_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faceplate_export, "MAX_BATCH", 2)


class TestRoundTrip:
    @pytest.mark.usefixtures("batches_of_two")
    async def test_all_of_it_is_the_same_byte_for_byte(
        self, db: Database, user: User, other_user: User, tmp_path: Path
    ) -> None:
        """Else what another program calls its own comes back as something else."""
        chat, said = chat_of(
            TREE, head=7, source="a program", key=" its\nname ", body=BODIES[0],
            created_at=LONG_AGO, updated_at=LONG_AGO + timedelta(days=30),
        )  # fmt: skip
        assert await db.run(user.id, archives.restore_conversation, chat, [said[:5], said[5:]])
        before = await archive_of(db, user, tmp_path / "before.jsonl")
        found = [json.loads(line) for line in before]
        bodies = [line["message"]["body"] for line in found if "message" in line]
        assert bodies == [message.body for message in said]
        assert found[0]["conversation"]["body"] == chat.body

        done = await restore(db, other_user.id, tmp_path / "before.jsonl")
        assert done.rows == rows(conversations=1, messages=len(TREE))
        assert await archive_of(db, other_user, tmp_path / "after.jsonl") == before

    async def test_a_conversation_without_messages_comes_back(
        self, db: Database, user: User, other_user: User, tmp_path: Path
    ) -> None:
        chat, _ = chat_of([])
        assert await db.run(user.id, archives.restore_conversation, chat, [[]])
        before = await archive_of(db, user, tmp_path / "before.jsonl")
        done = await restore(db, other_user.id, tmp_path / "before.jsonl")
        assert done.rows == rows(conversations=1)
        assert await archive_of(db, other_user, tmp_path / "after.jsonl") == before

    async def test_what_is_restored_reads_like_what_was_exported(
        self, db: Database, user: User, other_user: User
    ) -> None:
        chat, said = chat_of(TREE, head=7)
        await db.run(user.id, archives.restore_conversation, chat, [said])
        async with db.begin(user.id) as scope:
            [_, kept, *kept_said] = [item async for item in archives.walk(scope)]
        await db.run(other_user.id, archives.restore_conversation, kept, [kept_said])
        async with db.begin(other_user.id) as scope:
            [_, *again] = [item async for item in archives.walk(scope)]
        assert again == [kept, *kept_said]
        path = await db.run(other_user.id, messages.history, chat.id)
        assert [message.position for message in path] == [5, 6, 7]

    async def test_the_next_message_gets_a_position_that_none_had(
        self, db: Database, user: User
    ) -> None:
        """Else a client that knows a message by its position reads another one."""
        chat, said = chat_of([Place(2), Place(7), Place(9)])
        await db.run(user.id, archives.restore_conversation, chat, [said])
        message = await db.run(user.id, messages.append, chat.id, role="user", content="more")
        assert message.position == 10
        assert (await db.run(user.id, conversations.get, chat.id)).message_count == 4

    @pytest.mark.parametrize("positions", [[], [1], [1, 3], [1, 2, 3]])
    async def test_messages_that_are_gone_are_counted_no_more(
        self, db: Database, user: User, positions: list[int]
    ) -> None:
        """Else the whole conversation is lost, since a program's own SQL removed one message."""
        chat, said = chat_of([Place(position) for position in positions], message_count=4)
        assert await db.run(user.id, archives.restore_conversation, chat, [said])
        stored = await db.run(user.id, conversations.get, chat.id)
        assert stored.message_count == len(positions)
        assert (await db.run(user.id, messages.append, chat.id, role="user")).position == 5

    async def test_a_newest_message_that_lacks_its_mark_gets_it(
        self, db: Database, user: User, operator: Operator
    ) -> None:
        """Else a page, which looks for the mark, shows messages that are not on the path."""
        for places, marked in (
            ([Place(1), Place(3), Place(6)], 3),
            ([Place(1), Place(3), Place(6, 1)], 1),
            ([Place(4)], 4),
        ):
            chat, said = chat_of(places, head=places[0].position)
            await db.run(user.id, archives.restore_conversation, chat, [said])
            parents = "SELECT array_agg(parent_position ORDER BY position) FROM faceplate.messages"
            found = await operator.fetchval(f"{parents} WHERE conversation_id = $1", chat.id)
            assert found == [*(place.parent for place in places[:-1]), marked]

    @pytest.mark.parametrize("moment", [Timestamp.EARLIEST, Timestamp.LATEST])
    async def test_any_date_that_is_stored_is_listed_and_comes_back(
        self, db: Database, user: User, other_user: User, tmp_path: Path, moment: datetime
    ) -> None:
        """Programs write the end of the year 9999 for never, and databases read it as infinite."""
        chat, said = chat_of([Place(1, created_at=moment)], created_at=moment, updated_at=moment)
        await db.run(user.id, archives.restore_conversation, chat, [said])
        [listed] = (await db.run(user.id, conversations.page)).items
        assert listed == chat
        before = await archive_of(db, user, tmp_path / "before.jsonl")
        await restore(db, other_user.id, tmp_path / "before.jsonl")
        assert await archive_of(db, other_user, tmp_path / "after.jsonl") == before

    @pytest.mark.parametrize("infinite", [Timestamp.EARLIEST - MOMENT, Timestamp.LATEST + MOMENT])
    async def test_a_date_that_would_be_read_as_another_is_refused(
        self, db: Database, user: User, infinite: datetime
    ) -> None:
        chat, said = chat_of([Place(1, created_at=infinite)])
        with pytest.raises(InvalidInput, match=r"messages\.created_at: must lie between the years"):
            await db.run(user.id, archives.restore_conversation, chat, [said])

    async def test_a_large_body_is_whole(
        self, settings: Settings, user: User, other_user: User, tmp_path: Path
    ) -> None:
        """A stream leaves it out and reads it by itself, and a line has room for it twice."""
        text = json.dumps('"\\' * 1_048_576)
        chat, said = chat_of([Place(1, body=text), Place(2)], body=text)
        async with Database(settings.model_copy(update={"max_body_mb": 5})) as db:
            await db.run(user.id, archives.restore_conversation, chat, [said])
            before = await archive_of(db, user, tmp_path / "before.jsonl")
            assert json.loads(before[0])["conversation"]["body"] == text
            assert json.loads(before[1])["message"]["body"] == text
            await restore(db, other_user.id, tmp_path / "before.jsonl")
            assert await archive_of(db, other_user, tmp_path / "after.jsonl") == before
        async with Database(settings.model_copy(update={"max_body_mb": 1})) as db:
            refusals: list[Refusal] = []
            await db.run(other_user.id, conversations.delete, chat.id)
            path = tmp_path / "before.jsonl"
            await restore(db, other_user.id, path, on_refusal=refusals.append)
        assert refusals[0].reason.startswith("conversations.body: at most 1 MB")


PARENT = "messages.parent_position: must be that of an earlier message, or its own"
REFUSED: dict[str, tuple[list[Place], dict[str, Any], str]] = {
    "a position twice": ([Place(1), Place(1)], {}, "messages.position: must ascend"),
    "positions that descend": ([Place(2), Place(1)], {}, "messages.position: must ascend"),
    "a position without room behind it": (
        [Place(1), Place(2_000_000_001)],
        {},
        "messages.position: at most 2,000,000,000",
    ),
    "a count without room behind it": (
        [Place(1)],
        {"message_count": 2**31 - 1},
        "messages.position: at most 2,000,000,000",
    ),
    "no position": ([Place(0)], {}, "messages.position: must be between 1 and 2,147,483,647"),
    "a parent that is gone": ([Place(1), Place(3, 2)], {}, PARENT),
    "a parent that comes later": ([Place(1), Place(2, 3), Place(3)], {}, PARENT),
    "a parent beyond all": ([Place(2, 9)], {}, PARENT),
    "a head that is gone": ([Place(1), Place(3)], {"head": 2}, "conversations.head: must be the"),
    "a head of nothing": ([], {"head": 1}, "conversations.head: must be the position of a message"),
    "too few counted": ([Place(1)], {"message_count": 0}, "conversations.message_count: must be"),
    "a body that is no JSON": ([Place(1, body="{")], {}, "messages.body: must be JSON"),
    "a conversation's body": ([Place(1)], {"body": "'"}, "conversations.body: must be JSON"),
    "neither role nor body": ([Place(1, role=None)], {}, "breaks a rule of the table"),
    "a source without a key": ([Place(1)], {"source": "canary"}, "breaks a rule of the table"),
}


class TestRefusals:
    @pytest.mark.parametrize("case", REFUSED)
    async def test_what_is_no_tree_is_refused(self, db: Database, user: User, case: str) -> None:
        """Else an orphan is stored, or a path that no page shows."""
        places, changes, message = REFUSED[case]
        chat, said = chat_of(places, **changes)
        with pytest.raises(InvalidInput) as refusal:
            await db.run(user.id, archives.restore_conversation, chat, [said[:1], said[1:]])
        assert message in refusal.value.message
        assert "canary" not in refusal.value.message
        with pytest.raises(NotFound):
            await db.run(user.id, conversations.get, chat.id)

    @pytest.mark.parametrize("name", ["head", "parent_position"])
    async def test_a_position_that_is_text_is_refused(
        self, db: Database, user: User, name: str
    ) -> None:
        chat, [message] = chat_of([Place(1)])
        text: Any = "canary"  # as a file may have it
        if name == "head":
            chat = chat._replace(head=text)
        else:
            message = message._replace(parent_position=text)
        with pytest.raises(InvalidInput, match=f"{name}: must be a whole number, not str"):
            await db.run(user.id, archives.restore_conversation, chat, [[message]])

    async def test_a_caller_who_goes_on_has_nothing_of_it(self, db: Database, user: User) -> None:
        """A unit of an application may take the next conversation in the same transaction."""
        good, bad = chat_of([Place(1)]), chat_of([Place(1), Place(3, 2)])

        async def restore_both(scope: Scope) -> None:
            with pytest.raises(InvalidInput):
                await archives.restore_conversation(scope, bad[0], [bad[1]])
            assert await archives.restore_conversation(scope, good[0], [good[1]])

        await db.run(user.id, restore_both)
        assert await db.run(user.id, archives.holdings) == rows(conversations=1, messages=1)

    async def test_batches_that_can_be_read_once_are_refused(
        self, db: Database, user: User
    ) -> None:
        """Else the check reads them, and a conversation without messages is stored."""
        chat, said = chat_of([Place(1)])
        with pytest.raises(InvalidInput, match="batches: must be iterable more than once"):
            await db.run(user.id, archives.restore_conversation, chat, iter([said]))


class TestDocuments:
    @pytest.mark.parametrize("body", [*BODIES, json.dumps('"' * 1_048_576)], ids=range(10))
    async def test_a_document_comes_back_byte_for_byte(
        self, db: Database, user: User, other_user: User, tmp_path: Path, body: str
    ) -> None:
        await db.run(user.id, documents.put, "state", "a", body)
        before = await archive_of(db, user, tmp_path / "before.jsonl")
        await restore(db, other_user.id, tmp_path / "before.jsonl")
        assert await archive_of(db, other_user, tmp_path / "after.jsonl") == before
        assert (await db.run(other_user.id, documents.get, "state", "a")).body == body

    @pytest.mark.parametrize(
        ("body", "rule"),
        [
            ("{", "documents.body: must be JSON"),
            ("[" * 100_000 + "]" * 100_000, "documents.body: is nested deeper than"),
            (json.dumps("a" * 2**24), "documents.body: at most 16 MB"),
        ],
        ids=["no JSON", "deep", "long"],
    )
    async def test_a_body_that_cannot_be_stored_costs_no_other_line(  # noqa: PLR0917 - fixtures
        self, db: Database, user: User, other_user: User, tmp_path: Path, body: str, rule: str
    ) -> None:
        """Else one document that another server kept ends the whole import."""
        await db.run(user.id, documents.put, "state", "a", '"canary"')
        await db.run(user.id, documents.put, "state", "b", "1")
        path = tmp_path / "archive.jsonl"
        await archive_of(db, user, path)
        replace(path, json.dumps('"canary"'), json.dumps(body))
        refusals: list[Refusal] = []
        done = await restore(db, other_user.id, path, on_refusal=refusals.append)
        assert done.rows == rows(documents=1)
        [refusal] = refusals
        assert refusal.reason.startswith(rule)


class TestBodiesOfManyRows:
    async def test_a_small_and_a_large_body_come_from_the_same_stream(
        self, db: Database, user: User
    ) -> None:
        """The small one is in its row; the large one is not, and never several of them at once."""
        large = json.dumps([str(number) for number in range(20_000)])
        chat, said = chat_of([Place(1, body="{}"), Place(2, body=large), Place(3, body=large)])
        await db.run(user.id, archives.restore_conversation, chat, [said])
        async with db.begin(user.id) as scope:
            streamed = [row.body async for row in scope.stream(archives.MESSAGES)]
            whole = [item.body async for item in archives.walk(scope) if isinstance(item, Message)]
        assert streamed == ["{}", _row_statements.LEFT_OUT, _row_statements.LEFT_OUT]
        assert whole == ["{}", large, large]
