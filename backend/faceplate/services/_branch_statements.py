"""The statements that read the alternatives at the places of a conversation."""

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased

from faceplate.column_types import Count
from faceplate.models import Message
from faceplate.statement import Statement

_conversation_id = bindparam("conversation_id", type_=Message.conversation_id.type)
_one: Any = sa.literal_column("1")


def _of_conversation(message: Any) -> Any:
    return message.conversation_id == _conversation_id


class Branching(NamedTuple):
    """A range of messages: the first follows ``parent``, each other one the message before it."""

    first: int
    parent: int | None
    """The position that the first one follows; its own, or None, if it follows nothing."""
    last: int
    beside: int | None
    """The next message after ``parent``, where that one follows it too: an alternative."""


class Identity(NamedTuple):
    position: int
    id: UUID


def _branches() -> sa.Select[Any]:
    """Return all ranges of a conversation, as `Branching` has them."""
    message = aliased(Message)
    given = sa.select(message.position, message.parent_position).where(
        _of_conversation(message), message.parent_position.is_not(None)
    )
    first = aliased(Message)
    opening = (
        sa.select(first.position, first.parent_position)
        .where(_of_conversation(first))
        .order_by(first.position)
        .limit(_one)
        .subquery()
    )
    ranges = given.union(sa.select(opening)).subquery("ranges")
    # A comparison with an expression would go past the index: see `_path_statements`.
    following = func.lead(ranges.c.position, 1, Count.MAXIMUM).over(order_by=ranges.c.position)
    numbered = sa.select(*ranges.c, following.label("following")).subquery("numbered")
    member, follower = aliased(Message), aliased(Message)
    last = (
        sa.select(func.max(member.position))
        .where(
            _of_conversation(member),
            member.position < numbered.c.following,
        )
        .scalar_subquery()
    )
    beside = (
        sa.select(sa.case((follower.parent_position.is_(None), follower.position)))
        .where(_of_conversation(follower), follower.position > numbered.c.parent_position)
        .order_by(follower.position)
        .limit(_one)
        .scalar_subquery()
    )
    return sa.select(
        numbered.c.position, numbered.c.parent_position, last.label("last"), beside.label("beside")
    ).order_by(numbered.c.position)


BRANCHES = Statement(Branching, _branches())
IDS = Statement(
    Identity,
    sa.select(Message.position, Message.id).where(
        Message.conversation_id == _conversation_id,
        Message.position == sa.any_(bindparam("positions", type_=postgresql.ARRAY(sa.Integer()))),
    ),
)
