"""Random operations on a conversation, each compared with the model's answer."""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

from uuid6 import uuid7

from faceplate import Conflict, Database, Message, NotFound, Scope
from faceplate.services import conversations, messages
from faceplate.services._path_reading import branched_lately
from faceplate.services.messages import NewMessage
from tests.conversation_model import Model, Tree, essence, stored_tree

T = TypeVar("T")
LIMITS = (1, 2, 3, 50, 1000)


async def walked(scope: Scope, *args: Any, **kwargs: Any) -> list[Message]:
    return [message async for message in messages.walk(scope, *args, **kwargs)]


async def paged(scope: Scope, *args: Any, **kwargs: Any) -> list[Message]:
    """Return every message of every page."""
    found: list[Message] = []
    cursor = None
    while True:
        page = await messages.page(scope, *args, cursor=cursor, **kwargs)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def _looked_at(scope: Scope, id_: UUID, leaf: int | None) -> tuple[Any, ...]:
    chat = await conversations.get(scope, id_)
    history = await messages.history(scope, id_, limit=1000)
    of_leaf = await messages.history(scope, id_, leaf=leaf, limit=1000)
    return chat.message_count, history, await walked(scope, id_), of_leaf


class Play:
    """A conversation in the database and in memory, and the dice that say what happens to it."""

    def __init__(self, db: Database, user_id: UUID, dice: random.Random) -> None:
        self.db, self.user_id, self.dice = db, user_id, dice
        self.model = Model()
        self.id = uuid7()
        self.gone: list[UUID] = []
        self.forks: dict[UUID, list[Message]] = {}
        self.log: list[str] = []
        self._said = 0

    async def play(self, steps: int) -> None:
        """Take so many steps and compare after each; raise with all of them where one fails."""
        await self.run(conversations.create, id=self.id)
        moves: list[Callable[[], Awaitable[None]]] = [
            *[self.append, self.ask, self.append_many, self.reply] * 2,
            *[self.branch, self.branch_many, self.switch] * 3,
            *[self.draft, self.branch_with_a_draft, self.retry, self.reply_too_late],
            *[self.replace, self.remove, self.remove_last, self.remove_after, self.fork],
            *[self.remove_one] * 2,
            *[self.look_for_what_is_not_there, self.read_around, self.list_alternatives],
        ]
        try:
            for _ in range(steps):
                move = self.dice.choice(moves)
                self.log.append(move.__name__)
                await move()
                await self.compare()
            await self.compare_every_leaf()
            await self.delete()
        except BaseException as error:
            error.add_note(" > ".join(self.log))
            raise

    # What is compared

    async def run(self, unit: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        return await self.db.run(self.user_id, unit, *args, **kwargs)

    async def compare(self) -> None:
        """Raise unless what is stored and what is read is what the model says."""
        if self.dice.random() < 0.5:
            branched_lately.clear()  # as in a process that has not read the conversation yet
        model = self.model
        ids = {position: message.id for position, message in model.messages.items()}
        stored = await stored_tree(self.db, self.user_id, self.id)
        assert stored == Tree(ids, model.parents, model.end), self._shape(stored)
        leaf = self.dice.choice([*ids, None])
        count, *read = await self.run(_looked_at, self.id, leaf)
        assert count == len(ids)
        for path, expected in zip(
            read, (model.path(), model.path(), model.path(leaf)), strict=True
        ):
            self._check(path, expected)

    async def compare_every_leaf(self) -> None:
        for leaf in self.model.leaves():
            path = self.model.path(leaf)
            for read in (walked, paged, messages.everything):
                self._check(await self.run(read, self.id, leaf=leaf), path)

    async def delete(self) -> None:
        """Delete the conversation: what was forked off is still what it was."""
        await self.run(conversations.delete, self.id)
        for fork, path in self.forks.items():
            self._check(await self.run(walked, fork), path)

    def _check(self, read: Iterable[Message], expected: Iterable[Message]) -> None:
        assert [*map(essence, read)] == [*map(essence, expected)]

    def _shape(self, stored: Tree) -> str:
        return f"stored: {stored[1:]}; in the model: {self.model.parents, self.model.end}"

    # What is appended, and where

    def new(self, **given: Any) -> dict[str, Any]:
        self._said += 1
        role = self.dice.choice(("user", "assistant", "system", "developer"))
        return {"role": role, "content": f"{self._said}", "id": uuid7(), **given}

    def somewhere(self) -> int:
        return self.dice.choice([0, *self.model.messages])

    async def append(self, **where: Any) -> None:
        told = await self.run(messages.append, self.id, **self.new(), **where)
        self.model.append([told], after=where.get("after"))

    async def ask(self, **where: Any) -> None:
        limit = self.dice.choice(LIMITS)
        told = await self.run(messages.ask, self.id, **self.new(), limit=limit, **where)
        self.model.append(told[-1:], after=where.get("after"))
        self._check(told, self.model.path()[-limit:])

    async def append_many(self, **where: Any) -> None:
        new = [NewMessage(**self.new()) for _ in range(self.dice.randint(1, 4))]
        told = await self.run(messages.append_many, self.id, new, **where)
        assert [message.id for message in told] == [message.id for message in new]
        self.model.append(told, after=where.get("after"))

    async def draft(self, **where: Any) -> None:
        new = self.new()
        begun = await self.run(messages.append_draft, self.id, id=new["id"], **where)
        assert begun.status == "streaming"
        saved = await self.run(
            messages.save_draft, self.id, begun.id, content=new["content"], status="complete"
        )
        self.model.append([saved], after=where.get("after"))

    async def reply(self) -> None:
        """Append after the message that is the last one, as a tab that is up to date does."""
        move = self.dice.choice((self.append, self.ask, self.append_many, self.draft))
        await move(after=self.model.end)

    async def branch(self) -> None:
        move = self.dice.choice((self.append, self.ask))
        await move(after=self.somewhere(), branch=True)

    async def branch_many(self) -> None:
        await self.append_many(after=self.somewhere(), branch=True)

    async def branch_with_a_draft(self) -> None:
        await self.draft(after=self.somewhere(), branch=True)

    async def reply_too_late(self) -> None:
        """Append after a message that is not the last one, or is gone, or never was."""
        stale = {0, *range(1, self.model.last + 2)} - {self.model.end}
        after = self.dice.choice(sorted(stale))
        unit, given = self.dice.choice(
            [
                (messages.append, self.new()),
                (messages.ask, self.new()),
                (messages.append_many, {"messages": [NewMessage(**self.new())]}),
                (messages.append_draft, {"id": uuid7()}),
            ]
        )
        error = Conflict if after in (0, *self.model.messages) else NotFound
        await self._refused(error, unit, after=after, **given)

    async def retry(self) -> None:
        """Append once more what is stored: it is returned, and nothing moves."""
        if not self.model.messages:
            return
        stored = self.model.messages[self.dice.choice([*self.model.messages])]
        new = NewMessage(
            stored.role,
            stored.content,
            metadata=stored.metadata,
            id=stored.id,
            body=stored.body,
        )
        parent = self.model.parents[stored.position]
        where = self.dice.choice([{}, {"after": parent}, {"after": parent, "branch": True}])
        match self.dice.choice(("append", "append_many", "ask")):
            case "append":
                told = [await self.run(messages.append, self.id, **new._asdict(), **where)]
            case "append_many":
                told = await self.run(messages.append_many, self.id, [new], **where)
            case _:
                history = await self.run(messages.ask, self.id, **new._asdict(), **where)
                self._check(history, self.model.path(stored.position)[-50:])
                told = history[-1:]
        self._check(told, [stored])

    # What is changed

    async def switch(self) -> None:
        if self.model.messages:
            self.model.end = self.dice.choice([*self.model.messages])
            chat = await self.run(conversations.switch, self.id, self.model.end)
            end = max(self.model.messages) if chat.head is None else chat.head
            assert (end, chat.message_count) == (self.model.end, len(self.model.messages))

    async def replace(self) -> None:
        if self.model.messages:
            old = self.model.messages[self.dice.choice([*self.model.messages])]
            changes = self.new(body=f'{{"n": {self._said}}}')
            del changes["id"]
            told = await self.run(messages.replace, self.id, old.id, **changes)
            assert essence(told) == essence(old._replace(**changes))
            self.model.messages[old.position] = essence(told)

    async def remove(self) -> None:
        if self.model.messages:
            message = self.model.messages[self.dice.choice([*self.model.messages])]
            self._note_gone(message.position)
            removed = await self.run(messages.remove, self.id, message.id)
            assert removed == self.model.remove(message.position)

    async def remove_one(self) -> None:
        if self.model.messages:
            message = self.model.messages[self.dice.choice([*self.model.messages])]
            self.gone.append(message.id)
            self._check([await self.run(messages.remove_one, self.id, message.id)], [message])
            self.model.remove_one(message.position)

    async def remove_last(self) -> None:
        if not self.model.messages:
            await self._refused(NotFound, messages.remove_last)
            return
        last = self.model.messages[self.model.end]
        self._note_gone(last.position)
        self._check([await self.run(messages.remove_last, self.id)], [last])
        self.model.remove(last.position)

    async def remove_after(self) -> None:
        """Remove what follows on the path, wherever the given position is."""
        position = self.dice.randint(0, self.model.last + 1)
        later = [each for each in self.model.positions() if each > position]
        if later:
            self._note_gone(later[0])
        removed = await self.run(messages.remove_after, self.id, position)
        assert removed == (self.model.remove(later[0]) if later else 0)

    def _note_gone(self, position: int) -> None:
        below = self.model.subtree(position)
        self.gone += [self.model.messages[each].id for each in below]

    async def fork(self) -> None:
        at = self.dice.choice([None, *self.model.messages])
        path = self.model.path(at)
        fork = await self.run(conversations.fork, self.id, at=at)
        assert (fork.message_count, fork.head) == (len(path), None)
        self.forks[fork.id] = [
            message._replace(conversation_id=fork.id, position=number)
            for number, message in enumerate(path, start=1)
        ]
        read = await self.run(walked, fork.id)
        self._check(read, self.forks[fork.id])
        assert all(message.parent_position is None for message in read)

    # What is read

    async def read_around(self) -> None:
        """Read from a position, given as such or by the message's id, on any path."""
        leaf = self.dice.choice([None, *self.model.messages])
        path = self.model.path(leaf)
        position, limit = self.dice.randint(0, self.model.last + 1), self.dice.choice(LIMITS)
        at = self.model.messages.get(position)
        where = at.id if at is not None and self.dice.random() < 0.5 else position
        given = {"limit": limit, "leaf": leaf}
        before = await self.run(messages.before, self.id, where, **given)
        # Without a leaf, a message that is there has a path of its own.
        up_to = self.model.path(position) if at is not None and leaf is None else path
        self._check(before, [each for each in up_to if each.position < position][-limit:])
        after = await self.run(messages.after, self.id, where, **given)
        self._check(after, [each for each in path if each.position > position][:limit])
        self._check(await self.run(messages.history, self.id, **given), path[-limit:])
        self._check(await self.run(paged, self.id, **given), path)
        self._check(await self.run(paged, self.id, descending=True, **given), path[::-1])

    async def list_alternatives(self) -> None:
        every = {position: self.model.branches(position) for position in self.model.messages}
        for position, branches in every.items():
            assert await self.run(messages.branches, self.id, position) == branches
        several = {position: listed for position, listed in every.items() if len(listed) > 1}
        assert await self.run(messages.branches_at, self.id, [*every]) == several

    async def look_for_what_is_not_there(self) -> None:
        """Name a message that never was or is gone: nothing is changed."""
        position = self.dice.choice((0, self.model.last + 1, 2**31))
        id_ = self.dice.choice([uuid7(), *self.gone])
        await self._refused(NotFound, conversations.switch, position)
        await self._refused(NotFound, conversations.fork, at=position)
        await self._refused(NotFound, messages.branches, position)
        for read in (messages.history, messages.everything, walked, paged):
            await self._refused(NotFound, read, leaf=position)
        await self._refused(NotFound, paged, leaf=position, descending=True)
        await self._refused(NotFound, messages.pending_tool_calls, leaf=position)
        await self._refused(NotFound, messages.before, 2, leaf=position)
        await self._refused(NotFound, messages.after, 0, leaf=position)
        await self._refused(NotFound, messages.get, id_)
        await self._refused(NotFound, messages.before, id_)
        await self._refused(NotFound, messages.remove, id_)
        await self._refused(NotFound, messages.remove_one, id_)
        await self._refused(NotFound, messages.replace, id_, role="user")
        if position:
            new = self.new()
            await self._refused(NotFound, messages.append, after=position, branch=True, **new)

    async def _refused(self, error: type[Exception], unit: Any, *args: Any, **given: Any) -> None:
        try:
            told = await self.run(unit, self.id, *args, **given)
        except error as refusal:
            if getattr(refusal, "record", Message) is Message:
                return
            raise
        raise AssertionError(f"{unit.__qualname__}{args} was not refused: {told}")
