"""What is removed in bulk: in batches, each small enough for a transaction of its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY

from faceplate.column_types import Timestamp
from faceplate.errors import InvalidInput
from faceplate.models import Conversation, Message, User
from faceplate.scope import Scope, SystemScope
from faceplate.services import _path_changes, _row_statements
from faceplate.services._activity import is_before, oldest_first
from faceplate.services._arguments import check_kind
from faceplate.services._kinds import all_kinds
from faceplate.services._row_statements import IdleRows
from faceplate.statement import Statement

MAX_BATCH = 1_000
MAX_CONVERSATIONS = 100
FIRST = UUID(int=0)
LONGEST = timedelta(days=36_500)

EARLIEST = (Timestamp.EARLIEST, UUID(int=0))
LATEST = Timestamp.LATEST

_moment, _id = Conversation.updated_at.type, Conversation.id.type
_limit = bindparam("limit", type_=sa.Integer())
_is_idle = is_before(bindparam("before", type_=_moment))
_conversation_id = bindparam("conversation_id", type_=_id)
_conversation = Conversation.id == _conversation_id


class Idle(NamedTuple):
    """What a user has that was idle for so long."""

    user_id: UUID
    conversations: int
    messages: int


class Removed(NamedTuple):
    """What a batch has removed, and the ``after`` of the next one: None after the last batch."""

    conversations: int
    messages: int
    after: tuple[datetime, UUID] | None


class _Candidate(NamedTuple):
    updated_at: datetime
    id: UUID
    message_count: int


class _Shortened(NamedTuple):
    removed: int
    newest: int
    """The position of the last message that is left."""
    head: int | None


def _shorten_locked() -> Statement[_Shortened]:
    """Return the statement that removes the last messages of a locked conversation.

    A message follows an earlier one, so that nothing which is left follows a removed one.
    """
    of_conversation = Message.conversation_id == _conversation_id
    last = (
        sa.select(Message.position)
        .where(of_conversation)
        .order_by(Message.position.desc())
        .limit(bindparam("by", type_=sa.Integer()))
        .subquery("last")
    )
    first_removed = sa.select(func.min(last.c.position)).scalar_subquery()
    removed = (
        sa.delete(Message)
        .where(of_conversation, Message.position >= first_removed)
        .returning(Message.position)
        .cte("removed")
    )
    count = sa.select(func.count()).select_from(removed).scalar_subquery()
    newest = (
        sa.select(func.max(Message.position))
        .where(of_conversation, Message.position < first_removed)
        .scalar_subquery()
    )
    return Statement(
        _Shortened,
        sa.update(Conversation)
        .where(_conversation)
        .values(
            message_count=Conversation.message_count - count,
            removed_count=Conversation.removed_count + count,
            head=sa.case((Conversation.head < newest, Conversation.head)),
        )
        .returning(count, newest, Conversation.head),
    )


IDLE_SINCE = Statement(
    datetime, sa.select(func.now() - bindparam("older_than", type_=sa.Interval()))
)
USERS = Statement(
    UUID,
    sa.select(User.id)
    .where(User.id > bindparam("after", type_=_id))
    .order_by(User.id)
    .limit(_limit),
)
# By themselves, since Citus has the users on each node and their rows on one.
IDLE_OF_USERS = Statement(
    Idle,
    sa.select(Conversation.user_id, func.count(), func.sum(Conversation.message_count))
    .where(
        Conversation.user_id == sa.any_(bindparam("user_ids", type_=ARRAY(_id))),
        _is_idle,
    )
    .group_by(Conversation.user_id),
)
OLDEST = Statement(
    _Candidate,
    oldest_first(
        sa.select(Conversation.updated_at, Conversation.id, Conversation.message_count).where(
            _is_idle
        )
    ).limit(_limit),
)
# Both wait for an append that is under way, and then see that the conversation is idle no more.
REMOVE_CONVERSATIONS = Statement(
    int,
    sa.delete(Conversation)
    .where(Conversation.id == sa.any_(bindparam("ids", type_=ARRAY(_id))), _is_idle)
    .returning(Conversation.message_count),
)
LOCK_IDLE = Statement(
    UUID, sa.select(Conversation.id).where(_conversation, _is_idle).with_for_update()
)
SHORTEN = _shorten_locked()


async def idle_since(scope: SystemScope, older_than: timedelta) -> datetime:
    """Return the moment ``older_than`` ago by the server's clock, which stamps all activity.

    Raises InvalidInput for a time that is negative or longer than a hundred years.
    """
    check_kind("older_than", older_than, timedelta)
    if not timedelta(0) <= older_than <= LONGEST:
        raise InvalidInput("older_than", "must be between nothing and a hundred years")
    return await scope.one(IDLE_SINCE, older_than=older_than)


async def idle_users(
    scope: SystemScope, before: datetime, *, after: UUID = FIRST, limit: int = MAX_BATCH
) -> list[Idle]:
    """Return what the next ``limit`` users have that saw no activity since ``before``, by id.

    A user without idle conversations is among them, with zeros. Pass the last user's id as
    ``after`` to the next call; an empty list means that no user is left. Raises InvalidInput unless
    the limit is 1 to 1,000. Runs across users: ``run_system``.
    """
    check_kind("before", before, datetime)
    ids = await scope.all(USERS, after=after, limit=_check_limit(limit))
    found = await scope.all(IDLE_OF_USERS, before=before, user_ids=ids)
    idle = {row.user_id: row for row in found}
    return [idle.get(user_id) or Idle(user_id, 0, 0) for user_id in ids]


async def remove_conversations(
    scope: Scope,
    *,
    before: datetime = LATEST,
    after: tuple[datetime, UUID] = EARLIEST,
    limit: int = MAX_BATCH,
) -> Removed:
    """Remove conversations without activity since ``before``, the longest idle first.

    As many as have ``limit`` messages together (1 to 1,000), a hundred at most. One that is longer
    loses its last ``limit`` messages by position, and the next call goes on with it; what is left
    of it is in order. A conversation in which something happens meanwhile is left as it then is.

    Raises InvalidInput unless the limit is 1 to 1,000.
    """
    check_kind("after", after, tuple)
    after_time, after_id = after
    candidates = await scope.all(
        OLDEST,
        before=before,
        after_time=after_time,
        after_id=after_id,
        limit=min(_check_limit(limit), MAX_CONVERSATIONS),
    )
    if not candidates:
        return Removed(0, 0, None)
    if candidates[0].message_count > limit:
        return await _shorten(scope, candidates[0], before, after, limit)
    chosen = _within(candidates, limit)
    counts = await scope.all(REMOVE_CONVERSATIONS, ids=[row.id for row in chosen], before=before)
    return Removed(len(counts), sum(counts), (chosen[-1].updated_at, chosen[-1].id))


async def idle_rows(
    scope: SystemScope, table: str, before: datetime, *, after: UUID = FIRST, limit: int = MAX_BATCH
) -> list[IdleRows]:
    """Return how many rows of a table the next ``limit`` users have unchanged since ``before``.

    As `idle_users`, for a table of `remove_rows`. Runs across users: ``run_system``.
    """
    check_kind("before", before, datetime)
    statement = _row_statements.count_idle(_model_of(table))
    ids = await scope.all(USERS, after=after, limit=_check_limit(limit))
    found = await scope.all(statement, before=before, user_ids=ids)
    idle = {row.user_id: row for row in found}
    return [idle.get(user_id) or IdleRows(user_id, 0) for user_id in ids]


async def remove_rows(
    scope: Scope,
    table: str,
    *,
    before: datetime | None = None,
    after: Any | None = None,
    limit: int = MAX_BATCH,
) -> list[Any]:
    """Remove the next ``limit`` rows of the user from a table; return their keys in order.

    The table is any of `archives.tables`, such as tasks or documents, but not conversations or
    messages. A key is an id or, where the table's key has more columns, a tuple. Pass the last one
    as ``after`` to the next call; an empty list means that no row is left. With ``before``, only
    rows unchanged since then are removed.

    Raises InvalidInput for another table, or unless the limit is 1 to 1,000.
    """
    model = _model_of(table)
    statement = _row_statements.remove(model, is_first=after is None, only_idle=before is not None)
    values: dict[str, Any] = {} if before is None else {"before": before}
    if after is not None:
        values |= _row_statements.after(model, after)
    return await scope.all(statement, **values, limit=_check_limit(limit))


def _model_of(table: str) -> Any:
    """Return the model of a table whose rows are removed one by one."""
    models = {
        kind.table: kind.model
        for kind in all_kinds()
        if kind.model is not User and not kind.is_chats
    }
    if table not in models:
        raise InvalidInput("table", f"must be one of {', '.join(models)}")
    return models[table]


async def _shorten(
    scope: Scope, row: _Candidate, before: datetime, after: tuple[datetime, UUID], by: int
) -> Removed:
    key = {"conversation_id": row.id}
    if await scope.first(LOCK_IDLE, before=before, **key) is None:
        return Removed(0, 0, (row.updated_at, row.id))
    shortened = await scope.one(SHORTEN, by=by, **key)
    if shortened.removed < by:  # it counted messages that a program's own SQL had removed
        removed = await scope.all(REMOVE_CONVERSATIONS, ids=[row.id], before=before)
        return Removed(len(removed), shortened.removed, (row.updated_at, row.id))
    if shortened.head is not None:
        await scope.execute(_path_changes.MARK_NEWEST, newest=shortened.newest, **key)
    return Removed(0, shortened.removed, after)


def _within(candidates: Sequence[_Candidate], limit: int) -> Sequence[_Candidate]:
    """Return the first candidates, as many as have ``limit`` messages together."""
    messages = 0
    for index, row in enumerate(candidates):
        messages += row.message_count
        if messages > limit:
            return candidates[:index]
    return candidates


def _check_limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_BATCH:
        raise InvalidInput("limit", f"must be a whole number between 1 and {MAX_BATCH:,}")
    return limit
