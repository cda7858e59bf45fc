"""agno: `AsyncPostgresDb`, a run for each turn and a row for its session."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import uuid4

from agno.db.base import SessionType
from agno.db.postgres import AsyncPostgresDb
from agno.db.postgres.engine import create_async_postgres_engine
from agno.db.utils import build_single_run_row
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.data import LAST, LISTED, Data, Line, Place
from benchmarks.server import sqlalchemy_url
from benchmarks.sides.base import Side, Turn

SCHEMA = "agno"
AGENT = "bench"
CHUNK = 1_000


class Agno(Side):
    name = "agno"
    package = "agno"
    note = (
        "`AsyncPostgresDb` over the engine of its own factory. Its unit is the run, which holds"
        " the question and the answer of one turn: an append writes a run and its session, as an"
        " agent does; the last 50 messages are the last 25 runs."
    )
    import_limit = 600
    engine: AsyncEngine
    db: AsyncPostgresDb

    def __init__(self) -> None:
        self._runs: dict[Place, int] = {}

    async def load(self, url: str, data: Data) -> None:
        await self.open(url, 1)
        for place, _ in data.conversations():
            await self._save_session(place)
        runs = await self.db._get_table("runs", create_table_if_not_found=True)  # noqa: SLF001
        async with self.engine.begin() as connection:
            for place, count in data.conversations():
                rows = _rows(place, data.lines(place, count))
                while chunk := list(islice(rows, CHUNK)):
                    await connection.execute(insert(runs), chunk)
                self._runs[place] = count // 2
        await self.close()

    async def open(self, url: str, connections: int) -> None:
        self.engine = create_async_postgres_engine(
            sqlalchemy_url(url), pool_size=connections, max_overflow=0
        )
        self.db = AsyncPostgresDb(db_engine=self.engine, db_schema=SCHEMA)

    async def close(self) -> None:
        await self.engine.dispose()

    async def _save_session(self, place: Place) -> None:
        saved = await self.db.upsert_session(_session(place))
        assert saved is not None  # it logs what went wrong, and raises nothing

    async def _save(self, place: Place, messages: list[Message]) -> None:
        index = self._runs.get(place, 0)
        self._runs[place] = index + 1
        await self._save_session(place)
        await self.db.upsert_run(
            _run(place, messages), str(place.conversation_id), str(place.user_id), run_index=index
        )

    async def append(self, place: Place, text: str) -> object:
        await self._save(place, [Message(role="user", content=text)])
        return None

    async def last(self, place: Place) -> Sequence[Any]:
        session = await self.db.get_session(
            str(place.conversation_id),
            SessionType.AGENT,
            user_id=str(place.user_id),
            runs_limit=LAST // 2,
        )
        assert isinstance(session, AgentSession)
        return [message for run in session.runs or () for message in run.messages or ()][-LAST:]

    async def list(self, place: Place) -> Sequence[Any]:
        listed = await self.db.get_sessions(
            SessionType.AGENT,
            user_id=str(place.user_id),
            limit=LISTED,
            sort_by="updated_at",
            sort_order="desc",
            include_runs=False,
        )
        return list(listed)

    async def turn(self, place: Place, turn: Turn) -> None:
        await self.last(place)
        question = Message(role="user", content=turn.question)
        await self._save(place, [question, Message(role="assistant", content=turn.answer)])

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        await self._save_session(place)
        for index, run in enumerate(_runs(place, lines)):
            await self.db.upsert_run(
                run, str(place.conversation_id), str(place.user_id), run_index=index
            )

    def content(self, message: Any) -> str:
        return str(message.content)


def _session(place: Place) -> AgentSession:
    return AgentSession(
        session_id=str(place.conversation_id),
        agent_id=AGENT,
        user_id=str(place.user_id),
        session_data={},
        created_at=int(time.time()),
    )


def _run(place: Place, messages: list[Message]) -> RunOutput:
    return RunOutput(
        run_id=str(uuid4()),
        agent_id=AGENT,
        session_id=str(place.conversation_id),
        user_id=str(place.user_id),
        content=messages[-1].content,
        messages=messages,
        status=RunStatus.completed,
    )


def _runs(place: Place, lines: Sequence[Line]) -> Iterator[RunOutput]:
    for both in zip(lines[::2], lines[1::2], strict=True):
        yield _run(place, [Message(role=line.role, content=line.content) for line in both])


def _rows(place: Place, lines: Iterator[Line]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs, all made from the row of one."""
    keys = {"session_id": str(place.conversation_id), "user_id": str(place.user_id)}
    example = _run(place, [Message(role=role, content="") for role in ("user", "assistant")])
    row = build_single_run_row(example, keys["session_id"], keys["user_id"])
    data = row["run_data"]
    for index, both in enumerate(zip(lines, lines, strict=True)):
        run_id = str(both[0].id)
        messages = [
            {**message, "id": str(line.id), "content": line.content}
            for message, line in zip(data["messages"], both, strict=True)
        ]
        run = {**data, "run_id": run_id, "content": both[1].content, "messages": messages}
        yield {**row, "run_id": run_id, "run_index": index, "run_data": run}
