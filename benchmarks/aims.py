"""What is aimed at, and whether a run shows it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from benchmarks.figures import Cell, Wire
from benchmarks.markdown import spread
from benchmarks.measuring import Spread
from benchmarks.results import Results
from benchmarks.sdks.base import SDK_WORKLOADS
from benchmarks.sides.orm import PlainOrm
from benchmarks.sides.ours import Faceplate, OwnUnit
from benchmarks.sides.raw import Asyncpg
from benchmarks.workloads import WORKLOADS

Bounds = Mapping[str, tuple[float, float]]

HOT: Bounds = {
    "append": (0.93, 0.90),
    "last-of-100": (0.98, 0.92),
    "list": (0.93, 0.90),
    "turn": (1.00, 0.95),
}
"""The least throughput, to raw asyncpg: one at a time, and 20 at a time."""
POOLED: Bounds = {"append": (0.95, 0.90), "last-of-100": (0.95, 0.90)}
ORM_UNIT: Bounds = {"append": (1.6, 1.5), "last-of-100": (1.6, 1.4)}
"""The least throughput, to a plain ORM service."""
SDKS: Bounds = {
    "add": (2.5, 2.5),
    "last-of-5000": (5, 5),
    "everything": (1.5, 1.5),
    "turn": (2.5, 2.5),
}
"""The least throughput of an SDK over faceplate, to its own store."""
CALLERS = (21, 40, 200)
"""On a pool of 20."""
SHARED = {20: 1.3, 50: 1.6, 200: 1.6}
"""The least throughput of appends that share flights, to raw asyncpg, by the number of callers."""
LEAST_SERVED = 0.8
OF_FULL_POOL = 0.95
IN_ONE_TRIP = ("append", "last-of-100", "list")
"""The operations that are one round trip behind a pooler, too."""
TITLES = {workload.name: workload.title for workload in WORKLOADS}
SDK_TITLES = {workload.name: workload.title for workload in SDK_WORKLOADS}


class Aim(NamedTuple):
    """Something to be reached, and what was."""

    what: str
    bound: str
    found: str
    is_met: bool


def aims(results: Results) -> list[Aim]:
    """Return every aim that the run has figures for."""
    near = [c for c in results.cells if c.network == results.networks[0].name]
    return [
        *_to_limit(near, HOT, "raw asyncpg"),
        *_pooled(results),
        *_on_uvloop(results),
        *_under_load(results),
        *_shared(results),
        *_orm_unit(near),
        *_sdks(results),
    ]


def _at_least(what: str, bound: float, found: Spread) -> Aim:
    return Aim(what, f">= {bound:g}", spread(found), found.median >= bound)


def _bounds(bounds: Bounds) -> Iterator[tuple[str, int, float]]:
    for workload, of_each in bounds.items():
        for concurrency, bound in zip((1, 20), of_each, strict=True):
            yield workload, concurrency, bound


def _to_limit(cells: list[Cell], bounds: Bounds, limit: str) -> Iterator[Aim]:
    found = {(c.workload, c.concurrency): c.ratio for c in cells if c.side == Faceplate.name}
    for workload, concurrency, bound in _bounds(bounds):
        if (workload, concurrency) in found:
            what = f"{TITLES[workload]}, {concurrency} at a time: to {limit}"
            yield _at_least(what, bound, found[workload, concurrency])


def _trips(wires: list[Wire]) -> dict[str, float]:
    return {wire.workload: wire.round_trips for wire in wires if wire.side == Faceplate.name}


def _pooled(results: Results) -> Iterator[Aim]:
    if results.pooler is None:
        return
    yield from _to_limit(results.pooler.cells, POOLED, "raw asyncpg, through PgBouncer")
    trips = _trips(results.pooler.wires)
    for workload in IN_ONE_TRIP:
        yield _round_trips(f"{TITLES[workload]}, through PgBouncer", 1, trips[workload])


def _on_uvloop(results: Results) -> Iterator[Aim]:
    if results.uvloop is None:
        return
    yield from _to_limit(results.uvloop.cells, HOT, "raw asyncpg, on uvloop")
    on_asyncio = _trips(results.wires)
    for workload, trips in _trips(results.uvloop.wires).items():
        if workload in on_asyncio:
            what = f"{TITLES[workload]}, on uvloop"
            yield _round_trips(what, on_asyncio[workload], trips)


def _round_trips(what: str, bound: float, found: float) -> Aim:
    return Aim(f"{what}: round trips", f"<= {bound:g}", f"{found:g}", found <= bound)


def _under_load(results: Results) -> Iterator[Aim]:
    for loop in results.closed_loops:
        if loop.side == Faceplate.name and loop.connections == 20 and loop.callers in CALLERS:
            what = f"{TITLES[loop.workload]}, {loop.callers} callers on a pool of 20"
            yield _at_least(f"{what}: least served", LEAST_SERVED, loop.least_served)
            yield _at_least(f"{what}: to 20 callers", OF_FULL_POOL, loop.to_full)


def _shared(results: Results) -> Iterator[Aim]:
    """Also the 99th percentile, which shared flights must not make longer than raw asyncpg's."""
    appends = {(c.side, c.callers): c for c in results.closed_loops if c.workload == "append"}
    for callers, bound in SHARED.items():
        ours = appends.get((Faceplate.name, callers))
        raw = appends.get((Asyncpg.name, callers))
        if ours and raw:
            what = f"{TITLES['append']} in shared flights, {callers} callers"
            yield _at_least(f"{what}: to raw asyncpg", bound, ours.ratio)
            most, found = f"<= {raw.p99_ms:.1f}", f"{ours.p99_ms:.1f}"
            yield Aim(f"{what}: p99, ms", most, found, ours.p99_ms <= raw.p99_ms)


def _orm_unit(cells: list[Cell]) -> Iterator[Aim]:
    """Compare the two by round: each round has the ratio of both to the same limit."""
    found = {(c.side, c.workload, c.concurrency): c.ratios for c in cells}
    for workload, concurrency, bound in _bounds(ORM_UNIT):
        ours = found.get((OwnUnit.name, workload, concurrency))
        plain = found.get((PlainOrm.name, workload, concurrency))
        if ours and plain:
            quotients = [one / other for one, other in zip(ours, plain, strict=False)]
            what = f"{TITLES[workload]}, {concurrency} at a time: own ORM unit to a plain service"
            yield _at_least(what, bound, Spread.of(quotients))


def _sdks(results: Results) -> Iterator[Aim]:
    for pair in results.sdks:
        found = {
            (c.workload, c.concurrency): c.ratio for c in pair.cells if c.side == Faceplate.name
        }
        for workload, concurrency, bound in _bounds(SDKS):
            if (workload, concurrency) in found:
                what = f"{pair.what}, {SDK_TITLES[workload]}, {concurrency} at a time"
                yield _at_least(f"{what}: to its own store", bound, found[workload, concurrency])
