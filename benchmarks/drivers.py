"""The same statements on asyncpg and on psycopg 3: in one round trip, and in three.

``make bench-drivers`` prints the tables of docs/decisions/0015-asyncpg-not-psycopg.md. Each side
holds its connections itself, so that the drivers are compared and not their pools. All run as the
role of units, under the policies. ``PSYCOPG_IMPL`` chooses psycopg's build: c, binary or python.
"""

import argparse
import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import orjson
import psycopg
import uvloop
from psycopg.types.json import Jsonb, set_json_dumps, set_json_loads
from uuid6 import uuid7

from benchmarks import data, relay
from benchmarks.data import LAST, Data, Place, Rotation
from benchmarks.measuring import Blocks, Pace, Spread, take_turns
from benchmarks.server import forget_environment, make_database, running_server, tidy
from benchmarks.sides.raw import APPEND, HISTORY, Asyncpg, set_codec
from faceplate import Settings
from faceplate._driver import preamble
from faceplate._driver.connecting import open_pooled_connection
from faceplate._driver.connection import Connection

PACE = Pace(block_s=0.15, rounds=15, warm_s=0.3, budget_s=float("inf"))
QUICK = Pace(block_s=0.02, rounds=2, warm_s=0.02, budget_s=float("inf"))
COUNTED = 20


class Driver(ABC):
    """A number of connections, each of which does one operation at a time."""

    name: ClassVar[str]

    async def open(self, url: str, connections: int) -> None:
        self.free = [await self.connect(url) for _ in range(connections)]

    async def close(self) -> None:
        for connection in self.free:
            await connection.close()

    async def append(self, place: Place, text: str) -> Sequence[Any]:
        metadata = self.json({})
        return await self._run(place, APPEND, [*place, uuid7(), "user", text, metadata])

    async def last(self, place: Place) -> Sequence[Any]:
        return await self._run(place, HISTORY, [*place, LAST])

    async def _run(self, place: Place, sql: str, values: list[Any]) -> Sequence[Any]:
        connection = self.free.pop()
        try:
            return await self.rows(connection, place, sql, values)
        finally:
            self.free.append(connection)

    def json(self, value: Any) -> Any:
        """Return ``value`` as the driver takes it for JSONB."""
        return value

    @abstractmethod
    async def connect(self, url: str) -> Any:
        """Return a new connection that has the role of units."""

    @abstractmethod
    async def rows(
        self, connection: Any, place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        """Return the rows of ``sql``, run for the user of ``place``."""


class Unsafe(Driver):
    """The statement alone, as the tables' owner."""

    name = "asyncpg, no user"

    async def connect(self, url: str) -> Any:
        connection = await asyncpg.connect(url)
        await set_codec(connection)
        return connection

    async def rows(
        self, connection: Any, _place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        return await connection.fetch(sql, *values)  # type: ignore[no-any-return]


class WithPreamble(Driver):
    """What faceplate does: its own messages ahead of the driver's, in one write."""

    name = "asyncpg, preamble"

    async def connect(self, url: str) -> Any:
        connection = await open_pooled_connection(Settings(database_url=url), units_role=True)
        await set_codec(connection)
        return connection

    async def rows(
        self, connection: Connection, place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        ahead = preamble.enter(place.user_id)
        if not connection.is_ready(ahead, sql):
            await connection.make_ready(ahead, sql)
        rows, _ = await connection.run(ahead, sql, values)
        return rows


class ThreeTrips(Driver):
    """BEGIN with the user in one message, the statement, COMMIT: the driver's public methods."""

    name = "asyncpg, three trips"

    async def connect(self, url: str) -> Any:
        connection = await asyncpg.connect(url, server_settings={"role": preamble.ROLE})
        await set_codec(connection)
        return connection

    async def rows(
        self, connection: Any, place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        await connection.execute(_begin(place))
        rows: Sequence[Any] = await connection.fetch(sql, *values)
        await connection.execute("COMMIT")
        return rows


class PsycopgThreeTrips(Driver):
    name = "psycopg, three trips"

    async def connect(self, url: str) -> Any:
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            prepare_threshold=0,
            options=f"-c role={preamble.ROLE}",
            cursor_factory=psycopg.AsyncRawCursor,
        )
        set_json_loads(orjson.loads, connection)
        set_json_dumps(orjson.dumps, connection)
        return connection

    def json(self, value: Any) -> Any:
        return Jsonb(value)

    async def rows(
        self, connection: Any, place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        await connection.execute(_begin(place), prepare=False)
        cursor = connection.cursor(binary=True)
        await cursor.execute(sql, values)
        rows: Sequence[Any] = await cursor.fetchall()
        await connection.execute("COMMIT", prepare=False)
        return rows


class Pipeline(PsycopgThreeTrips):
    """The user and the statement in one pipeline, which the connection stays in.

    One transaction without BEGIN, as between two Syncs in autocommit.
    """

    name = "psycopg, pipeline"

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def connect(self, url: str) -> Any:
        connection = await super().connect(url)
        connection.sync = (await self._stack.enter_async_context(connection.pipeline())).sync
        return connection

    async def close(self) -> None:
        await self._stack.aclose()
        await super().close()

    async def rows(
        self, connection: Any, place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        await connection.execute(ENTER, [str(place.user_id)])
        cursor = connection.cursor(binary=True)
        await cursor.execute(sql, values)
        await connection.sync()
        return await cursor.fetchall()  # type: ignore[no-any-return]


class PipelineEach(PsycopgThreeTrips):
    """The same, in a pipeline for each operation."""

    name = "psycopg, pipeline each time"

    async def rows(
        self, connection: Any, place: Place, sql: str, values: list[Any]
    ) -> Sequence[Any]:
        async with connection.pipeline():
            await connection.execute(ENTER, [str(place.user_id)])
            cursor = connection.cursor(binary=True)
            await cursor.execute(sql, values)
        return await cursor.fetchall()  # type: ignore[no-any-return]


ENTER = preamble.enter(UUID(int=0)).prepared
SIDES: tuple[type[Driver], ...] = (
    WithPreamble,
    Unsafe,
    ThreeTrips,
    Pipeline,
    PipelineEach,
    PsycopgThreeTrips,
)
"""The first is what the others are compared with."""


def _begin(place: Place) -> str:
    return f"BEGIN; SET LOCAL faceplate.user_id = '{place.user_id}'"


async def compare(pace: Pace, loop: str) -> None:
    """Print what each side sends and how long it takes."""
    with running_server() as server:
        target = await make_database(server, "bench")
        filling = Data(data.FULL, 1)
        await Asyncpg().load(target.url, filling)
        await tidy(target)
        await _verify(target.url, filling)
        if loop == "asyncio":  # they send the same on uvloop
            print(HEAD_COUNTED)
            for kind in SIDES:
                print(await _counted(target.url, kind(), filling))
        print(HEAD)
        for concurrency in (1, 20):
            sides = [side() for side in SIDES]
            for side in sides:
                await side.open(target.url, concurrency)
            for workload in OPERATIONS:
                operations = {
                    side.name: _operation(side, workload, Rotation(filling, workload))
                    for side in sides
                }
                found = await take_turns(sides[0].name, operations, concurrency, pace, seed=1)
                for name, blocks in found.items():
                    print(_row(loop, workload, concurrency, name, blocks), flush=True)
            for side in sides:
                await side.close()


OPERATIONS = ("append", "last 50")
HEAD_COUNTED = "| side | workload | round trips | bytes sent |"
HEAD = "| loop | workload | at a time | side | rate | client CPU us | p50 us | p99 us |"


def _operation(side: Driver, workload: str, rotation: Rotation) -> Any:
    if workload == "append":
        return lambda: side.append(next(rotation.written), next(rotation.questions))
    return lambda: side.last(next(rotation.read))


async def _verify(url: str, filling: Data) -> None:
    """Raise AssertionError unless each side reads and writes, and only as the user it says."""
    place, other = filling.read[0], filling.read[1]
    expected = [line.content for line in filling.lines(place, filling.size.messages)][-LAST:]
    for kind in SIDES:
        side = kind()
        await side.open(url, 1)
        assert [row[4] for row in await side.last(place)][::-1] == expected, side.name
        assert len(await side.append(filling.written[0], "a question")) == 1, side.name
        if kind is not Unsafe:
            stranger = Place(other.user_id, place.conversation_id)
            assert not await side.rows(side.free[0], stranger, HISTORY, [*place, LAST]), side.name
        await side.close()


async def _counted(url: str, side: Driver, filling: Data) -> str:
    lines = []
    async with relay.counting(url) as (through, traffic):
        await side.open(through, 1)
        for workload in OPERATIONS:
            operation = _operation(side, workload, Rotation(filling, workload))
            await operation()
            await operation()
            before = asdict(traffic)
            for _ in range(COUNTED):
                await operation()
            sent = {name: (n - before[name]) / COUNTED for name, n in asdict(traffic).items()}
            lines.append(
                f"| {side.name} | {workload} | {sent['round_trips']:.1f} |"
                f" {sent['bytes_sent']:.0f} |"
            )
        await side.close()
    return "\n".join(lines)


def _row(loop: str, workload: str, concurrency: int, name: str, blocks: Blocks) -> str:
    low, rate, high = Spread.of(blocks.ratios)
    cpu = Spread.of([1e6 * block.processor_s / block.operations for block in blocks.blocks])
    return (
        f"| {loop} | {workload} | {concurrency} | {name} | {rate:.2f} ({low:.2f} to {high:.2f})"
        f" | {cpu.median:.0f} ({cpu.low:.0f} to {cpu.high:.0f})"
        f" | {1e6 * blocks.latency_s(0.5):.0f} | {1e6 * blocks.latency_s(0.99):.0f} |"
    )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drivers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and short blocks")
    parser.add_argument("--uvloop", action="store_true", help="on uvloop in place of asyncio")
    given = parser.parse_args()
    forget_environment()
    print(f"asyncpg {asyncpg.__version__}, psycopg {psycopg.__version__} ({psycopg.pq.__impl__})")
    loop = uvloop if given.uvloop else asyncio
    loop.run(compare(QUICK if given.quick else PACE, loop.__name__))


if __name__ == "__main__":
    main()
