"""Appends that arrive by themselves, as users do: what they wait at which rate.

In a closed loop a slow answer delays the next question, and so hides how long callers wait. Here
they arrive at random moments, and each is timed from its own moment, whenever it was begun.
"""

import asyncio
import gc
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.comparison import Comparison
from benchmarks.data import Rotation
from benchmarks.figures import OpenLoop
from benchmarks.measuring import quantile, warm
from benchmarks.workloads import WORKLOADS, Operation
from faceplate.errors import Overloaded, PoolExhausted

LATE_S = 0.010
"""An arrival that the client begins later than this counts as late."""
KEPT_UP = 0.95
"""A side that does less than this share of what arrives is not asked for more."""
(APPEND,) = (w for w in WORKLOADS if w.name == "append")


class Arrivals(NamedTuple):
    """How many a second, and how long and how often they are measured."""

    connections: int = 20
    rates: Sequence[int] = (50, 200, 500, 1_000, 2_000, 5_000)
    window_s: float = 2.0
    rounds: int = 15


FULL = Arrivals()
QUICK = Arrivals(rates=(200, 1_000, 5_000), window_s=0.5, rounds=2)
TINY = Arrivals(connections=2, rates=(200, 20_000, 30_000), window_s=0.02, rounds=2)


@dataclass
class _Window:
    """What became of the arrivals of some time."""

    arrivals: int = 0
    late: int = 0
    dropped: int = 0
    waits_s: list[float] = field(default_factory=list)
    kept_up: float = 0.0
    """The share of the time that it took to do all in which they arrived."""


async def measure_open_loop(compared: Comparison, arrivals: Arrivals) -> list[OpenLoop]:
    """Raise the rate for all sides in turn, and leave out a side that does not keep up."""
    figures: list[OpenLoop] = []
    dice = random.Random(compared.data.seed)
    async with compared.opened(compared.url, arrivals.connections):
        operations = {
            side.name: APPEND.of(side, Rotation(compared.data, "arrivals"))
            for side in compared.sides
        }
        for operation in operations.values():
            await warm(operation, arrivals.connections, seconds=1.0)
        for rate in arrivals.rates:
            for name, windows in (await _measure(operations, rate, arrivals, dice)).items():
                figure = _figure(name, rate, windows, arrivals.connections)
                figures.append(figure)
                compared.say(f"{name}, {rate:,} a second: p99 {figure.p99_ms:.1f} ms")
                if not figure.kept_up:
                    del operations[name]
    return figures


async def _measure(
    operations: dict[str, Operation], rate: int, arrivals: Arrivals, dice: random.Random
) -> dict[str, list[_Window]]:
    found: dict[str, list[_Window]] = {name: [] for name in operations}
    for _ in range(arrivals.rounds):
        for name in dice.sample(list(operations), len(operations)):
            gc.collect()
            window = await _let_arrive(operations[name], rate, arrivals.window_s, dice)
            found[name].append(window)
    return found


async def _let_arrive(
    operation: Operation, rate: int, seconds: float, dice: random.Random
) -> _Window:
    """Begin an operation at each arrival, a Poisson process, and wait until all are done."""
    window = _Window()
    clock = time.perf_counter

    async def serve(arrival: float) -> None:
        window.late += clock() - arrival > LATE_S
        try:
            await operation()
        except (Overloaded, PoolExhausted):
            window.dropped += 1
        else:
            window.waits_s.append(clock() - arrival)

    start = clock()
    arrival = start + dice.expovariate(rate)
    async with asyncio.TaskGroup() as group:
        while arrival < start + seconds:
            # The loop runs in between, however far behind it is.
            await asyncio.sleep(max(0.0, arrival - clock()))
            while arrival < start + seconds and arrival <= clock():
                group.create_task(serve(arrival))
                window.arrivals += 1
                arrival += dice.expovariate(rate)
    window.kept_up = min(1.0, seconds / (clock() - start))
    return window


def _figure(name: str, rate: int, windows: Sequence[_Window], connections: int) -> OpenLoop:
    waits_ms = [wait_s * 1e3 for window in windows for wait_s in window.waits_s]
    dropped = sum(window.dropped for window in windows)
    kept_up = quantile([window.kept_up for window in windows], 0.5)
    return OpenLoop(
        rate=rate,
        connections=connections,
        side=name,
        windows=len(windows),
        arrivals=sum(window.arrivals for window in windows),
        late=sum(window.late for window in windows),
        dropped=dropped,
        kept_up=kept_up >= KEPT_UP and not dropped,
        p50_ms=quantile(waits_ms, 0.5),
        p99_ms=quantile(waits_ms, 0.99),
        longest_ms=max(waits_ms),
    )
