"""Conversations and messages in the order of their creation, for programs that list them so.

No index has this order: PostgreSQL reads the conversations of a source, or the messages of a path,
and keeps as many as are asked for.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam

from faceplate import records
from faceplate.column_types import Count
from faceplate.models import Conversation, Message
from faceplate.scope import Scope, read_only
from faceplate.services import conversations
from faceplate.services import message_statements as sql
from faceplate.services._path_statements import is_on_path
from faceplate.statement import Statement

_EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)
_limit: Any = bindparam("limit", type_=sa.Integer())


def _begin(created: Any, then: Any) -> Any:
    # The position of what is before the first is 0, which the column's own type refuses.
    kind = sa.Integer() if then is Message.position else then.type
    return sa.tuple_(bindparam("begin_time", type_=created.type), bindparam("begin", type_=kind))


def _oldest(rows: Any, created: Any, then: Any) -> Any:
    is_after = sa.tuple_(created, then) > _begin(created, then)
    return rows.where(is_after).order_by(created, then).limit(_limit)


def _newest(rows: Any, created: Any, then: Any) -> Any:
    is_before = sa.tuple_(created, then) < _begin(created, then)
    return rows.where(is_before).order_by(created.desc(), then.desc()).limit(_limit)


_conversations = sa.select(*Conversation.columns()).where(
    Conversation.source == bindparam("source")
)
_messages = sa.select(*Message.columns()).where(
    Message.conversation_id == bindparam("conversation_id"),
    Message.status != sa.literal_column("'streaming'"),
    is_on_path(),
)

OLDEST_CONVERSATIONS = Statement(
    records.Conversation, _oldest(_conversations, Conversation.created_at, Conversation.id)
)
NEWEST_CONVERSATIONS = Statement(
    records.Conversation, _newest(_conversations, Conversation.created_at, Conversation.id)
)
OLDEST_MESSAGES = Statement(
    records.Message, _oldest(_messages, Message.created_at, Message.position)
)
NEWEST_MESSAGES = Statement(
    records.Message, _newest(_messages, Message.created_at, Message.position)
)


@read_only
async def list_conversations(
    scope: Scope, source: str, *, after: UUID | None, limit: int, descending: bool
) -> list[records.Conversation]:
    """Return the first ``limit`` conversations of a source after the one ``after``.

    Raises NotFound if that one does not exist.
    """
    begin = (_LATEST, UUID(int=2**128 - 1)) if descending else (_EARLIEST, UUID(int=0))
    if after is not None:
        last = await conversations.get(scope, after)
        begin = last.created_at, last.id
    listing = NEWEST_CONVERSATIONS if descending else OLDEST_CONVERSATIONS
    return await scope.all(listing, source=source, begin_time=begin[0], begin=begin[1], limit=limit)


@read_only
async def list_messages(
    scope: Scope, conversation_id: UUID, *, after: UUID | None, limit: int, descending: bool
) -> list[records.Message]:
    """Return the first ``limit`` messages of the path, without drafts, after the one ``after``.

    Messages of the same time are in the order of the path. Raises NotFound if the message
    ``after`` does not exist. A conversation that does not exist has no messages.
    """
    begin = (_LATEST, Count.MAXIMUM) if descending else (_EARLIEST, 0)
    if after is not None:
        last = await scope.one(sql.GET, conversation_id=conversation_id, id=after)
        begin = last.created_at, last.position
    return await scope.all(
        NEWEST_MESSAGES if descending else OLDEST_MESSAGES,
        conversation_id=conversation_id,
        begin_time=begin[0],
        begin=begin[1],
        limit=limit,
    )
