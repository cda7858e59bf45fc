"""Units over the sessions of Google ADK: `faceplate.integrations.google_adk` runs them.

A session is a conversation, and its state a part of the conversation's body.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

import sqlalchemy as sa
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.sessions.base_session_service import GetSessionConfig
from sqlalchemy import bindparam, select  # noqa: TID251 - for Statements, which get the owner

from faceplate import records
from faceplate.errors import InvalidInput
from faceplate.importers.chats import derive_title
from faceplate.integrations import _sessions
from faceplate.integrations.google_adk._events import dump_json
from faceplate.integrations.google_adk._states import (
    USER_STATE,
    ScopedState,
    merge,
    read_json,
    state_of,
    user_state_of,
)
from faceplate.models import Conversation, Document, Message, User
from faceplate.scope import Scope, SystemScope, read_only
from faceplate.services import conversations, messages
from faceplate.services.conversations import NewConversation
from faceplate.services.messages import NewMessage
from faceplate.statement import Statement

SOURCE: Final = "google-adk"
"""The ``source`` of the conversations."""
APP_SUBJECT: Final = "google-adk·app·"
"""What the subject of an app's own user begins with. The ``sub`` of an OpenID provider is ASCII."""

_MAX_APP_CHARS: Final = 128
_MAX_PAGE: Final = 1_000
_NEW_CHAT: Final = NewConversation().title


class Stored(NamedTuple):
    body: str | None
    user_state: str | None
    created_at: datetime


class Locked(NamedTuple):
    title: str
    body: str | None
    has_event: bool


class Listed(NamedTuple):
    user_id: UUID
    subject_id: str
    key: str
    body: str | None
    updated_at: datetime


class UserState(NamedTuple):
    user_id: UUID
    body: str


_conversation = Conversation.id == bindparam("conversation_id")
_user_state = sa.and_(
    Document.kind == bindparam("kind", USER_STATE), Document.key == bindparam("app_name")
)
SESSION = Statement(
    Stored,
    select(
        Conversation.body,
        select(Document.body).where(_user_state).scalar_subquery(),
        Conversation.created_at,
    ).where(_conversation),
)
LOCKED = Statement(
    Locked,
    select(
        Conversation.title,
        Conversation.body,
        sa.exists(Message.id).where(
            Message.conversation_id == bindparam("conversation_id"),
            Message.id == bindparam("message_id"),
        ),
    )
    .where(_conversation)
    .with_for_update(of=Conversation),
)
LISTED = Statement(
    Listed,
    select(
        Conversation.user_id,
        User.subject_id,
        Conversation.key,
        Conversation.body,
        Conversation.updated_at,
    ).where(
        User.id == Conversation.user_id,
        Conversation.source == bindparam("source", SOURCE),
        Conversation.key.like(bindparam("pattern", type_=sa.Text()), escape="!"),
    ),
)
USER_STATES = Statement(UserState, select(Document.user_id, Document.body).where(_user_state))


class Place(NamedTuple):
    """Where an event is appended, and what it changes."""

    app_name: str
    conversation_id: UUID
    after: int
    """The position of the session's last event, 0 without one."""
    delta: ScopedState


async def create_session(
    scope: Scope, app_name: str, new: NewConversation, user_delta: dict[str, Any]
) -> dict[str, Any]:
    """Create a session's conversation; return the state of the user.

    Raises AlreadyExistsError.
    """
    made = await conversations.open(scope, **new._asdict())
    if made.body != new.body:
        raise AlreadyExistsError(f"Session with id {session_id_of(made)} already exists.")
    if user_delta:
        return await merge(scope, app_name, user_delta)
    return await user_state_of(scope, app_name)


@read_only
async def read_messages(
    scope: Scope, app_name: str, session_id: str, config: GetSessionConfig
) -> list[records.Message]:
    """Return the messages of a session that ``config`` asks for, one at least."""
    conversation_id = id_of(scope.user_id, app_name, session_id)
    recent, since = config.num_recent_events, config.after_timestamp
    if recent is None and since is None:
        return await messages.everything(scope, conversation_id)
    wanted = _MAX_PAGE if recent is None else max(recent, 1)
    rows = await messages.history(scope, conversation_id, limit=min(wanted, _MAX_PAGE))
    while rows and (recent is None or len(rows) < recent):
        if since is not None and rows[0].created_at.timestamp() < since:
            break
        limit = _MAX_PAGE if recent is None else min(recent - len(rows), _MAX_PAGE)
        earlier = await messages.before(scope, conversation_id, rows[0].position, limit=limit)
        if not earlier:
            break
        rows = earlier + rows
    return rows


@read_only
async def read_state(scope: Scope, app_name: str, session_id: str) -> Stored:
    """Return what is kept beside the messages of a session. Raises NotFound."""
    conversation_id = id_of(scope.user_id, app_name, session_id)
    return await scope.one(SESSION, conversation_id=conversation_id, app_name=app_name)


async def append_with(scope: Scope, place: Place, message: NewMessage) -> records.Message:
    """Append an event, and merge its state unless it is stored already; return its message."""
    app_name, conversation_id, after, delta = place
    locked = await scope.one(LOCKED, conversation_id=conversation_id, message_id=message.id)
    appended = await messages.append(scope, conversation_id, after=after, **message._asdict())
    if locked.has_event:
        return appended
    if delta.session:
        body = read_json(locked.body) | {"state": state_of(locked.body) | delta.session}
        await conversations.replace_body(scope, conversation_id, dump_json(body))
    if not after and locked.title == _NEW_CHAT and (title := derive_title([message])) != _NEW_CHAT:
        await conversations.rename(scope, conversation_id, title)
    if delta.user:
        await merge(scope, app_name, delta.user)
    return appended


async def list_sessions(
    scope: Scope, app_name: str, pattern: str
) -> tuple[list[Listed], dict[UUID, dict[str, Any]]]:
    listed = await scope.all(LISTED, pattern=pattern)
    return listed, {scope.user_id: await user_state_of(scope, app_name)}


async def list_all(
    scope: SystemScope, app_name: str, pattern: str
) -> tuple[list[Listed], dict[UUID, dict[str, Any]]]:
    listed = await scope.all(LISTED, pattern=pattern)
    states = await scope.all(USER_STATES, app_name=app_name)
    return listed, {state.user_id: read_json(state.body) for state in states}


async def delete_session(scope: Scope, app_name: str, session_id: str) -> None:
    await conversations.delete(scope, id_of(scope.user_id, app_name, session_id))


def subject_of(user_id: str) -> str:
    """Return the subject of a user. Raises InvalidInput for that of an app."""
    if user_id.startswith(APP_SUBJECT):
        raise InvalidInput("user_id", f"must not begin with {APP_SUBJECT}")
    return user_id


def id_of(user_id: UUID, app_name: str, session_id: str) -> UUID:
    """Return the id of a session's conversation. Raises InvalidInput."""
    return conversations.id_of(user_id, source=SOURCE, key=key_of(app_name, session_id))


def key_of(app_name: str, session_id: str) -> str:
    """Return the key of a session's conversation; a digest for an id that no key can hold."""
    return _sessions.key_of(session_id, prefix=_prefix(app_name))


def _prefix(app_name: str) -> str:
    if len(app_name) > _MAX_APP_CHARS:
        raise InvalidInput("app_name", f"at most {_MAX_APP_CHARS} characters")
    return quote(app_name, safe=" ", errors="surrogatepass") + "/"


def pattern_of(app_name: str) -> str:
    """Return the pattern of LIKE for the keys of an app."""
    return _prefix(app_name).replace("%", "!%").replace("_", "!_") + "%"


def session_id_of(row: Listed | records.Conversation) -> str:
    """Return the id of a session; its key holds it, unless it is too long."""
    body = read_json(row.body)
    id_ = body.get("id")
    return id_ if isinstance(id_, str) else (row.key or "").partition("/")[2]
