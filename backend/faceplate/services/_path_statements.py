"""The statements that read the path of a conversation, and lock it before a change.

A message follows the one before it, or the one at its ``parent_position``; one that has its own
position there follows none. So a path consists of ranges of positions, each of which begins with a
message that has a parent_position, and ends where the range after it begins to branch off. The path
that is read ends at the conversation's head or, without one, at its newest message.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased

from faceplate import records
from faceplate.column_types import Count
from faceplate.models import Conversation, Message
from faceplate.statement import Statement

R = TypeVar("R", records.Message, records.MessageBody)

_integer = sa.Integer()
_conversation_id = bindparam("conversation_id", type_=Message.conversation_id.type)
_conversation = Conversation.id == _conversation_id
_limit: Any = bindparam("limit", type_=_integer)
_leaf: Any = bindparam("leaf", None, type_=_integer)
_before: Any = bindparam("before", Count.MAXIMUM, type_=_integer)
_zero: Any = sa.literal_column("0")
_one: Any = sa.literal_column("1")


def _of_conversation(message: Any) -> Any:
    return message.conversation_id == _conversation_id


def _newest() -> Any:
    message = aliased(Message)
    return sa.select(func.max(message.position)).where(_of_conversation(message)).scalar_subquery()


def _branch_at_or_before(position: Any) -> Any:
    """Return the last message up to ``position`` that has a parent_position."""
    message = aliased(Message)
    return (
        sa.select(message.position, message.parent_position)
        .where(
            _of_conversation(message),
            message.parent_position.is_not(None),
            message.position <= position,
        )
        .order_by(message.position.desc())
        .limit(_one)
        .lateral()
    )


def _path(*, first_after: Any = _zero, wanted: Any = None) -> Any:
    """Return the ranges of the path, the last one first.

    The statement goes back to the range that holds ``first_after``, or until the ranges hold
    ``wanted`` messages before the position ``before``. Removed messages leave gaps in the ranges,
    so ``removed_count`` is added to ``wanted``. Without a message at the leaf there is no range.

    Under row-level security, PostgreSQL uses the index of positions for a comparison with a column,
    and not with an expression. The LIMIT keeps the planner from putting an expression there.
    """
    end = func.coalesce(_leaf, Conversation.head, _newest()).label("last")
    wanted = _zero if wanted is None else wanted + Conversation.removed_count
    message = aliased(Message)
    is_there = sa.exists(message.id).where(_of_conversation(message), message.position == _leaf)
    start = (
        sa.select(end, wanted.label("wanted"))
        .where(_conversation, sa.or_(_leaf.is_(None), is_there))
        .limit(_one)
        .subquery("path_end")
    )
    branch = _branch_at_or_before(start.c.last)
    path = (
        _ranges(start.c.last, branch, start.c.wanted)
        .select_from(start.outerjoin(branch, sa.true()))
        .where(start.c.last > 0)
        .cte("path", recursive=True)
    )
    branch = _branch_at_or_before(path.c.parent)
    earlier = (
        _ranges(path.c.parent, branch, path.c.wanted)
        .select_from(path.outerjoin(branch, sa.true()))
        .where(path.c.parent < path.c.first, path.c.first > first_after)
    )
    if wanted is not _zero:
        earlier = earlier.where(path.c.wanted > 0)
    return path.union_all(earlier)


def _ranges(last: Any, branch: Any, wanted: Any) -> Any:
    first = func.coalesce(branch.c.position, _one)
    held = func.least(last, _before - _one) - first + _one
    return sa.select(
        first.label("first"),
        last.label("last"),
        branch.c.parent_position.label("parent"),
        (wanted - func.greatest(held, _zero)).label("wanted"),
    )


def is_on_path(message: Any = Message, *, first_after: Any = _zero) -> Any:
    """Return the condition that ``message`` is on the path, as far back as `_path` goes.

    PostgreSQL finds the path once for a statement. Without the CASE, the planner guesses that one
    message in two hundred is on the path, and sorts them all.
    """
    path = _path(first_after=first_after)
    ranges = func.range_agg(func.int4range(path.c.first, path.c.last, sa.literal_column("'[]'")))
    is_within = message.position.op("<@", is_comparison=True)(
        sa.select(ranges).select_from(path).scalar_subquery()
    )
    return sa.case((is_within, sa.true()), else_=sa.false())


def _whole(message: Any) -> Sequence[Any]:
    """Return the columns of a `records.Message`."""
    return Message.columns(message)


def _body(message: Any) -> Sequence[Any]:
    """Return the columns of a `records.MessageBody`: what a body says is read once."""
    has_none = message.body.is_(None)
    spoken = [
        sa.case((has_none, getattr(message, name))).label(name)
        for name in ("content", "tool_calls", "tool_results")
    ]
    first = ("position", "parent_position", "status", "role", "body")
    return (*(getattr(message, name) for name in first), *spoken)


def _page(columns: Callable[[Any], Sequence[Any]]) -> sa.Select[Any]:
    """Return the last messages of the path before a position, the last one first."""
    path = _path(wanted=_limit)
    message = aliased(Message)
    of_range = (
        sa.select(*columns(message))
        .where(
            _of_conversation(message),
            message.position >= path.c.first,
            message.position <= path.c.last,
            message.position < _before,
        )
        .order_by(message.position.desc())
        .limit(_limit)
        .lateral("of_range")
    )
    return (
        sa.select(*of_range.c)
        .select_from(path.join(of_range, sa.true()))
        .order_by(of_range.c.position.desc())
        .limit(_limit)
    )


def _after(columns: Callable[[Any], Sequence[Any]], condition: Any) -> sa.Select[Any]:
    return (
        sa.select(*columns(Message))
        .where(
            Message.conversation_id == _conversation_id,
            Message.position > bindparam("position", type_=_integer),
            condition,
        )
        .order_by(Message.position)
        .limit(bindparam("limit", None, type_=_integer))
    )


def _is_linear_after() -> Any:
    """Return the condition that no message after the position has a parent_position."""
    message = aliased(Message)
    last = sa.select(func.max(message.position)).where(
        _of_conversation(message), message.parent_position.is_not(None)
    )
    position = bindparam("position", type_=_integer)
    return func.coalesce(last.scalar_subquery(), _zero) <= position


class Place(NamedTuple):
    """What is known of a conversation's messages before it is changed."""

    newest: int | None
    branch_positions: list[int] | None
    """The positions of messages that have a parent_position, in order."""
    branch_parents: list[int] | None
    is_stored: bool
    """Whether one of the given ids is stored."""
    end: int | None
    """The last message up to ``head``, if that is given."""


def _place() -> sa.Select[Any]:
    def collect(name: str) -> Any:
        message = aliased(Message)
        ordered = sa.select(getattr(message, name).label("value"), message.position).where(
            _of_conversation(message), message.parent_position.is_not(None)
        )
        rows = ordered.order_by(message.position).subquery()
        return sa.select(func.array_agg(rows.c.value)).scalar_subquery()

    stored = aliased(Message)
    ids = bindparam("ids", [], type_=postgresql.ARRAY(Message.id.type))
    is_stored = sa.exists(stored.id).where(_of_conversation(stored), stored.id == sa.any_(ids))
    upto = aliased(Message)
    end = sa.select(func.max(upto.position)).where(
        _of_conversation(upto), upto.position <= bindparam("head", None, type_=_integer)
    )
    return sa.select(
        _newest(),
        collect("position"),
        collect("parent_position"),
        is_stored.label("is_stored"),
        end.scalar_subquery(),
    )


def _newest_first(columns: Callable[[Any], Sequence[Any]]) -> sa.Select[Any]:
    return (
        sa.select(*columns(Message))
        .where(
            Message.conversation_id == _conversation_id,
            Message.position <= bindparam("upto", type_=_integer),
        )
        .order_by(Message.position.desc())
        .limit(_limit)
    )


class Reading(NamedTuple, Generic[R]):
    """The statements that read a path, each with the same columns."""

    newest: Statement[R]
    page: Statement[R]
    after: Statement[R]
    linear_after: Statement[R]


_on_path = is_on_path(first_after=bindparam("position", type_=_integer))
# The newest messages by position. They are the path unless one that is not the last of them has a
# parent_position: see `_path_reading`.
NEWEST = Statement(records.Message, _newest_first(_whole))
PATH_PAGE = Statement(records.Message, _page(_whole))
PATH_AFTER = Statement(records.Message, _after(_whole, _on_path))
# The same, as long as nothing branches off after the position; else no row.
LINEAR_AFTER = Statement(records.Message, _after(_whole, _is_linear_after()))
MESSAGES = Reading(NEWEST, PATH_PAGE, PATH_AFTER, LINEAR_AFTER)
# The same four, for what other programs keep in messages.
NEWEST_BODIES = Statement(records.MessageBody, _newest_first(_body))
BODIES_PAGE = Statement(records.MessageBody, _page(_body))
BODIES_AFTER = Statement(records.MessageBody, _after(_body, _on_path))
LINEAR_BODIES_AFTER = Statement(records.MessageBody, _after(_body, _is_linear_after()))
BODIES = Reading(NEWEST_BODIES, BODIES_PAGE, BODIES_AFTER, LINEAR_BODIES_AFTER)
AT = Statement(
    int,
    sa.select(Message.position).where(
        Message.conversation_id == _conversation_id,
        Message.position == bindparam("position", type_=_integer),
    ),
)
LAST = Statement[int | None](
    int,
    sa.select(func.max(Message.position)).where(
        Message.conversation_id == _conversation_id,
        Message.position <= bindparam("upto", type_=_integer),
    ),
)
POSITION = Statement(
    int,
    sa.select(Message.position).where(
        Message.conversation_id == _conversation_id, Message.id == bindparam("id")
    ),
)


PLACE = Statement(Place, _place())


class Locked(NamedTuple):
    """A conversation's row, locked until the transaction ends."""

    id: UUID
    head: int | None


LOCK = Statement(
    Locked,
    sa.select(Conversation.id, Conversation.head)
    .where(Conversation.id == bindparam("conversation_id"))
    .with_for_update(),
)
