"""State of Google ADK: of an app, of a user in an app, and of a session.

That of a session is a part of its conversation's body. The others are documents, whose key is the
app's name; the one of an app belongs to a user of its own.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import UUID

from google.adk.sessions.state import State

from faceplate import records
from faceplate.errors import Conflict, NotFound
from faceplate.integrations.google_adk._events import dump_json
from faceplate.scope import Scope, read_only
from faceplate.services import documents

APP_STATE: Final = "google-adk.app-state"
"""The kind of the document with the state of an app, and the events that changed it last."""
USER_STATE: Final = "google-adk.user-state"
"""The kind of the documents with the state of a user."""

_MOST_EVENTS: Final = 1_000


class ScopedState(NamedTuple):
    """State by its scope, as JSON has it; keys of app and user without their prefix."""

    app: dict[str, Any]
    user: dict[str, Any]
    session: dict[str, Any]

    @classmethod
    def of(cls, state: dict[str, Any]) -> "ScopedState":
        scoped = cls({}, {}, {})
        for key, value in json.loads(dump_json(state)).items():
            if key.startswith(State.APP_PREFIX):
                scoped.app[key.removeprefix(State.APP_PREFIX)] = value
            elif key.startswith(State.USER_PREFIX):
                scoped.user[key.removeprefix(State.USER_PREFIX)] = value
            elif not key.startswith(State.TEMP_PREFIX):
                scoped.session[key] = value
        return scoped


@read_only
async def app_state_of(scope: Scope, app_name: str) -> dict[str, Any]:
    """Return the state of an app. Raises NotFound if it was never opened, or was erased."""
    return state_of((await documents.get(scope, APP_STATE, app_name)).body)


async def open_app(scope: Scope, app_name: str) -> dict[str, Any]:
    """Return the state of an app, which is kept from now on, so that reads find it."""
    try:
        return await app_state_of(scope, app_name)
    except NotFound:
        return await merge_app(scope, app_name, {})


async def user_state_of(scope: Scope, app_name: str) -> dict[str, Any]:
    try:
        return read_json((await documents.get(scope, USER_STATE, app_name)).body)
    except NotFound:
        return {}


async def merge(
    scope: Scope, app_name: str, delta: dict[str, Any], *, wins: bool = True
) -> dict[str, Any]:
    """Set the keys of ``delta`` in the state of the user; return all of it.

    Where ``delta`` does not win, a key that is there stays.
    """

    def change(body: str | None) -> str:
        return dump_json(merged(read_json(body), delta, wins=wins))

    return read_json(await _change(scope, USER_STATE, app_name, change))


async def merge_app(
    scope: Scope,
    app_name: str,
    delta: dict[str, Any],
    *,
    event: UUID | None = None,
    wins: bool = True,
) -> dict[str, Any]:
    """Set the keys of ``delta`` in the state of the app; return all of it.

    ``event`` is the message that brings them. Each of the last thousand changes the state once.
    """

    def change(body: str | None) -> str:
        there = read_json(body)
        events, state = there.get("events", []), state_of(body)
        if event is not None:
            if event.hex in events:
                return body or ""
            events = [*events, event.hex][-_MOST_EVENTS:]
        return dump_json({"state": merged(state, delta, wins=wins), "events": events})

    return state_of(await _change(scope, APP_STATE, app_name, change))


def joined(session: dict[str, Any], user: dict[str, Any], app: dict[str, Any]) -> dict[str, Any]:
    """Return the whole state of a session, as the SDK shows it."""
    return (
        session
        | {State.APP_PREFIX + key: value for key, value in app.items()}
        | {State.USER_PREFIX + key: value for key, value in user.items()}
    )


def merged(there: dict[str, Any], delta: dict[str, Any], *, wins: bool) -> dict[str, Any]:
    return there | delta if wins else delta | there


async def _change(scope: Scope, kind: str, key: str, change: Callable[[str | None], str]) -> str:
    """Write what ``change`` makes of a document's body, in turn with other writers; return it."""
    try:
        stored = await documents.lock(scope, kind, key)
    except NotFound:
        body = change(None)
        try:
            await documents.update(scope, kind, key, body, version=0)
        except Conflict:  # another writer was faster
            stored = await documents.lock(scope, kind, key)
        else:
            return body
    body = change(stored.body)
    if body != stored.body:
        await documents.update(scope, kind, key, body, version=stored.version)
    return body


def read_json(body: str | None) -> dict[str, Any]:
    read = records.parse_body(body)
    return read if isinstance(read, dict) else {}


def state_of(body: str | None) -> dict[str, Any]:
    state = read_json(body).get("state")
    return state if isinstance(state, dict) else {}
