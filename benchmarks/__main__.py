"""``python -m benchmarks``: run everything, or what is asked for; ``report`` makes the pages."""

import argparse
import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import closed_loops, data, growth, measuring, open_loop, pgbench, soak
from benchmarks.report import write_pages
from benchmarks.results import Results
from benchmarks.run import PARTS, Plan, Say, run
from benchmarks.sdks import base as sdks
from benchmarks.server import forget_environment
from benchmarks.tables import overview

FULL = Plan(
    size=data.FULL,
    pace=measuring.FULL,
    sdks=sdks.FULL,
    closed=closed_loops.FULL,
    arrivals=open_loop.FULL,
    beside=pgbench.FULL,
    growth=growth.FULL,
    soak=soak.FULL,
    imports=5,
    profiled=2_000,
    remembered=1_000_000,
    walked=50_000,
)
QUICK = FULL._replace(
    quick=True,
    size=data.QUICK,
    pace=measuring.QUICK,
    sdks=sdks.QUICK,
    closed=closed_loops.QUICK,
    arrivals=open_loop.QUICK,
    beside=pgbench.QUICK,
    far_concurrencies=(1,),
    imports=1,
    profiled=300,
    counted=5,
    parts=frozenset({"sides", "imports", "load", "pooler", "uvloop", "pgbench", "profile"}),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="all sides, within four minutes")
    parser.add_argument("--seed", type=int, default=1, help="what the data is made from")
    sizes: dict[str, dict[str, Any]] = {
        "growth": {"type": int, "choices": growth.FULL.tables, "const": growth.FULL.tables[-1]},
        "soak": {"type": float, "metavar": "MINUTES", "const": soak.FULL.minutes},
    }
    for part, what in PARTS.items():
        size = {"nargs": "?", **sizes[part]} if part in sizes else {"action": "store_true"}
        parser.add_argument(f"--{part}", default=None, help=f"only {what}", **size)
    commands = parser.add_subparsers(dest="command")
    report = commands.add_parser(
        "report", help="write docs/performance.md and its tables from a run's file"
    )
    report.add_argument("file", type=Path)
    report.add_argument("again", type=Path, nargs="*", help="parts that were measured again since")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    given = make_parser().parse_args(arguments)
    if given.command == "report":
        write_pages(Results.read(given.file, *given.again))
        return
    plan = plan_of(given)
    forget_environment()
    logging.getLogger("faceplate").addHandler(logging.NullHandler())  # refusals are counted
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - start:7.1f} s  {text}", flush=True)

    results = asyncio.run(_run(plan, say))
    print(overview(results))
    print(f"\nWritten to {results.save()}; `report` makes the pages from it.")


def plan_of(given: argparse.Namespace) -> Plan:
    """Return the plan of a command line: everything but the soak, or the parts named."""
    plan = (QUICK if given.quick else FULL)._replace(seed=given.seed)
    asked = frozenset(part for part in PARTS if getattr(given, part) is not None)
    if asked:
        plan = plan._replace(parts=asked)
    if given.growth is not None:
        plan = plan._replace(growth=plan.growth.up_to(given.growth))
    if given.soak is not None:
        plan = plan._replace(soak=plan.soak._replace(minutes=given.soak))
    return plan


async def _run(plan: Plan, say: Say) -> Results:
    """Run, and take the server down also when told to terminate."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run(plan, say, Results.save)


if __name__ == "__main__":
    main()
