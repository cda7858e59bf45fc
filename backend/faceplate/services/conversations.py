"""Conversations of the scope's user."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.errors import Conflict, NotFound
from faceplate.models import Conversation
from faceplate.pagination import (
    DEFAULT_LIMIT,
    Page,
    after_moment,
    check_limit,
    moment_key,
    page_of,
)
from faceplate.scope import Scope, one_statement
from faceplate.statement import Statement

LISTING = "conversations"

_by_id = Conversation.id == bindparam("id")
_columns = Conversation.columns()

CREATE = Statement(
    records.Conversation,
    insert(Conversation)
    .values(
        user_id=bindparam("user_id"),
        id=bindparam("id"),
        title=bindparam("title"),
        metadata_=bindparam("metadata"),
        created_at=func.clock_timestamp(),
        updated_at=func.clock_timestamp(),
    )
    .on_conflict_do_nothing(constraint="pk_conversations")
    .returning(*_columns),
)
GET = Statement(records.Conversation, sa.select(*_columns).where(_by_id))
PAGE = Statement(
    records.Conversation,
    sa.select(*_columns)
    .where(
        sa.tuple_(Conversation.updated_at, Conversation.id)
        < sa.tuple_(
            bindparam("after_time", type_=Conversation.updated_at.type),
            bindparam("after_id", type_=Conversation.id.type),
        )
    )
    .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
    .limit(bindparam("limit", type_=sa.Integer())),
)
RENAME = Statement(
    records.Conversation,
    sa.update(Conversation).where(_by_id).values(title=bindparam("title")).returning(*_columns),
)
REPLACE_METADATA = Statement(
    records.Conversation,
    sa.update(Conversation)
    .where(_by_id)
    .values(metadata_=bindparam("metadata"))
    .returning(*_columns),
)
DELETE = Statement(records.Conversation, sa.delete(Conversation).where(_by_id))


@one_statement
async def create(
    scope: Scope,
    *,
    title: str = "New Chat",
    metadata: dict[str, Any] | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> records.Conversation:
    """Create a conversation and return it.

    ``title`` has 1 to 255 characters and is not blank. A caller that gives an ``id`` may retry the
    call: the retry returns what the first call stored.

    Raises Conflict if the id exists with another title or metadata, InvalidInput.
    """
    new_id = id or scope.new_id()
    metadata = {} if metadata is None else metadata
    created = await scope.first(CREATE, id=new_id, title=title, metadata=metadata)
    if created is not None:
        return created
    stored = await scope.one(GET, id=new_id)
    if id is not None and (stored.title, stored.metadata) != (title, metadata):
        raise Conflict("a conversation with this id exists already", constraint="pk_conversations")
    return stored


async def get(scope: Scope, conversation_id: UUID) -> records.Conversation:
    """Return a conversation. Raises NotFound, InvalidInput."""
    return await scope.one(GET, id=conversation_id)


async def page(
    scope: Scope, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[records.Conversation]:
    """Return up to ``limit`` conversations (1 to 200).

    The one with the newest activity comes first. ``cursor`` is the ``next_cursor`` of the page
    before. A conversation with new activity moves to the first page, so later pages no longer show
    it.

    Raises InvalidInput for an invalid limit or cursor.
    """
    after_time, after_id = after_moment(scope, LISTING, cursor)
    rows = await scope.all(
        PAGE, after_time=after_time, after_id=after_id, limit=check_limit(limit) + 1
    )
    return page_of(scope, LISTING, rows, limit, lambda row: moment_key(row.updated_at, row.id))


async def rename(scope: Scope, conversation_id: UUID, title: str) -> records.Conversation:
    """Set the title, 1 to 255 characters and not blank; return the conversation.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(RENAME, id=conversation_id, title=title)


async def replace_metadata(
    scope: Scope, conversation_id: UUID, metadata: dict[str, Any]
) -> records.Conversation:
    """Replace the metadata, a JSON object; return the conversation.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(REPLACE_METADATA, id=conversation_id, metadata=metadata)


async def delete(scope: Scope, conversation_id: UUID) -> None:
    """Delete a conversation with all its messages. Raises NotFound, InvalidInput."""
    if not await scope.execute(DELETE, id=conversation_id):
        raise NotFound(records.Conversation)
