"""The answer in short: faceplate beside raw asyncpg, an ORM service and the fastest peer."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.aims import TITLES, aims
from benchmarks.figures import Cell, ServerLimit
from benchmarks.markdown import MISSING
from benchmarks.peers import PEERS
from benchmarks.pgbench import NAME as PGBENCH
from benchmarks.results import Results
from benchmarks.sides.orm import PlainOrm
from benchmarks.sides.ours import Faceplate, OwnUnit
from benchmarks.sides.raw import ByHand
from benchmarks.workloads import WORKLOADS

ROWS = {
    Faceplate.name: "**faceplate**",
    ByHand.name: "hand-written, with row-level security",
    OwnUnit.name: "faceplate, a unit over the ORM",
    PlainOrm.name: "a plain ORM service, without isolation",
}


def summary(results: Results) -> str:
    """Return the machine, a table for each concurrency next to the server, and the rest.

    Empty unless the sides were compared.
    """
    if not results.cells:
        return ""
    made = results.environment
    near = results.networks[0].name
    cells = [cell for cell in results.cells if cell.network == near]
    tables = [
        _table(results, [cell for cell in cells if cell.concurrency == concurrency])
        for concurrency in dict.fromkeys(cell.concurrency for cell in cells)
    ]
    where = (
        f"Measured on {made.date:%Y-%m-%d} on {made.cores} cores of {made.processor}, Python"
        f" {made.python}, PostgreSQL {made.postgres} on the same machine."
        " Figures are throughput as a ratio to raw asyncpg (1.00), unless the row says otherwise."
    )
    return "\n\n".join([where, *tables, "\n".join(f"- {line}" for line in _rest(results))])


def slower(results: Results) -> str:
    """Return where raw asyncpg is faster, and the aims that are missed, as a list.

    Empty unless the sides were compared.
    """
    return "\n".join(f"- {line}" for line in _slower(results)) if results.cells else ""


def _table(results: Results, cells: Sequence[Cell]) -> str:
    found = {(cell.side, cell.workload): cell for cell in cells}
    ours = {cell.workload: cell for cell in cells if cell.side == Faceplate.name}
    wires = {wire.workload: wire for wire in results.wires if wire.side == Faceplate.name}

    def of_ours(show: Callable[[Cell], str]) -> list[str]:
        return [show(ours[w.name]) if w.name in ours else MISSING for w in WORKLOADS]

    rows = [
        [
            title,
            *(
                f"{found[side, w.name].ratio.median:.2f}" if (side, w.name) in found else MISSING
                for w in WORKLOADS
            ),
        ]
        for side, title in ROWS.items()
    ]
    rows.insert(2, ["the fastest peer", *(_fastest(cells, w.name) for w in WORKLOADS)])
    rows += [
        ["faceplate, operations a second", *of_ours(lambda cell: f"{cell.per_second.median:,.0f}")],
        ["faceplate, ms: p50 / p99", *of_ours(lambda c: f"{c.p50_ms:.2f} / {c.p99_ms:.2f}")],
    ]
    if wires:
        trips = [f"{wires[w.name].round_trips:g}" if w.name in wires else "-" for w in WORKLOADS]
        rows.append(["faceplate, round trips", *trips])
    head = [f"{cells[0].concurrency} at a time", *(workload.title for workload in WORKLOADS)]
    lines = [head, ["---", *("---:" for _ in WORKLOADS)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fastest(cells: Sequence[Cell], workload: str) -> str:
    peers = {peer.name for peer in PEERS}
    rivals = [cell for cell in cells if cell.side in peers and cell.workload == workload]
    if not rivals:
        return MISSING
    fastest = max(rivals, key=lambda cell: cell.ratio.median)
    return f"{fastest.ratio.median:.2f} {fastest.side}"


def _slower(results: Results) -> Iterator[str]:
    near = [cell for cell in results.cells if cell.network == results.networks[0].name]
    conditions = [c for c in (results.pooler, results.uvloop) if c]
    for where, cells in (("", near), *((f", with {c.what}", c.cells) for c in conditions)):
        ours = [cell for cell in cells if cell.side == Faceplate.name]
        counts = list(dict.fromkeys(cell.concurrency for cell in ours))
        found = [
            f"{workload.title} {_ratios(ours, workload.name)}"
            for workload in WORKLOADS
            if any(cell.workload == workload.name and cell.ratio.high < 1 for cell in ours)
        ]
        if found:
            at_a_time = " / ".join(map(str, counts))
            yield f"Slower than raw asyncpg, {at_a_time} at a time{where}: {', '.join(found)}."
    found_aims = aims(results)
    missed = [aim for aim in found_aims if not aim.is_met]
    yield "\n".join(
        [
            f"Aims: {len(found_aims) - len(missed)} of {len(found_aims)} are met."
            + (" Missed:" if missed else ""),
            *(f"  - {aim.what}: {aim.found}, aim {aim.bound}." for aim in missed),
        ]
    )


def _ratios(cells: Sequence[Cell | ServerLimit], workload: str) -> str:
    return " / ".join(f"{cell.ratio.median:.2f}" for cell in cells if cell.workload == workload)


def _rest(results: Results) -> Iterator[str]:
    yield from _conditions(results)
    yield from _load(results)
    for found in results.imports:
        if found.side == Faceplate.name:
            yield (
                f"Import: {found.per_second.median:,.0f} messages a second,"
                f" {found.ratio.median:.2f} of raw COPY."
            )
    grown = [g for g in results.growth if (g.kind, g.side) == ("table", Faceplate.name)]
    if grown:
        least, most = min(g.messages for g in grown), max(g.messages for g in grown)
        ratios = {g.workload: g.ratio.median for g in grown if g.messages == most}
        yield (
            f"Growth: in a table of {most:,} messages an append takes {ratios['append']:.2f} of the"
            f" time that it takes in one of {least:,}, and the last 50 take {ratios['last']:.2f}."
        )
    if results.written:
        largest = results.written[-1]
        yield (
            f"Log: an append in a table of {largest.messages:,} messages writes"
            f" {largest.wal_bytes:,.0f} bytes, and {largest.hot_share:.0%} of the updates are HOT."
        )
    if results.soak:
        first, last = results.soak[0], results.soak[-1]
        yield (
            f"Soak: {first.per_second:,.0f} appends a second at the start and"
            f" {last.per_second:,.0f} after {last.minute:.0f} minutes, with {last.messages:,}"
            " messages stored."
        )
    for found_peak in results.memory:
        what = f"the {found_peak.task} of {found_peak.messages:,} messages"
        yield f"Memory: {what} peaks at {found_peak.peak_mb:.0f} MB."


def _conditions(results: Results) -> Iterator[str]:
    for where, condition in (("Through", results.pooler), ("On", results.uvloop)):
        if condition:
            ours = [cell for cell in condition.cells if cell.side == Faceplate.name]
            ratios = ", ".join(
                f"{workload.title} {_ratios(ours, workload.name)}"
                for workload in WORKLOADS
                if any(cell.workload == workload.name for cell in ours)
            )
            yield f"{where} {condition.what}, to raw asyncpg there: {ratios}."
    for side in dict.fromkeys(found.side for found in results.pgbench if found.side != PGBENCH):
        here = [found for found in results.pgbench if found.side == side]
        counts = " / ".join(str(n) for n in dict.fromkeys(found.concurrency for found in here))
        ratios = ", ".join(
            f"{TITLES[workload]} {_ratios(here, workload)}"
            for workload in dict.fromkeys(found.workload for found in here)
        )
        yield f"{side}, to pgbench, {counts} at a time: {ratios}."


def _load(results: Results) -> Iterator[str]:
    ours = [loop for loop in results.closed_loops if loop.side == Faceplate.name]
    most = max((loop.callers for loop in ours), default=0)
    for loop in ours:
        if loop.callers == most:
            where = f"{TITLES[loop.workload]}, {most} callers on a pool of {loop.connections}"
            yield (
                f"{where}: the least served gets {loop.least_served.median:.2f} of what the median"
                f" caller gets, and throughput is {loop.to_full.median:.2f} of that of"
                f" {loop.connections} callers."
            )
    arrived = [loop for loop in results.open_loops if loop.kept_up]
    fastest = max((loop.rate for loop in arrived if loop.side == Faceplate.name), default=0)
    for arrivals in arrived:
        if arrivals.rate == fastest:
            yield (
                f"{fastest:,} appends a second that arrive at random, {arrivals.side}:"
                f" p50 {arrivals.p50_ms:.1f} ms, p99 {arrivals.p99_ms:.1f} ms, longest"
                f" {arrivals.longest_ms:.0f} ms."
            )
