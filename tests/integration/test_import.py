"""Importing chats: each is there exactly once and whole, or not at all and reported."""

import asyncio
import json
import logging
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import DATA, MORE

from faceplate import Database, Settings
from faceplate.importers import Refusal, Report, assembly, import_file, preview_file
from faceplate.records import Conversation, Message, User
from faceplate.services import conversations, messages


def write(path: Path, chats: Iterable[object]) -> Path:
    path.write_text("".join(f"{json.dumps(chat)}\n" for chat in chats), encoding="utf-8")
    return path


def chat(number: int, *contents: str) -> dict[str, Any]:
    return {
        "id": f"chat-{number}",
        "title": f"Chat {number}",
        "messages": [{"role": "user", "content": content} for content in contents],
    }


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


async def stored(db: Database, user: User) -> list[tuple[Conversation, list[Message]]]:
    """All that a user has, newest activity first."""
    page = await db.run(user.id, conversations.page, limit=200)
    return [
        (conversation, await db.run(user.id, messages.history, conversation.id, limit=200))
        for conversation in page.items
    ]


FILES = [path for path in (DATA / "chats.jsonl", MORE / "mt_bench.jsonl") if path.exists()]


@pytest.mark.parametrize("path", FILES, ids=str)
async def test_chats_come_back_as_they_were_and_only_once(
    db: Database, user: User, path: Path
) -> None:
    chats = [json.loads(line) for line in lines(path)]
    said = sum(len(chat["messages"]) for chat in chats)
    assert await import_file(db, user.id, path) == Report(imported=len(chats), messages=said)
    assert await import_file(db, user.id, path) == Report(skipped=len(chats))
    assert [
        (
            conversation.key,
            conversation.title,
            [{"role": message.role, "content": message.content} for message in history],
        )
        for conversation, history in await stored(db, user)
    ] == [(chat["id"], chat["title"], chat["messages"]) for chat in reversed(chats)]


async def test_tool_calls_results_and_unknown_keys_are_stored(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Lost, they would leave a thread that no model can take up again."""
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "[1, 2]"}}
    path = write(
        tmp_path / "chats.jsonl",
        [
            {
                "id": "a",
                "title": "Sum",
                "model": "m",
                "messages": [
                    {"role": "developer", "content": "Be exact"},
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "3", "name": "add"},
                ],
            }
        ],
    )
    assert await import_file(db, user.id, path) == Report(imported=1, messages=3)
    [(conversation, [system, made, answered])] = await stored(db, user)
    assert (conversation.source, conversation.key) == ("openai", "a")
    assert conversation.id == conversations.id_of(user.id, source="openai", key="a")
    assert conversation.metadata == {"source": {"model": "m"}}
    assert (system.role, system.metadata) == ("developer", {})
    assert made.tool_calls == [call]
    assert answered.tool_results == [{"tool_call_id": "call_1", "content": "3"}]
    assert (answered.content, answered.metadata) == ("3", {"tool": "add"})


@pytest.fixture
def lets_long_content_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader with a flaw: it passes on what the database refuses."""
    monkeypatch.setattr(assembly, "MAX_CONTENT_CHARS", 10_000_000)


@pytest.mark.usefixtures("lets_long_content_through")
async def test_a_refused_chat_leaves_nothing_and_the_rest_goes_on(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Half a chat would look like a whole one, and be skipped when its file is mended."""
    path = tmp_path / "chats.jsonl"
    write(path, [chat(1, "x"), chat(2, "x", "hunter2" * 200_000), {"id": 3}, chat(4, "x")])
    refusals: list[Refusal] = []
    report = await import_file(db, user.id, path, on_refusal=refusals.append)
    assert report == Report(imported=2, messages=2, refused=2)
    assert [str(refusal.place) for refusal in refusals] == ["line 2", "line 3"]
    assert "messages.content" in refusals[0].reason
    assert "hunter2" not in str(refusals)
    assert {conversation.title for conversation, _ in await stored(db, user)} == {
        "Chat 1",
        "Chat 4",
    }

    write(path, [chat(1, "x"), chat(2, "x", "y"), chat(4, "x")])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=2, skipped=2)


@pytest.mark.usefixtures("lets_long_content_through")
async def test_refused_chats_do_not_take_their_neighbours_along(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Small chats are stored together: else one flaw in a file costs hundreds of chats."""
    flawed = {3, 4, 77, 199}
    chats = [chat(n, "x", "y") for n in range(200)]
    for n in flawed:
        chats[n]["messages"] = [{"role": "user", "content": "x" * 1_000_001}]
    refusals: list[Refusal] = []
    path = write(tmp_path / "chats.jsonl", chats)
    report = await import_file(db, user.id, path, on_refusal=refusals.append)
    assert report == Report(imported=196, messages=392, refused=4)
    assert [refusal.place.number - 1 for refusal in refusals] == sorted(flawed)
    page = await db.run(user.id, conversations.page, limit=200)
    assert [int(row.title.split()[1]) for row in page.items] == [
        n for n in reversed(range(200)) if n not in flawed
    ]


async def test_a_chat_that_stands_twice_in_a_file_is_stored_once(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else it is refused, or the whole batch that it stands in."""
    path = write(tmp_path / "chats.jsonl", [chat(1, "x"), chat(2, "x"), chat(1, "x"), chat(3, "x")])
    assert await import_file(db, user.id, path) == Report(imported=3, messages=3, skipped=1)


async def test_small_chats_share_a_transaction(
    settings: Settings, user: User, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Else an import of a hundred thousand of them takes as many commits, one after the other."""
    path = write(tmp_path / "chats.jsonl", (chat(number, *"abcd") for number in range(900)))
    async with Database(settings.model_copy(update={"log_sql": True})) as db:
        with caplog.at_level(logging.INFO, "faceplate.sql"):
            report = await import_file(db, user.id, path)
            await asyncio.sleep(0)  # the driver tells its query loggers one round later
    assert report == Report(imported=900, messages=3_600)
    sent = [record.getMessage() for record in caplog.records]
    assert 1 <= sum("BEGIN" in message for message in sent) <= 3
    assert len(sent) <= 5 * 3


async def test_imports_that_race_store_each_chat_once(
    db: Database, user: User, tmp_path: Path
) -> None:
    path = write(tmp_path / "chats.jsonl", (chat(number, "x", "y") for number in range(25)))
    reports = await asyncio.gather(*(import_file(db, user.id, path) for _ in range(4)))
    assert sum(report.imported for report in reports) == 25
    assert [report.refused for report in reports] == [0, 0, 0, 0]
    everything = await stored(db, user)
    assert len(everything) == 25
    assert all([m.content for m in history] == ["x", "y"] for _, history in everything)


async def test_an_import_that_was_broken_off_goes_on_where_it_was(
    db: Database, user: User, tmp_path: Path
) -> None:
    path = write(tmp_path / "chats.jsonl", [chat(1, "x"), chat(2, "x"), {}, chat(3, "x")])

    def break_off(_: Refusal) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await import_file(db, user.id, path, on_refusal=break_off)
    assert len(await stored(db, user)) == 2
    report = await import_file(db, user.id, path)
    assert report == Report(imported=1, messages=1, skipped=2, refused=1)


async def test_each_user_has_a_copy_of_their_own(
    db: Database, user: User, other_user: User, tmp_path: Path
) -> None:
    """The ids are derived: were they the same for everyone, one user could block another."""
    path = write(tmp_path / "chats.jsonl", [chat(1, secrets.token_hex())])
    for owner in (user, other_user):
        assert await import_file(db, owner.id, path) == Report(imported=1, messages=1)
    [(mine, [my_message])] = await stored(db, user)
    [(theirs, [their_message])] = await stored(db, other_user)
    assert mine.id != theirs.id
    assert my_message.id != their_message.id


async def test_a_chat_without_messages_is_a_conversation(
    db: Database, user: User, tmp_path: Path
) -> None:
    path = write(tmp_path / "chats.jsonl", [chat(1)])
    assert await import_file(db, user.id, path) == Report(imported=1, refused=1, empty=1)
    [(conversation, history)] = await stored(db, user)
    assert (conversation.title, conversation.message_count, history) == ("Chat 1", 0, [])


async def test_a_chat_without_anything_is_counted_and_not_stored(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else the list of a user is full of the windows that some program opened."""
    path = write(tmp_path / "chats.jsonl", [{"id": "nothing", "messages": []}])
    assert await import_file(db, user.id, path) == Report(refused=1, empty=1)
    assert await stored(db, user) == []
    preview = await preview_file(path)
    assert (preview.chats, preview.empty, preview.refused) == ({}, 1, 1)


async def test_a_file_of_nothing_but_empty_chats_is_an_error(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else an export that has lost its messages looks as if all of them were imported."""
    refusals: list[Refusal] = []
    path = write(tmp_path / "chats.jsonl", [chat(1), chat(2)])
    report = await import_file(db, user.id, path, on_refusal=refusals.append)
    assert report == Report(imported=2, refused=1, empty=2)
    assert [refusal.reason for refusal in refusals] == ["none of its chats has a message"]
    again = await preview_file(path, on_refusal=refusals.append)
    assert (again.empty, again.refused, len(refusals)) == (2, 1, 2)


async def test_a_chat_of_any_length_is_stored_in_order(
    db: Database, user: User, tmp_path: Path
) -> None:
    """It takes several batches, and still is there as a whole or not at all."""
    texts = [str(number) for number in range(2_500)]
    path = write(tmp_path / "chats.jsonl", [chat(1, *texts), chat(2, *["x" * 900_000] * 12)])
    assert await import_file(db, user.id, path) == Report(imported=2, messages=2_512)
    page = await db.run(user.id, conversations.page)
    async with db.begin(user.id) as scope:
        walk = messages.walk(scope, page.items[-1].id)
        assert [message.content async for message in walk] == texts


def numbered(*contents: str, id_: object = 0, **fields: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": text} for at, text in enumerate(contents)]
    return {"id": id_, "messages": said, **fields}


async def test_two_chats_with_one_number_are_two_conversations(
    db: Database, user: User, tmp_path: Path
) -> None:
    """The files of a data set each count from 0: else one chat is a branch in the other's."""
    trees = numbered("Trees?", "Tall.", title="Trees")
    seas = numbered("Seas?", "Deep.", title="Seas")
    first = write(tmp_path / "train-0.jsonl", [trees])
    second = write(tmp_path / "train-1.jsonl", [seas, numbered("Seas?", "Deep.", "How?")])
    assert await import_file(db, user.id, first) == Report(imported=1, messages=2)
    report = Report(imported=1, messages=3, continued=1)
    assert await import_file(db, user.id, second) == report
    both = write(tmp_path / "both.jsonl", [trees, seas])
    assert (await preview_file(both)).chats == {"openai": 2}
    assert await import_file(db, user.id, first) == Report(skipped=1)
    assert await import_file(db, user.id, second) == Report(skipped=2)
    assert {
        conversation.title: [message.content for message in history]
        for conversation, history in await stored(db, user)
    } == {"Trees": ["Trees?", "Tall."], "Seas": ["Seas?", "Deep.", "How?"]}


async def test_the_same_words_here_make_no_second_copy_of_a_numbered_chat(
    db: Database, user: User, tmp_path: Path
) -> None:
    """What somebody has added to the other chat of the number must not decide where it belongs."""
    path = write(tmp_path / "chats.jsonl", [numbered("Trees?"), numbered("Seas?", "Deep.")])
    await import_file(db, user.id, path)
    key = conversations.id_of(user.id, source="openai", key="0")
    await db.run(user.id, messages.append, key, role="assistant", content="Deep.")
    assert await import_file(db, user.id, path) == Report(skipped=2)


async def test_numbered_chats_with_one_prompt_and_one_answer_are_two_conversations(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else a data set with a common system prompt becomes one conversation."""

    def asking(question: str) -> dict[str, Any]:
        prompt = {
            "role": "system",
            "content": "Answer with yes or no, nothing else.",
        }
        chat = numbered(question, "Yes.")
        return {**chat, "messages": [prompt, *chat["messages"]]}

    path = write(tmp_path / "chats.jsonl", [asking("Is snow white?"), asking("Is coal black?")])
    assert await import_file(db, user.id, path) == Report(imported=2, messages=6)
    assert await import_file(db, user.id, path) == Report(skipped=2)
    assert len(await stored(db, user)) == 2


async def test_an_edited_question_of_a_numbered_chat_is_a_branch(
    db: Database, user: User, tmp_path: Path
) -> None:
    """It has the answers of the stored chat, so it is no other one."""
    path = write(tmp_path / "chats.jsonl", [numbered("Trees?", "Tall.", "And old?", "Very.")])
    await import_file(db, user.id, path)
    write(path, [numbered("Which trees?", "Tall.", "And old?", "Very.")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=4)
    assert len(await stored(db, user)) == 1


async def test_an_edited_chat_with_an_id_of_its_own_is_a_branch(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Nobody else's chat has such an id, so all of it may have changed."""
    own = {"id_": "8b1f6a52-6a52-4a52-8a52-8b1f6a526a52"}
    path = write(tmp_path / "chats.jsonl", [numbered("Trees?", "Tall.", **own)])
    await import_file(db, user.id, path)
    write(path, [numbered("Oaks?", "Very tall.", **own)])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=2)
