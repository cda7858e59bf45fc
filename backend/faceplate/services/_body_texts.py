"""The bodies of a path and nothing else, for a program that keeps its own objects in messages.

It serves conversations without branches whose messages all have a body; `messages.bodies` serves
the others, and this process remembers which these are.
"""

from collections import OrderedDict
from typing import Any, Final, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.orm import aliased

from faceplate.models import Message
from faceplate.scope import Scope
from faceplate.services._path_reading import Remembered, add, is_among
from faceplate.statement import Statement

RUN: Final = 128
"""Positions whose bodies PostgreSQL joins to one text."""
MOST_RUNS: Final = 64
"""The most runs that are read. PostgreSQL would compile the plan of an unknown number."""
MOST_BYTES: Final = 2**18
"""The longest body that is joined. PostgreSQL holds a text in memory as a whole."""

refused_lately: Remembered = OrderedDict()
"""The conversations that `read` has returned None for."""


class Run(NamedTuple):
    """The bodies of some messages that follow each other."""

    first: int
    text: str | None
    """The bodies with commas between; None if a message has none that can be joined."""


_conversation_id = bindparam("conversation_id", type_=Message.conversation_id.type)
_body = sa.case((Message.parent_position.is_(None), sa.cast(Message.body, sa.Text())))


def _literal(number: int) -> Any:
    return sa.literal_column(str(number), sa.Integer())


def _runs() -> sa.Select[Any]:
    """Return the runs of a conversation in any order: PostgreSQL would hold them to sort them."""
    newest = aliased(Message)
    last = sa.select(func.max(newest.position)).where(newest.conversation_id == _conversation_id)
    series = func.generate_series(_literal(0), last.scalar_subquery(), _literal(RUN))
    first = series.column_valued("first")
    # The LIMIT keeps the planner from putting an expression in place of a column: see
    # `_path_statements`.
    run = (
        sa.select(first.label("first"), (first + _literal(RUN)).label("end"))
        .limit(_literal(MOST_RUNS + 1))
        .subquery("run")
    )
    is_short = func.octet_length(sa.cast(Message.body, sa.Text())) <= _literal(MOST_BYTES)
    rows = (
        sa.select(sa.case((is_short, _body)).label("body"))
        .where(
            Message.conversation_id == _conversation_id,
            Message.position >= run.c.first,
            Message.position < run.c.end,
        )
        .order_by(Message.position)
        .correlate(run)
        .subquery("rows")
    )
    joined = func.string_agg(rows.c.body, sa.literal_column("','"))
    text = sa.case(
        (func.count() == func.count(rows.c.body), func.coalesce(joined, sa.literal_column("''")))
    )
    of_run = sa.select(text).select_from(rows).correlate(run).scalar_subquery()
    return sa.select(run.c.first, of_run.label("text"))


NEWEST = Statement[str | None](
    str,
    sa.select(_body)
    .where(Message.conversation_id == _conversation_id)
    .order_by(Message.position.desc())
    .limit(bindparam("limit", type_=sa.Integer())),
)
ALL = Statement(Run, _runs())


async def read(scope: Scope, conversation_id: UUID, limit: int | None) -> list[str] | None:
    """Return the bodies of the path's messages, in order: of all, or of the last ``limit``.

    A text of the list is a body, or several with commas between. A conversation that does not exist
    has none. None is returned where `messages.bodies` has to be read.
    """
    if is_among(refused_lately, scope, conversation_id):
        return None
    if limit is None:
        runs = await scope.all(ALL, conversation_id=conversation_id)
        texts = [run.text for run in sorted(runs)] if len(runs) <= MOST_RUNS else [None]
    else:
        texts = await scope.all(NEWEST, conversation_id=conversation_id, limit=limit)
        texts.reverse()
    if None in texts:
        add(refused_lately, scope, conversation_id)
        return None
    return [text for text in texts if text]
