"""A conversation with branches in memory: what the units must agree with."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from faceplate import Database, Message, SystemScope
from faceplate.records import Branch

STORED = """
    SELECT position, parent_position, id FROM faceplate.messages
    WHERE user_id = :user_id AND conversation_id = :id ORDER BY position
"""
COUNTS = """
    SELECT message_count, removed_count, head FROM faceplate.conversations
    WHERE user_id = :user_id AND id = :id
"""


def essence(message: Message) -> Message:
    """Return the message without what other operations may change.

    The newest message says whom it follows once the head is elsewhere.
    """
    return message._replace(parent_position=None, updated_at=message.created_at)


class Model:
    """Messages by position, whom each follows (0: nobody), and where the path that is read ends."""

    def __init__(self) -> None:
        self.messages: dict[int, Message] = {}
        self.parents: dict[int, int] = {}
        self.last = 0
        """The position that was given last. None is given twice."""
        self.end = 0
        """The position of the path's last message; 0 where there is none."""

    def append(self, messages: Sequence[Message], *, after: int | None = None) -> None:
        """Take what was appended after ``after``, by default the end of the path."""
        parent = self.end if after is None else after
        for message in messages:
            self.last += 1
            assert message.position == self.last, "a position is skipped or used again"
            self.messages[self.last] = essence(message)
            self.parents[self.last] = parent
            parent = self.end = self.last

    def path(self, leaf: int | None = None) -> list[Message]:
        """Return the messages down to ``leaf``, by default the end."""
        found, position = [], self.end if leaf is None else leaf
        while position:
            found.append(self.messages[position])
            position = self.parents[position]
        return found[::-1]

    def positions(self) -> list[int]:
        """Return the positions on the path."""
        return [message.position for message in self.path()]

    def children(self, parent: int) -> list[int]:
        """Return the positions of the messages that follow ``parent``."""
        return [position for position in self.messages if self.parents[position] == parent]

    def leaves(self) -> list[int]:
        """Return the positions that no message follows."""
        return [position for position in self.messages if not self.children(position)]

    def subtree(self, position: int) -> set[int]:
        """Return the position with those of all that hangs on it."""
        found, new = set[int](), [position]
        while new:
            found.add(top := new.pop())
            new.extend(self.children(top))
        return found

    def remove(self, position: int) -> int:
        """Remove a message with what hangs on it; return how many."""
        gone, parent = self.subtree(position), self.parents[position]
        for each in gone:
            del self.messages[each], self.parents[each]
        if self.end in gone:
            self.end = parent or max(self.messages, default=0)
        return len(gone)

    def remove_one(self, position: int) -> None:
        """Remove a message: what follows it follows what it followed."""
        parent = self.parents[position]
        for child in self.children(position):
            self.parents[child] = parent
        del self.messages[position], self.parents[position]
        if self.end == position:
            self.end = parent or max(self.messages, default=0)

    def branches(self, position: int) -> list[Branch]:
        """Return the alternatives at the place of a message."""
        path = self.positions()
        return [
            Branch(
                position=each,
                id=self.messages[each].id,
                leaf=max(self.subtree(each)),
                is_on_path=each in path,
            )
            for each in self.children(self.parents[position])
        ]


class Tree(NamedTuple):
    """What the tables hold of a conversation, its parents resolved."""

    ids: dict[int, UUID]
    parents: dict[int, int]
    end: int


async def _rows(scope: SystemScope, user_id: UUID, id_: UUID) -> tuple[list[Any], Any]:
    values = {"user_id": user_id, "id": id_}
    stored = await scope.session.execute(text(STORED), values)
    counts = await scope.session.execute(text(COUNTS), values)
    return list(stored.all()), counts.one()


async def stored_tree(db: Database, user_id: UUID, conversation_id: UUID) -> Tree:
    """Return what is stored, as the owner of the tables sees it, or raise where it is no tree."""
    rows, counts = await db.run_system(_rows, user_id, conversation_id)
    ids = {row.position: row.id for row in rows}
    assert len(ids) == len(rows) == len({*ids.values()}), "a position or an id is there twice"
    assert counts.message_count == len(rows), "the count of messages is wrong"
    newest = max(ids, default=0)
    assert newest <= counts.message_count + counts.removed_count, "a position would be used again"
    assert counts.head is None or counts.head in ids, "the head is an orphan"
    if counts.head is not None and counts.head != newest:
        assert rows[-1].parent_position is not None, "a page of the newest cannot see the head"
    parents, before = {}, 0
    for position, parent, _ in rows:
        if parent is None:
            parents[position] = before
        else:
            assert parent <= position, "a message follows a later one"
            assert parent in ids, "a message is an orphan"
            parents[position] = 0 if parent == position else parent
        before = position
    return Tree(ids, parents, newest if counts.head is None else counts.head)
