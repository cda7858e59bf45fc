"""langgraph: `AsyncPostgresSaver`, a checkpoint that holds all messages after each step."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.data import LAST, Data, Line, Place
from benchmarks.server import make_schema
from benchmarks.sides.base import Side, Turn

SCHEMA = "langgraph"
CHANNEL = "messages"


class LangGraph(Side):
    name = "langgraph"
    package = "langgraph-checkpoint-postgres"
    note = (
        "`AsyncPostgresSaver` over a pool with autocommit, as documented. Its unit is the"
        " checkpoint: an append writes one with all messages, which the graph has in memory, and"
        " reading loads the latest one. A saver does one thing at a time. It knows no user."
    )
    lists = False
    pool: AsyncConnectionPool[Any]
    saver: AsyncPostgresSaver

    async def load(self, url: str, data: Data) -> None:
        await make_schema(url, SCHEMA)
        await self.open(url, 1)
        await self.saver.setup()
        for place, count in data.conversations():
            await self.bring(place, list(data.lines(place, count)))
        await self.close()

    async def open(self, url: str, connections: int) -> None:
        self.pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            open=False,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 0,
                "row_factory": dict_row,
                "options": f"-c search_path={SCHEMA}",
            },
        )
        await self.pool.open()
        self.saver = AsyncPostgresSaver(self.pool)
        self._kept: dict[Place, Checkpoint] = {}

    async def close(self) -> None:
        await self.pool.close()

    async def _get(self, place: Place) -> Checkpoint:
        found = await self.saver.aget_tuple(_config(place))
        assert found is not None
        self._kept[place] = found.checkpoint
        return found.checkpoint

    async def _put(
        self, place: Place, before: Checkpoint, messages: Sequence[BaseMessage]
    ) -> Checkpoint:
        version = int(before["channel_versions"].get(CHANNEL, 0)) + 1
        after = empty_checkpoint()
        after["channel_values"] = {CHANNEL: [*before["channel_values"].get(CHANNEL, ()), *messages]}
        after["channel_versions"] = {CHANNEL: version}
        metadata: Any = {"source": "loop", "step": version}
        await self.saver.aput(_config(place), after, metadata, {CHANNEL: version})
        self._kept[place] = after
        return after

    async def append(self, place: Place, text: str) -> object:
        before = self._kept.get(place) or await self._get(place)
        return await self._put(place, before, [HumanMessage(text)])

    async def last(self, place: Place) -> Sequence[Any]:
        found: list[BaseMessage] = (await self._get(place))["channel_values"][CHANNEL]
        return found[-LAST:]

    async def turn(self, place: Place, turn: Turn) -> None:
        before = await self._get(place)
        asked = await self._put(place, before, [HumanMessage(turn.question)])
        await self._put(place, asked, [AIMessage(turn.answer)])

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        await self._put(place, empty_checkpoint(), [_message(line) for line in lines])
        del self._kept[place]

    def content(self, message: Any) -> str:
        return str(message.content)


def _config(place: Place) -> Any:
    return {"configurable": {"thread_id": str(place.conversation_id), "checkpoint_ns": ""}}


def _message(line: Line) -> BaseMessage:
    kind = HumanMessage if line.role == "user" else AIMessage
    return kind(line.content)
