"""The sessions in the PostgreSQL tables of SDKs, read as chats that their adapters find again.

Each reader yields one session after the other, in one snapshot of the tables, and writes nothing.
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from faceplate.errors import InvalidInput
from faceplate.integrations._response_items import new_message
from faceplate.integrations._sessions import body_of, key_of
from faceplate.services import conversations
from faceplate.services.messages import NewMessage

OPENAI_AGENTS: Final = "openai-agents"
GOOGLE_ADK: Final = "google-adk"
LANGCHAIN: Final = "langchain"


class Session(NamedTuple):
    """A session of an SDK, before it is known whose conversation it becomes."""

    source: str
    name: str
    """Its id in the SDK; for Google ADK, the app's name and the user's id stand before it."""
    key: str
    user: str | None
    """The subject of its user; None where the SDK knows no users."""
    app: str
    body: str | None
    created_at: datetime | None
    messages: Callable[[UUID], list[NewMessage]]
    """Returns its messages for the id of a conversation. Raises InvalidInput."""

    def id_for(self, user_id: UUID) -> UUID:
        """Return the id of the conversation that it is for a user."""
        return conversations.id_of(user_id, source=self.source, key=self.key)


async def count(connection: AsyncConnection, table: str) -> int:
    """Return how many rows a table has."""
    found = await connection.execute(sa.text(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a constant
    return int(found.scalar_one())


async def agents_sessions(connection: AsyncConnection) -> AsyncIterator[Session]:
    """Yield the sessions of the OpenAI Agents SDK: ``agent_sessions``, ``agent_messages``."""
    sessions = await connection.execute(
        sa.text("SELECT session_id, created_at FROM agent_sessions ORDER BY created_at, session_id")
    )
    for session_id, created_at in sessions.all():
        rows = await connection.execute(
            sa.text(
                "SELECT id, message_data, created_at FROM agent_messages"
                " WHERE session_id = :session_id ORDER BY created_at, id"
            ),
            {"session_id": session_id},
        )
        found = [(str(row.id), row.message_data, _in_utc(row.created_at)) for row in rows]
        key, body = key_of(session_id), body_of(session_id)

        def messages(to: UUID, found: list[Any] = found) -> list[NewMessage]:
            return [_item(to, *row) for row in found]

        made_at = _in_utc(created_at)
        yield Session(OPENAI_AGENTS, session_id, key, None, "", body, made_at, messages)


def _item(to: UUID, name: str, text: str, created_at: datetime) -> NewMessage:
    try:
        item = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # no JSON to PostgreSQL; here it stays, as text
        text = json.dumps(text)
        item = text
    return new_message(item, text=text, id=uuid5(to, name))._replace(created_at=created_at)


def _refuse_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python reads and JSON lacks."""
    raise ValueError(name)


async def langchain_values(connection: AsyncConnection) -> AsyncIterator[dict[str, Any]]:
    """Yield the sessions of LangChain's ``message_store`` as the importer's format reads them."""
    sessions = await connection.execute(
        sa.text(
            "SELECT session_id::text AS id FROM message_store GROUP BY session_id ORDER BY min(id)"
        )
    )
    for (session_id,) in sessions.all():
        rows = await connection.execute(
            sa.text(
                "SELECT message::text FROM message_store WHERE session_id::text = :session_id"
                " ORDER BY id"
            ),
            {"session_id": session_id},
        )
        yield {"id": session_id, "messages": [json.loads(message) for (message,) in rows]}


async def adk_sessions(connection: AsyncConnection) -> AsyncIterator[Session]:
    """Yield the sessions of Google ADK: ``sessions`` and ``events``, in both of its schemas.

    Of the older schema, whose rows hold pickles, the SDK itself reads the events.
    """
    from google.adk.sessions.schemas import v0, v1  # noqa: PLC0415 - an extra

    from faceplate.integrations.google_adk import _units as units  # noqa: PLC0415 - an extra
    from faceplate.integrations.google_adk._events import dump_json, to_message  # noqa: PLC0415 - an extra

    is_new = await connection.scalar(
        sa.text("SELECT to_regclass('adk_internal_metadata') IS NOT NULL")
    )
    schema: Any = v1 if is_new else v0
    stored, event = schema.StorageSession.__table__, schema.StorageEvent
    order = (stored.c.create_time, stored.c.app_name, stored.c.user_id, stored.c.id)
    for row in (await connection.execute(sa.select(stored).order_by(*order))).all():  # noqa: TID251 - the SDK's table
        columns = event.__table__.c
        rows = await connection.execute(
            sa.select(event.__table__)  # noqa: TID251 - the SDK's table
            .where(
                columns.app_name == row.app_name,
                columns.user_id == row.user_id,
                columns.session_id == row.id,
            )
            .order_by(columns.timestamp, columns.id)
        )
        events = _events(event, rows)
        name = row.id.strip()
        body = {
            "app_name": row.app_name,
            "user_id": row.user_id,
            "id": name,
            "state": dict(row.state),
        }

        def messages(to: UUID, events: list[Any] | None = events) -> list[NewMessage]:
            if events is None:
                raise InvalidInput("events", "must be readable by the SDK")
            return [to_message(to, each) for each in events]

        yield Session(
            GOOGLE_ADK,
            f"{row.app_name}/{row.user_id}/{name}",
            units.key_of(row.app_name, name),
            row.user_id,
            row.app_name,
            dump_json(body),
            _in_utc(row.create_time),
            messages,
        )


def _events(kind: Any, found: sa.CursorResult[Any]) -> list[Any] | None:
    """Return the SDK's events of rows, or None where it cannot read one of them."""
    try:
        return [kind(**each._mapping).to_event() for each in found]  # noqa: SLF001 - its public name
    except Exception:  # noqa: BLE001 - a pickle may raise anything
        return None


async def adk_states(
    connection: AsyncConnection,
) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Return the states of apps and users in Google ADK's tables: app, user or None, state."""
    found: list[tuple[str, str | None, dict[str, Any]]] = []
    for text in (
        "SELECT app_name, NULL, state FROM app_states ORDER BY app_name",
        "SELECT app_name, user_id, state FROM user_states ORDER BY app_name, user_id",
    ):
        for app_name, user_id, state in await connection.execute(sa.text(text)):
            read = json.loads(state) if isinstance(state, str) else state
            if read:
                found.append((app_name, user_id, read))
    return found


def _in_utc(moment: datetime) -> datetime:
    """Return a time of a column without time zone, which the SDKs write in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
