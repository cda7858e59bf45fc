"""openai-agents: `SQLAlchemySession`, a session object for each conversation, kept."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.data import LAST, Data, Line, Place
from benchmarks.server import make_schema, sqlalchemy_url
from benchmarks.sides.base import Side

SCHEMA = "openai_agents"


class OpenAiAgents(Side):
    name = "openai-agents"
    package = "openai-agents"
    note = (
        "`SQLAlchemySession` over an engine as it is by default; the session object of each"
        " conversation is kept. It knows no user and lists nothing."
    )
    lists = False
    engine: AsyncEngine

    async def load(self, url: str, data: Data) -> None:
        await make_schema(url, SCHEMA)
        await self.open(url, 1)
        first = SQLAlchemySession("first", engine=self.engine, create_tables=True)
        await first.get_items(1)
        await self.close()
        connection = await asyncpg.connect(url)
        try:
            await connection.copy_records_to_table(
                "agent_sessions",
                schema_name=SCHEMA,
                columns=("session_id",),
                records=[(_name(place),) for place, _ in data.conversations()],
            )
            await connection.copy_records_to_table(
                "agent_messages",
                schema_name=SCHEMA,
                columns=("session_id", "message_data", "created_at"),
                records=_rows(data),
            )
        finally:
            await connection.close()

    async def open(self, url: str, connections: int) -> None:
        self.engine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=connections,
            max_overflow=0,
            connect_args={"server_settings": {"search_path": SCHEMA}},
        )
        self._sessions: dict[Place, SQLAlchemySession] = {}

    async def close(self) -> None:
        await self.engine.dispose()

    def _session(self, place: Place) -> SQLAlchemySession:
        session = self._sessions.get(place)
        if session is None:
            session = self._sessions[place] = SQLAlchemySession(_name(place), engine=self.engine)
        return session

    async def append(self, place: Place, text: str) -> object:
        return await self._session(place).add_items([{"role": "user", "content": text}])

    async def last(self, place: Place) -> Sequence[Any]:
        items: list[Any] = await self._session(place).get_items(LAST)
        return items

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        await self._session(place).add_items([_item(line) for line in lines])

    def content(self, message: Any) -> str:
        return str(message["content"])


def _name(place: Place) -> str:
    return str(place.conversation_id)


def _item(line: Line) -> Any:
    return {"role": line.role, "content": line.content}


def _rows(data: Data) -> Iterator[tuple[Any, ...]]:
    for place, count in data.conversations():
        for line in data.lines(place, count):
            yield _name(place), json.dumps(_item(line)), line.at.replace(tzinfo=None)
