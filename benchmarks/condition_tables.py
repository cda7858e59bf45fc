"""The hot operations through PgBouncer, on uvloop and beside pgbench, as tables."""

from collections.abc import Sequence

from benchmarks.figures import Condition
from benchmarks.markdown import MISSING, count, figure, spread, table
from benchmarks.results import Results
from benchmarks.sdks.base import SDK_WORKLOADS
from benchmarks.workloads import WORKLOADS, Workload

POOLER = """\
PgBouncer in transaction mode stands between the sides and the server. It has as many connections to
the server as a side has to it. The ratio is to raw asyncpg through the same pooler."""
UVLOOP = """\
All sides run on uvloop, and the ratio is to raw asyncpg on uvloop."""
SDKS = """\
Two sides of each SDK, used by the same code through the SDK's interface. The ratio is to the SDK's
own store in PostgreSQL, whose own row shows the noise."""
PGBENCH = """\
pgbench sends the same statements from C, prepared, over connections that it holds: what the server
can do beside a client that takes next to no processor time. The ratio is to pgbench, whose own row
shows the noise between its runs."""


def pooler(results: Results) -> str:
    """Return ratios, latencies and round trips through PgBouncer."""
    return _condition(results.pooler)


def uvloop(results: Results) -> str:
    """Return ratios, latencies and round trips on uvloop."""
    return _condition(results.uvloop)


def sdks(results: Results) -> str:
    """Return ratios and latencies of each SDK over faceplate and over its own store."""
    return "\n\n".join(_condition(pair, SDK_WORKLOADS) for pair in results.sdks)


def _condition(condition: Condition | None, of: Sequence[Workload] = WORKLOADS) -> str:
    if condition is None:
        return ""
    workloads = [w for w in of if w.name in {cell.workload for cell in condition.cells}]
    head = ["", *(workload.title for workload in workloads)]

    def rows(cells: dict[tuple[str, str], str]) -> list[list[str]]:
        return [
            [info.name, *(cells.get((info.name, w.name), MISSING) for w in workloads)]
            for info in condition.sides
        ]

    notes = [[info.name, info.version, info.note] for info in condition.sides]
    parts = [f"{condition.what}.", table(["side", "version", "how it is used"], notes, texts=3)]
    for concurrency in dict.fromkeys(cell.concurrency for cell in condition.cells):
        here = [cell for cell in condition.cells if cell.concurrency == concurrency]
        where = f"{concurrency} at a time"
        ratios = {(c.side, c.workload): spread(c.ratio) for c in here}
        parts.append(f"**Throughput, {where}**\n\n{table(head, rows(ratios))}")
        waits = {(c.side, c.workload): f"{c.p50_ms:.2f} / {c.p99_ms:.2f}" for c in here}
        parts.append(f"**p50 / p99 in ms, {where}**\n\n{table(head, rows(waits))}")
    trips = {
        (w.side, w.workload): f"{count(w.round_trips)} / {w.bytes_sent:,.0f}"
        for w in condition.wires
    }
    if trips:
        parts.append(f"**Round trips / bytes sent**\n\n{table(head, rows(trips))}")
    return "\n\n".join(parts)


def pgbench(results: Results) -> str:
    """Return a row for each workload, concurrency and side."""
    if not results.pgbench:
        return ""
    titles = {workload.name: workload.title for workload in WORKLOADS}
    return table(
        ["operation", "at a time", "side", "operations a second", "ratio to pgbench"],
        [
            [
                titles[found.workload],
                f"{found.concurrency}",
                found.side,
                figure(found.per_second.median),
                spread(found.ratio),
            ]
            for found in results.pgbench
        ],
        texts=3,
    )
