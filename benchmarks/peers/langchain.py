"""langchain-postgres: `PostgresChatMessageHistory`, made anew on a pooled connection each time."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, message_to_dict
from langchain_postgres import PostgresChatMessageHistory
from psycopg_pool import AsyncConnectionPool

from benchmarks.data import LAST, Data, Line, Place
from benchmarks.server import make_schema
from benchmarks.sides.base import Side

SCHEMA = "langchain"
TABLE = "chat_history"


class LangChain(Side):
    name = "langchain-postgres"
    package = "langchain-postgres"
    note = (
        "`PostgresChatMessageHistory`, made for each call on a connection from psycopg's pool."
        " An append is a bare insert; reading loads the whole conversation. It keeps neither a"
        " position nor an activity, knows no user, and lists nothing."
    )
    lists = False
    pool: AsyncConnectionPool[Any]

    async def load(self, url: str, data: Data) -> None:
        await make_schema(url, SCHEMA)
        await self.open(url, 1)
        async with self.pool.connection() as connection:
            await PostgresChatMessageHistory.acreate_tables(connection, TABLE)
        await self.close()
        connection = await asyncpg.connect(url)
        try:
            await connection.copy_records_to_table(
                TABLE,
                schema_name=SCHEMA,
                columns=("session_id", "message", "created_at"),
                records=_rows(data),
            )
        finally:
            await connection.close()

    async def open(self, url: str, connections: int) -> None:
        options = {"options": f"-c search_path={SCHEMA}"}
        self.pool = AsyncConnectionPool(
            url, min_size=1, max_size=connections, open=False, kwargs=options
        )
        await self.pool.open()

    async def close(self) -> None:
        await self.pool.close()

    @asynccontextmanager
    async def _history(self, place: Place) -> AsyncIterator[PostgresChatMessageHistory]:
        async with self.pool.connection() as connection:
            yield PostgresChatMessageHistory(
                TABLE, str(place.conversation_id), async_connection=connection
            )

    async def append(self, place: Place, text: str) -> object:
        async with self._history(place) as history:
            return await history.aadd_messages([HumanMessage(text)])

    async def last(self, place: Place) -> Sequence[Any]:
        async with self._history(place) as history:
            messages: list[BaseMessage] = await history.aget_messages()
        return messages[-LAST:]

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        async with self._history(place) as history:
            await history.aadd_messages([_message(line) for line in lines])

    def content(self, message: Any) -> str:
        return str(message.content)


def _message(line: Line) -> BaseMessage:
    kind = HumanMessage if line.role == "user" else AIMessage
    return kind(line.content)


def _rows(data: Data) -> Iterator[tuple[Any, ...]]:
    for place, count in data.conversations():
        for line in data.lines(place, count):
            message = json.dumps(message_to_dict(_message(line)))
            yield place.conversation_id, message, line.at
