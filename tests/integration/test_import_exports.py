"""Exports that are imported every month: what is new is added, and what is there stays as it is."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import DATA, MORE, chatgpt, existing, node, open_webui, reply, write

from faceplate import Database
from faceplate.importers import Refusal, Report, import_file
from faceplate.records import Conversation, Message, User
from faceplate.services import conversations, messages

Stored = dict[str, tuple[Conversation, list[Message]]]


def thread(*said: str, prefix: str = "m") -> list[dict[str, Any]]:
    """The nodes of a ChatGPT chat in which question and answer alternate."""
    nodes: list[dict[str, Any]] = []
    for number, text in enumerate(said):
        parent = nodes[-1]["id"] if nodes else None
        nodes.append(node(f"{prefix}{number}", parent, ("user", "assistant")[number % 2], text))
    return nodes


async def stored(db: Database, user: User) -> Stored:
    """All that a user has, by the titles."""
    page = await db.run(user.id, conversations.page, limit=200)
    found = {}
    for conversation in page.items:
        history = await db.run(user.id, messages.history, conversation.id, limit=200)
        found[conversation.title] = (conversation, history)
    assert len(found) == len(page.items)
    return found


def contents(found: Stored) -> dict[str, list[str]]:
    return {title: [m.content for m in history] for title, (_, history) in found.items()}


EXPORTS = [
    (DATA / "chatgpt_export.json", 3, 12),
    (DATA / "open_webui_export.json", 2, 4),
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
    assert first == Report(imported=chats, messages=said)
    assert await import_file(db, user.id, path) == Report(skipped=chats)


async def test_an_export_comes_back_with_its_branches_and_tool_calls(
    db: Database, user: User
) -> None:
    await import_file(db, user.id, DATA / "chatgpt_export.json")
    assert contents(await stored(db, user)) == {
        "Tomatoes on a balcony": [
            "Can I grow tomatoes on a north balcony?",
            "You can try, but they want six hours of sun a day. Cherry varieties manage with four.",
            "Which herbs would do better there?",
            "Mint, chives and parsley: all three are content with shade.",
        ],
        "Tomatoes on a balcony (branch 2)": [
            "Can I grow tomatoes on a north balcony?",
            "You can try, but they want six hours of sun a day. Cherry varieties manage with four.",
            "Which variety would you take?",
            "'Sungold' in a ten-litre pot.",
        ],
        "Mean of a list": ["What is the mean of 3, 8, 12 and 21?", "", "11", "The mean is 11."],
    }


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


async def test_a_chat_that_was_edited_is_kept_in_both_versions(
    db: Database, user: User, tmp_path: Path
) -> None:
    """An import that overwrote would lose the old words, one that skipped the new ones."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho", "Bye"))])
    await import_file(db, user.id, path)
    [(before, _)] = (await stored(db, user)).values()

    write(path, [chatgpt(thread("Hi", "HO", "Bye"), title="Edited")])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=3)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    write(path, [chatgpt(thread("Hi", "HO", "Bye", "So long"), title="Edited")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=1)
    found = await stored(db, user)
    assert contents(found) == {
        "Pears": ["Hi", "Ho", "Bye"],
        "Edited": ["Hi", "HO", "Bye", "So long"],
    }
    changed, _ = found["Edited"]
    assert changed.metadata["changed_from"] == {"conversation_id": str(before.id), "position": 1}


async def test_what_was_said_here_meanwhile_is_left_alone(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Answers from there must not stand between a question and its answer here."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho"))])
    await import_file(db, user.id, path)
    [(here, _)] = (await stored(db, user)).values()
    await db.run(user.id, messages.append, here.id, role="user", content="Asked here")
    assert await import_file(db, user.id, path) == Report(skipped=1)

    write(path, [chatgpt(thread("Hi", "Ho", "Asked there"), title="There")])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=3)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    assert contents(await stored(db, user)) == {
        "Pears": ["Hi", "Ho", "Asked here"],
        "There": ["Hi", "Ho", "Asked there"],
    }


async def test_a_new_branch_is_stored_and_nothing_else(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Asking for another answer must not store the whole chat once more each month."""
    nodes = thread("Hi", "Ho")
    path = write(tmp_path / "c.json", [chatgpt(nodes)])
    await import_file(db, user.id, path)

    nodes = [
        *thread("Hi", "Ho"),
        node("again", "m0", "assistant", "Hey"),
        node("x", "again", "user", "Go"),
    ]
    write(path, [chatgpt(nodes, title="Regenerated")])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=3, skipped=1)
    assert await import_file(db, user.id, path) == Report(skipped=2)
    assert contents(await stored(db, user)) == {
        "Pears": ["Hi", "Ho"],
        "Regenerated": ["Hi", "Hey", "Go"],
    }


async def test_a_branch_says_where_it_forked(db: Database, user: User, tmp_path: Path) -> None:
    chat = open_webui(
        [
            reply("q", None, "user", "Hi"),
            reply("a", "q", "assistant", "Ho"),
            reply("q2", "a", "user", "Pears?"),
            reply("q3", "a", "user", "Plums?"),
        ]
    )
    await import_file(db, user.id, write(tmp_path / "c.json", [chat]))
    found = await stored(db, user)
    shown, branch = found["Plums"][0], found["Plums (branch 2)"][0]
    assert contents(found) == {
        "Plums": ["Hi", "Ho", "Plums?"],
        "Plums (branch 2)": ["Hi", "Ho", "Pears?"],
    }
    assert branch.metadata["forked_from"] == {
        "conversation_id": str(shown.id),
        "position": 2,
        "message_id": "q2",
    }
    assert "forked_from" not in shown.metadata


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
    assert await import_file(db, user.id, path) == Report(skipped=1)
