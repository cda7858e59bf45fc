"""Chats that leave the database in a format of other programs: whole, of one moment, and back."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.exported_chats import HOSTILE, UNICODE, call, result, tree_of
from tests.units import LONG_AGO
from uuid6 import uuid7

from faceplate import Conversation, Database, InvalidInput, Message, NotFound, Scope, User
from faceplate.exporters import FORMATS, Written, write, write_file
from faceplate.importers import Report, import_file
from faceplate.services import _trees, chats, conversations, messages
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage

NAMES = {"openai": "chats.jsonl", "chatgpt": "conversations.json"}
LARGE = json.dumps({"attachments": [{"kind": "image", "name": "x" * 100_000, "part": {}}]})


def new_chat(*said: NewMessage, **values: Any) -> NewChat:
    return NewChat(uuid7(), **{"title": "Pears", "messages": said} | values)


TALK = [
    NewMessage("system", "Be exact."),
    NewMessage("user", UNICODE, created_at=LONG_AGO),
    NewMessage("assistant", HOSTILE.replace("\x00", ""), model="gpt-9"),
    NewMessage("assistant", tool_calls=[call("c1")]),
    NewMessage("tool", "cold", tool_results=[result("c1", "cold")]),
    NewMessage("assistant", "Put on a coat."),
]
BRANCHED = [
    NewMessage("user", "Where to?"),
    NewMessage("assistant", "I look.", tool_calls=[call("c1"), call("c2"), call("c3")]),
    NewMessage("tool", tool_results=[result("c3", "3"), result("c1", "1")]),
    NewMessage("tool", tool_results=[result("c2", "2")]),
    NewMessage("assistant", "To Oslo."),
    NewMessage("assistant", "To Bergen.", body=LARGE),
    NewMessage("user", "By train?"),
    NewMessage("user", "When?"),
    NewMessage("assistant", "At nine."),
    NewMessage("user", "By bus?"),
]
PARENTS = [None, None, None, None, None, 4, None, 8, None, 5]


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def store(db: Database, user: User, *new: NewChat) -> None:
    await db.run(user.id, chats.store, new)


async def everything(db: Database, user: User) -> dict[str, list[Message]]:
    """Return the paths of all conversations by their titles."""
    page = await db.run(user.id, conversations.page, limit=200)
    return {chat.title: await db.run(user.id, messages.everything, chat.id) for chat in page.items}


def said(found: Sequence[Message]) -> list[tuple[Any, ...]]:
    return [
        (each.role, each.content, each.tool_calls, each.tool_results, each.model, each.created_at)
        for each in found
    ]


class TestRoundTrips:
    @pytest.mark.parametrize("key", NAMES)
    async def test_all_chats_come_to_another_user_as_they_were_and_once(
        self, db: Database, user: User, other_user: User, tmp_path: Path, key: str
    ) -> None:
        """Else who exports in order to move has lost a word, a link or a date."""
        several = [new_chat(*TALK, title=f"Talk {number}") for number in range(3)]
        await store(db, user, *several, new_chat(title="Empty"))
        file = tmp_path / NAMES[key]
        assert await write_file(db, user.id, file, format=key) == Written(4, 18)
        report = await import_file(db, other_user.id, file)
        assert (report.imported, report.messages, report.refused) == (4, 18, 0)
        before, after = await everything(db, user), await everything(db, other_user)
        assert {title: said(found) for title, found in after.items()} == {
            title: said(found) for title, found in before.items()
        }
        assert (await import_file(db, other_user.id, file)).skipped == 4

    async def test_a_tree_keeps_its_branches_and_its_path(
        self, db: Database, user: User, other_user: User, tmp_path: Path
    ) -> None:
        await store(db, user, new_chat(*BRANCHED, parents=PARENTS, head=7))
        file = tmp_path / "conversations.json"
        assert await write_file(db, user.id, file, format="chatgpt") == Written(1, 10)
        report = await import_file(db, other_user.id, file)
        assert (report.imported, report.refused) == (1, 0)
        [found] = (await everything(db, other_user)).values()
        texts = [message.content for message in found]
        assert texts == [
            "Where to?",
            "I look.",
            "3",
            "1",
            "2",
            "To Bergen.",
            "By train?",
        ]
        answered = [each["tool_call_id"] for m in found for each in m.tool_results or ()]
        assert answered == ["c3", "c1", "c2"]
        [oslo, bergen] = await db.run(
            other_user.id, messages.branches, found[0].conversation_id, found[5].position
        )
        assert (oslo.is_on_path, bergen.is_on_path) == (False, True)
        first = await db.run(
            other_user.id, messages.branches, found[0].conversation_id, found[0].position
        )
        assert len(first) == 2
        bus = await db.run(
            other_user.id, messages.history, found[0].conversation_id, leaf=oslo.leaf
        )
        assert [message.content for message in bus][-2:] == ["To Oslo.", "By bus?"]

    @pytest.mark.parametrize("key", NAMES)
    async def test_a_call_that_waits_for_its_result_still_waits(
        self, db: Database, user: User, other_user: User, tmp_path: Path, key: str
    ) -> None:
        """Else a turn that was interrupted cannot be taken up."""
        await store(db, user, new_chat(*TALK, NewMessage("assistant", tool_calls=[call("c1")])))
        file = tmp_path / NAMES[key]
        await write_file(db, user.id, file, format=key)
        await import_file(db, other_user.id, file)
        [found] = (await everything(db, other_user)).values()
        [waiting] = await db.run(
            other_user.id, messages.pending_tool_calls, found[0].conversation_id
        )
        assert (waiting.id, waiting.position) == ("c1", 7)

    @pytest.mark.parametrize("key", NAMES)
    async def test_one_conversation_alone(
        self, db: Database, user: User, other_user: User, tmp_path: Path, key: str
    ) -> None:
        one, other = new_chat(*TALK, title="One"), new_chat(*TALK, title="Other")
        await store(db, user, one, other)
        file = tmp_path / NAMES[key]
        await write_file(db, user.id, file, format=key, conversation_id=one.id)
        assert (await import_file(db, other_user.id, file)).imported == 1
        assert [*await everything(db, other_user)] == ["One"]


async def test_the_statement_reads_the_tree_that_is_stored(db: Database, user: User) -> None:
    """Else the tests of the formats assume other parents than a tree has."""
    chat = new_chat(*BRANCHED, parents=PARENTS, head=7)
    await store(db, user, chat)

    async def walked(scope: Scope, conversation_id: UUID) -> list[_trees.TreeMessage]:
        return [each async for each in _trees.walk(scope, conversation_id)]

    found = await db.run(user.id, walked, chat.id)
    stored = [each.message for each in found]
    assert found == tree_of(stored)
    assert [message.content for message in stored] == [message.content for message in BRANCHED]
    assert [message.body for message in stored] == [message.body for message in BRANCHED]
    assert [bool(each.children) for each in found] == [
        position in {4, 5} for position in range(1, 11)
    ]


class TestWriting:
    @pytest.mark.parametrize("key", FORMATS)
    async def test_what_is_appended_meanwhile_is_not_in_it(
        self, db: Database, user: User, key: str
    ) -> None:
        """Else a tree has a child without its parent."""
        chat = new_chat(*[NewMessage("user", str(number)) for number in range(50)])
        await store(db, user, chat)
        written: list[bytes] = []
        loop = asyncio.get_running_loop()

        def put(piece: bytes) -> None:
            if not written:
                tasks.append(loop.create_task(append()))
            written.append(piece)

        async def append() -> Message:
            return await db.run(user.id, messages.append, chat.id, role="user", content="new")

        tasks: list[asyncio.Task[Message]] = []
        done = await write(db, user.id, put, format=key, conversation_id=chat.id)
        assert done.messages == 50
        await tasks[0]
        assert (await write(db, user.id, put, format=key, conversation_id=chat.id)).messages == 51

    @pytest.mark.parametrize("key", FORMATS)
    async def test_another_users_conversation_is_not_found_and_no_file_is_made(
        self, db: Database, user: User, other_user: User, tmp_path: Path, key: str
    ) -> None:
        chat = new_chat(*TALK)
        await store(db, user, chat)
        for user_id, id_ in ((other_user.id, chat.id), (user.id, uuid7())):
            with pytest.raises(NotFound) as error:
                await write_file(db, user_id, tmp_path / "x", format=key, conversation_id=id_)
            assert error.value.record is Conversation
        assert names_in(tmp_path) == []

    @pytest.mark.parametrize("key", NAMES)
    async def test_nobodys_chats_are_not_found(self, db: Database, key: str) -> None:
        with pytest.raises(NotFound):
            await write(db, uuid7(), print, format=key)

    async def test_a_user_without_chats_has_a_file_without_chats(
        self, db: Database, user: User, tmp_path: Path
    ) -> None:
        for key, content in (("openai", ""), ("chatgpt", "[\n\n]\n")):
            file = tmp_path / key
            assert await write_file(db, user.id, file, format=key) == Written()
            assert file.read_text(encoding="utf-8") == content

    async def test_a_format_must_be_known_and_a_page_has_one_conversation(
        self, db: Database, user: User
    ) -> None:
        with pytest.raises(InvalidInput, match="format"):
            await write(db, user.id, print, format="docx")
        for key in ("markdown", "html"):
            with pytest.raises(InvalidInput, match="conversation_id"):
                await write(db, user.id, print, format=key)

    async def test_a_file_that_exists_is_left(
        self, db: Database, user: User, tmp_path: Path
    ) -> None:
        file = tmp_path / "x.json"
        file.write_text("mine", encoding="utf-8")
        with pytest.raises(FileExistsError):
            await write_file(db, user.id, file, format="chatgpt")
        assert file.read_text(encoding="utf-8") == "mine"
        await write_file(db, user.id, file, format="chatgpt", replace=True)
        assert file.read_text(encoding="utf-8") == "[\n\n]\n"

    @pytest.mark.parametrize("key", FORMATS)
    async def test_what_a_format_has_no_place_for_is_counted(
        self, db: Database, user: User, key: str
    ) -> None:
        """Else nobody knows that the archive has more."""
        chat = new_chat(
            NewMessage("user", "Hi", body='{"raw": [1]}'),
            NewMessage("assistant", tool_calls=[call("c1")], body=LARGE),
            NewMessage("tool", "It is cold.", tool_results=[result("c1", "4")]),
        )
        await store(db, user, chat)
        done = await write(db, user.id, len, format=key, conversation_id=chat.id)
        assert done.incomplete == (2 if key in NAMES else 1)


async def test_an_import_again_of_what_has_grown_here_adds_it(
    db: Database, user: User, other_user: User, tmp_path: Path
) -> None:
    """Else a second move brings everything twice."""
    chat = new_chat(*TALK)
    await store(db, user, chat)
    file = tmp_path / "conversations.json"
    await write_file(db, user.id, file, format="chatgpt")
    await import_file(db, other_user.id, file)
    await db.run(user.id, messages.append, chat.id, role="user", content="And then?")
    await write_file(db, user.id, file, format="chatgpt", replace=True)
    assert await import_file(db, other_user.id, file) == Report(continued=1, messages=1)
