"""Short blocks of one operation, taken in turn by all sides, and what they say.

The machine is never the same for two seconds. So the sides take turns in short blocks, each with
a block of the limit before and after it, and it is the ratio to these two that is kept.
"""

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.workloads import Operation

WARM_CALLS = 6
"""PostgreSQL plans a statement anew five times before it keeps a plan."""


class Pace(NamedTuple):
    """How long and how often is measured."""

    block_s: float
    rounds: int
    warm_s: float
    """A side is warm after this, or after `WARM_CALLS` on each connection."""
    budget_s: float
    """A side whose blocks have taken this long has no more of them."""


FULL = Pace(block_s=0.15, rounds=15, warm_s=0.6, budget_s=6.0)
QUICK = Pace(block_s=0.03, rounds=2, warm_s=0.05, budget_s=0.15)
TINY = Pace(block_s=0.001, rounds=2, warm_s=0.001, budget_s=0.0)


@dataclass
class Block:
    """Some callers, each doing one operation after the other for a short while."""

    by_caller: list[int]
    """Operations that each of them has done."""
    elapsed_s: float
    processor_s: float
    latencies_s: list[float]

    @property
    def operations(self) -> int:
        return len(self.latencies_s)

    @property
    def per_second(self) -> float:
        return self.operations / self.elapsed_s

    @property
    def least_served(self) -> float:
        """Return what the caller that got least has done, to what the median caller has."""
        return min(self.by_caller) / statistics.median(self.by_caller)


class Spread(NamedTuple):
    """A median between its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, median, high)


@dataclass
class Blocks:
    """The blocks of one side, each with its ratio to the limit's around it."""

    blocks: list[Block] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        return sum(block.elapsed_s for block in self.blocks)

    def latency_s(self, share: float) -> float:
        """Return the time within which that share of all operations was done."""
        return quantile([s for block in self.blocks for s in block.latencies_s], share)

    @property
    def operations(self) -> int:
        return sum(block.operations for block in self.blocks)

    @property
    def processor_s(self) -> float:
        """Of this process, for one operation."""
        return sum(block.processor_s for block in self.blocks) / self.operations


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of ``values`` does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def run_block(operation: Operation, concurrency: int, seconds: float) -> Block:
    """Run a block. Every caller does at least one operation, and ends what it has begun."""
    latencies: list[float] = []
    clock = time.perf_counter

    async def call() -> int:
        done = 0
        before = clock()
        while True:
            await operation()
            after = clock()
            latencies.append(after - before)
            done += 1
            before = after
            if after >= deadline:
                return done

    gc.collect()
    processor = time.process_time()
    start = clock()
    deadline = start + seconds
    by_caller = await asyncio.gather(*(call() for _ in range(concurrency)))
    elapsed = clock() - start
    return Block(by_caller, elapsed, time.process_time() - processor, latencies)


async def warm(operation: Operation, concurrency: int, seconds: float) -> None:
    """Call until each connection has settled on a plan, or ``seconds`` are over."""
    deadline = time.perf_counter() + seconds
    await operation()
    for _ in range(WARM_CALLS):
        if time.perf_counter() >= deadline:
            return
        await asyncio.gather(*(operation() for _ in range(concurrency)))


async def take_turns(
    limit: str, operations: Mapping[str, Operation], concurrency: int, pace: Pace, seed: int
) -> dict[str, Blocks]:
    """Measure all ``operations``, by the names of their sides, beside that of ``limit``.

    The limit's own ratios are the `noise` between its blocks.
    """
    for operation in operations.values():
        await warm(operation, concurrency, pace.warm_s)
    gc.collect()
    gc.freeze()  # else each block waits for a look through all that the peers have imported
    dice = random.Random(seed)
    results = {name: Blocks() for name in operations}
    others = [name for name in operations if name != limit]
    bounds = results[limit].blocks
    bounds.append(await run_block(operations[limit], concurrency, pace.block_s))
    for _ in range(pace.rounds):
        for name in dice.sample(others, len(others)):
            result = results[name]
            if result.elapsed_s > pace.budget_s:
                continue
            block = await run_block(operations[name], concurrency, pace.block_s)
            bounds.append(await run_block(operations[limit], concurrency, pace.block_s))
            result.blocks.append(block)
            result.ratios.append(block.per_second / mean_rate(bounds[-2], bounds[-1]))
    gc.unfreeze()
    results[limit].ratios = noise([block.per_second for block in bounds])
    return results


def noise(rates: Sequence[float]) -> list[float]:
    """Return the ratio of each rate to those before and after it, or 1 where there is none."""
    around = zip(rates, rates[1:], rates[2:], strict=False)
    return [middle / statistics.fmean((before, after)) for before, middle, after in around] or [1.0]


def mean_rate(*blocks: Block) -> float:
    """Return the mean of their operations a second."""
    return statistics.fmean(block.per_second for block in blocks)
