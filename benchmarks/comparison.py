"""All sides at all workloads, in one process and one run."""

import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial

import asyncpg
from uuid6 import uuid7

from benchmarks import relay
from benchmarks.data import LAST, LISTED, Data, Line, Place, Rotation
from benchmarks.figures import Cell, Import, Network, Wire, cell_of
from benchmarks.measuring import WARM_CALLS, Pace, Spread, noise, take_turns
from benchmarks.peers import reason_of
from benchmarks.relay import Traffic
from benchmarks.server import Target
from benchmarks.sides.base import Side, Turn
from benchmarks.workloads import WORKLOADS, Workload, can_do

DELAY_S = 0.5e-3
"""What a round trip takes longer through the slower network."""
NETWORKS = ("direct", "+0.5 ms")
PINGS = 300

Say = Callable[[str], None]


async def load(target: Target, data: Data, sides: Sequence[Side], say: Say) -> None:
    """Store the data on every side, and see that each gives back what it was given."""
    for side in sides:
        say(f"loading {side.name}")
        await side.load(target.url, data)
        await side.open(target.url, 1)
        try:
            await verify(side, data)
        finally:
            await side.close()


async def load_what_can_be(
    target: Target, data: Data, sides: Sequence[Side], say: Say
) -> tuple[list[Side], dict[str, str]]:
    """Do the same, and return the sides that it went well with, and why it did not with others."""
    usable: list[Side] = []
    unusable: dict[str, str] = {}
    for side in sides:
        try:
            await load(target, data, [side], say)
        except Exception as error:  # noqa: BLE001 - whatever another package raises is the reason
            unusable[side.name] = reason_of(error)
        else:
            usable.append(side)
    return usable, unusable


async def verify(side: Side, data: Data) -> None:
    """Raise AssertionError unless ``side`` does what is measured."""
    place = data.read[0]
    expected = [line.content for line in data.lines(place, data.size.messages)][-LAST:]
    assert [side.content(m) for m in await side.last(place)] == expected, side.name
    place = data.written[0]
    await side.append(place, "a question of its own")
    assert side.content((await side.last(place))[-1]) == "a question of its own", side.name
    await side.turn(place, Turn("is it?", "it is"))
    assert [side.content(m) for m in await side.last(place)][-2:] == ["is it?", "it is"], side.name
    if side.lists:
        assert len(await side.list(place)) == LISTED, side.name


@dataclass
class Comparison:
    """What is compared, and on what."""

    url: str
    data: Data
    sides: Sequence[Side]
    """The first is the limit."""
    pace: Pace
    say: Say
    workloads: Sequence[Workload] = WORKLOADS

    async def measure(
        self, near: Sequence[int], far: Sequence[int]
    ) -> tuple[list[Network], list[Cell]]:
        """Measure every workload next to the server, and then farther away.

        ``near`` and ``far`` say how many operations at a time.
        """
        networks: list[Network] = []
        cells: list[Cell] = []
        with relay.delaying(self.url, await _find_delay(self.url)) as far_url:
            for name, url, counts in zip(NETWORKS, (self.url, far_url), (near, far), strict=True):
                round_trip_ms = statistics.median(await _pings_s(url)) * 1e3
                networks.append(Network(name=name, round_trip_ms=round_trip_ms))
                self.say(f"network {name}: a round trip takes {round_trip_ms:.3f} ms")
                cells += await self.measure_at(name, url, counts)
        return networks, cells

    async def measure_at(self, name: str, url: str, counts: Sequence[int]) -> list[Cell]:
        """Measure every workload through ``url``, which ``name`` stands for in the figures."""
        cells: list[Cell] = []
        async with self.opened(url, max(counts)):
            for workload in self.workloads:
                for concurrency in counts:
                    cells += await self._measure(name, workload, concurrency)
        return cells

    @asynccontextmanager
    async def opened(self, url: str, connections: int) -> AsyncIterator[None]:
        """Have a pool of so many ``connections`` open on each side."""
        for side in self.sides:
            await side.open(url, connections)
        gc.collect()
        gc.freeze()  # so that a collection looks at what a block has left, and at no more
        try:
            yield
        finally:
            gc.unfreeze()
            for side in self.sides:
                await side.close()

    async def _measure(self, network: str, workload: Workload, concurrency: int) -> list[Cell]:
        operations = {
            side.name: workload.of(side, Rotation(self.data, workload.name))
            for side in self.sides
            if can_do(side, workload)
        }
        limit = self.sides[0].name
        results = await take_turns(limit, operations, concurrency, self.pace, self.data.seed)
        cells = [
            cell_of(network, workload.name, concurrency, name, blocks)
            for name, blocks in results.items()
        ]
        ratios = ", ".join(f"{cell.side} {cell.ratio.median:.2f}" for cell in cells)
        self.say(f"{workload.title}, {concurrency} at a time, {network}: {ratios}")
        return cells

    async def count(self, calls: int) -> list[Wire]:
        """Count what an operation sends, on a connection that has done it before."""
        async with relay.counting(self.url) as (url, traffic):
            return await self.count_through(url, traffic, calls)

    async def count_through(self, url: str, traffic: Traffic, calls: int) -> list[Wire]:
        """Do the same through a relay at ``url``, which counts in ``traffic``."""
        wires = []
        for side in self.sides:
            self.say(f"counting what {side.name} sends")
            await side.open(url, 1)
            for workload in filter(partial(can_do, side), self.workloads):
                operation = workload.of(side, Rotation(self.data, "count"))
                for _ in range(WARM_CALLS):
                    await operation()
                before = asdict(traffic)
                for _ in range(calls):
                    await operation()
                passed = {
                    name: (value - before[name]) / calls for name, value in asdict(traffic).items()
                }
                wires.append(Wire(workload=workload.name, side=side.name, **passed))
            await side.close()
        return wires

    async def measure_imports(self, rounds: int) -> list[Import]:
        """Store a conversation of 10,000 messages, with raw COPY before and after each side."""
        sides = [side for side in self.sides if side.imports]
        lines = self.data.new_lines(self.data.size.imported)
        limit, *others = sides
        rates: dict[str, list[float]] = {side.name: [] for side in sides}
        ratios: dict[str, list[float]] = {side.name: [] for side in sides}
        bounds = rates[limit.name]
        async with self.opened(self.url, 1):
            for side in sides:
                await self._import(side, lines[:100])
            bounds.append(await self._import(limit, lines))
            for _ in range(rounds):
                for side in others:
                    rate = await self._import(side, lines[: side.import_limit])
                    bounds.append(await self._import(limit, lines))
                    rates[side.name].append(rate)
                    ratios[side.name].append(rate / statistics.fmean(bounds[-2:]))
        ratios[limit.name] = noise(bounds)
        found = [
            Import(
                side=side.name,
                messages=len(lines[: side.import_limit]),
                per_second=Spread.of(rates[side.name]),
                ratio=Spread.of(ratios[side.name]),
            )
            for side in sides
        ]
        self.say("import: " + ", ".join(f"{i.side} {i.ratio.median:.2f}" for i in found))
        return found

    async def _import(self, side: Side, lines: Sequence[Line]) -> float:
        """Return how many messages a second were stored."""
        place = Place(self.data.users[0], uuid7())
        gc.collect()
        start = time.perf_counter()
        await side.bring(place, lines)
        return len(lines) / (time.perf_counter() - start)


async def _pings_s(url: str) -> list[float]:
    """Return what the shortest statement takes, many times, in order of size."""
    connection = await asyncpg.connect(url)
    try:
        statement = await connection.prepare("SELECT 1")
        times = []
        for _ in range(PINGS):
            start = time.perf_counter()
            await statement.fetchval()
            times.append(time.perf_counter() - start)
    finally:
        await connection.close()
    return sorted(times)


async def _find_delay(url: str) -> float:
    """Return how long a relay must hold a message back, each way, for `DELAY_S` a round trip.

    The relay takes some time of its own, which is a part of it. Compared are fast round trips,
    which nothing else on the machine has held up.
    """

    async def fast_s(through: str) -> float:
        return statistics.quantiles(await _pings_s(through), n=10)[0]

    delay_s = DELAY_S / 2
    for _ in range(2):
        near_s = await fast_s(url)
        with relay.delaying(url, delay_s) as far_url:
            gained_s = await fast_s(far_url) - near_s
        delay_s = max(1e-6, delay_s + (DELAY_S - gained_s) / 2)
    return delay_s
