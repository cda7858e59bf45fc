"""Appends at full speed for many minutes: whether they stay as fast, and what grows."""

import time
from typing import NamedTuple

from benchmarks.comparison import Say, load
from benchmarks.data import Data, Rotation
from benchmarks.figures import SoakSample
from benchmarks.measuring import quantile, run_block, warm
from benchmarks.server import make_database, tidy
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg
from benchmarks.weighing import weigh
from benchmarks.workloads import WORKLOADS
from faceplate.embedded import Server

MB = 1e6
(APPEND,) = (w for w in WORKLOADS if w.name == "append")


class Duration(NamedTuple):
    """How long, in how many samples, and how many appends at a time."""

    minutes: float = 30.0
    samples: int = 15
    concurrency: int = 20


FULL = Duration()
TINY = Duration(minutes=0.005, samples=2, concurrency=2)


async def soak(server: Server, data: Data, duration: Duration, say: Say) -> list[SoakSample]:
    """Append to a database of its own, with autovacuum as it is by default."""
    target = await make_database(server, "soak")
    await load(target, data, [Asyncpg()], say)
    await tidy(target)
    side = Faceplate()
    await side.open(target.url, duration.concurrency)
    operation = APPEND.of(side, Rotation(data, "soak"))
    await warm(operation, duration.concurrency, seconds=1.0)
    samples: list[SoakSample] = []
    first = before = await weigh(target)
    stored = data.size.total
    start = time.monotonic()
    try:
        for _ in range(duration.samples):
            seconds = duration.minutes * 60 / duration.samples
            block = await run_block(operation, duration.concurrency, seconds)
            after = await weigh(target)
            stored += block.operations
            samples.append(
                SoakSample(
                    minute=(time.monotonic() - start) / 60,
                    per_second=block.per_second,
                    p99_ms=quantile(block.latencies_s, 0.99) * 1e3,
                    messages=stored,
                    hot_share=after.hot_share_since(before),
                    wal_bytes=(after.wal_bytes - before.wal_bytes) / block.operations,
                    vacuums=after.vacuums - first.vacuums,
                    dead_conversations=after.dead_conversations,
                    conversations_mb=after.conversations / MB,
                    conversations_index_mb=after.conversations_index / MB,
                    messages_mb=after.messages / MB,
                    messages_index_mb=after.messages_index / MB,
                )
            )
            before = after
            latest = samples[-1]
            say(f"soak, minute {latest.minute:.0f}: {latest.per_second:,.0f} appends a second")
    finally:
        await side.close()
    return samples
