"""``python -m benchmarks.pools``: measure smaller pools for 20 callers, for docs/scaling.md."""

import asyncio
from collections.abc import Sequence

from benchmarks import data, measuring
from benchmarks.comparison import NETWORKS, Comparison, load
from benchmarks.data import Data, Size
from benchmarks.figures import Cell
from benchmarks.footprint import PAGE, completed
from benchmarks.markdown import spread, table
from benchmarks.measuring import Pace
from benchmarks.server import forget_environment, make_database, running_server, tidy
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg
from benchmarks.workloads import WORKLOADS

CALLERS = 20
CONNECTIONS = (20, 10, 5, 2)
MEASURED = tuple(w for w in WORKLOADS if w.name in {"append", "last-of-100", "list"})
PACE = measuring.FULL._replace(rounds=9, block_s=0.1, warm_s=0.3)


def pooled(size: int) -> Faceplate:
    """Return a side whose pool has ``size`` connections, however many callers there are."""

    class Pooled(Faceplate):
        name = f"{size} connections"

        async def open(self, url: str, connections: int) -> None:
            await super().open(url, min(size, connections))

    return Pooled()


async def measure(size: Size, pace: Pace) -> list[Cell]:
    """Return the figures of each pool, whose ratio is to the largest one."""
    stored = Data(size, 1)
    with running_server() as server:
        target = await make_database(server, "pools")
        await load(target, stored, [Asyncpg()], print)
        await tidy(target)
        sides = [pooled(size) for size in CONNECTIONS]
        compared = Comparison(target.url, stored, sides, pace, print, MEASURED)
        _, cells = await compared.measure((CALLERS,), (CALLERS,))
    return cells


def table_of(cells: Sequence[Cell]) -> str:
    """Return the figures as a table of the page."""
    rows = [
        [
            f"{workload.title}, {network}",
            *(
                spread(cell.ratio)
                for cell in cells
                if (cell.workload, cell.network) == (workload.name, network)
                and cell.side != f"{CONNECTIONS[0]} connections"
            ),
        ]
        for workload in MEASURED
        for network in NETWORKS
    ]
    head = [f"{CALLERS} callers", *(f"pool of {size}" for size in CONNECTIONS[1:])]
    return table(head, rows)


def main() -> None:
    """Measure, and write the page."""
    forget_environment()
    tables = {"pools": table_of(asyncio.run(measure(data.QUICK, PACE)))}
    print(*tables.values())
    PAGE.write_text(completed(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
