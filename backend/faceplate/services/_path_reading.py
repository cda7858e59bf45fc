"""The reading of a page of a path: one statement for a linear conversation, two at most.

The first statement reads the newest messages by position, as if the conversation were linear.
Their parents tell how much of it is the path. Where the head was moved, the newest message has a
parent_position, too: see `faceplate.services._path_changes`.

The first statement is wasted where the path leaves the newest messages. So this process remembers
the conversations whose pages took both statements, and begins with the second one there. That one
reads any path, so a memory that is out of date costs time and nothing else.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator
from operator import attrgetter
from typing import TypeVar
from uuid import UUID

from faceplate import records
from faceplate.column_types import Count
from faceplate.errors import NotFound
from faceplate.scope import Scope
from faceplate.services import _path_statements as sql
from faceplate.services import conversations

R = TypeVar("R", records.Message, records.MessageBody)

_parent_position = attrgetter("parent_position")

Remembered = OrderedDict[tuple[UUID, UUID], None]
"""Users with a conversation, in order of insertion."""

branched_lately: Remembered = OrderedDict()
"""The conversations of which a page took two statements."""
MOST_REMEMBERED = 10_000
"""How many conversations are remembered, at about 300 bytes each."""


async def newest(
    scope: Scope, conversation_id: UUID, limit: int, reading: sql.Reading[R]
) -> list[R]:
    """Return the last ``limit`` messages of the path, the last one first."""
    if has_branched(scope, conversation_id):
        path = await scope.all(reading.page, conversation_id=conversation_id, limit=limit)
        if path:
            return path
    rows = await scope.all(
        reading.newest, conversation_id=conversation_id, upto=Count.MAXIMUM, limit=limit
    )
    if not rows:
        await conversations.get(scope, conversation_id)
        return []
    if rows[0].parent_position is None:  # else the head may be elsewhere
        path = await _completed(scope, conversation_id, rows, limit, reading)
        if path:
            return path
    remember(scope, conversation_id)
    return await scope.all(reading.page, conversation_id=conversation_id, limit=limit)


async def up_to(
    scope: Scope, conversation_id: UUID, leaf: int, limit: int
) -> list[records.Message]:
    """Return the last ``limit`` messages of the path that ends at ``leaf``, the last one first.

    Raises NotFound if there is no such message.
    """
    rows = await scope.all(sql.PATH_PAGE, conversation_id=conversation_id, leaf=leaf, limit=limit)
    if not rows or rows[0].position != leaf:
        await conversations.get(scope, conversation_id)
        raise NotFound(records.Message)
    return rows


async def before(
    scope: Scope, conversation_id: UUID, position: int, limit: int, leaf: int | None
) -> list[records.Message]:
    """Return the last ``limit`` messages of a path before ``position``, the last one first.

    Without a ``leaf``, it is the path of the message at that position, or the one of the head where
    there is none.
    """
    key = {"conversation_id": conversation_id, "before": position}
    if leaf is None and has_branched(scope, conversation_id):
        path = await scope.all(sql.PATH_PAGE, leaf=position, limit=limit, **key)
        if path:
            return path
    if leaf is None:
        rows = await scope.all(
            sql.NEWEST, conversation_id=conversation_id, upto=position, limit=limit + 1
        )
        if rows and rows[0].position == position:
            path = await _completed(scope, conversation_id, rows, limit + 1, sql.MESSAGES)
            if path:
                return path[1:]
    found = await scope.all(sql.PATH_PAGE, leaf=leaf, limit=limit, **key)
    if not found:
        await check_leaf(scope, conversation_id, leaf)
    return found


async def position_of(scope: Scope, conversation_id: UUID, message_id: UUID) -> int:
    """Return the position of a message. Raises NotFound, InvalidInput."""
    found = await scope.first(sql.POSITION, conversation_id=conversation_id, id=message_id)
    if found is None:
        raise NotFound(records.Message)
    return found


async def check_leaf(scope: Scope, conversation_id: UUID, leaf: int | None) -> None:
    """Raise NotFound unless the conversation exists, and the message at ``leaf`` if given."""
    await conversations.get(scope, conversation_id)
    if leaf is not None and not await scope.all(
        sql.AT, conversation_id=conversation_id, position=leaf
    ):
        raise NotFound(records.Message)


async def _completed(
    scope: Scope, conversation_id: UUID, rows: list[R], limit: int, reading: sql.Reading[R]
) -> list[R]:
    """Return the path that ends at the first of ``rows``, which are in descending order.

    The rows hold the beginning of it; the rest takes another statement. Nothing is returned if the
    message was removed meanwhile.
    """
    if not any(map(_parent_position, rows)):
        return rows
    path: list[R] = []
    end: int | None = rows[0].position
    for row in rows:
        if end is None or row.position == end:
            path.append(row)
            end = row.parent_position
            if end == row.position:
                return path
    if len(rows) < limit or len(path) == limit:
        return path
    remember(scope, conversation_id)
    last = path[-1].position
    rest = await scope.all(
        reading.page,
        conversation_id=conversation_id,
        leaf=last,
        before=last,
        limit=limit - len(path),
    )
    if rest or last == 1:
        return path + rest
    # The conversation begins later than at 1, or `last` was removed between the two statements.
    leaf = rows[0].position
    return await scope.all(reading.page, conversation_id=conversation_id, leaf=leaf, limit=limit)


def has_branched(scope: Scope, conversation_id: UUID) -> bool:
    """Return whether the conversation is remembered as one with branches."""
    return is_among(branched_lately, scope, conversation_id)


def remember(scope: Scope, conversation_id: UUID) -> None:
    """Remember the conversation as one with branches."""
    add(branched_lately, scope, conversation_id)


def is_among(remembered: Remembered, scope: Scope, conversation_id: UUID) -> bool:
    """Return whether a conversation of the user is remembered."""
    # What is no UUID may not be hashable. The statement says what is wrong with it.
    return isinstance(conversation_id, UUID) and (scope.user_id, conversation_id) in remembered


def add(remembered: Remembered, scope: Scope, conversation_id: UUID) -> None:
    """Remember a conversation of the user, in place of the first where these are too many."""
    remembered[scope.user_id, conversation_id] = None
    if len(remembered) > MOST_REMEMBERED:
        remembered.popitem(last=False)


async def after(
    scope: Scope,
    conversation_id: UUID,
    position: int,
    limit: int | None,
    leaf: int | None,
    *,
    reading: sql.Reading[R],
) -> list[R]:
    """Return the first ``limit`` messages of a path after ``position``, in order."""
    key = {"conversation_id": conversation_id, "position": position}
    rows: list[R] = []
    if leaf is None:
        rows = await scope.all(reading.linear_after, limit=limit, **key)
    if not rows:
        rows = await scope.all(reading.after, limit=limit, leaf=leaf, **key)
    if not rows:
        await check_leaf(scope, conversation_id, leaf)
    return rows


async def walk(
    scope: Scope, conversation_id: UUID, leaf: int | None
) -> AsyncIterator[records.Message]:
    """Yield all messages of a path, in order."""
    key = {"conversation_id": conversation_id, "position": 0}
    is_empty = True
    if leaf is None:
        async for message in scope.stream(sql.LINEAR_AFTER, **key):
            is_empty = False
            yield message
    if is_empty:
        async for message in scope.stream(sql.PATH_AFTER, leaf=leaf, **key):
            is_empty = False
            yield message
    if is_empty:
        await check_leaf(scope, conversation_id, leaf)
