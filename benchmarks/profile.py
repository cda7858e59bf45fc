"""Where the client's time goes: append and history under cProfile, one at a time."""

import cProfile
import pstats
from collections import defaultdict
from pathlib import Path

from benchmarks.data import Data, Rotation
from benchmarks.figures import Profile, ProfilePart, ProfileRow
from benchmarks.sides.ours import Faceplate
from benchmarks.workloads import WORKLOADS

PROFILED = ("append", "last-of-100")
WARM_CALLS = 50
ROWS = 18

PURPOSES = {
    "faceplate/database.py": "the runner: an attempt, its retry, its COMMIT",
    "faceplate/_runner/": "the runner: an attempt, its retry, its COMMIT",
    "faceplate/events.py": "what is counted and logged",
    "faceplate/_transaction/": "the transaction: what is sent, and when",
    "faceplate/scope.py": "values in their places, the owner added, rows as records",
    "faceplate/statement.py": "values in their places, the owner added, rows as records",
    "faceplate/column_types/": "each value checked by the rule of its column",
    "faceplate/services/": "the unit itself",
    "faceplate/pagination.py": "limits and cursors",
    "faceplate/_driver/pool.py": "check-out and check-in",
    "faceplate/_driver/": "the connection: preamble, write, errors, slow statements",
    "faceplate/": "the rest of faceplate",
    "uuid6/": "an id that sorts by its time, and that a retry uses again",
    "sqlalchemy/": "the pool",
    "asyncpg/": "the driver: messages made and read",
    "asyncio/": "the event loop",
    "selectors.py": "the event loop",
    "benchmarks/": "the benchmark itself",
    "built in": "functions in C: sockets, the driver's protocol, greenlets, dictionaries",
}
"""What the time in a module buys, by the beginning of its path."""
WAIT = "the wait for the server"
WAITING = ("method 'poll' of 'select.epoll' objects", "method 'control' of 'select.kqueue' objects")


async def profile(url: str, data: Data, calls: int) -> list[Profile]:
    """Return the time of one operation of each kind: by what for, and by function.

    cProfile makes calls of Python functions look dearer than they are; what happens inside of a
    function in C it does not see.
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
    rows = []
    parts: defaultdict[str, float] = defaultdict(float)
    for (path, _line, function), (_, count, own_s, *_) in found.items():
        where = _shorten(path)
        own_us = own_s / calls * 1e6
        name = function.strip("<>") if where == "built in" else f"{where}: {function}"
        rows.append(ProfileRow(function=name, calls=count / calls, own_us=own_us))
        parts[WAIT if name in WAITING else _purpose(where)] += own_us
    return Profile(
        workload=workload,
        total_us=sum(row.own_us for row in rows),
        parts=[
            ProfilePart(purpose=purpose, own_us=own_us)
            for purpose, own_us in sorted(parts.items(), key=lambda part: -part[1])
        ],
        rows=sorted(rows, key=lambda row: -row.own_us)[:ROWS],
    )


def _shorten(path: str) -> str:
    """Return a path from the name of its package on."""
    if path == "~":
        return "built in"
    parts = Path(path).parts
    for root in ("site-packages", "backend", "benchmarks"):
        if root in parts:
            place = len(parts) - parts[::-1].index(root) - (root == "benchmarks")
            return "/".join(parts[place:])
    return "/".join(part for part in parts[-2:] if not part.startswith("python3"))


def _purpose(where: str) -> str:
    return next((what for begin, what in PURPOSES.items() if where.startswith(begin)), "the rest")
