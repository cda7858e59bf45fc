"""The plots of the page, as SVG. matplotlib is imported only here, when there is one to draw."""

from pathlib import Path
from typing import Any

from benchmarks.results import Results
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg
from benchmarks.workloads import WORKLOADS

OURS, OTHERS, LIMIT = "#1f6feb", "#8c959f", "#24292f"
STYLE = {
    "svg.hashsalt": "faceplate",  # so that the same figures draw the same file
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(results: Results, directory: Path) -> dict[str, tuple[str, Path]]:
    """Draw what the run has figures for into ``directory``, and nothing else is left there.

    Returns the title and the file of each plot, by the block to which it belongs.
    """
    import matplotlib as mpl  # noqa: PLC0415 - not among the requirements of the suite

    mpl.use("svg")
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    drawn: dict[str, tuple[str, Path]] = {}
    with mpl.rc_context(STYLE):
        if results.cells:
            near, far = (network.name for network in results.networks)
            crowd = max(c.concurrency for c in results.cells if c.network == near)
            path = directory / "throughput.svg"
            drawn["summary"] = _draw_ratios(results, near, crowd, path), path
            path = directory / "latency.svg"
            drawn["latencies"] = _draw_latencies(results, near, 1, path), path
            path = directory / "latency-far.svg"
            drawn["delays"] = _draw_latencies(results, far, 1, path), path
        if results.growth:
            path = directory / "growth.svg"
            drawn["growth"] = _draw_growth(results, path), path
    return drawn


def _panels(count: int, width: float, height: float) -> Any:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    size = (width * count, height)
    return plt.subplots(1, count, figsize=size, sharey=True, layout="constrained")


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _colour(side: str, limit: str) -> str:
    return OURS if side.startswith(Faceplate.name) else LIMIT if side == limit else OTHERS


def _draw_bars(
    results: Results,
    values: dict[tuple[str, str], tuple[float, float, float]],
    path: Path,
    *,
    title: str,
    label: str,
    scale: str,
) -> None:
    """Draw a panel for each workload and a bar for each side, with its spread."""
    names = [info.name for info in results.sides]
    figure, axes = _panels(len(WORKLOADS), 2.4, 0.8 + 0.24 * len(names))
    for axis, workload in zip(axes, WORKLOADS, strict=True):
        for place, name in enumerate(names):
            if (name, workload.name) not in values:
                continue
            low, middle, high = values[name, workload.name]
            colour = _colour(name, results.limit)
            spread = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
            axis.barh(place, middle, xerr=spread, color=colour, ecolor=LIMIT, height=0.7)
        axis.set_xscale(scale)
        axis.set_title(workload.title, fontsize=9)
        axis.set_yticks(range(len(names)), names)
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(label, fontsize=9)
    _save(figure, path)


def _draw_ratios(results: Results, network: str, concurrency: int, path: Path) -> str:
    values = {
        (cell.side, cell.workload): (cell.ratio.low, cell.ratio.median, cell.ratio.high)
        for cell in results.cells
        if (cell.network, cell.concurrency) == (network, concurrency)
    }
    title = f"Throughput, {concurrency} at a time"
    label = "ratio to the limit, median and quartiles"
    _draw_bars(results, values, path, title=title, label=label, scale="linear")
    return title


def _draw_latencies(results: Results, network: str, concurrency: int, path: Path) -> str:
    values = {
        (cell.side, cell.workload): (cell.p50_ms, cell.p50_ms, cell.p99_ms)
        for cell in results.cells
        if (cell.network, cell.concurrency) == (network, concurrency)
    }
    where = "" if network == "direct" else f", {network} a round trip"
    title = f"Latency, {concurrency} at a time{where}"
    _draw_bars(
        results, values, path, title=title, label="milliseconds, p50 and up to p99", scale="log"
    )
    return title


def _draw_growth(results: Results, path: Path) -> str:
    figure, axes = _panels(2, 4.5, 3.0)
    for axis, kind in zip(axes, ("conversation", "table"), strict=True):
        for side, colour in ((Asyncpg.name, LIMIT), (Faceplate.name, OURS)):
            for workload, line in (("append", "-"), ("last", "--")):
                points = sorted(
                    (g.messages, g.p50_ms)
                    for g in results.growth
                    if (g.kind, g.side, g.workload) == (kind, side, workload)
                )
                label = f"{side}, {'last 50' if workload == 'last' else workload}"
                axis.plot(*zip(*points, strict=True), line, color=colour, marker="o", label=label)
        sizes = sorted({g.messages for g in results.growth if g.kind == kind})
        axis.set_xscale("log")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel(f"messages in the {kind}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("p50, milliseconds")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    _save(figure, path)
    return "Latency as conversations and tables grow"
