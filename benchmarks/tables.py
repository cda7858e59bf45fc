"""The figures of a run as Markdown tables: on the console, and on the pages."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.aims import aims
from benchmarks.condition_tables import PGBENCH, POOLER, SDKS, UVLOOP, pgbench, pooler, sdks, uvloop
from benchmarks.figures import Cell
from benchmarks.growth_tables import SOAK, WRITTEN, growth, soak, written
from benchmarks.load_tables import CLOSED_LOOPS, OPEN_LOOP, closed_loops, open_loop
from benchmarks.markdown import MISSING, count, figure, spread, table
from benchmarks.results import Results
from benchmarks.summary import slower, summary
from benchmarks.workloads import WORKLOADS

NOTHING = "This run has no figures for it."


class Block(NamedTuple):
    """A title for the console, and what shows the figures of a run, or nothing."""

    title: str
    show: Callable[[Results], str]
    about: str = ""
    """What stands above the figures. A block that has it brings its title to the page, too."""

    def on_page(self, results: Results) -> str:
        """Return what stands between the markers of a page."""
        figures = self.show(results)
        if self.about and figures:
            return f"## {self.title}\n\n{self.about}\n\n{figures}"
        return figures if figures or self.about else NOTHING


def overview(results: Results) -> str:
    """Return every table that there are figures for, each below its title."""
    shown = ((block.title, block.show(results)) for block in BLOCKS.values())
    return "\n".join(f"\n## {title}\n\n{text}" for title, text in shown if text)


def environment(results: Results) -> str:
    """Return where and with what the figures were made."""
    made = results.environment
    settings = ", ".join(f"{name} {value}" for name, value in made.settings.items())
    versions = ", ".join(
        f"{info.package} {info.version}"
        for info in {info.package: info for info in results.sides}.values()
    )
    networks = ", ".join(f"{n.name} {n.round_trip_ms:.3f} ms" for n in results.networks)
    command = f"make bench{' ARGS=--quick' if made.quick else ''}"
    where = f"on the same machine over a Unix socket, {settings}"
    held = f"{made.messages:,} messages in {made.conversations:,} conversations"
    lines = [
        f"Made on {made.date:%Y-%m-%d %H:%M} UTC with `{command}`, seed {made.seed}.",
        f"{made.cores} cores of {made.processor}; {made.kernel}.",
        f"Python {made.python}; PostgreSQL {made.postgres} {where}.",
        f"Every side held {held} at the start.",
    ]
    if versions:
        lines.append(f"{versions}.")
    if networks:
        lines.append(f"The shortest statement takes: {networks}.")
    if results.cells:
        rounds = max(cell.blocks for cell in results.cells if cell.side != results.limit)
        lines.append(f"Every side was measured in {rounds} rounds.")
    lines += [f"Not measured, {part}: {why}." for part, why in results.not_run.items()]
    return "\n".join(f"- {line}" for line in lines)


def sides(results: Results) -> str:
    """Return who took part and how each is used, and who is missing."""
    rows = [[info.name, info.version, info.note] for info in results.sides]
    rows += [[name, MISSING, f"missing: {why}"] for name, why in results.missing.items()]
    lines = [["side", "version", "how it is used"], ["---", "---", "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def ratios(results: Results) -> str:
    """Return throughput as a ratio to the limit, a table for each network and concurrency."""
    return _by_place(results, lambda cell: spread(cell.ratio))


def rates(results: Results) -> str:
    """Return operations a second, 20 or however many at a time."""
    return _by_place(results, lambda cell: figure(cell.per_second.median))


def latencies(results: Results) -> str:
    """Return the median and the 99th percentile of what a caller waits."""
    return _by_place(results, lambda cell: f"{cell.p50_ms:.2f} / {cell.p99_ms:.2f}")


def processor(results: Results) -> str:
    """Return the client's processor time for an operation, in microseconds."""
    return _by_place(results, lambda cell: figure(cell.processor_us), network=0)


def trips(results: Results) -> str:
    """Return the round trips and the statements of an operation."""
    cells = {(w.side, w.workload): w for w in results.wires}
    return _by_side(
        results,
        {
            key: f"{count(wire.round_trips)} / {count(wire.statements)}"
            for key, wire in cells.items()
        },
    )


def traffic(results: Results) -> str:
    """Return the bytes of an operation, to the server and back."""
    return _by_side(
        results,
        {
            (wire.side, wire.workload): f"{wire.bytes_sent:,.0f} / {wire.bytes_received:,.0f}"
            for wire in results.wires
        },
    )


def delays(results: Results) -> str:
    """Return the median latency, one at a time, in round trips of the slower network."""
    if len(results.networks) < 2:
        return ""
    far = results.networks[1]
    return _by_side(
        results,
        {
            (cell.side, cell.workload): f"{cell.p50_ms / far.round_trip_ms:.1f}"
            for cell in results.cells
            if cell.network == far.name and cell.concurrency == 1
        },
    )


def imports(results: Results) -> str:
    """Return messages a second into a new conversation."""
    if not results.imports:
        return ""
    return table(
        ["side", "messages", "messages a second", "ratio to COPY"],
        [
            [i.side, f"{i.messages:,}", figure(i.per_second.median), spread(i.ratio)]
            for i in results.imports
        ],
    )


def memory(results: Results) -> str:
    """Return the peak of each large task."""
    if not results.memory:
        return ""
    return table(
        ["task", "messages", "peak", "over the idle process", "took"],
        [
            [
                m.task,
                f"{m.messages:,}",
                f"{m.peak_mb:.0f} MB",
                f"{m.peak_mb - m.idle_mb:.0f} MB",
                f"{m.elapsed_s:.0f} s",
            ]
            for m in results.memory
        ],
    )


def profiles(results: Results) -> str:
    """Return what an operation's time is for, and the functions that take most."""
    titles = {workload.name: workload.title for workload in WORKLOADS}
    parts = []
    for profile in results.profiles:
        title = f"{titles[profile.workload]}: {profile.total_us:.0f} µs"
        rows = [[part.purpose, f"{part.own_us:.1f}"] for part in profile.parts]
        parts.append(table([f"{title}, by what for", "own µs"], rows))
        rows = [
            [f"`{row.function}`", count(row.calls), f"{row.own_us:.1f}"] for row in profile.rows
        ]
        parts.append(table([f"{title}, by function", "calls", "own µs"], rows))
    return "\n\n".join(parts)


def aimed(results: Results) -> str:
    """Return what was aimed at beside what came out."""
    rows = [
        [aim.what, aim.bound, aim.found, "yes" if aim.is_met else "**no**"] for aim in aims(results)
    ]
    return table(["aim", "bound", "in this run", "met"], rows) if rows else ""


BLOCKS: dict[str, Block] = {
    "slower": Block("What is slower", slower),
    "summary": Block("Summary", summary),
    "environment": Block("Environment", environment),
    "aims": Block("Aims", aimed),
    "sides": Block("Sides", sides),
    "ratios": Block("Throughput, as a ratio to the limit", ratios),
    "rates": Block("Operations a second", rates),
    "latencies": Block("Latency, p50 / p99 in ms", latencies),
    "processor": Block("Client processor time for an operation, µs", processor),
    "trips": Block("Round trips / statements", trips),
    "traffic": Block("Bytes sent / received", traffic),
    "delays": Block("p50 with the delay, in round trips", delays),
    "closed-loops": Block("More callers than connections", closed_loops, CLOSED_LOOPS),
    "open-loop": Block("Appends that arrive at random", open_loop, OPEN_LOOP),
    "pooler": Block("Through PgBouncer", pooler, POOLER),
    "uvloop": Block("On uvloop", uvloop, UVLOOP),
    "pgbench": Block("Beside pgbench", pgbench, PGBENCH),
    "sdks": Block("SDKs over faceplate", sdks, SDKS),
    "imports": Block("Import", imports),
    "growth": Block("Growth", growth),
    "written": Block("What an append writes", written, WRITTEN),
    "soak": Block("Appends at full speed", soak, SOAK),
    "memory": Block("Memory", memory),
    "profiles": Block("Profile", profiles),
}
"""The blocks of the pages by the names of their markers."""


def _by_place(results: Results, show: Callable[[Cell], str], *, network: int | None = None) -> str:
    """Return a table for each network and concurrency, or for one network alone."""
    chosen = [n.name for n in results.networks]
    if network is not None:
        chosen = chosen[network : network + 1]
    places = dict.fromkeys((c.network, c.concurrency) for c in results.cells)
    parts = []
    for name, concurrency in places:
        if name not in chosen:
            continue
        cells = {
            (cell.side, cell.workload): show(cell)
            for cell in results.cells
            if (cell.network, cell.concurrency) == (name, concurrency)
        }
        parts.append(f"{_title(name, concurrency)}\n\n{_by_side(results, cells)}")
    return "\n\n".join(parts)


def _title(network: str, concurrency: int) -> str:
    where = "" if network == "direct" else f", {network} a round trip"
    return f"**{concurrency} at a time{where}**"


def _by_side(results: Results, cells: dict[tuple[str, str], str]) -> str:
    if not cells:
        return ""
    return table(
        ["", *(workload.title for workload in WORKLOADS)],
        [
            [info.name, *(cells.get((info.name, w.name), MISSING) for w in WORKLOADS)]
            for info in results.sides
        ],
    )
