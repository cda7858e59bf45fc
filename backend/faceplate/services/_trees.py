"""All messages of a conversation, each with the branches that begin at it.

Two streams go through the conversation side by side: the messages by their positions, and the
messages that begin a branch by the position of the message that they follow. So a reader of a
conversation of any length holds a few messages.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam

from faceplate import records
from faceplate.models import Message
from faceplate.scope import Scope
from faceplate.services import _row_statements
from faceplate.statement import Statement


class TreeMessage(NamedTuple):
    """A message, and what follows it."""

    message: records.Message
    children: list[UUID]
    """The ids of the messages whose ``parent_position`` names this one, in order."""


class Child(NamedTuple):
    """A message that names what it follows."""

    parent_position: int
    id: UUID


def _messages() -> sa.Select[Any]:
    columns = dict(zip(records.Message._fields, Message.columns(), strict=True))
    columns["body"] = _row_statements.unless_large(Message.body)
    return (
        sa.select(*columns.values())
        .where(Message.conversation_id == bindparam("conversation_id"))
        .order_by(Message.position)
    )


MESSAGES = Statement(records.Message, _messages())
CHILDREN = Statement(
    Child,
    sa.select(Message.parent_position, Message.id)
    .where(
        Message.conversation_id == bindparam("conversation_id"),
        Message.parent_position.is_not(None),
        Message.parent_position != Message.position,
    )
    .order_by(Message.parent_position, Message.position),
)


async def walk(scope: Scope, conversation_id: UUID) -> AsyncIterator[TreeMessage]:
    """Yield every message of a conversation, of all branches, in the order of their positions.

    Up to a thousand are in memory at a time, fewer where they are large, and a large body is read
    by itself. The transaction stays open meanwhile, and must be REPEATABLE READ: else a message may
    be without one that follows it.
    """
    read_body = _row_statements.bodies(Message)["body"]
    following = scope.stream(CHILDREN, conversation_id=conversation_id)
    child = await anext(following, None)
    async for message in scope.stream(MESSAGES, conversation_id=conversation_id):
        children = []
        while child is not None and child.parent_position == message.position:
            children.append(child.id)
            child = await anext(following, None)
        if message.body == _row_statements.LEFT_OUT:
            body = await scope.one(read_body, **_row_statements.key(Message, message))
            message = message._replace(body=body)  # noqa: PLW2901 - the same, with its body
        yield TreeMessage(message, children)
