"""google-adk: `DatabaseSessionService`, with the session objects kept between two events."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.schemas.v1 import StorageEvent, StorageSession
from google.genai import types
from sqlalchemy import insert

from benchmarks.data import LAST, LISTED, Data, Line, Place
from benchmarks.server import make_schema, sqlalchemy_url
from benchmarks.sides.base import Side, Turn

SCHEMA = "google_adk"
APP = "bench"
CHUNK = 1_000


class GoogleAdk(Side):
    name = "google-adk"
    package = "google-adk"
    note = (
        "`DatabaseSessionService` with the engine options that it sets itself; an append goes to"
        " the session object that the last one left. Listing returns all of a user's sessions."
    )
    import_limit = 300
    service: DatabaseSessionService

    async def load(self, url: str, data: Data) -> None:
        await make_schema(url, SCHEMA)
        await self.open(url, 1)
        await self.service.prepare_tables()
        for user_id in data.users:  # which makes the rows of its state, and the application's
            await self.service.create_session(app_name=APP, user_id=str(user_id))
        async with self.service.db_engine.begin() as connection:
            await connection.execute(
                insert(StorageSession),
                [
                    {**key_of(place), "id": str(place.conversation_id), "state": {}}
                    for place, _ in data.conversations()
                ],
            )
            rows = _rows(data)
            while chunk := list(islice(rows, CHUNK)):
                await connection.execute(insert(StorageEvent), chunk)
        await self.close()

    async def open(self, url: str, connections: int) -> None:
        self.service = DatabaseSessionService(
            sqlalchemy_url(url),
            pool_size=connections,
            max_overflow=0,
            connect_args={"server_settings": {"search_path": SCHEMA}},
        )
        self._kept: dict[Place, Session] = {}

    async def close(self) -> None:
        await self.service.close()

    async def _get(self, place: Place, events: int) -> Session:
        session = await self.service.get_session(
            **key_of(place),
            session_id=str(place.conversation_id),
            config=GetSessionConfig(num_recent_events=events),
        )
        assert session is not None
        self._kept[place] = session
        return session

    async def append(self, place: Place, text: str) -> object:
        session = self._kept.get(place) or await self._get(place, 0)
        return await self.service.append_event(session, event_of("user", text))

    async def last(self, place: Place) -> Sequence[Any]:
        events: list[Event] = (await self._get(place, LAST)).events
        return events

    async def list(self, place: Place) -> Sequence[Any]:
        listed = await self.service.list_sessions(**key_of(place))
        sessions: list[Session] = listed.sessions
        return sessions[-LISTED:]

    async def turn(self, place: Place, turn: Turn) -> None:
        session = await self._get(place, LAST)
        await self.service.append_event(session, event_of("user", turn.question))
        await self.service.append_event(session, event_of("assistant", turn.answer))

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        session = await self.service.create_session(
            **key_of(place), session_id=str(place.conversation_id)
        )
        for line in lines:
            await self.service.append_event(session, event_of(line.role, line.content))

    def content(self, message: Any) -> str:
        return str(message.content.parts[0].text)


def key_of(place: Place) -> dict[str, Any]:
    return {"app_name": APP, "user_id": str(place.user_id)}


def event_of(role: str, text: str) -> Event:
    role = "user" if role == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=role, content=content, invocation_id="bench")


def _rows(data: Data) -> Iterator[dict[str, Any]]:
    """Yield the rows of the events, all made from one of each role."""
    examples = {
        role: event_of(role, "").model_dump(exclude_none=True, mode="json")
        for role in ("user", "assistant")
    }
    for place, count in data.conversations():
        for line in data.lines(place, count):
            stored = examples[line.role]
            content = {**stored["content"], "parts": [{"text": line.content}]}
            yield {
                **key_of(place),
                "session_id": str(place.conversation_id),
                "id": str(line.id),
                "invocation_id": "bench",
                "timestamp": line.at.replace(tzinfo=None),
                "event_data": {
                    **stored,
                    "id": str(line.id),
                    "timestamp": line.at.timestamp(),
                    "content": content,
                },
            }
