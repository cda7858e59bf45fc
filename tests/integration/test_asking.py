"""`messages.ask`: what is appended, and the history that ends with it, are one answer."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from tests.conversation_model import essence
from tests.integration.test_conversation_races import (
    Chat,
    append,
    append_many,
    remove,
    remove_last,
    replace,
    switch,
)
from tests.locks import pid, until_blocked_by
from tests.units import LONG_AGO, calls, results
from uuid6 import uuid7

from faceplate import Conflict, Conversation, Database, InvalidInput, Message, NotFound, Scope, User
from faceplate.services import _path_reading, conversations, messages
from faceplate.services.messages import NewConversation, NewMessage


@pytest.fixture
async def chat_id(db: Database, user: User) -> UUID:
    return (await db.run(user.id, conversations.create)).id


@pytest.fixture
async def chat(db: Database, user: User, chat_id: UUID) -> Chat:
    told = await db.run(user.id, messages.append_many, chat_id, [NewMessage("user")] * 3)
    return Chat(chat_id, {message.position: message.id for message in told})


async def ask(db: Database, user: User, chat_id: UUID, **given: Any) -> list[Message]:
    return await db.run(user.id, messages.ask, chat_id, **{"role": "user", **given})


SAID: dict[str, dict[str, Any]] = {
    "text": {"content": "Will it rain? \U0001f327"},
    "nothing": {"content": None},
    "metadata": {"metadata": {"a": [1, None, "é"]}},
    "a body": {"role": None, "body": '{"n": 1e22, "n": "\\u0000"}'},
    "all": {
        "role": "assistant",
        "content": "Until noon.",
        "metadata": {"a": 1},
        "body": "[1.0]",
        "created_at": LONG_AGO,
        "model": "m-1",
        "input_tokens": 7,
        "output_tokens": 0,
    },
    "calls": {"role": "assistant", "tool_calls": calls("call_1")},
}


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_it_is_an_append_and_the_history(
    db: Database, user: User, chat_id: UUID, name: str, limit: int
) -> None:
    """Else a model is asked with another history than the one that is stored."""
    turn = [NewMessage("user", "Hello"), NewMessage("assistant", "Hi.", model="m-1")]
    await db.run(user.id, messages.append_many, chat_id, turn)
    id_ = uuid7()
    told = await ask(db, user, chat_id, id=id_, limit=limit, **SAID[name])
    assert told == await db.run(user.id, messages.history, chat_id, limit=limit)
    assert (told[-1].id, told[-1].position) == (id_, 3)
    stored = await db.run(
        user.id, messages.append, chat_id, id=id_, **{"role": "user", **SAID[name]}
    )
    assert told[-1] == stored


async def test_the_first_message_is_its_history(db: Database, user: User, chat_id: UUID) -> None:
    """Else a new chat, whose page shows nothing yet, is taken for one that has moved on."""
    told = await ask(db, user, chat_id, after=0)
    assert [message.position for message in told] == [1]


async def test_a_draft_and_an_old_message_are_in_the_history_as_they_are(
    db: Database, user: User, chat_id: UUID
) -> None:
    draft = await db.run(user.id, messages.append_draft, chat_id)
    told = await ask(db, user, chat_id, content="Go on")
    assert told[0] == draft
    saved = await db.run(
        user.id, messages.save_draft, chat_id, draft.id, content="Well", status="complete"
    )
    assert (await ask(db, user, chat_id))[:2] == [saved, told[1]]


async def test_results_of_tools_go_on_with_a_turn(db: Database, user: User, chat_id: UUID) -> None:
    """Else the second call of a model in a turn lacks what its tools said."""
    await ask(db, user, chat_id, content="Weather?")
    await db.run(user.id, messages.append, chat_id, **SAID["calls"])
    told = await ask(db, user, chat_id, role="tool", tool_results=results("call_1"))
    assert [message.role for message in told] == ["user", "assistant", "tool"]
    assert told == await db.run(user.id, messages.history, chat_id)
    with pytest.raises(InvalidInput, match="matches no pending call"):
        await ask(db, user, chat_id, role="tool", tool_results=results("call_1"))


@pytest.mark.parametrize("where", [{}, {"after": 2}, {"after": 2, "branch": True}])
async def test_a_retry_returns_the_history_as_it_was(
    db: Database, user: User, chat_id: UUID, where: dict[str, Any]
) -> None:
    """Else a client that did not get the first answer has its question stored or answered twice."""
    await db.run(user.id, messages.append_many, chat_id, [NewMessage("user", "one")] * 2)
    given: dict[str, Any] = {"content": "once", "id": uuid7(), "limit": 2, **where}
    first = await ask(db, user, chat_id, **given)
    await db.run(user.id, messages.append, chat_id, role="assistant", content="an answer")
    assert await ask(db, user, chat_id, **given) == first
    with pytest.raises(Conflict, match="other content"):
        await ask(db, user, chat_id, **given | {"content": "twice"})
    assert (await db.run(user.id, conversations.get, chat_id)).message_count == 4


async def test_what_is_not_there_is_refused(db: Database, user: User, chat_id: UUID) -> None:
    with pytest.raises(NotFound) as missing:
        await ask(db, user, uuid7())
    assert missing.value.record is Conversation
    with pytest.raises(NotFound) as missing:
        await ask(db, user, chat_id, after=1)
    assert missing.value.record is Message
    with pytest.raises(InvalidInput, match="limit"):
        await ask(db, user, chat_id, limit=0)
    assert not await db.run(user.id, messages.history, chat_id)


async def test_it_opens_a_conversation(db: Database, user: User) -> None:
    """Else the first question of a chat that begins elsewhere needs another call."""
    chat_id, opens = uuid7(), NewConversation(title="new")
    told = [await ask(db, user, chat_id, content=text, opens=opens) for text in "ab"]
    assert [message.content for message in told[-1]] == ["a", "b"]


async def branched(db: Database, user: User, chat_id: UUID) -> None:
    """Store 1 - 2 - 3 and 1 - 4 - 5, of which the second one is read."""
    said = [NewMessage("user", str(number)) for number in range(1, 6)]
    await db.run(user.id, messages.append_many, chat_id, said[:3])
    await db.run(user.id, messages.append_many, chat_id, said[3:], after=1, branch=True)


PATHS: dict[str, tuple[dict[str, Any], int | None, list[int]]] = {
    "at the end": ({}, None, [1, 4, 5, 6]),
    "after the end": ({"after": 5}, None, [1, 4, 5, 6]),
    "the last two": ({"limit": 2}, None, [5, 6]),
    "across the branch": ({"limit": 3}, None, [4, 5, 6]),
    "a branch": ({"after": 2, "branch": True}, None, [1, 2, 6]),
    "a first message": ({"after": 0, "branch": True}, None, [6]),
    "after a switch": ({}, 3, [1, 2, 3, 6]),
    "after the head": ({"after": 2}, 2, [1, 2, 6]),
}


@pytest.mark.parametrize("is_known", [False, True], ids=["new to the process", "known"])
@pytest.mark.parametrize("name", PATHS)
async def test_the_history_is_the_path_of_the_new_message(
    db: Database, user: User, chat_id: UUID, name: str, *, is_known: bool
) -> None:
    """Else a model is told what belongs to another branch."""
    where, leaf, path = PATHS[name]
    await branched(db, user, chat_id)
    if leaf is not None:
        await db.run(user.id, conversations.switch, chat_id, leaf)
    _path_reading.branched_lately.clear()
    if is_known:
        _path_reading.branched_lately[user.id, chat_id] = None
    told = await ask(db, user, chat_id, **where)
    assert [message.position for message in told] == path
    limit = where.get("limit", 50)
    assert told == await db.run(user.id, messages.history, chat_id, limit=limit)


async def test_a_stale_tab_is_refused(db: Database, user: User, chat_id: UUID) -> None:
    await branched(db, user, chat_id)
    for after in (0, 3):
        with pytest.raises(Conflict, match="moved on"):
            await ask(db, user, chat_id, after=after)
    assert (await db.run(user.id, conversations.get, chat_id)).message_count == 5


async def switch_away_and_back(scope: Scope, chat: Chat) -> None:
    await conversations.switch(scope, chat.id, 1)
    await conversations.switch(scope, chat.id, 3)


async def remove_and_append(scope: Scope, chat: Chat) -> None:
    """Leave as many messages as there were."""
    await messages.remove_last(scope, chat.id)
    await messages.append(scope, chat.id, role="user")


RACES: dict[str, tuple[Callable[[Scope, Chat], Awaitable[Any]], list[int]]] = {
    "an append": (append(), [1, 2, 3, 4, 5]),
    "appends": (append_many(), [1, 2, 3, 4, 5, 6]),
    "a removal": (remove_last, [1, 2, 4]),
    "removals": (remove(2), [1, 4]),
    "both": (remove_and_append, [1, 2, 4, 5]),
    "a branch": (append(after=1, branch=True), [1, 4, 5]),
    "a switch": (switch(2), [1, 2, 4]),
    "a switch away and back": (switch_away_and_back, [1, 2, 3, 4]),
}


async def in_a_unit(scope: Scope, chat_id: UUID, **given: Any) -> list[Message]:
    """Ask in a transaction."""
    return await messages.ask(scope, chat_id, **given)


@pytest.mark.parametrize("unit", [messages.ask, in_a_unit])
@pytest.mark.parametrize("name", RACES)
async def test_the_history_has_what_came_between(
    db: Database, user: User, chat: Chat, name: str, unit: Any
) -> None:
    """Else a model answers without what another tab has asked or removed meanwhile."""
    change, path = RACES[name]
    async with db.begin(user.id) as scope:
        await change(scope, chat)
        late = asyncio.create_task(db.run(user.id, unit, chat.id, role="user"))
        await until_blocked_by(db, await pid(scope))
    told = await late
    assert [message.position for message in told] == path
    stored = await db.run(user.id, messages.history, chat.id)
    assert [*map(essence, told)] == [*map(essence, stored)]


@pytest.mark.parametrize(
    ("change", "error"), [(append(), Conflict), (remove_last, NotFound), (switch(1), Conflict)]
)
async def test_a_tab_that_became_stale_while_it_waited_is_refused(
    db: Database, user: User, chat: Chat, change: Any, error: type[Exception]
) -> None:
    async with db.begin(user.id) as scope:
        await change(scope, chat)
        late = asyncio.create_task(db.run(user.id, messages.ask, chat.id, role="user", after=3))
        await until_blocked_by(db, await pid(scope))
    with pytest.raises(error):
        await late


async def test_a_message_that_is_replaced_meanwhile_does_not_hold_it_up(
    db: Database, user: User, chat: Chat
) -> None:
    """`replace` does not lock the conversation, so neither of the two waits."""
    async with db.begin(user.id) as scope:
        await replace(2)(scope, chat)
        told = await ask(db, user, chat.id)
    assert [message.content for message in told] == [""] * 4


async def test_writers_at_once_are_told_histories_of_one_conversation(
    db: Database, user: User, chat_id: UUID
) -> None:
    """Else of two members of a room who ask at once, one gets an answer to half a conversation."""

    async def go_on(dice: random.Random) -> list[list[Message]]:
        told = []
        for _ in range(10):
            if dice.random() < 0.3:
                await db.run(user.id, messages.append, chat_id, role="user", content="said")
            else:
                told.append(await ask(db, user, chat_id, content="asked", limit=1_000))
        return told

    everybody = await asyncio.gather(*(go_on(random.Random(seed)) for seed in range(12)))
    stored = await db.run(user.id, messages.history, chat_id, limit=1_000)
    assert len(stored) == 120
    for history in [history for told in everybody for history in told]:
        assert history == stored[: len(history)]
