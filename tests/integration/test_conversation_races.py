"""Two changes of one conversation at once: the second sees what the first has left."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from tests.conversation_model import stored_tree
from tests.conversation_play import walked
from tests.locks import pid, until_blocked_by

from faceplate import Conflict, Conversation, Database, Message, NotFound, Scope, User
from faceplate.services import conversations, messages
from faceplate.services.conversations import NewConversation
from faceplate.services.messages import NewMessage

Change = Callable[[Scope, "Chat"], Awaitable[Any]]


class Chat(NamedTuple):
    """Three messages, each of which follows the one before it, by position."""

    id: UUID
    messages: dict[int, UUID]


def append(**given: Any) -> Change:
    return lambda scope, chat: messages.append(scope, chat.id, role="user", **given)


def append_many(**given: Any) -> Change:
    new = [NewMessage("user")] * 2
    return lambda scope, chat: messages.append_many(scope, chat.id, new, **given)


def draft(**given: Any) -> Change:
    return lambda scope, chat: messages.append_draft(scope, chat.id, **given)


def switch(position: int) -> Change:
    return lambda scope, chat: conversations.switch(scope, chat.id, position)


def remove(position: int) -> Change:
    return lambda scope, chat: messages.remove(scope, chat.id, chat.messages[position])


def replace(position: int) -> Change:
    return lambda scope, chat: messages.replace(
        scope, chat.id, chat.messages[position], role="user", content="other"
    )


def remove_after(position: int) -> Change:
    return lambda scope, chat: messages.remove_after(scope, chat.id, position)


def remove_one(position: int) -> Change:
    return lambda scope, chat: messages.remove_one(scope, chat.id, chat.messages[position])


def remove_last(scope: Scope, chat: Chat) -> Awaitable[Any]:
    return messages.remove_last(scope, chat.id)


def delete(scope: Scope, chat: Chat) -> Awaitable[Any]:
    return conversations.delete(scope, chat.id)


class Race(NamedTuple):
    first: Change
    second: Change
    path: list[int]
    """The positions on the path afterwards."""
    refusal: type[Exception] | None = None


RACES = {
    # A reply to what another tab has answered, switched away from, or removed just now
    "a reply to what has its reply": Race(append(after=3), append(after=3), [1, 2, 3, 4], Conflict),
    "two drafts": Race(draft(after=3), draft(after=3), [1, 2, 3, 4], Conflict),
    "a reply to what was removed": Race(remove_last, append(after=3), [1, 2], NotFound),
    "replies to what was removed": Race(remove_last, append_many(after=3), [1, 2], NotFound),
    "a draft for what was removed": Race(remove_last, draft(after=3), [1, 2], NotFound),
    "a reply to what the removed followed": Race(remove_last, append(after=2), [1, 2, 4]),
    "a reply where the head moved": Race(switch(2), append(after=3), [1, 2], Conflict),
    "a reply to the new head": Race(switch(2), append(after=2), [1, 2, 4]),
    # A message without a word of where
    "after a switch": Race(switch(1), append(), [1, 4]),
    "many after a switch": Race(switch(1), append_many(), [1, 4, 5]),
    "after a removal": Race(remove(2), append(), [1, 4]),
    "after a branch": Race(append(after=1, branch=True), append(), [1, 4, 5]),
    "after two": Race(append_many(), append(), [1, 2, 3, 4, 5, 6]),
    # Branches
    "two branches": Race(
        append(after=1, branch=True), append_many(after=1, branch=True), [1, 5, 6]
    ),
    "a branch of what was removed": Race(remove(2), append(after=3, branch=True), [1], NotFound),
    "a branch that is removed at once": Race(append(after=2, branch=True), remove(2), [1]),
    "a branch that ends after all": Race(append(after=2, branch=True), remove_after(1), [1]),
    # What is gone, or has moved
    "a switch to what was removed": Race(remove(2), switch(3), [1], NotFound),
    "a removal of what was removed": Race(remove(2), remove(3), [1], NotFound),
    "a removal of what is above": Race(remove(3), remove(2), [1]),
    "a removal after a switch": Race(switch(1), remove_last, []),
    "a removal of the rest after a switch": Race(switch(2), remove_after(2), [1, 2]),
    "a removal of one and of what follows": Race(remove_one(2), remove(3), [1]),
    "a removal of one of what was removed": Race(remove(2), remove_one(3), [1], NotFound),
    "two removals of one": Race(remove_one(2), remove_one(2), [1, 3], NotFound),
    "removals of neighbours": Race(remove_one(2), remove_one(1), [3]),
    "a branch of what was removed alone": Race(
        remove_one(2), append(after=2, branch=True), [1, 3], NotFound
    ),
    "a removal of where a branch begins": Race(append(after=2, branch=True), remove_one(2), [1, 4]),
    "a message after a removal of one": Race(remove_one(3), append(), [1, 2, 4]),
    "a change of what was removed": Race(remove(2), replace(3), [1], NotFound),
    "a removal of what was changed": Race(replace(3), remove(2), [1]),
    "a removal of what was appended": Race(append(), remove_last, [1, 2, 3]),
    "a switch after a message": Race(append(), switch(2), [1, 2]),
    "a switch after a switch": Race(switch(1), switch(2), [1, 2]),
}


@pytest.fixture
async def chat(db: Database, user: User) -> Chat:
    made = await db.run(user.id, conversations.create)
    told = await db.run(user.id, messages.append_many, made.id, [NewMessage("user")] * 3)
    return Chat(made.id, {message.position: message.id for message in told})


async def race(db: Database, user: User, chat: Chat, first: Change, second: Change) -> Any:
    """Run the second change while the first waits to commit; return what comes of it."""
    async with db.begin(user.id) as scope:
        await first(scope, chat)
        late = asyncio.create_task(db.run(user.id, second, chat))
        await until_blocked_by(db, await pid(scope))
    return await late


@pytest.mark.parametrize("name", RACES)
async def test_the_second_of_two_changes_sees_the_first(
    db: Database, user: User, chat: Chat, name: str
) -> None:
    """Else a message follows what its writer never saw, or what is gone."""
    first, second, path, refusal = RACES[name]
    if refusal is None:
        await race(db, user, chat, first, second)
    else:
        with pytest.raises(refusal):
            await race(db, user, chat, first, second)
    await stored_tree(db, user.id, chat.id)
    read = await db.run(user.id, walked, chat.id)
    assert [message.position for message in read] == path
    assert read == await db.run(user.id, messages.history, chat.id)


@pytest.mark.parametrize("second", [append(), append_many(), append(after=1, branch=True)])
async def test_nothing_is_appended_to_what_was_deleted(
    db: Database, user: User, chat: Chat, second: Change
) -> None:
    with pytest.raises(NotFound) as missing:
        await race(db, user, chat, delete, second)
    assert missing.value.record is Conversation


async def test_what_is_opened_by_many_appends_is_opened_once(db: Database, user: User) -> None:
    """Else the first messages of a chat that begins elsewhere are refused, or are two chats."""
    new = NewConversation(source="elsewhere", key="a/1", title="from there", body="[1]")
    id_ = conversations.id_of(user.id, source="elsewhere", key="a/1")

    async def write(number: int) -> Message:
        return await db.run(
            user.id, messages.append, id_, role="user", content=str(number), opens=new
        )

    told = await asyncio.gather(*(write(number) for number in range(16)))
    read = await db.run(user.id, messages.history, id_)
    assert sorted(told, key=lambda message: message.position) == read
    opened = await db.run(user.id, conversations.open, source="elsewhere", key="a/1")
    assert (opened.id, opened.title, opened.body) == (id_, "from there", "[1]")
    assert opened.message_count == len(told)


async def test_what_is_opened_at_once_is_opened_once(db: Database, user: User) -> None:
    calls = [
        db.run(user.id, conversations.open, source="elsewhere", key="a/2", title=f"{number}")
        for number in range(16)
    ]
    first, *others = await asyncio.gather(*calls)
    assert others == [first] * 15


class Interrupted:
    """A scope before whose statement of a number another transaction does something."""

    def __init__(self, scope: Scope, number: int, change: Callable[[], Awaitable[Any]]) -> None:
        self._scope, self._left, self._change = scope, number, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope, name)

    async def all(self, *args: Any, **values: Any) -> Any:
        await self._count()
        return await self._scope.all(*args, **values)

    async def first(self, *args: Any, **values: Any) -> Any:
        await self._count()
        return await self._scope.first(*args, **values)

    async def one(self, *args: Any, **values: Any) -> Any:
        await self._count()
        return await self._scope.one(*args, **values)

    async def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            await self._change()


async def interrupted(
    db: Database, user: User, chat: Chat, number: int, unit: Any, *args: Any, **given: Any
) -> Any:
    """Read while the branch at position 4 is removed before the statement ``number``."""
    branch = NewMessage("user")
    told = await db.run(user.id, messages.append_many, chat.id, [branch] * 2, after=2, branch=True)
    async with db.begin(user.id) as scope:
        removal = partial(db.run, user.id, messages.remove, chat.id, told[0].id)
        reader: Any = Interrupted(scope, number, removal)
        return await unit(reader, chat.id, *args, **given)


@pytest.mark.parametrize("limit", [3, 4, 50])
async def test_a_page_is_whole_while_its_branch_is_removed(
    db: Database, user: User, chat: Chat, limit: int
) -> None:
    """Else a model is sent the end of a branch, without the turns before it."""
    read = await interrupted(db, user, chat, 2, messages.history, limit=limit)
    assert [message.position for message in read] in ([1, 2, 4, 5][-limit:], [1, 2][-limit:])


async def test_a_page_before_is_whole_while_its_branch_is_removed(
    db: Database, user: User, chat: Chat
) -> None:
    read = await interrupted(db, user, chat, 2, messages.before, 5, limit=2)
    assert [message.position for message in read] in ([2, 4], [1, 2])


async def test_a_branch_that_is_removed_meanwhile_is_not_found(
    db: Database, user: User, chat: Chat
) -> None:
    with pytest.raises(NotFound):
        await interrupted(db, user, chat, 3, messages.branches, 4)
