"""Conversations with the message at the end of their path, for adapters that compare and swap."""

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.orm import aliased

from faceplate.column_types import Count
from faceplate.models import Conversation, Message
from faceplate.statement import Statement


class AtEnd(NamedTuple):
    """What a compare-and-swap has to know of a conversation."""

    id: UUID
    key: str | None
    body: str | None
    updated_at: Any
    end_id: UUID | None
    """The last message of its path, or None while it has none."""


def _at_end(condition: Any) -> Any:
    message = aliased(Message)
    end = (
        sa.select(message.id)
        .where(
            message.conversation_id == Conversation.id,
            message.position <= func.coalesce(Conversation.head, sa.literal(Count.MAXIMUM)),
        )
        .order_by(message.position.desc())
        .limit(sa.literal_column("1"))
        .scalar_subquery()
    )
    columns = (Conversation.id, Conversation.key, Conversation.body, Conversation.updated_at)
    return sa.select(*columns, end.label("end_id")).where(condition)


_by_id = Conversation.id == bindparam("id")

GET = Statement(AtEnd, _at_end(_by_id))
LOCK = Statement(AtEnd, _at_end(_by_id).with_for_update(of=Conversation))
OF_SOURCE = Statement(AtEnd, _at_end(Conversation.source == bindparam("source")))
# A message of the user, wherever it is: in a fork, the copies of a message have its id.
FIND = Statement(
    UUID,
    sa.select(Message.conversation_id)
    .where(Message.id == bindparam("id"))
    .limit(sa.literal_column("1")),
)
