"""The activity of conversations in statements: its columns, and the order of lists.

Lists are in the order of ``updated_at`` and ``id``. Their index has the hour in place of the time,
so that an append within the hour changes no index: see docs/decisions/0017-active-hour.md.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects import postgresql

from faceplate.models import Conversation

_hour: Any = sa.literal_column("'hour'")
_one: Any = sa.literal_column("1")
_utc: Any = sa.literal_column("'UTC'")
_key = sa.tuple_(Conversation.updated_at, Conversation.id)
_after_time: Any = bindparam("after_time", type_=Conversation.updated_at.type)
_after = sa.tuple_(_after_time, bindparam("after_id", type_=Conversation.id.type))


def activity(moment: Any) -> dict[str, Any]:
    """Return the values of a conversation in which something happened at ``moment``."""
    return active_at(func.greatest(Conversation.updated_at, moment))


def active_at(moment: Any) -> dict[str, Any]:
    """Return the values of a conversation whose last activity was at ``moment``.

    An expression is evaluated twice: where the two differ in the hour, the trigger corrects it.
    """
    return {"updated_at": moment, "active_hour": _hour_of(moment)}


def given_or(given: Any, moment: Any) -> Any:
    """Return the moment that is given, or ``moment`` if that is NULL.

    It is a COALESCE in words that Citus knows how to evaluate: that one may hold no clock there.
    """
    return postgresql.array([given, moment])[_one + sa.cast(given.is_(None), sa.Integer)]


def newest_first(selected: Any) -> Any:
    """Return a SELECT of conversations, newest first."""
    return selected.order_by(
        Conversation.active_hour.desc(), Conversation.updated_at.desc(), Conversation.id.desc()
    )


def newest_after(selected: Any) -> Any:
    """Return a SELECT of conversations after ``after_time`` and ``after_id``, newest first."""
    # For "not at or behind it" PostgreSQL expects more rows than for "before it", and so it finds
    # that one plan for all values is as good as a new plan for each call.
    is_after = (_key >= _after).is_not(sa.true())
    later = selected.where(Conversation.active_hour <= _hour_of(_after_time), is_after)
    return newest_first(later)


def oldest_first(selected: Any) -> Any:
    """Return a SELECT of conversations after ``after_time`` and ``after_id``, oldest first."""
    return selected.where(
        Conversation.active_hour >= _hour_of(_after_time), _key > _after
    ).order_by(Conversation.active_hour, Conversation.updated_at, Conversation.id)


def is_before(moment: Any) -> Any:
    """Return the condition that the last activity was before ``moment``, for the index."""
    return sa.and_(Conversation.active_hour <= _hour_of(moment), Conversation.updated_at < moment)


def _hour_of(moment: Any) -> Any:
    """Return the hour of ``moment`` in UTC, as the trigger of the migrations has it."""
    return func.date_trunc(_hour, moment, _utc)
