"""A compaction of the SDK's shortens a session, and loses nothing of anybody else."""

import json
from typing import Any

import pytest
from agents import RunConfig, Runner
from tests.sdks.openai_agents.scripted import agent, says

from faceplate import Database, User
from faceplate.integrations.openai_agents import FaceplateSession
from faceplate.services import conversations, messages

compaction = pytest.importorskip(
    "agents.memory.openai_responses_compaction_session", reason="an older SDK has none"
)
atomic = pytest.mark.skipif(
    not hasattr(__import__("agents.memory.session").memory.session, "_CompactionSnapshot"),
    reason="an older SDK clears the session instead",
)

OLD: list[Any] = [{"role": "user", "content": f"old {number}"} for number in range(4)]
SUMMARY: Any = {"type": "compaction", "id": "cmp_1", "encrypted_content": "synthetic"}


class Compacting:
    """A client whose model compacts everything to one summary, after ``meanwhile``."""

    def __init__(self, meanwhile: Any = None) -> None:
        self.responses = self
        self.meanwhile = meanwhile
        self.given: list[list[Any]] = []

    async def compact(self, **asked: Any) -> Any:
        self.given.append(asked["input"])
        if self.meanwhile is not None:
            await self.meanwhile()
        return type("Compacted", (), {"output": [SUMMARY], "usage": None})


async def run(session: FaceplateSession, client: Compacting, limit: int | None = None) -> None:
    """Run an agent once, and compact what it was given and has said."""
    compacting = compaction.OpenAIResponsesCompactionSession(
        session.session_id,
        session,
        client=client,
        compaction_mode="input",
        should_trigger_compaction=lambda _: True,
    )
    config = RunConfig(session_settings={"limit": limit}) if limit else None  # type: ignore[arg-type]  # as it documents
    await Runner.run(agent([says("Done.")]), "Go on.", session=compacting, run_config=config)


@atomic
async def test_a_compaction_of_the_last_items_keeps_the_older_ones(
    db: Database, user: User
) -> None:
    """Else a session whose runs get the last items only grows for ever."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(OLD)
    client = Compacting()
    await run(session, client, limit=2)
    assert [len(items) for items in client.given] == [4]
    assert await session.get_items() == [*OLD[:2], SUMMARY]
    chat = await db.run(user.id, conversations.get, session.conversation_id)
    assert chat.title == "old 0"


@atomic
async def test_what_is_added_during_a_compaction_stays(db: Database, user: User) -> None:
    """Else a question that another process stores is lost while a model summarizes."""
    session = FaceplateSession(db, user.id, "a")
    question: Any = {"role": "user", "content": "And tomorrow?"}

    async def ask() -> None:
        await FaceplateSession(db, user.id, "a").add_items([question])

    await run(session, Compacting(ask))
    going_on, answer, last = await session.get_items()
    assert (going_on["content"], answer["role"], last) == ("Go on.", "assistant", question)


@atomic
async def test_a_compaction_stays_in_its_branch(db: Database, user: User) -> None:
    """Else the other answers of a question are gone, or the summary is among them."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(OLD[:2])
    await db.run(
        user.id,
        messages.append,
        session.conversation_id,
        role="user",
        content="edited",
        after=0,
        branch=True,
    )
    await run(session, Compacting())
    assert await session.get_items() == [SUMMARY]
    end = await db.run(user.id, messages.history, session.conversation_id, limit=1)
    assert end[0].body is not None
    await db.run(user.id, conversations.switch, session.conversation_id, 2)
    assert await session.get_items() == OLD[:2]


@pytest.mark.parametrize(("start", "is_replaced"), [(0, False), (1, False), (2, True)])
async def test_a_compaction_removes_nothing_that_another_branch_goes_on_from(
    db: Database, user: User, start: int, *, is_replaced: bool
) -> None:
    """Else an edited question loses what was said before it."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(OLD)
    chat = session.conversation_id
    await db.run(user.id, messages.append, chat, body=json.dumps(SUMMARY), after=2, branch=True)
    edited = await session.get_items()
    await db.run(user.id, conversations.switch, chat, 4)
    snapshot = await session._get_compaction_snapshot(4, prune_prefix=lambda _: True)
    assert snapshot is not None
    assert await snapshot.replace_suffix(start, [SUMMARY]) is is_replaced
    assert await session.get_items() == ([*OLD[:2], SUMMARY] if is_replaced else OLD)
    await db.run(user.id, conversations.switch, chat, 5)
    assert await session.get_items() == edited


@pytest.mark.parametrize("start", [0, 2])
async def test_the_end_of_a_session_is_replaced_only_as_it_was_read(
    db: Database, user: User, start: int
) -> None:
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(OLD)
    first = await session._get_compaction_snapshot(3)
    second = await session._get_compaction_snapshot(4)
    assert first is not None
    assert second is not None
    assert (first.items, first.complete) == (OLD[1:], False)
    assert (second.items, second.complete) == (OLD, True)
    assert await first.replace_suffix(start, [SUMMARY])
    expected = [*OLD[: start + 1], SUMMARY]
    assert not await second.replace_suffix(start, [SUMMARY])
    assert not await second.replace_suffix(4, [SUMMARY])
    assert await session.get_items() == expected


async def test_the_oldest_items_that_are_expired_go_with_the_end(db: Database, user: User) -> None:
    """Else an encrypted session keeps for ever what nobody can read any more."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(OLD)
    expired = {"old 0", "old 2"}
    snapshot = await session._get_compaction_snapshot(
        1, prune_prefix=lambda item: item["content"] in expired
    )
    assert snapshot is not None
    assert await snapshot.replace_suffix(0, [SUMMARY])
    assert await session.get_items() == [*OLD[1:3], SUMMARY]


async def test_a_session_that_cannot_be_replaced_says_so(db: Database, user: User) -> None:
    """Else a part of a message, or what a subclass keeps beside its items, is replaced."""

    class Own(FaceplateSession):
        async def add_items(self, items: Any, *, wrapper: Any = None) -> None:
            await super().add_items(items, wrapper=wrapper)

    own, session = Own(db, user.id, "a"), FaceplateSession(db, user.id, "a")
    empty = await session._get_compaction_snapshot(3)
    assert empty is not None
    assert (empty.items, empty.complete) == ([], True)
    assert not await empty.replace_suffix(0, [SUMMARY])
    await session.add_items(OLD)
    assert await own._get_compaction_snapshot(3) is None
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "a", "arguments": "{}"}}
        for n in (1, 2)
    ]
    chat = session.conversation_id
    await db.run(user.id, messages.append, chat, role="assistant", tool_calls=calls)
    assert await session._get_compaction_snapshot(3) is None
