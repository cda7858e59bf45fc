"""Appends of events to a session, after its last event and nowhere else."""

from typing import Final
from uuid import UUID

from google.adk.events.event import Event
from google.adk.sessions.session import Session

from faceplate import records
from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.integrations.google_adk import _units as units
from faceplate.integrations.google_adk._events import message_id, to_message, without_tools
from faceplate.integrations.google_adk._states import ScopedState
from faceplate.services import messages, tool_calls
from faceplate.services.messages import NewMessage

try:
    from google.adk.errors._stale_session_error import StaleSessionError
except ImportError:  # before google-adk 2.9
    StaleSessionError = ValueError  # type: ignore[misc,assignment]  # what the SDK itself raised

_STALE: Final = (
    "The session has been modified in storage since it was loaded. Please reload the session"
    " before appending more events."
)


def stale() -> ValueError:
    """Return the error for a session that another writer has changed."""
    return StaleSessionError(_STALE)


def mark(session: Session, position: int, timestamp: float) -> None:
    """Note where the session ends: the next event is appended there or refused."""
    session.last_update_time = timestamp
    session._storage_update_marker = str(position)  # noqa: SLF001 - what the SDK has it for


async def append(
    db: Database, user_id: UUID, session: Session, event: Event, delta: ScopedState
) -> records.Message:
    """Store an event with the state of its session and user; return its message.

    Raises NotFound, Conflict, StaleSessionError.
    """
    conversation_id = units.id_of(user_id, session.app_name, session.id)
    after = await _end_of(db, user_id, conversation_id, session)
    place = units.Place(session.app_name, conversation_id, after, delta)
    message = to_message(conversation_id, event)
    try:
        return await _store_fitting(db, user_id, place, event, message)
    except Conflict as error:
        if error.constraint != "pk_messages":
            raise
        # An earlier attempt may have stored it when its calls and results did not fit.
        id_ = message_id(conversation_id, event.id)
        stored = await db.run(user_id, messages.get, conversation_id, id_)
        if stored.body != message.body:
            raise
        return stored


async def _store_fitting(
    db: Database, user_id: UUID, place: units.Place, event: Event, message: NewMessage
) -> records.Message:
    """Store an event's message; without calls and results that its conversation refuses."""
    try:
        return await _store(db, user_id, place, message)
    except InvalidInput as error:
        if error.field not in {tool_calls.CALLS, tool_calls.RESULTS}:
            raise
    return await _store(db, user_id, place, without_tools(event, message))


async def _store(
    db: Database, user_id: UUID, place: units.Place, message: NewMessage
) -> records.Message:
    if not place.after or place.delta.session or place.delta.user:
        return await db.run(user_id, units.append_with, place, message)
    to, after, new = place.conversation_id, place.after, message._asdict()
    return await db.run(user_id, messages.append, to, after=after, **new)


async def _end_of(db: Database, user_id: UUID, conversation_id: UUID, session: Session) -> int:
    """Return the position of the session's last event, 0 without one.

    A session that was listed, or that another service has made, does not know it. Raises
    StaleSessionError if its last event is not the newest one, and it is older as well.
    """
    marker = getattr(session, "_storage_update_marker", None)
    if marker is not None and marker.isdecimal():
        return int(marker)
    newest = await db.run(user_id, messages.history, conversation_id, limit=1)
    if not newest:
        return 0
    stored = newest[0]
    known = session.events[-1].id if session.events else ""
    is_current = stored.id == message_id(conversation_id, known) or str(stored.id) == known
    if not is_current and stored.created_at.timestamp() > session.last_update_time:
        raise stale()
    return stored.position
