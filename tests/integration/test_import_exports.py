"""Exports that are imported every month: what is new is added, and what is there stays as it is."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import DATA, MORE, chatgpt, existing, node, thread, write
from tests.imported_chats import contents, stored

from faceplate import Database
from faceplate.importers import Refusal, Report, import_file
from faceplate.records import User
from faceplate.services import conversations, messages

EXPORTS = [
    (DATA / "chatgpt_export.json", 2, 10),
    (DATA / "open_webui_export.json", 1, 3),
    (DATA / "sharegpt.json", 5, 20),
    (MORE / "chatgpt_export.json", 1, 10),
    (MORE / "openwebui_export.json", 1, 2),
    (MORE / "sharegpt.json", 500, 2000),
]


@pytest.mark.parametrize(("path", "chats", "said"), existing(EXPORTS))
async def test_whole_exports_are_stored_once(
    db: Database, user: User, path: Path, chats: int, said: int
) -> None:
    first = await import_file(db, user.id, path)
    assert first._replace(asides={}) == Report(imported=chats, messages=said)
    again = await import_file(db, user.id, path)
    assert again._replace(asides={}) == Report(skipped=chats)


async def test_an_export_comes_back_with_its_branches_and_tool_calls(
    db: Database, user: User
) -> None:
    await import_file(db, user.id, DATA / "chatgpt_export.json")
    found = await stored(db, user)
    assert contents(found) == {
        "Tomatoes on a balcony": [
            "Can I grow tomatoes on a north balcony?",
            "You can try, but they want six hours of sun a day. Cherry varieties manage with four.",
            "Which herbs would do better there?",
            "Mint, chives and parsley: all three are content with shade.",
        ],
        "Mean of a list": ["What is the mean of 3, 8, 12 and 21?", "", "11", "The mean is 11."],
    }
    tomatoes, history = found["Tomatoes on a balcony"]
    assert tomatoes.message_count == 6
    alternatives = await db.run(user.id, messages.branches, tomatoes.id, history[2].position)
    assert [branch.is_on_path for branch in alternatives] == [False, True]
    other = await db.run(user.id, messages.history, tomatoes.id, leaf=alternatives[0].leaf)
    assert [message.content for message in other[2:]] == [
        "Which variety would you take?",
        "'Sungold' in a ten-litre pot.",
    ]


async def test_times_are_those_of_the_source(db: Database, user: User, tmp_path: Path) -> None:
    """Else a list of ten years of chats begins with the day of the import."""
    nodes = thread("Hi", "Ho", "Bye")
    for number, each in enumerate(nodes):
        each["message"]["create_time"] = 1_600_000_000 + number
    times: dict[str, Any] = {"create_time": 1_500_000_000, "update_time": None}
    path = write(tmp_path / "c.json", [chatgpt(nodes, **times)])
    await import_file(db, user.id, path)
    [(conversation, history)] = (await stored(db, user)).values()
    assert conversation.created_at.timestamp() == 1_500_000_000
    assert conversation.updated_at.timestamp() == 1_600_000_002
    assert [message.created_at.timestamp() for message in history] == [
        1_600_000_000 + number for number in range(3)
    ]
    later = [*thread("Hi", "Ho", "Bye"), node("m3", "m2", "assistant", "!", create_time=1.7e9)]
    write(path, [chatgpt(later, update_time=1.7e9 + 60)])
    await import_file(db, user.id, path)
    [(conversation, _)] = (await stored(db, user)).values()
    assert conversation.updated_at.timestamp() == 1.7e9 + 60


async def test_a_chat_that_has_grown_is_continued(db: Database, user: User, tmp_path: Path) -> None:
    """Else the second export would be skipped, and a month of a person's chats with it."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho"))])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=2)
    [(before, early)] = (await stored(db, user)).values()

    write(path, [chatgpt(thread("Hi", "Ho", "More?", "Yes"), title="Renamed there")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=2)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    [(after, history)] = (await stored(db, user)).values()
    assert (after.id, after.title, after.message_count) == (before.id, "Pears", 4)
    assert history[:2] == early
    assert [message.content for message in history] == ["Hi", "Ho", "More?", "Yes"]


async def test_an_older_export_changes_nothing(db: Database, user: User, tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho", "More?"))])
    await import_file(db, user.id, path)
    write(path, [chatgpt(thread("Hi", "Ho"))])
    assert await import_file(db, user.id, path) == Report(skipped=1)
    assert contents(await stored(db, user)) == {"Pears": ["Hi", "Ho", "More?"]}


async def test_growth_is_found_in_a_chat_of_any_length(
    db: Database, user: User, tmp_path: Path
) -> None:
    texts = [str(number) for number in range(450)]
    path = write(tmp_path / "c.json", [chatgpt(thread(*texts[:401]))])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=401)
    write(path, [chatgpt(thread(*texts))])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=49)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    page = await db.run(user.id, conversations.page)
    async with db.begin(user.id) as scope:
        walk = messages.walk(scope, page.items[0].id)
        assert [message.content async for message in walk] == texts


async def test_imports_of_growing_exports_may_race(
    db: Database, user: User, tmp_path: Path
) -> None:
    await import_file(db, user.id, write(tmp_path / "0.json", [chatgpt(thread("Hi", "Ho"))]))
    texts = ["Hi", "Ho", *map(str, range(8))]
    paths = [write(tmp_path / f"{n}.json", [chatgpt(thread(*texts[:n]))]) for n in (4, 6, 8, 10)]
    reports = await asyncio.gather(*(import_file(db, user.id, path) for path in paths * 2))
    assert sum(report.messages for report in reports) == 8
    assert contents(await stored(db, user)) == {"Pears": texts}


async def test_an_import_takes_up_a_conversation_that_was_opened_by_its_key(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else what an application has begun and its export are two conversations."""
    opened = await db.run(user.id, conversations.open, source="chatgpt", key="c-1", title="Mine")
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho"))])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=2)
    [(found, history)] = (await stored(db, user)).values()
    assert (found.id, found.title, len(history)) == (opened.id, "Mine", 2)


async def test_tool_calls_of_an_export_can_be_taken_up(
    db: Database, user: User, tmp_path: Path
) -> None:
    """A call that looked pending would be run by the first handler that sees it."""
    nodes = [
        node("q", None, "user", "Sum?"),
        node("c", "q", "assistant", "1 + 2", recipient="python"),
        node("r", "c", "tool", "3", name="python"),
        node("lone", "r", "assistant", "Remember", recipient="bio"),
        node("a", "lone", "assistant", "Three"),
    ]
    await import_file(db, user.id, write(tmp_path / "c.json", [chatgpt(nodes)]))
    [(conversation, history)] = (await stored(db, user)).values()
    assert [m.role for m in history] == ["user", "assistant", "tool", "assistant", "assistant"]
    assert await db.run(user.id, messages.pending_tool_calls, conversation.id) == []


async def test_what_was_left_out_is_reported_and_the_rest_stored(
    db: Database, user: User, tmp_path: Path
) -> None:
    big = node("q", None, "user", "Hi", metadata={"page": "hunter2" * 50_000})
    path = write(tmp_path / "c.json", [chatgpt([big])])
    refusals: list[Refusal] = []
    report = await import_file(db, user.id, path, on_refusal=refusals.append)
    assert report == Report(imported=1, messages=1, refused=1)
    assert contents(await stored(db, user)) == {"Pears": ["Hi"]}
    assert "hunter2" not in str(refusals)


async def test_the_format_can_be_said(db: Database, user: User, tmp_path: Path) -> None:
    chat = {"id": "a", "messages": [{"from": "human", "role": "user", "content": "Hi"}]}
    path = write(tmp_path / "c.json", [chat])
    assert await import_file(db, user.id, path, format="openai") == Report(imported=1, messages=1)
    assert await import_file(db, user.id, path, format="openai") == Report(skipped=1)
    [(conversation, _)] = (await stored(db, user)).values()
    assert (conversation.source, conversation.key) == ("openai", "a")
