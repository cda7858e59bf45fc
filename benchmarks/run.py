"""One run: a server, what is measured on it, and what came out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks import comparison, peers
from benchmarks.data import Data, Size
from benchmarks.growth import Sizes, grow
from benchmarks.measuring import Pace
from benchmarks.memory import remember
from benchmarks.profile import profile
from benchmarks.results import Results, environment_of, info_of
from benchmarks.server import Target, make_database, running_server, tidy
from benchmarks.sides.base import Side
from benchmarks.sides.orm import PlainOrm
from benchmarks.sides.ours import Faceplate, OwnUnit
from benchmarks.sides.raw import Asyncpg, ByHand

PARTS = {
    "sides": "the comparison of all sides",
    "imports": "an import by all sides",
    "growth": "conversations and tables of growing size (needs 5 GB of disk)",
    "memory": "import and export of a million messages",
    "profile": "append and history under cProfile",
}

Say = Callable[[str], None]

SIDES: tuple[type[Side], ...] = (Asyncpg, ByHand, Faceplate, OwnUnit, PlainOrm)
"""The limit first, whose load the others rely on."""


class Plan(NamedTuple):
    """What is run, and how thoroughly."""

    size: Size
    pace: Pace
    growth: Sizes
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
    parts: frozenset[str] = frozenset(PARTS)
    quick: bool = False
    seed: int = 1


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
        elif "profile" in plan.parts:
            await comparison.load(target, data, [SIDES[0]()], say)
            await tidy(target)
        if "profile" in plan.parts:
            say("profiling")
            results.profiles = await profile(target.url, data, plan.profiled)
            keep(results)
        if "growth" in plan.parts:
            results.growth = await grow(server, plan.growth, plan.pace, plan.seed, say)
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
    compared = comparison.Comparison(target.url, data, sides, plan.pace, say)
    if "sides" in plan.parts:
        results.wires = await compared.count(plan.counted)
        results.networks, results.cells = await compared.measure(
            plan.near_concurrencies, plan.far_concurrencies
        )
    if "imports" in plan.parts:
        results.imports = await compared.measure_imports(plan.imports)
