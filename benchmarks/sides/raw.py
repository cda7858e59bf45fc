"""asyncpg without anything above it: the limit, and the same safeguards written by hand."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import orjson
from uuid6 import uuid7

from benchmarks.data import LAST, LISTED, TITLE, Data, Line, Place
from benchmarks.sides.base import Side

APPEND = """
WITH counted AS (
    UPDATE faceplate.conversations
    SET message_count = message_count + 1, updated_at = clock_timestamp()
    WHERE user_id = $1 AND id = $2
    RETURNING message_count
)
INSERT INTO faceplate.messages (user_id, conversation_id, position, id, role, content, metadata)
SELECT $1, $2, message_count, $3, $4, $5, $6 FROM counted
RETURNING position, created_at, updated_at
"""
# LIMIT as a parameter: with a number in its place, PostgreSQL would at its sixth run choose a plan
# that fetches the whole conversation and sorts it.
HISTORY = """
SELECT conversation_id, id, position, role, content, tool_calls, tool_results, metadata, status,
       created_at, updated_at
FROM faceplate.messages
WHERE user_id = $1 AND conversation_id = $2
ORDER BY position DESC
LIMIT $3
"""
CONVERSATIONS = """
SELECT id, title, message_count, metadata, created_at, updated_at
FROM faceplate.conversations
WHERE user_id = $1
ORDER BY updated_at DESC, id DESC
LIMIT $2
"""
NEW_CONVERSATION = """
INSERT INTO faceplate.conversations (user_id, id, title, message_count) VALUES ($1, $2, $3, $4)
"""
NEW_MESSAGES = """
INSERT INTO faceplate.messages (user_id, conversation_id, position, id, role, content)
SELECT $1, $2, * FROM unnest($3::integer[], $4::uuid[], $5::text[], $6::text[])
"""
SCHEMA = "faceplate"
MESSAGE_COLUMNS = ("user_id", "conversation_id", "position", "id", "role", "content", "created_at")


class Asyncpg(Side):
    """The limit. Nothing that does the same can be faster."""

    name = "asyncpg"
    package = "asyncpg"
    note = (
        "One best statement for each operation, as the tables' owner, in autocommit: no user, no"
        " policy, no time limit, no check of a value, no ping. The pool's reset is off, and"
        " orjson reads and writes JSONB. A turn is three statements, as people write it; one could"
        " insert the question and select the history."
    )
    options: ClassVar[dict[str, Any]] = {}
    """Of asyncpg's pool, beside what all have."""
    pool: "asyncpg.Pool[Any]"

    async def load(self, url: str, data: Data) -> None:
        """Fill faceplate's tables, which several sides share."""
        connection = await asyncpg.connect(url)
        try:
            await _load(connection, data)
        finally:
            await connection.close()

    async def open(self, url: str, connections: int) -> None:
        self.pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections,
            init=set_codec,
            reset=_leave,
            **self.options,
        )

    async def close(self) -> None:
        await self.pool.close()

    async def append(self, place: Place, text: str) -> object:
        return await self.pool.fetchrow(APPEND, *place, uuid7(), "user", text, {})

    async def last(self, place: Place) -> Sequence[Any]:
        rows = await self.pool.fetch(HISTORY, *place, LAST)
        rows.reverse()
        return rows

    async def list(self, place: Place) -> Sequence[Any]:
        return await self.pool.fetch(CONVERSATIONS, place.user_id, LISTED)

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(NEW_CONVERSATION, *place, TITLE, len(lines))
            records = [(*place, position, uuid7(), *rest) for _, position, *rest in lines]
            await connection.copy_records_to_table(
                "messages", schema_name=SCHEMA, columns=MESSAGE_COLUMNS, records=records
            )

    def content(self, message: Any) -> str:
        return str(message["content"])


class ByHand(Asyncpg):
    """What somebody would write who wants the user known to the database, and nothing more."""

    name = "asyncpg, by hand"
    note = (
        "The same statements under row-level security: BEGIN with the role and the user in one"
        " message, the statement, COMMIT. No time limit, no check of a value, no ping, no retry."
    )

    async def load(self, url: str, data: Data) -> None:
        """Nothing: the tables are shared."""

    @asynccontextmanager
    async def _transaction(self, user_id: UUID) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection:
            await connection.execute(
                f"BEGIN; SET LOCAL ROLE faceplate_app; SET LOCAL faceplate.user_id = '{user_id}'"
            )
            try:
                yield connection
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    async def append(self, place: Place, text: str) -> object:
        async with self._transaction(place.user_id) as connection:
            return await connection.fetchrow(APPEND, *place, uuid7(), "user", text, {})

    async def last(self, place: Place) -> Sequence[Any]:
        async with self._transaction(place.user_id) as connection:
            rows = await connection.fetch(HISTORY, *place, LAST)
        rows.reverse()
        return rows  # type: ignore[no-any-return]  # the pool does not say what it holds

    async def list(self, place: Place) -> Sequence[Any]:
        async with self._transaction(place.user_id) as connection:
            return await connection.fetch(CONVERSATIONS, place.user_id, LISTED)  # type: ignore[no-any-return]

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        """COPY is refused under row-level security; this is the next best."""
        async with self._transaction(place.user_id) as connection:
            await connection.execute(NEW_CONVERSATION, *place, TITLE, len(lines))
            await connection.execute(
                NEW_MESSAGES,
                *place,
                [line.position for line in lines],
                [uuid7() for _ in lines],
                [line.role for line in lines],
                [line.content for line in lines],
            )


async def set_codec(connection: Any) -> None:
    """Have orjson read and write JSONB."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="text",  # in the binary format a byte that is no JSON comes first
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )


async def _leave(_connection: Any) -> None:
    """What is run on a connection that comes back to the pool."""


async def _load(connection: Any, data: Data) -> None:
    await connection.copy_records_to_table(
        "users",
        schema_name=SCHEMA,
        columns=("id", "subject_id"),
        records=[(user_id, str(user_id)) for user_id in data.users],
    )
    await connection.copy_records_to_table(
        "conversations",
        schema_name=SCHEMA,
        columns=("user_id", "id", "title", "message_count"),
        records=[(*place, TITLE, count) for place, count in data.conversations()],
    )
    await connection.copy_records_to_table(
        "messages", schema_name=SCHEMA, columns=MESSAGE_COLUMNS, records=_messages(data)
    )


def _messages(data: Data) -> Iterator[tuple[Any, ...]]:
    for place, count in data.conversations():
        for line in data.lines(place, count):
            yield (*place, line.position, line.id, line.role, line.content, line.at)
