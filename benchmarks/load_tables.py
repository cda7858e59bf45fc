"""What callers get and wait for under load, as tables."""

from itertools import groupby

from benchmarks.markdown import figure, spread, table
from benchmarks.results import Results
from benchmarks.workloads import WORKLOADS

CLOSED_LOOPS = """\
Each caller starts the next operation when it has its answer, and all share one pool. The ratio is
to raw asyncpg with as many callers and a pool of the same size. *To a full pool* is the throughput
beside that of the same side with as many callers as connections, in a block next to it. *Least
served* is what the caller with the fewest operations has done, as a share of what the median caller
has done."""
OPEN_LOOP = """\
Appends arrive at random moments (a Poisson process), however long the last ones take, and share one
pool. Each is timed from its arrival until it is answered, whenever the client began it. *Late*
counts the appends that the client itself began more than 10 ms after they arrived, *dropped* those
that the side refused. A side that does not keep up with a rate is not asked for a higher one."""


def closed_loops(results: Results) -> str:
    """Return a table for each workload, with a row for each number of callers and side."""
    titles = {workload.name: workload.title for workload in WORKLOADS}
    parts = []
    for workload, found in groupby(results.closed_loops, lambda loop: loop.workload):
        loops = list(found)
        head = [f"callers on a pool of {loops[0].connections}", "side", "operations a second"]
        head += ["ratio to the limit", "to a full pool", "least served", "p50 / p99, ms"]
        rows = [
            [
                f"{loop.callers}",
                loop.side,
                figure(loop.per_second.median),
                spread(loop.ratio),
                spread(loop.to_full),
                spread(loop.least_served),
                f"{loop.p50_ms:.2f} / {loop.p99_ms:.2f}",
            ]
            for loop in loops
        ]
        parts.append(f"**{titles[workload]}**\n\n{table(head, rows, texts=2)}")
    if parts:
        notes = [[info.name, info.version, info.note] for info in results.load_sides]
        parts.insert(0, table(["side", "version", "how it is used"], notes, texts=3))
    return "\n\n".join(parts)


def open_loop(results: Results) -> str:
    """Return a row for each rate and side."""
    if not results.open_loops:
        return ""
    head = ["arrivals a second", "side", "p50, ms", "p99, ms", "longest, ms", "arrivals"]
    head += ["late", "dropped", "keeps up"]
    rows = [
        [
            f"{loop.rate:,}",
            loop.side,
            f"{loop.p50_ms:.2f}",
            f"{loop.p99_ms:.1f}",
            f"{loop.longest_ms:.0f}",
            f"{loop.arrivals:,}",
            f"{loop.late:,}",
            f"{loop.dropped:,}",
            "yes" if loop.kept_up else "**no**",
        ]
        for loop in results.open_loops
    ]
    return table(head, rows, texts=2)
