"""Appends that share a commit: with faceplate's shared flights, and batched by hand.

A batch by hand gives up what a flight of faceplate's keeps: each member's own user, and that one
member's failure is its own. So it stands beside shared flights alone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from uuid6 import uuid7

from benchmarks.data import Place
from benchmarks.sides.base import Side
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg
from faceplate import Settings

SETTING = "shared_flights"
BATCH = 10
# The conversations are locked in one order, so that two batches do not wait for each other.
APPEND_ALL = """
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::jsonb[])
        AS given (user_id, conversation_id, id, content, metadata)
), locked AS (
    SELECT c.user_id, c.id FROM faceplate.conversations c
    JOIN given g ON (c.user_id, c.id) = (g.user_id, g.conversation_id)
    ORDER BY c.user_id, c.id FOR NO KEY UPDATE OF c
), counted AS (
    UPDATE faceplate.conversations c
    SET message_count = message_count + 1, updated_at = clock_timestamp()
    FROM locked WHERE (c.user_id, c.id) = (locked.user_id, locked.id)
    RETURNING c.user_id, c.id, c.message_count
)
INSERT INTO faceplate.messages (user_id, conversation_id, position, id, role, content, metadata)
SELECT c.user_id, c.id, c.message_count, g.id, 'user', g.content, g.metadata
FROM counted c JOIN given g ON (c.user_id, c.id) = (g.user_id, g.conversation_id)
RETURNING id, position, created_at, updated_at
"""
Member = tuple[Place, str, asyncio.Future[Any]]


class SharedFlights(Faceplate):
    name = "faceplate, shared flights"
    note = "The same units and safeguards with `FACEPLATE_SHARED_FLIGHTS=10`."
    reads = False
    settings: ClassVar = {SETTING: BATCH}


class Batched(Asyncpg):
    """While a batch is out, appends collect; the next batch takes up to ten of them."""

    name = "asyncpg, batched by hand"
    note = (
        "One statement for up to ten appends to as many conversations, over four connections, as"
        " the tables' owner: no user, no policy, and an append that fails takes its batch with it."
    )
    reads = False
    flights = 4

    async def open(self, url: str, connections: int) -> None:
        await super().open(url, connections)
        self._waiting: list[Member] = []
        self._out: set[Place] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(self, place: Place, text: str) -> object:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, text, done))
        self._send()
        return await done

    def _send(self) -> None:
        """Send a batch if there is one to send and a connection for it."""
        batch: list[Member] = []
        if len(self._tasks) < self.flights:
            for member in list(self._waiting):
                if member[0] not in self._out and len(batch) < BATCH:
                    self._waiting.remove(member)
                    self._out.add(member[0])
                    batch.append(member)
        if batch:
            task = asyncio.create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._send())

    async def _run(self, batch: Sequence[Member]) -> None:
        places = [place for place, _, _ in batch]
        ids = [uuid7() for _ in batch]
        try:
            rows = await self.pool.fetch(
                APPEND_ALL,
                [place.user_id for place in places],
                [place.conversation_id for place in places],
                ids,
                [text for _, text, _ in batch],
                [{} for _ in batch],
            )
        except Exception as error:  # noqa: BLE001 - it is each member's
            for _, _, done in batch:
                done.set_exception(error)
        else:
            stored = {row["id"]: row for row in rows}
            for id_, (_, _, done) in zip(ids, batch, strict=True):
                done.set_result(stored[id_])
        finally:
            self._out.difference_update(places)


def sharing() -> list[Side]:
    """Return both sides, or none where faceplate cannot share flights."""
    return [SharedFlights(), Batched()] if SETTING in Settings.model_fields else []
