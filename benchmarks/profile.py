"""Where the client's time goes: append and history under cProfile, one at a time."""

import cProfile
import pstats
from pathlib import Path

from benchmarks.data import Data, Rotation
from benchmarks.results import Profile, ProfileRow
from benchmarks.sides.ours import Faceplate
from benchmarks.workloads import WORKLOADS

PROFILED = ("append", "last-of-100")
WARM_CALLS = 50
ROWS = 18


async def profile(url: str, data: Data, calls: int) -> list[Profile]:
    """Return the functions with the most time of their own, for one operation of each kind.

    cProfile makes calls of Python functions look dearer than they are; C functions it shows
    as one.
    """
    side = Faceplate()
    await side.open(url, 1)
    profiles = []
    for workload in WORKLOADS:
        if workload.name not in PROFILED:
            continue
        operation = workload.of(side, Rotation(data, "profile"))
        for _ in range(WARM_CALLS):
            await operation()
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(calls):
            await operation()
        profiler.disable()
        profiles.append(_read(workload.name, pstats.Stats(profiler), calls))
    await side.close()
    return profiles


def _read(workload: str, stats: pstats.Stats, calls: int) -> Profile:
    found: dict[tuple[str, int, str], tuple[int, int, float, float, object]]
    found = stats.stats  # type: ignore[attr-defined]  # not in typeshed
    rows = [
        ProfileRow(
            function=_describe(*place), calls=entry[1] / calls, own_us=entry[2] / calls * 1e6
        )
        for place, entry in found.items()
    ]
    rows.sort(key=lambda row: row.own_us, reverse=True)
    return Profile(workload=workload, total_us=sum(row.own_us for row in rows), rows=rows[:ROWS])


def _describe(path: str, line: int, function: str) -> str:
    """``faceplate/scope.py: first``, without the line, which changes with every edit."""
    if path == "~":
        return function.strip("<>").removeprefix("built-in method ").removeprefix("method ")
    parts = Path(path).parts
    name = "/".join(parts[-2:]) if line else path
    return f"{name}: {function}"
