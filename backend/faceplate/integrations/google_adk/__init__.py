"""Sessions of Google ADK (``google-adk``), kept as conversations.

::

    service = FaceplateSessionService(db)
    runner = Runner(app_name="support", agent=agent, session_service=service)

The ``user_id`` of ADK is the subject of a user, as `users.ensure` takes it: let the application
give the ``sub`` of whom it has authenticated. docs/sdks/google-adk.md says what is stored where.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import (
    BaseSessionService,
    GetSessionConfig,
    ListSessionsResponse,
)
from google.adk.sessions.session import Session

from faceplate import records
from faceplate.database import Database
from faceplate.errors import Conflict, NotFound
from faceplate.integrations._subjects import Subjects
from faceplate.integrations.google_adk import _appends as appends
from faceplate.integrations.google_adk import _states as states
from faceplate.integrations.google_adk import _units as units
from faceplate.integrations.google_adk._events import dump_json, message_id, to_events
from faceplate.integrations.google_adk._units import APP_SUBJECT, SOURCE, subject_of
from faceplate.scope import Scope
from faceplate.services.conversations import NewConversation

__all__ = ["APP_SUBJECT", "SOURCE", "FaceplateSessionService"]

P = ParamSpec("P")
T = TypeVar("T")


class FaceplateSessionService(BaseSessionService):
    """Keeps sessions as conversations, events as messages, and state as JSON.

    ``db`` is open, and stays open after the service. Each call raises the errors of `Database.run`.
    An app's name has at most 128 characters, and a user's id 1 to 255, not blank. A session's id is
    any text; whitespace around it does not count.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._users = Subjects(db)
        # Agents that run at the same time append to one session.
        self._appending: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Create a session and return it. Without an id, it gets a new one.

        Raises AlreadyExistsError if the user has a session with this id in the app; InvalidInput.
        """
        given = states.ScopedState.of(state or {})
        name = (session_id or "").strip() or str(uuid4())
        made_at = datetime.now(UTC)
        body = {
            "app_name": app_name,
            "user_id": user_id,
            "id": name,
            "state": given.session,
            "made": str(uuid4()),  # tells the call that made the session from every other one
        }
        key = units.key_of(app_name, name)
        new = NewConversation(SOURCE, key, body=dump_json(body), created_at=made_at)
        run, ensure, subject = self._users.run, self._users.ensure, subject_of(user_id)
        user_state = await run(ensure, subject, units.create_session, app_name, new, given.user)
        if given.app:
            app_state = await self._merge_app_state(app_name, given.app)
        else:
            app_state = await run(ensure, APP_SUBJECT + app_name, states.open_app, app_name)
        whole = states.joined(given.session, user_state, app_state)
        return _session(app_name, user_id, name, whole, made_at)

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """Return a session with its events in the order in which they were appended, or None.

        ``config`` limits them to the newest, and to those from a time on. A message that another
        program appended comes as an event.
        """
        name, config = session_id.strip(), config or GetSessionConfig()
        try:
            rows, stored = await self._read(app_name, user_id, name, config)
        except NotFound:
            return None
        app_state = await self._app_state(app_name)
        state = states.joined(
            states.state_of(stored.body), states.read_json(stored.user_state), app_state
        )
        session = _session(app_name, user_id, name, state, stored.created_at)
        events = to_events(rows, app_name)
        if rows:  # they may be no events, and still the next one follows them
            newest = events[-1].timestamp if events else rows[-1].created_at.timestamp()
            appends.mark(session, rows[-1].position, newest)
        session.events = _selected(events, config)
        return session

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        """Return the sessions of a user, or of all users of the app, without their events.

        The one with the oldest activity comes first.
        """
        pattern = units.pattern_of(app_name)
        if user_id is None:
            listing = self._db.run_system(units.list_all, app_name, pattern)
        else:
            listing = self._run(user_id, units.list_sessions, app_name, pattern)
        try:
            rows, of_users = await listing
        except NotFound:
            return ListSessionsResponse()
        app_state = await self._app_state(app_name)
        sessions = []
        for row in rows:
            state = states.joined(
                states.state_of(row.body), of_users.get(row.user_id, {}), app_state
            )
            name = units.session_id_of(row)
            session = _session(app_name, row.subject_id, name, state, row.updated_at)
            session._storage_update_marker = None  # noqa: SLF001 - it is not known
            sessions.append(session)
        sessions.sort(key=lambda one: (one.last_update_time, one.user_id, one.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events. One that does not exist is no error."""
        with suppress(NotFound):
            await self._run(user_id, units.delete_session, app_name, session_id.strip())

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user in an app, its keys without ``user:``."""
        try:
            return await self._run(user_id, states.user_state_of, app_name)
        except NotFound:
            return {}

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event, merge its state, and return it. One that is partial is not stored.

        An event that is stored already is not stored again. The event and the state of the session
        and the user are one transaction; the state of the app follows in another one, so append the
        event again where the call did not return.

        Raises SessionNotFoundError if the session does not exist, StaleSessionError if another
        writer has appended since it was loaded, AlreadyExistsError if another event has this id.
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        name = (session.app_name, session.user_id, session.id)
        async with self._appending.setdefault(name, asyncio.Lock()):
            delta = states.ScopedState.of(event.actions.state_delta or {})
            is_known = any(one.id == event.id and one == event for one in session.events)
            try:
                user_id = await self._users.find(subject_of(session.user_id))
                stored = None
                if not is_known:
                    stored = await appends.append(self._db, user_id, session, event, delta)
            except NotFound as error:
                if error.record is records.Message:  # the session's last event was removed
                    raise appends.stale() from None
                raise SessionNotFoundError(f"Session {session.id} not found.") from None
            except Conflict as error:
                if error.constraint == "pk_messages":
                    raise AlreadyExistsError(f"Event with id {event.id} already exists.") from None
                raise appends.stale() from None
            if delta.app:  # an earlier attempt at a known event may have ended before this
                id_ = message_id(units.id_of(user_id, session.app_name, session.id), event.id)
                await self._merge_app_state(session.app_name, delta.app, id_)
            if stored is not None:
                self._update_session_state(session, event)
                session.events.append(event)
                appends.mark(session, stored.position, event.timestamp)
        return event

    async def _read(
        self, app_name: str, user_id: str, session_id: str, config: GetSessionConfig
    ) -> tuple[list[records.Message], units.Stored]:
        """Return the messages of a session, and what is kept beside them.

        The state is read last: newer state than messages does no harm, as the next append is
        refused.
        """
        name = (app_name, session_id)
        rows = await self._run(user_id, units.read_messages, *name, config)
        return rows, await self._run(user_id, units.read_state, *name)

    def _run(
        self,
        user_id: str,
        unit: Callable[Concatenate[Scope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[object, None, T]:
        """Run a unit for one of the SDK's users. Raises NotFound for one who is not there."""
        return self._users.run(self._users.find, subject_of(user_id), unit, *args, **kwargs)

    async def _app_state(self, app_name: str) -> dict[str, Any]:
        """Return the state of an app, which a user of its own keeps."""
        owner = APP_SUBJECT + app_name
        try:
            return await self._users.run(self._users.find, owner, states.app_state_of, app_name)
        except NotFound:
            return {}

    async def _merge_app_state(
        self, app_name: str, delta: dict[str, Any], event: UUID | None = None
    ) -> dict[str, Any]:
        """Change the state of an app, by an event only once; return it."""
        run, ensure, owner = self._users.run, self._users.ensure, APP_SUBJECT + app_name
        return await run(ensure, owner, states.merge_app, app_name, delta, event=event)


def _selected(events: list[Event], config: GetSessionConfig) -> list[Event]:
    """Return the newest events, and of these the ones after the last that is too old."""
    recent, since = config.num_recent_events, config.after_timestamp
    if recent is not None:
        events = events[-recent:] if recent else []
    if since is not None:
        old = [place for place, event in enumerate(events, start=1) if event.timestamp < since]
        events = events[old[-1] :] if old else events
    return events


def _session(
    app_name: str,
    user_id: str,
    session_id: str,
    state: dict[str, Any],
    updated_at: datetime,
) -> Session:
    session = Session(app_name=app_name, user_id=user_id, id=session_id, state=state)
    appends.mark(session, 0, updated_at.timestamp())
    return session
