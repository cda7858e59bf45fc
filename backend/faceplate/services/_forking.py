"""The copy of a path as a conversation of its own."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from faceplate import records
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.models import Conversation, Message
from faceplate.scope import Scope
from faceplate.services import _path_changes, _path_statements
from faceplate.services._activity import activity
from faceplate.services._path_changes import Tree
from faceplate.services._paths import multirange
from faceplate.statement import Statement

_in_conversation = Message.conversation_id == bindparam("conversation_id")
_conversation = Conversation.id == bindparam("conversation_id")


def _copy_conversation() -> Any:
    values = {
        "user_id": Conversation.user_id,
        "id": bindparam("new_id", type_=Conversation.id.type),
        "title": func.coalesce(
            bindparam("title", type_=Conversation.title.type.optional()), Conversation.title
        ),
        "metadata": Conversation.metadata_,
        "source": bindparam("source", type_=Conversation.source.type),
        "key": bindparam("key", type_=Conversation.key.type),
        # As it is stored, and not as text.
        "body": sa.type_coerce(Conversation.__table__.c.body, postgresql.JSON()),
    }
    copied = sa.select(*values.values()).where(_conversation)
    return (
        insert(Conversation)
        .from_select([*values], copied)
        .on_conflict_do_nothing(constraint="pk_conversations")
        .returning(sa.literal_column("1"))
    )


def _copy_messages() -> Any:
    kept = (
        *("id", "role", "content", "tool_calls", "tool_results", "metadata"),
        *("model", "created_at"),
    )
    table = Message.__table__
    is_open = Message.status == "streaming"
    values = {
        "user_id": Message.user_id,
        "conversation_id": bindparam("new_id", type_=Conversation.id.type),
        "position": func.row_number().over(order_by=Message.position),
        **{name: table.c[name] for name in kept},
        "body": sa.type_coerce(table.c.body, postgresql.JSON()),
        "status": sa.case((is_open, "interrupted"), else_=Message.status),
        # The sums of tokens count a copy once where it is equal. A draft will get other numbers.
        "input_tokens": sa.case((~is_open, Message.input_tokens)),
        "output_tokens": sa.case((~is_open, Message.output_tokens)),
    }
    copied = sa.select(*values.values()).where(
        # The end of the path by itself, since no index serves the ranges.
        _in_conversation,
        Message.position <= bindparam("end", type_=sa.Integer()),
        _path_changes.is_in_ranges,
    )
    # Without RETURNING, Citus would COPY, which knows no policies.
    return sa.insert(Message).from_select([*values], copied).returning(sa.literal_column("1"))


def _lacks() -> Any:
    """Return whether the new conversation lacks a message of the path."""
    copy = aliased(Message)
    is_copied = sa.exists(copy.id).where(
        copy.conversation_id == bindparam("new_id", type_=Message.conversation_id.type),
        copy.id == Message.id,
    )
    return sa.select(
        sa.exists(Message.id)
        .where(_in_conversation, _path_statements.is_on_path(), ~is_copied)
        .label("lacks")
    )


def _begins_alike() -> Any:
    """Return whether the new conversation begins with a message of the source."""
    copy = aliased(Message)
    is_copied = sa.exists(Message.id).where(_in_conversation, Message.id == copy.id)
    return sa.select(
        sa.exists(copy.id)
        .where(
            copy.conversation_id == bindparam("new_id", type_=Message.conversation_id.type),
            copy.position == sa.literal_column("1"),
            is_copied,
        )
        .label("begins_alike")
    )


_newest = sa.select(func.max(Message.created_at)).where(_in_conversation).scalar_subquery()

COPY_CONVERSATION = Statement(int, _copy_conversation())
COPY_MESSAGES = Statement(int, _copy_messages())
LACKS = Statement(bool, _lacks())
BEGINS_ALIKE = Statement(bool, _begins_alike())
COUNT_COPIES = Statement(
    records.Conversation,
    sa.update(Conversation)
    .where(_conversation)
    .values(
        message_count=bindparam("count", type_=sa.Integer()),
        **activity(func.greatest(func.statement_timestamp(), _newest)),
    )
    .returning(*Conversation.columns()),
)


async def fork(
    scope: Scope,
    conversation_id: UUID,
    at: int | None,
    title: str | None,
    new_id: UUID,
    *,
    source: str | None = None,
    key: str | None = None,
) -> records.Conversation | None:
    """Copy the path that ends at ``at`` into a new conversation; return that one.

    Return None if an earlier call has made it.
    """
    if new_id == conversation_id:
        raise InvalidInput("id", "must not be that of the conversation itself")
    tree = await _path_changes.lock(scope, conversation_id)
    if at is not None and not await tree.has(at):
        raise NotFound(records.Message)
    is_new = await scope.first(
        COPY_CONVERSATION,
        conversation_id=conversation_id,
        new_id=new_id,
        title=title,
        source=source,
        key=key,
    )
    if is_new is None:
        if not await _is_copy(scope, tree, conversation_id, at, new_id):
            raise Conflict(
                "a conversation with this id exists already", constraint="pk_conversations"
            )
        return None
    end = tree.end if at is None else at
    count = await scope.execute(
        COPY_MESSAGES,
        conversation_id=conversation_id,
        new_id=new_id,
        end=end,
        ranges=multirange(tree.ranges.path(end)),
    )
    return await scope.one(COUNT_COPIES, conversation_id=new_id, count=count)


async def _is_copy(
    scope: Scope, tree: Tree, conversation_id: UUID, at: int | None, new_id: UUID
) -> bool:
    """Return whether an earlier call has made the conversation, so that this one is its retry.

    Both conversations may have gone on since: without ``at``, the path of the source is then longer
    than its copy. The copy of an empty path has nothing of its source: it counts as one while it is
    empty.
    """
    key = {"conversation_id": conversation_id, "new_id": new_id}
    if at is not None:
        return not await scope.one(LACKS, **key, leaf=at)
    if tree.end:
        return await scope.one(BEGINS_ALIKE, **key)
    first = await scope.first(_path_statements.AT, conversation_id=new_id, position=1)
    return first is None
