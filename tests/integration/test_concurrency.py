"""Concurrency: however many write at once, each message has its place and each user their own."""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import Any
from uuid import UUID

import pytest
from tests.locks import pid, until_blocked_by
from uuid6 import uuid7

from faceplate import Contention, Conversation, Database, Message, NotFound, Scope, User
from faceplate.services import conversations, mcp_configs, messages, tasks, users
from faceplate.services.messages import NewMessage

WRITERS = 20


async def everything(scope: Scope, conversation_id: UUID) -> list[Message]:
    return [message async for message in messages.walk(scope, conversation_id)]


async def test_20_writers_leave_one_history_without_gap_or_duplicate(
    db: Database, user: User
) -> None:
    """A thousand appends: positions 1 to 1000, in the order in which they were acknowledged."""
    conversation = await db.run(user.id, conversations.create)
    clock = iter(range(1_000_000))
    spans: dict[UUID, tuple[int, int]] = {}

    async def write() -> list[Message]:
        written = []
        for _ in range(50):
            asked = next(clock)
            message = await db.run(user.id, messages.append, conversation.id, role="user")
            spans[message.id] = (asked, next(clock))
            written.append(message)
        return written

    writers = await asyncio.gather(*(write() for _ in range(WRITERS)))
    history = await db.run(user.id, everything, conversation.id)
    assert [message.position for message in history] == list(range(1, 1001))
    acknowledged = [message for writer in writers for message in writer]
    assert history == sorted(acknowledged, key=lambda message: message.position)
    now = await db.run(user.id, conversations.get, conversation.id)
    assert now.message_count == 1000

    # What was acknowledged before another was asked for has committed, and stands, before it.
    asked_until = accumulate((spans[message.id][0] for message in history), max)
    for message, latest_asked in zip(history, asked_until, strict=True):
        assert latest_asked <= spans[message.id][1]


async def test_removing_while_others_append_gives_no_position_twice(
    db: Database, user: User
) -> None:
    conversation = await db.run(user.id, conversations.create)

    given: list[int] = []

    async def append() -> None:
        made = await db.run(user.id, messages.append, conversation.id, role="user")
        given.append(made.position)

    async def append_many() -> None:
        batch = [NewMessage("user")] * 3
        made = await db.run(user.id, messages.append_many, conversation.id, batch)
        given.extend(message.position for message in made)

    async def remove_last() -> None:
        with contextlib.suppress(NotFound):  # all of them were removed just now
            await db.run(user.id, messages.remove_last, conversation.id)

    async def remove_after() -> None:
        now = await db.run(user.id, conversations.get, conversation.id)
        await db.run(user.id, messages.remove_after, conversation.id, max(now.message_count - 2, 0))

    async def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            await chance.choice((append, append_many, remove_last, remove_after))()

    await asyncio.gather(*(work(seed) for seed in range(10)))
    await append()
    history = await db.run(user.id, everything, conversation.id)
    positions = [message.position for message in history]
    assert positions == sorted({*positions})
    assert len({*given}) == len(given)
    now = await db.run(user.id, conversations.get, conversation.id)
    assert now.message_count == len(history)


async def create_conversation(db: Database, user: User, id_: UUID) -> Any:
    return await db.run(user.id, conversations.create, id=id_)


async def create_task(db: Database, user: User, id_: UUID) -> Any:
    return await db.run(user.id, tasks.create, title="once", id=id_)


async def put_config(db: Database, user: User, id_: UUID) -> Any:
    return (await db.run(user.id, mcp_configs.put, str(id_), {"command": "uvx"})).id


async def ensure(db: Database, _user: User, id_: UUID) -> Any:
    return await db.run_system(users.ensure, str(id_), email=f"{id_}@example.com")


@pytest.mark.parametrize("once", [create_conversation, create_task, put_config, ensure])
async def test_what_is_raced_is_made_once_and_everybody_gets_it(
    db: Database, user: User, once: Callable[[Database, User, UUID], Awaitable[Any]]
) -> None:
    """Two tabs that sign in, or a client that sends again, must not make two of anything."""
    for _ in range(10):
        id_ = uuid7()
        first, *others = await asyncio.gather(*(once(db, user, id_) for _ in range(WRITERS)))
        assert others == [first] * (WRITERS - 1)


@pytest.mark.parametrize("is_batch", [False, True])
async def test_one_message_sent_20_times_at_once_is_stored_once(
    db: Database, user: User, *, is_batch: bool
) -> None:
    conversation = await db.run(user.id, conversations.create)

    async def send(batch: list[NewMessage]) -> list[Message]:
        if is_batch:
            return await db.run(user.id, messages.append_many, conversation.id, batch)
        return [await db.run(user.id, messages.append, conversation.id, **batch[0]._asdict())]

    stored: list[Message] = []
    for _ in range(5):
        batch = [NewMessage("user", "once", id=uuid7()) for _ in range(2 if is_batch else 1)]
        first, *others = await asyncio.gather(*(send(batch) for _ in range(WRITERS)))
        assert others == [first] * (WRITERS - 1)
        stored += first
    history = await db.run(user.id, messages.history, conversation.id)
    assert history == stored
    assert [message.position for message in history] == list(range(1, len(stored) + 1))
    after = await db.run(user.id, messages.append, conversation.id, role="user")
    assert after.position == len(stored) + 1


class Worker:
    """A user at work, who knows what they have written, and looks whose everything is."""

    def __init__(self, db: Database, user: User, seed: int) -> None:
        self.db, self.user_id, self.mark = db, user.id, user.subject_id
        self.chance = random.Random(seed)
        self.threads: dict[UUID, list[str]] = {}
        self.titles: dict[UUID, str] = {}

    async def run(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.db.run(self.user_id, unit, *args, **kwargs)

    def text(self) -> str:
        return f"{self.mark} {secrets.token_hex(4)}"

    def thread(self) -> UUID:
        return self.chance.choice(list(self.threads))

    async def work(self, steps: int) -> None:
        await self.open_thread()
        await self.add_task()
        actions = (
            *([self.append, self.read] * 4),
            *([self.append_many, self.list_threads, self.list_tasks] * 2),
            *(self.open_thread, self.remove_last, self.delete_thread, self.add_task),
            *(self.edit_task, self.put_config),
        )
        for _ in range(steps):
            await self.chance.choice(actions)()
        for thread in self.threads:
            await self.read(thread)
        await self.list_threads()
        await self.list_tasks()

    async def open_thread(self) -> None:
        title = self.text()
        made = await self.run(conversations.create, title=title)
        self.threads[made.id], self.titles[made.id] = [], title

    async def delete_thread(self) -> None:
        if len(self.threads) > 1:
            thread = self.thread()
            await self.run(conversations.delete, thread)
            del self.threads[thread], self.titles[thread]

    async def append(self) -> None:
        thread, content = self.thread(), self.text()
        self.threads[thread].append(content)
        message = await self.run(messages.append, thread, role="user", content=content)
        assert message.content == content

    async def append_many(self) -> None:
        thread, texts = self.thread(), [self.text() for _ in range(3)]
        self.threads[thread] += texts
        batch = [NewMessage("user", content) for content in texts]
        stored = await self.run(messages.append_many, thread, batch)
        assert [message.content for message in stored] == texts

    async def remove_last(self) -> None:
        thread = self.thread()
        if self.threads[thread]:
            message = await self.run(messages.remove_last, thread)
            assert message.content == self.threads[thread].pop()

    async def read(self, thread: UUID | None = None) -> None:
        thread = thread or self.thread()
        history = await self.run(messages.history, thread, limit=200)
        assert [message.content for message in history] == self.threads[thread]

    async def list_threads(self) -> None:
        page = await self.run(conversations.page, limit=200)
        assert {row.id: row.title for row in page.items} == self.titles

    async def add_task(self) -> None:
        await self.run(tasks.create, title=self.text())

    async def edit_task(self) -> None:
        task = self.chance.choice((await self.run(tasks.page)).items)
        edited = await self.run(tasks.edit, task.id, title=self.text())
        assert edited.id == task.id

    async def list_tasks(self) -> None:
        page = await self.run(tasks.page, limit=200)
        assert page.items
        assert all(task.title.startswith(self.mark) for task in page.items)

    async def put_config(self) -> None:
        config = {"command": self.mark}
        await self.run(mcp_configs.put, "same for everybody", config)
        page = await self.run(mcp_configs.page)
        assert [row.config for row in page.items] == [config]


async def test_50_users_at_work_see_nothing_but_their_own(db: Database) -> None:
    """Some thousands of mixed operations over one pool of 20 connections."""
    made = [await db.run_system(users.create, subject_id=secrets.token_hex()) for _ in range(50)]
    workers = [Worker(db, user, seed) for seed, user in enumerate(made)]
    await asyncio.gather(*(worker.work(50) for worker in workers))


async def test_appends_to_one_conversation_do_not_hold_up_another(db: Database, user: User) -> None:
    """A slow turn in one tab would otherwise stop every other tab."""
    busy, free = [await db.run(user.id, conversations.create) for _ in range(2)]

    async def append_to(conversation: Conversation) -> Message:
        return await db.run(user.id, messages.append, conversation.id, role="user")

    async with db.begin(user.id) as scope:
        await messages.append(scope, busy.id, role="user")  # holds its lock until the end
        assert (await append_to(free)).position == 1
    assert (await append_to(busy)).position == 2


@pytest.mark.parametrize(
    "unit", [messages.append, messages.append_many, messages.append_draft, messages.ask]
)
async def test_the_same_message_from_two_at_a_time_is_stored_once(
    db: Database, user: User, unit: Any
) -> None:
    """A client that has asked twice gets one answer twice, though neither could see the other."""
    conversation = await db.run(user.id, conversations.create)
    message_id = uuid7()
    given: dict[Any, dict[str, Any]] = {
        messages.append: {"role": "user", "content": "once", "id": message_id},
        messages.append_many: {"messages": [NewMessage("user", "once", id=message_id)]},
        messages.append_draft: {"id": message_id},
        messages.ask: {"role": "user", "content": "once", "id": message_id},
    }
    arguments = given[unit] | {"conversation_id": conversation.id}
    retries = db.counters.retries.total()
    async with db.begin(user.id) as scope:
        first = await unit(scope, **arguments)
        second = asyncio.create_task(db.run(user.id, unit, **arguments))
        await until_blocked_by(db, await pid(scope))
    assert await second == first
    # The key refuses the second one, which is retried. What is a transaction by itself is run again
    # in a larger one instead, and `ask` sees that it has waited, but on Citus, where it appends.
    asks = unit is messages.ask
    is_retried = asks if scope.is_on_citus else not (db.settings.pipelining or asks)
    assert db.counters.retries.total() == retries + is_retried
    assert len(await db.run(user.id, everything, conversation.id)) == 1


async def test_the_same_message_in_a_block_of_ones_own_asks_for_a_repeat(
    db: Database, user: User
) -> None:
    """Nobody else can retry a block. Until then nothing of it is stored."""
    conversation = await db.run(user.id, conversations.create)
    arguments: dict[str, Any] = {"role": "user", "content": "once", "id": uuid7()}

    async def store() -> None:
        async with db.begin(user.id) as scope:
            await messages.append(scope, conversation.id, **arguments)
            await messages.append(scope, conversation.id, role="user", content="and more")

    async with db.begin(user.id) as scope:
        await messages.append(scope, conversation.id, **arguments)
        second = asyncio.create_task(store())
        await until_blocked_by(db, await pid(scope))
    with pytest.raises(Contention, match="the same message"):
        await second
    await store()
    stored = await db.run(user.id, messages.history, conversation.id)
    assert [message.content for message in stored] == ["once", "and more"]
