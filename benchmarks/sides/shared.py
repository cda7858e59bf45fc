"""What shared flights are compared with: faceplate without them, and a batch by hand."""

import asyncio
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from uuid6 import uuid7

from benchmarks.data import Place
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg

APPEND_MANY = """
WITH new AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[])
    AS new (user_id, conversation_id, id, content)
), counted AS (
    UPDATE faceplate.conversations AS c
    SET message_count = message_count + 1, updated_at = clock_timestamp()
    FROM new WHERE c.user_id = new.user_id AND c.id = new.conversation_id
    RETURNING c.user_id, c.id, message_count
)
INSERT INTO faceplate.messages (user_id, conversation_id, position, id, role, content)
SELECT counted.user_id, counted.id, message_count, new.id, 'user', content
FROM counted JOIN new ON new.conversation_id = counted.id
RETURNING id, position, created_at, updated_at
"""


class FaceplateAlone(Faceplate):
    """The units as they are shipped, each in a flight of its own."""

    name = "faceplate, alone"
    note = (
        "The same with `FACEPLATE_SHARE_FLIGHTS=false`: each message is sent and committed alone."
    )
    settings: ClassVar = {"share_flights": False}
    appends_alone = True


class _Waiting(NamedTuple):
    """An append that waits for the next batch."""

    place: Place
    id: UUID
    content: str
    answer: "asyncio.Future[Any]"


class BatchedAsyncpg(Asyncpg):
    """What somebody would write who wants throughput alone."""

    name = "asyncpg, batched by hand"
    note = (
        "One INSERT with arrays for all appends that wait, at most 32, in up to four batches at a"
        " time. It runs as the tables' owner: no user, no policy. One that fails fails its batch."
    )
    appends_alone = True
    most_batches = 4
    most_appends = 32

    async def open(self, url: str, connections: int) -> None:
        await super().open(url, connections)
        self._waiting: list[_Waiting] = []
        self._busy: set[UUID] = set()
        self._batches: set[asyncio.Task[bool]] = set()

    async def append(self, place: Place, text: str) -> object:
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(place, uuid7(), text, answer))
        self._start()
        return await answer

    def _start(self) -> None:
        if self._waiting and len(self._batches) < self.most_batches:
            batch = asyncio.create_task(self._send())
            self._batches.add(batch)
            batch.add_done_callback(self._end)

    def _end(self, batch: "asyncio.Task[bool]") -> None:
        self._batches.discard(batch)
        if batch.result():
            self._start()

    async def _send(self) -> bool:
        """Send the next batch. Return whether there was one."""
        async with self.pool.acquire() as connection:
            batch = self._take()
            if not batch:
                return False
            records = [(*one.place, one.id, one.content) for one in batch.values()]
            columns = zip(*records, strict=True)
            try:
                rows = await connection.fetch(APPEND_MANY, *map(list, columns))
            finally:
                self._busy.difference_update(batch)
            answers = {one.id: one.answer for one in batch.values()}
            for row in rows:
                answers[row["id"]].set_result(row)
        return True

    def _take(self) -> dict[UUID, _Waiting]:
        """Return the next batch: by conversation, each of which is in one batch at a time."""
        batch: dict[UUID, _Waiting] = {}
        left: list[_Waiting] = []
        room = min(self.most_appends, -(-(len(self._waiting) + len(self._busy)) // 2))
        for one in self._waiting:
            place = one.place.conversation_id
            if len(batch) < room and place not in self._busy and place not in batch:
                batch[place] = one
            else:
                left.append(one)
        self._waiting = left
        self._busy.update(batch)
        return batch
