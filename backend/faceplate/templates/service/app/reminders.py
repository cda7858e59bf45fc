"""The units of reminders.

A unit with a `Scope` works for one user: faceplate adds the user to its statements. `due` has a
`SystemScope`: it works across users, and only finds. What is found is delivered for its user.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from faceplate import Scope, Statement, SystemScope
from faceplate.services import messages
from sqlalchemy import bindparam, func, insert, select, tuple_, update

from app.models import Reminder

BATCH = 100


class Reminding(NamedTuple):
    """A reminder, as the units return it."""

    id: UUID
    conversation_id: UUID
    text: str
    due_at: datetime
    sent_at: datetime | None


class Due(NamedTuple):
    """A reminder that is due, and whose it is."""

    user_id: UUID
    id: UUID


FIRST = Due(UUID(int=0), UUID(int=0))

_columns = (
    Reminder.id,
    Reminder.conversation_id,
    Reminder.text,
    Reminder.due_at,
    Reminder.sent_at,
)
_is_due = (Reminder.sent_at.is_(None), Reminder.due_at <= func.now())
_after = tuple_(
    bindparam("after_user", type_=Reminder.user_id.type),
    bindparam("after_id", type_=Reminder.id.type),
)

ADD = Statement(
    Reminding,
    insert(Reminder)
    .values(
        id=bindparam("id"),
        conversation_id=bindparam("conversation_id"),
        text=bindparam("text"),
        due_at=bindparam("due_at"),
    )
    .returning(*_columns),
)
ALL = Statement(Reminding, select(*_columns).order_by(Reminder.due_at, Reminder.id).limit(BATCH))
SEND = Statement(
    Reminding,
    update(Reminder)
    .where(Reminder.id == bindparam("reminder_id"), *_is_due)
    .values(sent_at=func.now())
    .returning(*_columns),
)
DUE = Statement(
    Due,
    select(Reminder.user_id, Reminder.id)
    .where(*_is_due, tuple_(Reminder.user_id, Reminder.id) > _after)
    .order_by(Reminder.user_id, Reminder.id)
    .limit(BATCH),
)


async def add(scope: Scope, conversation_id: UUID, *, text: str, due_at: datetime) -> Reminding:
    """Add a reminder to a conversation of the user."""
    return await scope.one(
        ADD, id=scope.new_id(), conversation_id=conversation_id, text=text, due_at=due_at
    )


async def first(scope: Scope) -> list[Reminding]:
    """Return the user's reminders, the earliest first, at most `BATCH`."""
    return await scope.all(ALL)


async def deliver(scope: Scope, reminder_id: UUID) -> bool:
    """Append a reminder to its conversation; return whether it was due still.

    The message and ``sent_at`` are committed together. So it is delivered once, also when several
    workers find it, or a connection is lost.
    """
    reminder = await scope.first(SEND, reminder_id=reminder_id)
    if reminder is None:
        return False
    content = f"Reminder: {reminder.text}"
    await messages.append(scope, reminder.conversation_id, role="assistant", content=content)
    return True


async def due(scope: SystemScope, *, after: Due = FIRST) -> list[Due]:
    """Return what is due for all users, after ``after`` in the order of the keys."""
    return await scope.all(DUE, after_user=after.user_id, after_id=after.id)
