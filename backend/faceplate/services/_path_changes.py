"""The changes of a conversation's path: its end is moved, or messages are removed.

Each locks the conversation first, as an append does. A removal takes a whole subtree, so that a
message without a parent_position still follows the message before it. The removal of one message
moves its children to its parent, unless the parent is the message before them anyway. Where the
head is not the newest message, the newest message gets a parent_position even if it follows the
message before it: this is how a page, which reads the newest messages alone, sees that the path
ends elsewhere.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased

from faceplate import records
from faceplate.errors import NotFound
from faceplate.models import Conversation, Message
from faceplate.scope import Scope
from faceplate.services import _path_statements as sql
from faceplate.services._activity import activity
from faceplate.services._paths import Range, Ranges, multirange
from faceplate.statement import Statement

_integer = sa.Integer()
_in_conversation = Message.conversation_id == bindparam("conversation_id")
_conversation = Conversation.id == bindparam("conversation_id")
_count: Any = bindparam("count", type_=_integer)


def _mark_newest() -> sa.Update:
    earlier = aliased(Message)
    newest: Any = bindparam("newest", type_=_integer)
    before = (
        sa.select(func.max(earlier.position))
        .where(
            earlier.conversation_id == bindparam("conversation_id", type_=Message.id.type),
            earlier.position < newest,
        )
        .scalar_subquery()
    )
    return (
        sa.update(Message)
        .where(_in_conversation, Message.position == newest, Message.parent_position.is_(None))
        .values(parent_position=func.coalesce(before, newest), updated_at=Message.updated_at)
    )


def _follow_parent() -> sa.Update:
    """Return an UPDATE by which messages follow ``parent``, or nothing where it is None."""
    parent: Any = bindparam("parent", type_=_integer)
    return (
        sa.update(Message)
        .where(_in_conversation)
        .values(
            parent_position=func.coalesce(parent, Message.position),
            updated_at=Message.updated_at,
        )
    )


def _next() -> Any:
    later = aliased(Message)
    return (
        sa.select(func.min(later.position))
        .where(
            later.conversation_id == bindparam("conversation_id", type_=Message.id.type),
            later.position > bindparam("position", type_=_integer),
        )
        .scalar_subquery()
    )


is_in_ranges: Any = Message.position.op("<@", is_comparison=True)(
    sa.cast(bindparam("ranges", type_=sa.Text()), postgresql.INT4MULTIRANGE())
)
"""The condition that a message is in the ``ranges``, as `multirange` writes them."""
REMOVE = Statement(
    int,
    sa.delete(Message).where(
        _in_conversation, Message.position >= bindparam("first", type_=_integer), is_in_ranges
    ),
)
REMOVE_ONE = Statement(
    records.Message,
    sa.delete(Message)
    .where(_in_conversation, Message.position == bindparam("position", type_=_integer))
    .returning(*Message.columns()),
)
MOVE_BRANCHES = Statement(
    int,
    _follow_parent().where(
        Message.parent_position == bindparam("position", type_=_integer),
        Message.position > bindparam("position", type_=_integer),
    ),
)
MOVE_NEXT = Statement(
    int,
    _follow_parent().where(Message.position == _next(), Message.parent_position.is_(None)),
)
MARK_NEWEST = Statement(int, _mark_newest())
MOVE_HEAD = Statement(
    records.Conversation,
    sa.update(Conversation)
    .where(_conversation)
    .values(
        head=bindparam("new_head", type_=Conversation.head.type),
        updated_at=Conversation.updated_at,
    )
    .returning(*Conversation.columns()),
)
SHRINK = Statement(
    int,
    sa.update(Conversation)
    .where(_conversation)
    .values(
        message_count=Conversation.message_count - _count,
        removed_count=Conversation.removed_count + _count,
        **activity(func.statement_timestamp()),
        head=bindparam("new_head", type_=Conversation.head.type),
    ),
)


class Tree:
    """A locked conversation, and the ranges of its messages."""

    def __init__(self, scope: Scope, conversation_id: UUID, place: sql.Place) -> None:
        self._scope = scope
        self._id = conversation_id
        self.newest = place.newest or 0
        # A program's own SQL may have removed the message at the head: a read ignores that, too.
        self.end = place.end or self.newest
        """The position of the last message of the path, or 0."""
        self.ranges = Ranges(place.branch_positions, place.branch_parents)

    async def has(self, position: int) -> bool:
        """Return whether there is a message at ``position``."""
        found = await self._scope.first(sql.AT, conversation_id=self._id, position=position)
        return found is not None

    async def move_head(self, end: int) -> records.Conversation:
        """Have the path end at the message at ``end``; return the conversation."""
        head = await self._head(end, self.newest)
        return await self._scope.one(MOVE_HEAD, conversation_id=self._id, new_head=head)

    async def remove(self, position: int) -> int:
        """Remove the message at ``position`` and what hangs on it; return how many.

        Where the path loses its end, it ends at the message that the removed one follows.
        """
        removed = self.ranges.subtree(position)
        count = await self._scope.execute(
            REMOVE, conversation_id=self._id, first=position, ranges=multirange(removed)
        )
        end = self.end
        if any(end in range_ for range_ in removed):
            end = await self._last_up_to(self.ranges.parent_of(position))
        newest = await self._last_up_to(self.newest)
        head = await self._head(end, newest)
        await self._scope.execute(SHRINK, conversation_id=self._id, count=count, new_head=head)
        return count

    async def remove_one(self, position: int) -> records.Message:
        """Remove the message at ``position`` alone, and return it.

        What followed it follows the message that it followed. Where the path loses its end, it
        ends at that one.
        """
        parent = await self._last_up_to(self.ranges.parent_of(position))
        moved = {"conversation_id": self._id, "position": position, "parent": parent or None}
        if self.ranges.has_branch(position):
            await self._scope.execute(MOVE_BRANCHES, **moved)
        if self.ranges.begins_branch(position):
            await self._scope.execute(MOVE_NEXT, **moved)
        removed = await self._scope.one(REMOVE_ONE, conversation_id=self._id, position=position)
        newest = await self._last_up_to(self.newest)
        head = await self._head(parent if position == self.end else self.end, newest)
        await self._scope.execute(SHRINK, conversation_id=self._id, count=1, new_head=head)
        return removed

    async def _head(self, end: int, newest: int) -> int | None:
        """Return the head for a path that ends at ``end``, and mark the newest message."""
        if end in (0, newest):
            return None
        await self._scope.execute(MARK_NEWEST, conversation_id=self._id, newest=newest)
        return end

    async def _last_up_to(self, position: int) -> int:
        """Return the position of the last message up to ``position``; 0 if there is none."""
        [found] = await self._scope.all(sql.LAST, conversation_id=self._id, upto=position)
        return found or 0


async def lock(scope: Scope, conversation_id: UUID) -> Tree:
    """Lock a conversation until the transaction ends. Raises NotFound, InvalidInput."""
    locked = await scope.first(sql.LOCK, conversation_id=conversation_id)
    if locked is None:
        raise NotFound(records.Conversation)
    place = await scope.one(sql.PLACE, conversation_id=conversation_id, head=locked.head)
    return Tree(scope, locked.id, place)


def first_after(path: Sequence[Range], position: int) -> int | None:
    """Return where the path goes on after ``position``, or None if it ends there or before."""
    for first, last in path:
        if last > position:
            return max(first, position + 1)
    return None
