"""Branches lose nothing: whatever is done to a conversation, its paths are what they should be."""

import random
from typing import Any

import pytest
from sqlalchemy import text
from tests.campaigns import Campaign
from tests.conversation_model import essence
from tests.conversation_play import Play

from faceplate import Database, Scope, User
from faceplate.services import _path_reading, conversations, messages
from faceplate.services.messages import NewMessage

STEPS = 30
"""Operations a conversation: enough for branches of branches, and few enough to read."""


async def test_any_operations_leave_the_paths_that_a_model_has(
    db: Database, user: User, campaign: Campaign
) -> None:
    """Else an edit, a regenerated answer or a removal hides or loses a message of another path."""
    for number in range(campaign.size(50, 1_000)):
        play = Play(db, user.id, random.Random(f"{campaign.seed} {number}"))
        try:
            await play.play(STEPS)
        except BaseException as error:
            error.add_note(f"--seed={campaign.seed}, conversation {number}")
            raise


async def test_what_is_remembered_of_conversations_stays_small(
    db: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process that serves edited chats grows for as long as it lives."""
    monkeypatch.setattr(_path_reading, "MOST_REMEMBERED", 2)
    _path_reading.branched_lately.clear()
    made = []
    for _ in range(3):
        play = Play(db, user.id, random.Random(1))
        await play.run(conversations.create, id=play.id)
        new = [NewMessage("user", "one of many")] * 2
        for _ in range(2):
            await play.run(messages.append_many, play.id, new, after=0, branch=True)
        await play.run(conversations.switch, play.id, 2)
        for _ in range(2):
            assert [one.position for one in await play.run(messages.history, play.id)] == [1, 2]
        made.append((user.id, play.id))
    assert [*_path_reading.branched_lately] == made[-2:]


BRANCHES, MESSAGES_A_BRANCH = 200, 10


@pytest.fixture
async def tree(db: Database, user: User, campaign: Campaign) -> Play:
    """2,000 messages in 200 branches. Most begin near the newest message, so paths are long."""
    play, dice = Play(db, user.id, campaign.dice), campaign.dice
    await play.run(conversations.create, id=play.id)
    for _ in range(BRANCHES):
        new = [NewMessage("user", "one of many")] * MESSAGES_A_BRANCH
        places = [0, *play.model.messages]
        after = dice.choice(places if dice.random() < 0.1 else places[-15:])
        told = await play.run(messages.append_many, play.id, new, after=after, branch=True)
        play.model.append(told, after=after)
    return play


async def test_a_page_of_any_path_is_what_the_parents_say(tree: Play, campaign: Campaign) -> None:
    """Else a page of a long chat with many edits leaves out a turn or shows one twice."""
    for leaf in campaign.dice.sample([*tree.model.messages], 50):
        path = tree.model.path(leaf)
        for limit in (1, 2, 50, 200, 1000):
            read = await tree.run(messages.history, tree.id, leaf=leaf, limit=limit)
            assert [*map(essence, read)] == path[-limit:]


HEADS = {
    "removed": "DELETE FROM faceplate.messages WHERE conversation_id = :id AND position = 3",
    "never there": "UPDATE faceplate.conversations SET head = 99 WHERE id = :id",
}


async def execute(scope: Scope, sql: str, /, **values: Any) -> None:
    await scope.session.execute(text(sql), values)


@pytest.mark.parametrize("head", HEADS)
async def test_a_head_that_is_not_there_blocks_nobody(db: Database, user: User, head: str) -> None:
    """Else one row removed by a program's own SQL leaves a chat that takes no message any more."""
    id_ = (await db.run(user.id, conversations.create)).id
    await db.run(user.id, messages.append_many, id_, [NewMessage("user")] * 5)
    await db.run(user.id, conversations.switch, id_, 3)
    await db.run(user.id, execute, HEADS[head], id=id_)
    path = await db.run(user.id, messages.everything, id_)
    reply = await db.run(user.id, messages.append, id_, role="user", after=path[-1].position)
    assert [*map(essence, await db.run(user.id, messages.history, id_))] == [
        *map(essence, [*path, reply])
    ]


@pytest.mark.parametrize(("descending", "rest"), [(False, [3, 4]), (True, [5, 2, 1])])
async def test_pages_after_a_switch_leave_no_gap(
    db: Database, user: User, *, descending: bool, rest: list[int]
) -> None:
    """Else a reader who scrolls up sees messages of another branch above those of this one."""
    id_ = (await db.run(user.id, conversations.create)).id
    await db.run(user.id, messages.append_many, id_, [NewMessage("user")] * 4)
    await db.run(user.id, messages.append_many, id_, [NewMessage("user")] * 3, after=2, branch=True)
    page = await db.run(user.id, messages.page, id_, limit=2, descending=descending)
    await db.run(user.id, conversations.switch, id_, 4)
    page = await db.run(user.id, messages.page, id_, descending=descending, cursor=page.next_cursor)
    assert [message.position for message in page.items] == rest
