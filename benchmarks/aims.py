"""What is aimed at, and whether a run shows it."""

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.peers import PEERS
from benchmarks.results import Results
from benchmarks.sides.orm import PlainOrm
from benchmarks.sides.ours import Faceplate, OwnUnit
from benchmarks.sides.raw import ByHand

HOT = ("append", "last-of-100", "list")
KEEPS_ACTIVITY = ("openai-agents", "google-adk", "agno")
"""The peers that keep a conversation's activity, as an append does here."""


class Aim(NamedTuple):
    """Something to be reached, and what was."""

    what: str
    bound: str
    found: str
    is_met: bool


def aims(results: Results) -> list[Aim]:
    """Return every aim that the run has figures for."""
    return [
        *_beside_hand_written(results),
        *_ahead_of_peers(results),
        *_far_away(results),
        *_imports(results),
        *_growth(results),
        *_memory(results),
    ]


def _at_least(what: str, bound: float, found: float) -> Aim:
    return Aim(what, f">= {bound:g}", f"{found:.2f}", found >= bound)


def _at_most(what: str, bound: float, found: float, unit: str = "") -> Aim:
    return Aim(what, f"<= {bound:g}{unit}", f"{found:.2f}{unit}", found <= bound)


def _ratios(results: Results, workload: str, concurrency: int) -> dict[str, float]:
    """Each side's ratio to the limit, next to the server."""
    return {
        cell.side: cell.ratio.median
        for cell in results.cells
        if cell.network == results.networks[0].name
        and (cell.workload, cell.concurrency) == (workload, concurrency)
    }


def _concurrencies(results: Results) -> list[int]:
    near = [cell for cell in results.cells if cell.network == results.networks[0].name]
    return list(dict.fromkeys(cell.concurrency for cell in near))


def _beside_hand_written(results: Results) -> Iterator[Aim]:
    for concurrency in _concurrencies(results):
        for workload in HOT:
            found = _ratios(results, workload, concurrency)
            what = f"{workload}, {concurrency} at a time"
            ours = found[Faceplate.name]
            yield _at_least(f"{what}: to the same by hand", 0.90, ours / found[ByHand.name])
            yield _at_least(f"{what}: to the limit", 0.80, ours)
        found = _ratios(results, "append", concurrency)
        yield _at_least(
            f"append, {concurrency} at a time: an own ORM unit to a plain ORM service",
            1.5,
            found[OwnUnit.name] / found[PlainOrm.name],
        )


def _ahead_of_peers(results: Results) -> Iterator[Aim]:
    names = [peer.name for peer in PEERS]
    for concurrency in _concurrencies(results):
        where = f"{concurrency} at a time"
        append = _ratios(results, "append", concurrency)
        ours = append[Faceplate.name]
        for name, factor in (("openai-agents", 5.0), ("langchain-postgres", 1.0)):
            if name in append:
                yield _at_least(f"append, {where}: to {name}", factor, ours / append[name])
        for workload, factor, peers in (
            ("last-of-100", 2.2, names),
            ("last-of-5000", 2.2, names),
            ("turn", 4.0, KEEPS_ACTIVITY),
            ("list", 1.0, names),
        ):
            found = _ratios(results, workload, concurrency)
            rivals = {name: found[name] for name in peers if name in found}
            if rivals:
                fastest = max(rivals, key=lambda name: rivals[name])
                yield _at_least(
                    f"{workload}, {where}: to the fastest peer, {fastest}",
                    factor,
                    found[Faceplate.name] / rivals[fastest],
                )


def _far_away(results: Results) -> Iterator[Aim]:
    for network in results.networks[1:]:
        for cell in results.cells:
            if (cell.network, cell.concurrency) != (network.name, 1):
                continue
            if cell.side == Faceplate.name and cell.workload in HOT:
                trips = cell.p50_ms / network.round_trip_ms
                yield _at_most(f"{cell.workload}, {network.name}: p50 in round trips", 3.3, trips)


def _imports(results: Results) -> Iterator[Aim]:
    for found in results.imports:
        if found.side == Faceplate.name:
            yield _at_least("import: to raw COPY", 0.9, found.ratio.median)


def _growth(results: Results) -> Iterator[Aim]:
    bounds = {"conversation": 1.2, "table": 1.3}
    for kind, bound in bounds.items():
        found = [g for g in results.growth if (g.kind, g.side) == (kind, Faceplate.name)]
        largest = max((g.messages for g in found), default=0)
        for g in found:
            if g.messages == largest:
                what = f"{g.workload} in a {kind} of {largest:,}: time to the smallest"
                yield _at_most(what, bound, g.ratio.median)


def _memory(results: Results) -> Iterator[Aim]:
    for found in results.memory:
        what = f"{found.task} of {found.messages:,} messages"
        if found.task == "walk":
            yield _at_most(f"{what}: over idle", 50, found.peak_mb - found.idle_mb, " MB")
        else:
            yield _at_most(f"{what}: peak", 150, found.peak_mb, " MB")
