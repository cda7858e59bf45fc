"""The hot operations under another condition: through PgBouncer, and on uvloop.

Each has a limit of its own: raw asyncpg under the same condition.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

from benchmarks import pooler, relay
from benchmarks.comparison import Comparison, verify
from benchmarks.figures import Condition, info_of
from benchmarks.sides.base import Side
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.pooled import PooledAsyncpg, PooledByHand, PooledFaceplate
from benchmarks.sides.raw import Asyncpg, ByHand
from benchmarks.workloads import WORKLOADS

HOT = tuple(w for w in WORKLOADS if w.name in {"append", "last-of-100", "list", "turn"})
POOLED: tuple[type[Side], ...] = (PooledAsyncpg, PooledByHand, PooledFaceplate)
DIRECT: tuple[type[Side], ...] = (Asyncpg, ByHand, Faceplate)


async def compare_pooled(
    compared: Comparison, concurrencies: Sequence[int], counted: int
) -> Condition:
    """Compare through PgBouncer, which opens as many connections as a side does."""
    sides = [kind() for kind in POOLED]
    with pooler.pooling(compared.url, max(concurrencies)) as url:
        for side in sides:
            await side.open(url, 1)
            await verify(side, compared.data)
            await side.close()
        compared = replace(compared, url=url, sides=sides, workloads=HOT)
        what = pooler.version()
        wires = await compared.count(counted)
        cells = await compared.measure_at(what, url, concurrencies)
    return Condition(what=what, sides=[info_of(side) for side in sides], cells=cells, wires=wires)


async def compare_on_uvloop(
    compared: Comparison, concurrencies: Sequence[int], counted: int
) -> Condition:
    """Compare on uvloop, in a thread of its own; meanwhile the caller's loop only relays."""
    import uvloop  # noqa: PLC0415 - a run without this part does without it

    sides = [kind() for kind in DIRECT]
    compared = replace(compared, sides=sides, workloads=HOT)
    what = f"uvloop {version('uvloop')}"
    async with relay.counting(compared.url) as (url, traffic):
        counting = compared.count_through(url, traffic, counted)
        wires = await asyncio.to_thread(uvloop.run, counting)
    measuring = compared.measure_at(what, compared.url, concurrencies)
    cells = await asyncio.to_thread(uvloop.run, measuring)
    return Condition(what=what, sides=[info_of(side) for side in sides], cells=cells, wires=wires)
