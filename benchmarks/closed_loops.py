"""More callers than connections: what is served, and whether all are served alike."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.comparison import Comparison
from benchmarks.data import Data, Rotation
from benchmarks.figures import ClosedLoop
from benchmarks.measuring import Block, Blocks, Spread, mean_rate, run_block, warm
from benchmarks.sides.base import Side
from benchmarks.workloads import WORKLOADS, Operation, Workload, can_do

LOOPED = tuple(w for w in WORKLOADS if w.name in {"append", "last-of-100"})


class Loops(NamedTuple):
    """How many callers, and how long and how often they are measured."""

    connections: int = 20
    callers: Sequence[int] = (1, 5, 20, 21, 40, 50, 200)
    block_s: float = 0.7
    """Long enough that each of the most callers has its turn many times."""
    rounds: int = 15


FULL = Loops()
QUICK = Loops(callers=(1, 20, 40), block_s=0.2, rounds=2)
TINY = Loops(connections=2, callers=(2, 3), block_s=0.01, rounds=2)


@dataclass
class _Found(Blocks):
    """The blocks of one side with so many callers."""

    rates: list[float] = field(default_factory=list)
    to_full: list[float] = field(default_factory=list)
    """Both in each round."""

    def add(self, blocks: list[Block], ratio: float, to_full: float) -> None:
        """Add those of a round."""
        self.blocks += blocks
        self.ratios.append(ratio)
        self.rates.append(mean_rate(*blocks))
        self.to_full.append(to_full)


async def measure_closed_loops(compared: Comparison, loops: Loops) -> list[ClosedLoop]:
    """Measure all sides with each number of callers."""
    figures: list[ClosedLoop] = []
    async with compared.opened(compared.url, loops.connections):
        for workload in LOOPED:
            sides = [side for side in compared.sides if can_do(side, workload)]
            found = await _measure(workload, compared.data, sides, loops)
            latest = [
                _figure(workload, callers, name, blocks, loops.connections)
                for (callers, name), blocks in sorted(found.items(), key=lambda one: one[0])
            ]
            compared.say(f"{workload.title} in closed loops: {_in_short(latest)}")
            figures += latest
    return figures


async def _measure(
    workload: Workload, data: Data, sides: Sequence[Side], loops: Loops
) -> dict[tuple[int, str], _Found]:
    """Return the blocks by callers and side; each number of callers comes once in a round."""
    operations = {side.name: workload.of(side, Rotation(data, workload.name)) for side in sides}
    for operation in operations.values():
        await warm(operation, loops.connections, seconds=1.0)
    found: defaultdict[tuple[int, str], _Found] = defaultdict(_Found)
    dice = random.Random(data.seed)
    limit, *others = operations
    for _ in range(loops.rounds):
        for callers in dice.sample(loops.callers, len(loops.callers)):
            block, to_full = await _measure_pair(operations[limit], callers, loops, dice)
            bounds = [block]
            for name in dice.sample(others, len(others)):
                block, of_side = await _measure_pair(operations[name], callers, loops, dice)
                bounds.append(await run_block(operations[limit], callers, loops.block_s))
                ratio = block.per_second / mean_rate(*bounds[-2:])
                found[callers, name].add([block], ratio, of_side)
            noise = bounds[0].per_second / bounds[-1].per_second
            found[callers, limit].add(bounds, noise, to_full)
    return found


async def _measure_pair(
    operation: Operation, callers: int, loops: Loops, dice: random.Random
) -> tuple[Block, float]:
    """Return a block, and its ratio to one of as many callers as connections beside it."""
    blocks: dict[bool, Block] = {}
    for is_full in dice.sample((False, True), 2):
        count = loops.connections if is_full else callers
        blocks[is_full] = await run_block(operation, count, loops.block_s)
    return blocks[False], blocks[False].per_second / blocks[True].per_second


def _figure(
    workload: Workload, callers: int, name: str, here: _Found, connections: int
) -> ClosedLoop:
    return ClosedLoop(
        workload=workload.name,
        callers=callers,
        connections=connections,
        side=name,
        blocks=len(here.blocks),
        per_second=Spread.of(here.rates),
        ratio=Spread.of(here.ratios),
        to_full=Spread.of(here.to_full),
        least_served=Spread.of([block.least_served for block in here.blocks]),
        p50_ms=here.latency_s(0.5) * 1e3,
        p99_ms=here.latency_s(0.99) * 1e3,
    )


def _in_short(figures: Sequence[ClosedLoop]) -> str:
    return ", ".join(f"{f.side} x{f.callers} {f.per_second.median:,.0f}/s" for f in figures)
