"""Read the messages of a path, one message, and the alternatives to messages."""

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from faceplate import records
from faceplate.column_types import Count
from faceplate.errors import InvalidInput
from faceplate.pagination import DEFAULT_LIMIT, Page, check_limit, page_of, unseal
from faceplate.scope import Scope, read_only, replayable
from faceplate.services import _branches, _path_reading, tool_calls
from faceplate.services import message_statements as sql
from faceplate.services._arguments import check_kind, checked_position, optional_position
from faceplate.services._path_statements import BODIES, MESSAGES
from faceplate.services.tool_calls import PendingToolCall

MAX_LIMIT: Final = 1_000
"""The most messages that are read at once."""


@read_only
async def get(scope: Scope, conversation_id: UUID, message_id: UUID) -> records.Message:
    """Return a message. Raises NotFound, InvalidInput."""
    return await scope.one(sql.GET, conversation_id=conversation_id, id=message_id)


@read_only
async def history(
    scope: Scope, conversation_id: UUID, *, limit: int = DEFAULT_LIMIT, leaf: int | None = None
) -> list[records.Message]:
    """Return the last ``limit`` messages (1 to 1,000) of a path, in order.

    Raises NotFound if the conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    check_limit(limit, MAX_LIMIT)
    if leaf is None:
        rows = await _path_reading.newest(scope, conversation_id, limit, MESSAGES)
    else:
        rows = await _path_reading.up_to(
            scope, conversation_id, checked_position("leaf", leaf), limit
        )
    rows.reverse()
    return rows


@read_only
async def before(
    scope: Scope,
    conversation_id: UUID,
    position: int | UUID,
    *,
    limit: int = DEFAULT_LIMIT,
    leaf: int | None = None,
) -> list[records.Message]:
    """Return the last ``limit`` messages (1 to 1,000) before ``position``, in order.

    ``position`` may be a message's id. Without a ``leaf``, the call reads the path of the message
    at ``position``, even if the conversation was switched to another path. If no message is at
    ``position``, it reads the conversation's path.

    Raises NotFound if the conversation, the message with the id, or a message at ``leaf`` does not
    exist; InvalidInput.
    """
    check_limit(limit, MAX_LIMIT)
    at = await _position(scope, conversation_id, position)
    path_end = optional_position("leaf", leaf)
    rows = await _path_reading.before(scope, conversation_id, at, limit, path_end)
    rows.reverse()
    return rows


@read_only
async def after(
    scope: Scope,
    conversation_id: UUID,
    position: int | UUID,
    *,
    limit: int = DEFAULT_LIMIT,
    leaf: int | None = None,
) -> list[records.Message]:
    """Return the first ``limit`` messages (1 to 1,000) of a path after ``position``, in order.

    ``position`` may be a message's id; position 0 is before the first message. Raises NotFound if
    the conversation, the message with the id, or a message at ``leaf`` does not exist;
    InvalidInput.
    """
    check_limit(limit, MAX_LIMIT)
    at = await _position(scope, conversation_id, position)
    path_end = optional_position("leaf", leaf)
    return await _path_reading.after(scope, conversation_id, at, limit, path_end, reading=MESSAGES)


@read_only
async def page(
    scope: Scope,
    conversation_id: UUID,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
    descending: bool = False,
    leaf: int | None = None,
) -> Page[records.Message]:
    """Return up to ``limit`` messages (1 to 1,000) of a path, in order or ``descending``.

    ``cursor`` is the ``next_cursor`` of the page before. Give a ``leaf`` to stay on one path:
    without one, a page in order is of the path as it is when it is read, and a ``descending`` page
    goes on from the last message of the page before. Raises NotFound if the conversation, or a
    message at ``leaf``, does not exist; InvalidInput for an invalid limit or cursor.
    """
    check_limit(limit, MAX_LIMIT)
    path_end = optional_position("leaf", leaf)
    check_kind("descending", descending, bool)
    listing = f"messages {conversation_id} {descending} {path_end}"
    position = None if cursor is None else int(unseal(scope, listing, cursor))
    if not descending:
        rows = await _path_reading.after(
            scope, conversation_id, position or 0, limit + 1, path_end, reading=MESSAGES
        )
    elif position is not None:
        rows = await _path_reading.before(scope, conversation_id, position, limit + 1, path_end)
    elif path_end is not None:
        rows = await _path_reading.up_to(scope, conversation_id, path_end, limit + 1)
    else:
        rows = await _path_reading.newest(scope, conversation_id, limit + 1, MESSAGES)
    return page_of(scope, listing, rows, limit, lambda row: str(row.position))


@read_only
async def everything(
    scope: Scope, conversation_id: UUID, *, leaf: int | None = None
) -> list[records.Message]:
    """Return every message of a path, in order, by one statement or two.

    All of it is in memory: `walk` is for conversations of any length. Raises NotFound if the
    conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    path_end = optional_position("leaf", leaf)
    return await _path_reading.after(scope, conversation_id, 0, None, path_end, reading=MESSAGES)


@read_only
async def bodies(
    scope: Scope, conversation_id: UUID, *, limit: int | None = None
) -> list[records.MessageBody]:
    """Return the bodies of the path's messages, in order: all of them, or the last ``limit``.

    It serves a program that keeps its own objects in messages: a body is read without what it says
    in the other columns. A message without a body is read with its text, tool calls and results.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    if limit is None:
        return await _path_reading.after(scope, conversation_id, 0, None, None, reading=BODIES)
    check_limit(limit, Count.MAXIMUM - 1)
    rows = await _path_reading.newest(scope, conversation_id, limit, BODIES)
    rows.reverse()
    return rows


async def walk(
    scope: Scope, conversation_id: UUID, *, leaf: int | None = None
) -> AsyncIterator[records.Message]:
    """Yield every message of a path, in order.

    Up to a thousand are in memory at a time, fewer where they are large. The transaction stays open
    meanwhile: use it in a block, ``async with db.begin(user_id)``, and do not wait for a model or a
    client between two messages. `faceplate.transcripts` allows that.

    Raises NotFound if the conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    path_end = optional_position("leaf", leaf)
    async for message in _path_reading.walk(scope, conversation_id, path_end):
        yield message


@read_only
async def branches(scope: Scope, conversation_id: UUID, position: int) -> list[records.Branch]:
    """Return the alternatives at the place of a message, in the order in which they were begun.

    The message at ``position`` is among them; it is the only one where there are no others.

    Raises NotFound if the conversation or the message does not exist, InvalidInput.
    """
    return await _branches.at(scope, conversation_id, checked_position("position", position))


@read_only
async def branches_at(
    scope: Scope, conversation_id: UUID, positions: Sequence[int]
) -> dict[int, list[records.Branch]]:
    """Return the alternatives at the places of messages, by position, as `branches` does.

    A position without alternatives, or without a message, is left out. At most 1,000 positions.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    check_kind("positions", positions, Sequence)
    if len(positions) > MAX_LIMIT:
        raise InvalidInput("positions", f"at most {MAX_LIMIT:,}; {len(positions):,} were given")
    checked = [checked_position("positions", position) for position in positions]
    return await _branches.at_each(scope, conversation_id, checked)


@read_only
@replayable
async def pending_tool_calls(
    scope: Scope, conversation_id: UUID, *, leaf: int | None = None
) -> list[PendingToolCall]:
    """Return the tool calls of a path without a result, in the order of the calls.

    After a crash in the middle of a turn, append their results or remove their message.

    Raises NotFound if the conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    path_end = optional_position("leaf", leaf)
    pending = await scope.all(tool_calls.PENDING, conversation_id=conversation_id, leaf=path_end)
    if not pending:
        await _path_reading.check_leaf(scope, conversation_id, path_end)
    return pending


async def _position(scope: Scope, conversation_id: UUID, position: int | UUID) -> int:
    """Return a position, or that of the message with the id."""
    if isinstance(position, UUID):
        return await _path_reading.position_of(scope, conversation_id, position)
    return checked_position("position", position)
