"""Writers who share conversations, each with dice of its own, and note what they were told."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from uuid6 import uuid7

from faceplate import (
    CommitOutcomeUnknown,
    Conflict,
    ConnectionLost,
    Database,
    Message,
    NotFound,
)
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage
from tests.conversation_model import Tree, stored_tree
from tests.conversation_play import walked


class Shared:
    """One conversation, and what all of its writers were told of it."""

    def __init__(self, db: Database, user_id: UUID, *, removals: bool, replays: bool) -> None:
        self.db, self.user_id, self.removals = db, user_id, removals
        self.replays = replays
        """Whether answers are lost. A message that is removed before its append is replayed is
        stored once more."""
        self.id = uuid7()
        self.told: dict[UUID, Message] = {}
        self.answered: dict[int, int] = {}
        """By position, what a message was appended after, where its writer said so."""
        self.removed = 0
        self.paths: list[list[UUID]] = []
        """The conversations that were read, and their forks."""
        self.refused = 0
        """How often somebody else was quicker."""
        self.lost = 0
        """How often a connection was lost, and nothing was kept."""
        self.doubts = 0
        """How often it could not be found out whether something was kept."""

    async def run(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.db.run(self.user_id, unit, *args, **kwargs)

    def note(self, appended: list[Message], after: int | None = None) -> None:
        for message in appended:
            known = self.told.setdefault(message.id, message)
            assert known.position == message.position, "one message was stored twice"
            if after is not None:
                assert self.answered.setdefault(message.position, after) == after
            after = message.position

    def somewhere(self, dice: random.Random) -> int:
        return dice.choice([0, *(message.position for message in self.told.values())])

    async def check(self) -> None:
        """Raise unless the tables hold a tree of exactly what was told and not removed."""
        tree = await stored_tree(self.db, self.user_id, self.id)
        by_position = {message.position: message.id for message in self.told.values()}
        assert len(by_position) == len(self.told), "a position was given twice"
        stored, told = tree.ids.items(), by_position.items()
        assert self.doubts or stored <= told, "what was not told is stored"
        assert self.removals or told <= stored, "a message was lost"
        assert self.doubts or len(stored) >= len(told) - self.removed, "a message was lost"
        if not self.replays:
            assert len(stored) == len(told) - self.removed, "a message was stored twice"
            assert sorted(by_position) == [*range(1, len(told) + 1)], "a position was skipped"
        for position, after in self.answered.items():
            if after in {0, *tree.ids}:
                assert tree.parents.get(position, after) == after, "a message follows another one"
        for leaf in tree.ids:
            read = await self.run(messages.history, self.id, leaf=leaf, limit=1000)
            assert [message.id for message in read] == path_of(tree, leaf)
        read = await self.run(walked, self.id)
        assert [message.id for message in read] == path_of(tree, tree.end)
        if not self.removals:  # else a path may be gone
            position_of = {id_: position for position, id_ in tree.ids.items()}
            for path in filter(None, self.paths):
                assert path == path_of(tree, position_of[path[-1]]), "what was read is gone"


def path_of(tree: Tree, leaf: int) -> list[UUID]:
    found = []
    while leaf:
        found.append(tree.ids[leaf])
        leaf = tree.parents[leaf]
    return found[::-1]


Move = Callable[[Shared], Awaitable[None]]


class Writer:
    """One of many who write at once."""

    def __init__(self, shared: list[Shared], dice: random.Random) -> None:
        self.shared, self.dice = shared, dice

    async def write(self, steps: int) -> None:
        for _ in range(steps):
            chat = self.dice.choice(self.shared)
            moves: list[Move] = [
                *[
                    self.append,
                    self.ask,
                    self.append_many,
                    self.branch,
                    self.branch_many,
                    self.switch,
                ]
                * 2,
                *[self.reply, self.draft, self.read, self.fork, self.replace],
                # What was removed before its retry is appended once more.
                *(
                    [self.remove, self.remove_one, self.remove_after]
                    if chat.removals
                    else [self.send_twice]
                ),
            ]
            try:
                await self.dice.choice(moves)(chat)
            except (Conflict, NotFound):
                chat.refused += 1
            except ConnectionLost:
                chat.lost += 1
            except CommitOutcomeUnknown:
                chat.doubts += 1

    def new(self) -> NewMessage:
        return NewMessage("user", str(self.dice.random()), id=uuid7())

    async def append(self, chat: Shared, **where: Any) -> None:
        new = self.new()
        told = await chat.run(messages.append, chat.id, **new._asdict(), **where)
        chat.note([told], where.get("after"))

    async def ask(self, chat: Shared, **where: Any) -> None:
        new = self.new()
        told = await chat.run(messages.ask, chat.id, **new._asdict(), **where, limit=1000)
        chat.note(told[-1:], where.get("after"))
        chat.paths.append([message.id for message in told])

    async def append_many(self, chat: Shared, **where: Any) -> None:
        new = [self.new() for _ in range(self.dice.randint(2, 4))]
        told = await chat.run(messages.append_many, chat.id, new, **where)
        chat.note(told, where.get("after"))

    async def draft(self, chat: Shared, **where: Any) -> None:
        begun = await chat.run(messages.append_draft, chat.id, **where)
        chat.note([begun], where.get("after"))
        await chat.run(messages.save_draft, chat.id, begun.id, content="so far", status="complete")

    async def reply(self, chat: Shared) -> None:
        """Append after what was read as the last message, unless somebody else has."""
        read = await chat.run(messages.history, chat.id, limit=1)
        move = self.dice.choice((self.append, self.ask, self.append_many, self.draft))
        await move(chat, after=read[-1].position if read else 0)

    async def branch(self, chat: Shared) -> None:
        move = self.dice.choice((self.append, self.ask))
        await move(chat, after=chat.somewhere(self.dice), branch=True)

    async def branch_many(self, chat: Shared) -> None:
        move = self.dice.choice((self.append_many, self.draft))
        await move(chat, after=chat.somewhere(self.dice), branch=True)

    async def send_twice(self, chat: Shared) -> None:
        """Append a message and its retry at once."""
        new, where = self.new()._asdict(), {}
        if self.dice.random() < 0.5:
            where = {"after": chat.somewhere(self.dice), "branch": True}
        both = [chat.run(messages.append, chat.id, **new, **where) for _ in range(2)]
        ends = await asyncio.gather(*both, return_exceptions=True)
        chat.note([end for end in ends if isinstance(end, Message)][:1], where.get("after"))
        assert len({end.position for end in ends if isinstance(end, Message)}) < 2
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def switch(self, chat: Shared) -> None:
        if position := chat.somewhere(self.dice):
            await chat.run(conversations.switch, chat.id, position)

    async def read(self, chat: Shared) -> None:
        leaf = chat.somewhere(self.dice) or None
        read = await chat.run(messages.history, chat.id, leaf=leaf, limit=1000)
        chat.paths.append([message.id for message in read])

    async def fork(self, chat: Shared) -> None:
        at = chat.somewhere(self.dice) or None
        fork = await chat.run(conversations.fork, chat.id, at=at)
        read = await chat.run(walked, fork.id)
        assert [message.position for message in read] == [*range(1, fork.message_count + 1)]
        chat.paths.append([message.id for message in read])

    async def replace(self, chat: Shared) -> None:
        if chat.told:
            id_ = self.dice.choice([*chat.told])
            told = await chat.run(messages.replace, chat.id, id_, role="user")
            assert (told.id, told.position) == (id_, chat.told[id_].position)

    async def remove(self, chat: Shared) -> None:
        if chat.told:
            id_ = self.dice.choice([*chat.told])
            removed = await chat.run(messages.remove, chat.id, id_)
            chat.removed += removed

    async def remove_one(self, chat: Shared) -> None:
        if chat.told:
            await chat.run(messages.remove_one, chat.id, self.dice.choice([*chat.told]))
            chat.removed += 1

    async def remove_after(self, chat: Shared) -> None:
        position = self.dice.randint(max(len(chat.told) - 5, 0), len(chat.told) + 1)
        removed = await chat.run(messages.remove_after, chat.id, position)
        chat.removed += removed


async def share(db: Database, user_id: UUID, *, replays: bool = False) -> list[Shared]:
    """Make the conversations that a crowd shares: one from which nothing is removed, and two."""
    shared = [
        Shared(db, user_id, removals=removals, replays=replays) for removals in (False, True, True)
    ]
    for chat in shared:
        await chat.run(conversations.create, id=chat.id)
    return shared


async def write_at_once(
    shared: list[Shared], dice: random.Random, *, writers: int, steps: int
) -> None:
    """Let writers work on the conversations, each so many steps."""
    async with asyncio.TaskGroup() as group:
        for _ in range(writers):
            writer = Writer(shared, random.Random(dice.random()))
            group.create_task(writer.write(steps))
