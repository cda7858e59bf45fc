"""One run: a server, what is measured on it, and what came out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from benchmarks import closed_loops, comparison, conditions, open_loop, peers, pgbench, pooler
from benchmarks import soak as soaking
from benchmarks.comparison import Comparison
from benchmarks.data import Data, Size
from benchmarks.figures import info_of
from benchmarks.growth import Sizes, grow
from benchmarks.measuring import Pace
from benchmarks.memory import remember
from benchmarks.profile import profile
from benchmarks.results import Results, environment_of
from benchmarks.sdks.pairs import compare_sdks
from benchmarks.server import Target, make_database, running_server, tidy
from benchmarks.sides.base import Side
from benchmarks.sides.orm import PlainOrm
from benchmarks.sides.ours import Faceplate, OwnUnit
from benchmarks.sides.raw import Asyncpg, ByHand
from benchmarks.sides.shared import BatchedAsyncpg, FaceplateAlone
from faceplate.embedded import Server

PARTS = {
    "sides": "the comparison of all sides",
    "imports": "an import by all sides",
    "load": "more callers than connections, and appends that arrive at random",
    "pooler": "the hot operations through PgBouncer",
    "uvloop": "the hot operations on uvloop",
    "pgbench": "append and history beside pgbench",
    "sdks": "SDKs over faceplate, beside the same SDKs over their own stores",
    "growth": "conversations and tables of growing size, up to so many messages",
    "memory": "import and export of a million messages",
    "profile": "append and history under cProfile",
    "soak": "appends at full speed for so many minutes; not a part of a run of everything",
}
LOADED = frozenset({"load", "pooler", "uvloop", "pgbench", "profile"})
"""These need the data, and none of the other sides' tables."""

Say = Callable[[str], None]

SIDES: tuple[type[Side], ...] = (Asyncpg, ByHand, Faceplate, OwnUnit, PlainOrm)
"""The limit first, whose load the others rely on."""


class Plan(NamedTuple):
    """What is run, and how thoroughly."""

    size: Size
    pace: Pace
    sdks: Size
    """What the sides of SDKs hold: less, since they load it through the SDK."""
    closed: closed_loops.Loops
    arrivals: open_loop.Arrivals
    beside: pgbench.Beside
    growth: Sizes
    soak: soaking.Duration
    imports: int
    """How often each side imports."""
    profiled: int
    """Operations under cProfile."""
    remembered: int
    walked: int
    """Messages whose import and export, and whose walk, is measured for memory."""
    counted: int = 20
    """Operations whose messages are counted."""
    near_concurrencies: Sequence[int] = (1, 20)
    far_concurrencies: Sequence[int] = (1, 20)
    with_peers: bool = True
    parts: frozenset[str] = frozenset(PARTS) - {"soak"}
    quick: bool = False
    seed: int = 1


Measure = Callable[[Comparison, Plan, Results], Awaitable[None]]


async def run(plan: Plan, say: Say, keep: Callable[[Results], object]) -> Results:
    """Do what ``plan`` says, and return all figures. ``keep`` is given what there is so far."""
    with running_server() as server:
        target = await make_database(server, "bench")
        data = Data(plan.size, plan.seed)
        results = Results(
            environment=await environment_of(
                target.url, plan.size, seed=plan.seed, quick=plan.quick
            )
        )
        if plan.parts & {"sides", "imports"}:
            await _compare(target, data, plan, results, say)
            keep(results)
        elif plan.parts & LOADED:
            await comparison.load(target, data, [SIDES[0]()], say)
            await tidy(target)
        compared = Comparison(target.url, data, [Asyncpg()], plan.pace, say)
        measures: dict[str, Measure] = {
            "load": _measure_load,
            "pooler": _measure_pooled,
            "uvloop": _measure_on_uvloop,
            "pgbench": partial(_measure_beside_pgbench, server),
            "sdks": partial(_measure_sdks, server),
        }
        for part, measure in measures.items():
            if part in plan.parts:
                await measure(compared, plan, results)
                keep(results)
        if "profile" in plan.parts:
            say("profiling")
            results.profiles = await profile(target.url, data, plan.profiled)
            keep(results)
        if "growth" in plan.parts:
            results.growth, results.written = await grow(
                server, plan.growth, plan.pace, plan.seed, say
            )
            keep(results)
        if "soak" in plan.parts:
            results.soak = await soaking.soak(server, data, plan.soak, say)
            keep(results)
        if "memory" in plan.parts:
            results.memory = await remember(server, plan.remembered, plan.walked, say)
            keep(results)
    return results


async def _compare(target: Target, data: Data, plan: Plan, results: Results, say: Say) -> None:
    sides = [kind() for kind in SIDES]
    await comparison.load(target, data, sides, say)
    if plan.with_peers:
        found, results.missing = peers.available()
        usable, unusable = await comparison.load_what_can_be(target, data, found, say)
        sides += usable
        results.missing |= unusable
        for name, reason in results.missing.items():
            say(f"{name} is missing: {reason}")
    await tidy(target)
    results.limit = sides[0].name
    results.sides = [info_of(side) for side in sides]
    compared = Comparison(target.url, data, sides, plan.pace, say)
    if "sides" in plan.parts:
        results.wires = await compared.count(plan.counted)
        results.networks, results.cells = await compared.measure(
            plan.near_concurrencies, plan.far_concurrencies
        )
    if "imports" in plan.parts:
        results.imports = await compared.measure_imports(plan.imports)


async def _measure_load(compared: Comparison, plan: Plan, results: Results) -> None:
    sides = [Asyncpg(), Faceplate(), FaceplateAlone(), BatchedAsyncpg()]
    compared = replace(compared, sides=sides)
    results.load_sides = [info_of(side) for side in compared.sides]
    results.closed_loops = await closed_loops.measure_closed_loops(compared, plan.closed)
    results.open_loops = await open_loop.measure_open_loop(compared, plan.arrivals)


async def _measure_pooled(compared: Comparison, plan: Plan, results: Results) -> None:
    if pooler.PROGRAM is None:
        results.not_run["pooler"] = pooler.WHY_NOT
    else:
        results.pooler = await conditions.compare_pooled(
            compared, plan.near_concurrencies, plan.counted
        )


async def _measure_on_uvloop(compared: Comparison, plan: Plan, results: Results) -> None:
    results.uvloop = await conditions.compare_on_uvloop(
        compared, plan.near_concurrencies, plan.counted
    )


async def _measure_beside_pgbench(
    server: Server, compared: Comparison, plan: Plan, results: Results
) -> None:
    program = pgbench.find_program(server)
    if program is None:
        results.not_run["pgbench"] = pgbench.WHY_NOT
    else:
        compared = replace(compared, sides=[Asyncpg(), Faceplate()])
        results.pgbench = await pgbench.measure_beside_pgbench(
            program, compared, plan.near_concurrencies, plan.beside
        )


async def _measure_sdks(server: Server, compared: Comparison, plan: Plan, results: Results) -> None:
    compared = replace(compared, data=Data(plan.sdks, plan.seed))
    results.sdks, missing = await compare_sdks(server, compared, plan.near_concurrencies)
    if missing:
        results.not_run["sdks"] = "; ".join(f"{name}: {why}" for name, why in missing.items())
