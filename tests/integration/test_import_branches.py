"""Trees that are imported again and again: one conversation, and each message once."""

import asyncio
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from tests.chat_files import chatgpt, node, open_webui, reply, thread, write
from tests.imported_chats import contents, stored

from faceplate import Database, Scope
from faceplate.importers import Report, import_file
from faceplate.models import Message
from faceplate.records import User
from faceplate.services import conversations, messages
from faceplate.statement import Statement


class Row(NamedTuple):
    position: int
    parent_position: int | None
    content: str


ROWS = Statement(
    Row,
    sa.select(Message.position, Message.parent_position, Message.content).order_by(
        Message.position
    ),
)

Path_ = tuple[str, ...]


async def test_60_regenerations_are_messages_and_no_conversations(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Each stored the whole chat once more: 660 messages took the space of 18,660."""
    nodes: list[dict[str, Any]] = []
    last = None
    for turn in range(600):
        role = ("user", "assistant")[turn % 2]
        nodes.append(node(f"n{turn}", last, role, f"turn {turn}"))
        if turn % 10 == 5:
            nodes.append(node(f"n{turn}x", last, role, f"other {turn}"))
        last = f"n{turn}"
    path = write(tmp_path / "c.json", [chatgpt(nodes)])
    assert await import_file(db, user.id, path) == Report(imported=1, messages=660)
    [(conversation, _)] = (await stored(db, user)).values()
    assert conversation.message_count == 660
    history = await db.run(user.id, messages.history, conversation.id, limit=1_000)
    assert [message.content for message in history] == [f"turn {turn}" for turn in range(600)]
    at = await db.run(
        user.id, messages.branches_at, conversation.id, [message.position for message in history]
    )
    assert [len(branches) for branches in at.values()] == [2] * 60
    assert await import_file(db, user.id, path) == Report(skipped=1)


async def test_a_new_branch_is_stored_and_nothing_else(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Asking for another answer must not store the whole chat once more each month."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho"))])
    await import_file(db, user.id, path)
    nodes = [
        *thread("Hi", "Ho"),
        node("again", "m0", "assistant", "Hey"),
        node("x", "again", "user", "Go"),
    ]
    write(path, [chatgpt(nodes, title="Regenerated")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=2)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    assert contents(await stored(db, user)) == {"Pears": ["Hi", "Hey", "Go"]}


async def test_the_alternatives_of_an_open_webui_chat(
    db: Database, user: User, tmp_path: Path
) -> None:
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
    assert contents(found) == {"Plums": ["Hi", "Ho", "Plums?"]}
    conversation, _ = found["Plums"]
    other = await db.run(user.id, messages.history, conversation.id, leaf=3)
    assert [message.content for message in other] == ["Hi", "Ho", "Pears?"]


async def test_an_edit_in_the_source_is_a_branch(db: Database, user: User, tmp_path: Path) -> None:
    """An import that overwrote would lose the old words, one that skipped the new ones."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho", "Bye"))])
    await import_file(db, user.id, path)
    write(path, [chatgpt(thread("Hi", "HO", "Bye"), title="Edited")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=2)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    write(path, [chatgpt(thread("Hi", "HO", "Bye", "So long"), title="Edited")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=1)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    found = await stored(db, user)
    assert contents(found) == {"Pears": ["Hi", "HO", "Bye", "So long"]}
    conversation, _ = found["Pears"]
    old = await db.run(user.id, messages.history, conversation.id, leaf=3)
    assert [message.content for message in old] == ["Hi", "Ho", "Bye"]


async def test_an_edit_here_stays_and_stores_nothing_again(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else a corrected word brings back, with the next import, all that followed it."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho", "Bye"))])
    await import_file(db, user.id, path)
    [(here, [_, answer, _])] = (await stored(db, user)).values()
    await db.run(user.id, messages.replace, here.id, answer.id, role="assistant", content="Ho!")
    assert await import_file(db, user.id, path) == Report(skipped=1)
    write(path, [chatgpt(thread("Hi", "Ho", "Bye", "So long"))])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=1)
    assert contents(await stored(db, user)) == {"Pears": ["Hi", "Ho!", "Bye", "So long"]}


async def test_what_was_said_here_meanwhile_stays_on_the_path(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Answers from there must not stand between a question and its answer here."""
    path = write(tmp_path / "c.json", [chatgpt(thread("Hi", "Ho"))])
    await import_file(db, user.id, path)
    [(here, _)] = (await stored(db, user)).values()
    await db.run(user.id, messages.append, here.id, role="user", content="Asked here")
    assert await import_file(db, user.id, path) == Report(skipped=1)

    write(path, [chatgpt(thread("Hi", "Ho", "Asked there"), title="There")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=1)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    assert contents(await stored(db, user)) == {"Pears": ["Hi", "Ho", "Asked here"]}
    there = await db.run(user.id, messages.branches, here.id, 4)
    assert [branch.position for branch in there] == [3, 4]
    await db.run(user.id, messages.append, here.id, role="assistant", content="Answered here")
    assert contents(await stored(db, user)) == {
        "Pears": ["Hi", "Ho", "Asked here", "Answered here"]
    }


async def test_what_was_removed_here_is_stored_again(
    db: Database, user: User, tmp_path: Path
) -> None:
    nodes = [*thread("Hi", "Ho", "Bye"), node("x", "m1", "user", "Go")]
    path = write(tmp_path / "c.json", [chatgpt(nodes)])
    await import_file(db, user.id, path)
    [(here, history)] = (await stored(db, user)).values()
    await db.run(user.id, messages.remove, here.id, history[1].id)
    assert contents(await stored(db, user)) == {"Pears": ["Hi"]}
    assert await import_file(db, user.id, path) == Report(continued=1, messages=3)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    leaf = await db.run(user.id, messages.history, here.id, leaf=7)
    assert [message.content for message in leaf] == ["Hi", "Ho", "Go"]
    await db.run(user.id, messages.remove_after, here.id, 0)
    assert await import_file(db, user.id, path) == Report(continued=1, messages=4)
    assert await import_file(db, user.id, path) == Report(skipped=1)


def with_answers(*texts: str, current: str | None = None) -> dict[str, Any]:
    """A chat of one question with these answers; the last one is shown, or ``current``."""
    answers = [node(text, "q", "assistant", text) for text in texts]
    return chatgpt([node("q", None, "user", "Hi"), *answers], current=current)


async def test_the_path_goes_where_the_source_shows_it(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else an answer that was thrown away there is what is read here."""
    path = tmp_path / "c.json"

    async def shown(chat: dict[str, Any]) -> str:
        await import_file(db, user.id, write(path, [chat]))
        [(_, [_, answer])] = (await stored(db, user)).values()
        return answer.content

    assert await shown(with_answers("a1")) == "a1"
    assert await shown(with_answers("a1", "a2")) == "a2"
    assert await shown(with_answers("a1", "a2", current="a1")) == "a1"
    assert await shown(with_answers("a1", "a2", "a3", current="a2")) == "a2"
    # An older file shows what was shown then.
    assert await shown(with_answers("a1")) == "a2"
    assert await shown(with_answers("a1", "a2", current="a1")) == "a2"


async def test_the_path_stays_where_it_was_moved_to_here(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else an import takes a reader away from the branch that they have chosen."""
    path = write(tmp_path / "c.json", [with_answers("a1", "a2", "a3")])
    await import_file(db, user.id, path)
    [(here, _)] = (await stored(db, user)).values()
    await db.run(user.id, conversations.switch, here.id, 2)
    write(path, [with_answers("a1", "a2", "a3", current="a2")])
    assert await import_file(db, user.id, path) == Report(skipped=1)
    write(path, [with_answers("a1", "a2", "a3", "a4")])
    assert await import_file(db, user.id, path) == Report(continued=1, messages=1)
    assert contents(await stored(db, user)) == {"Pears": ["Hi", "a1"]}
    message = await db.run(user.id, messages.append, here.id, role="user", content="Go")
    assert message.parent_position == 2


async def test_imports_of_growing_trees_may_race(db: Database, user: User, tmp_path: Path) -> None:
    """No message twice, whatever order they come in, and no row that follows nothing."""
    answers = [f"a{number}" for number in range(8)]
    paths = [
        write(tmp_path / f"{size}.json", [with_answers(*answers[:size], current="a0")])
        for size in range(1, 9)
    ]
    reports = await asyncio.gather(*(import_file(db, user.id, path) for path in paths * 2))
    assert sum(report.messages for report in reports) == 9
    assert sum(report.imported for report in reports) == 1
    [(conversation, history)] = (await stored(db, user)).values()
    assert [message.content for message in history] == ["Hi", "a0"]
    alternatives = await db.run(user.id, messages.branches, conversation.id, 2)
    assert len(alternatives) == 8


async def test_appends_and_imports_may_race(db: Database, user: User, tmp_path: Path) -> None:
    """Both give positions: none twice, and what is said here stays one thread."""
    await import_file(db, user.id, write(tmp_path / "0.json", [with_answers("a0")]))
    [(here, _)] = (await stored(db, user)).values()
    paths = [
        write(tmp_path / f"{size}.json", [with_answers(*(f"a{n}" for n in range(size)))])
        for size in range(2, 8)
    ]

    async def talk() -> None:
        for number in range(10):
            await db.run(user.id, messages.append, here.id, role="user", content=str(number))

    await asyncio.gather(talk(), *(import_file(db, user.id, path) for path in paths))
    rows = await db.run(user.id, read_rows)
    assert [row.position for row in rows] == list(range(1, 1 + 7 + 10 + 1))
    after = await db.run(user.id, conversations.get, here.id)
    assert after.message_count == len(rows)
    history = await db.run(user.id, messages.history, here.id)
    said = [message.content for message in history if message.content.isdigit()]
    assert said == [str(number) for number in range(10)]


class Source:
    """A chat that its author goes on with, edits and regenerates, in any order."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._said: dict[str, tuple[str | None, str]] = {}
        self._number = 0
        self._current = ""

    def go_on(self) -> None:
        """Do one thing that an author may do."""
        self._number += 1
        ids = list(self._said)
        if ids and self._dice.random() < 0.2:
            edited = self._dice.choice(ids)
            parent, _ = self._said[edited]
            self._said[edited] = (parent, f"edit {self._number}")
        else:
            above = self._current if ids and self._dice.random() < 0.5 else None
            parent = above or self._dice.choice([*ids, None])
            self._said[f"n{self._number}"] = (parent, f"said {self._number}")
            ids = list(self._said)
        self._current = ids[-1] if self._dice.random() < 0.7 else self._dice.choice(ids)

    def export(self) -> dict[str, Any]:
        nodes = [node(id_, parent, "user", text) for id_, (parent, text) in self._said.items()]
        return chatgpt(nodes, current=self._current)

    def shown(self) -> Path_:
        return self._path(self._current)

    def paths(self) -> set[Path_]:
        return {self._path(id_) for id_ in self._said}

    def _path(self, id_: str | None) -> Path_:
        if id_ is None:
            return ()
        parent, text = self._said[id_]
        return (*self._path(parent), text)


async def read_rows(scope: Scope) -> list[Row]:
    return await scope.all(ROWS)


def stored_paths(rows: list[Row]) -> dict[int, Path_]:
    """The path to each message, by the positions."""
    found: dict[int, Path_] = {0: ()}
    before = 0
    for position, parent, content in rows:
        above = before if parent is None else parent if parent < position else 0
        found[position] = (*found[above], content)
        before = position
    del found[0]
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_an_author_does_every_version_is_there_once(
    db: Database, user: User, tmp_path: Path, seed: int
) -> None:
    """Also where two imports of it run at once, and an older file comes after a newer one."""
    source = Source(seed)
    seen: set[Path_] = set()
    older: dict[str, Any] | None = None
    for number in range(12):
        for _ in range(3):
            source.go_on()
        seen |= source.paths()
        path = write(tmp_path / f"{number}.json", [source.export()])
        await asyncio.gather(*(import_file(db, user.id, path) for _ in range(2)))
        paths = stored_paths(await db.run(user.id, read_rows))
        assert sorted(paths.values()) == sorted(seen)
        [(conversation, history)] = (await stored(db, user)).values()
        assert tuple(message.content for message in history) == source.shown()
        assert conversation.message_count == len(paths)
        if older is not None:
            again = write(tmp_path / "older.json", [older])
            assert await import_file(db, user.id, again) == Report(skipped=1)
        older = source.export()


async def test_a_chat_whose_system_prompt_was_changed_is_stored_once(
    db: Database, user: User, tmp_path: Path
) -> None:
    """Else an edited prompt of an assistant stores each of its chats once more."""
    value = open_webui([reply("q", None, "user", "Hi"), reply("a", "q", "assistant", "Ho")])
    path = tmp_path / "c.json"
    value["chat"]["params"] = {"system": "Be brief."}
    await import_file(db, user.id, write(path, [value]))
    value["chat"]["params"] = {"system": "Be kind."}
    assert await import_file(db, user.id, write(path, [value])) == Report(continued=1, messages=1)
    assert await import_file(db, user.id, path) == Report(skipped=1)
    assert contents(await stored(db, user)) == {"Plums": ["Be brief.", "Hi", "Ho"]}
