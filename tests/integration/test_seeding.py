"""`seed` makes the same data every time, and never touches what a developer did with it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr
from tests.units import everything_of

from faceplate import Conflict, Database, Settings, User
from faceplate.seeding import Seeded, email_of, seed
from faceplate.services import conversations, mcp_configs, messages, tasks, users


async def fill(db: Database, number: int = 1, **sizes: Any) -> Seeded:
    small = {"user_count": 2, "conversations_each": 3, "messages_each": 20}
    return await seed(db, number, **small | sizes)


async def user_of(db: Database, number: int = 1, *, seed: int = 1) -> User:
    return await db.run_system(users.by_email, email_of(seed, number))


@pytest.fixture
async def own(fresh_database_url: str) -> AsyncIterator[Database]:
    async with Database(Settings(database_url=SecretStr(fresh_database_url))) as db:
        yield db


async def written(db: Database, number: int, *, seed: int = 1) -> dict[str, list[Any]]:
    """All that a user has, but for what the units decide: ids of users and MCP configs, times."""
    user = await user_of(db, number, seed=seed)
    rows = await everything_of(db, user.id)
    del rows["users"]
    rows["mcp_configs"] = [row | {"id": None} for row in rows["mcp_configs"]]
    decided = {"user_id", "created_at", "updated_at", "active_hour", "stored_at"}
    return {
        table: [{name: row[name] for name in row.keys() - decided} for row in found]
        for table, found in rows.items()
    }


async def test_the_same_seed_makes_the_same_data_in_every_database(
    make_database: Callable[[], str],
) -> None:
    """A link to a conversation, or a test that was written over it, works on the next machine."""
    found = []
    for _ in range(2):
        url = await asyncio.to_thread(make_database)
        async with Database(Settings(database_url=SecretStr(url))) as db:
            assert await fill(db) == Seeded(users=2, conversations=6, messages=120, skipped=0)
            found.append([await written(db, number) for number in (1, 2)])
    assert found[0] == found[1]
    first, second = found[0]
    assert first["messages"] != second["messages"]


async def test_another_seed_makes_other_users_with_other_data(own: Database) -> None:
    await fill(own, 1)
    await fill(own, 2)
    said = []
    for number in (1, 2):
        data = await written(own, 1, seed=number)
        assert len(data["conversations"]) == 3
        said.append({message["content"] for message in data["messages"]})
    assert said[0] != said[1]


async def test_a_second_run_leaves_what_a_developer_did_to_the_data(own: Database) -> None:
    await fill(own)
    user = await user_of(own)
    page = await own.run(user.id, conversations.page)
    renamed, continued, _ = page.items
    await own.run(user.id, conversations.rename, renamed.id, "Mine now")
    await own.run(user.id, messages.append, continued.id, role="user", content="and this?")
    [task, *_] = (await own.run(user.id, tasks.page, state="open")).items
    await own.run(user.id, tasks.edit, task.id, title="Mine too")
    config = await own.run(user.id, mcp_configs.by_name, "documents")
    await own.run(user.id, mcp_configs.disable, config.id)
    before = await everything_of(own, user.id)
    assert await fill(own) == Seeded(users=2, conversations=0, messages=0, skipped=6)
    assert await everything_of(own, user.id) == before


async def test_more_can_be_asked_for_later(own: Database) -> None:
    await fill(own)
    before = await written(own, 1)
    more = await fill(own, user_count=3, conversations_each=4)
    assert more == Seeded(users=3, conversations=6, messages=120, skipped=6)
    after = await written(own, 1)
    assert [row for row in after["conversations"] if row in before["conversations"]] == (
        before["conversations"]
    )
    assert (len(after["conversations"]), len(after["tasks"])) == (4, len(before["tasks"]))


async def test_a_run_that_was_cut_short_is_completed_by_the_next(own: Database) -> None:
    def cut(done: int) -> None:
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await fill(own, on_progress=cut)
    done: list[int] = []
    again = await fill(own, on_progress=done.append)
    assert again.conversations + again.skipped == 6
    assert again.skipped >= 3
    assert done == [1, 2, 3, 4, 5, 6]
    for number in (1, 2):
        data = await written(own, number)
        assert {row["message_count"] for row in data["conversations"]} == {20}
        assert len(data["messages"]) == 60


async def test_conversations_look_like_those_of_a_chat(own: Database) -> None:
    """What a screen was never shown while it was built, it will show badly."""
    await fill(own, user_count=1, conversations_each=8, messages_each=30)
    user = await user_of(own)
    roles: Counter[str] = Counter()
    for conversation in (await own.run(user.id, conversations.page)).items:
        said = await own.run(user.id, messages.history, conversation.id)
        assert [message.position for message in said] == list(range(1, 31))
        assert said[0].role == "user"
        for before, after in pairwise(said):
            assert (before.role, after.role) != ("user", "user")
            assert before.role != "tool" or after.role in {"tool", "assistant"}
        assert await own.run(user.id, messages.pending_tool_calls, conversation.id) == []
        roles.update(str(message.role) for message in said)
    assert roles.keys() == {"user", "assistant", "tool"}
    for state in ("open", "done"):
        assert (await own.run(user.id, tasks.page, state=state)).items
    configs = (await own.run(user.id, mcp_configs.page)).items
    assert {config.enabled for config in configs} == {True, False}
    assert not any(config.has_secrets for config in configs)


async def test_no_conversation_ends_before_its_tools_have_answered(own: Database) -> None:
    """A short one would look like a crashed turn, and send a developer looking for the crash."""
    await fill(own, user_count=1, conversations_each=25, messages_each=4)
    user = await user_of(own)
    for conversation in (await own.run(user.id, conversations.page)).items:
        assert await own.run(user.id, messages.pending_tool_calls, conversation.id) == []


@pytest.mark.parametrize("length", [0, 1, messages.MAX_BATCH + 5])
async def test_a_conversation_has_as_many_messages_as_were_asked_for(
    own: Database, length: int
) -> None:
    seeded = await fill(own, user_count=1, conversations_each=1, messages_each=length)
    assert seeded.messages == length
    data = await written(own, 1)
    assert [row["message_count"] for row in data["conversations"]] == [length]
    assert len(data["messages"]) == length


async def test_an_address_that_is_somebody_elses_is_said(own: Database) -> None:
    await own.run_system(users.create, subject_id="somebody", email=email_of(1, 2))
    with pytest.raises(Conflict, match="email"):
        await fill(own)
