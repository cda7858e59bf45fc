"""pgbench, which sends the same statements from C: what the server itself can do."""

import asyncio
import random
import re
import shlex
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.comparison import Comparison
from benchmarks.data import LAST, Data, Place, Rotation
from benchmarks.figures import ServerLimit
from benchmarks.measuring import Spread, noise, run_block, warm
from benchmarks.sides.raw import APPEND, HISTORY
from benchmarks.workloads import WORKLOADS, Workload
from faceplate.embedded import Server

NAME = "pgbench"
WHY_NOT = "pgbench is neither beside the embedded server's programs nor on PATH"
PLACES_OF_CLIENT = 10
# A client chooses its own conversations once: \set can make a number, and no id.
SCRIPT = """\
\\if :chosen = 0
SELECT * FROM (VALUES {rows}) place (client, {names}) WHERE client = :client_id \\gset
\\set chosen 1
\\endif
{statements}
"""
STATEMENTS = {
    "append": (APPEND, ("uuidv7()", "'user'", ":question", "'{}'")),
    "last-of-100": (HISTORY, (":last",)),
}
"""The statement of each workload, and its values after those of the conversation."""
COMPARED = tuple(w for w in WORKLOADS if w.name in STATEMENTS)
VALUES = {"chosen": 0, "last": LAST, "question": "a question of the usual length, more or less"}
RATE = re.compile(r"^tps = ([\d.]+) \(without", re.MULTILINE)


class Beside(NamedTuple):
    """How long and how often pgbench and the sides are measured."""

    seconds: int = 3
    """Of one run, since pgbench connects and prepares anew in each."""
    block_s: float = 0.5
    rounds: int = 15


FULL = Beside()
QUICK = Beside(seconds=1, block_s=0.1, rounds=2)
TINY = Beside(seconds=1, block_s=0.01, rounds=1)


class Run(NamedTuple):
    """How pgbench is run."""

    program: str
    url: str
    script: Path
    clients: int
    seconds: int

    async def per_second(self) -> float:
        """Run it, and return how many operations a second it has done."""
        options = ["--no-vacuum", "--protocol=prepared", f"--file={self.script}"]
        options += [f"--client={self.clients}", f"--jobs={min(self.clients, 2)}"]
        options += [f"--time={self.seconds}"]
        options += [f"--define={name}={value}" for name, value in VALUES.items()]
        process = await asyncio.create_subprocess_exec(
            self.program, *options, self.url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        printed, errors = await process.communicate()
        found = RATE.search(printed.decode())
        if process.returncode or found is None:
            raise RuntimeError(f"pgbench failed: {errors.decode()}")
        return float(found[1]) * PLACES_OF_CLIENT


def find_program(server: Server) -> str | None:
    """Return the path of pgbench, or None if there is none."""
    beside_psql = Path(shlex.split(server.psql)[0]).with_name(NAME)
    return str(beside_psql) if beside_psql.exists() else shutil.which(NAME)


async def measure_beside_pgbench(
    program: str, compared: Comparison, concurrencies: Sequence[int], beside: Beside
) -> list[ServerLimit]:
    """Measure all sides in blocks, each with a run of pgbench before and after it."""
    figures: list[ServerLimit] = []
    async with compared.opened(compared.url, max(concurrencies)):
        for workload in COMPARED:
            for concurrency in concurrencies:
                with TemporaryDirectory(prefix="faceplate-pgbench-") as directory:
                    script = Path(directory) / "script.sql"
                    script.write_text(script_of(workload.name, compared.data, concurrency))
                    run = Run(program, compared.url, script, concurrency, beside.seconds)
                    found = await _measure(run, compared, workload, beside)
                figures += found
                ratios = ", ".join(f"{f.side} {f.ratio.median:.2f}" for f in found)
                compared.say(f"{workload.title} beside pgbench, {concurrency} at a time: {ratios}")
    return figures


async def _measure(
    run: Run, compared: Comparison, workload: Workload, beside: Beside
) -> list[ServerLimit]:
    operations = {
        side.name: workload.of(side, Rotation(compared.data, NAME)) for side in compared.sides
    }
    for operation in operations.values():
        await warm(operation, run.clients, seconds=1.0)
    rates: dict[str, list[float]] = {name: [] for name in (NAME, *operations)}
    ratios: dict[str, list[float]] = {name: [] for name in operations}
    dice = random.Random(compared.data.seed)
    bounds = rates[NAME]
    bounds.append(await run.per_second())
    for _ in range(beside.rounds):
        for name in dice.sample(list(operations), len(operations)):
            block = await run_block(operations[name], run.clients, beside.block_s)
            bounds.append(await run.per_second())
            rates[name].append(block.per_second)
            ratios[name].append(block.per_second / statistics.fmean(bounds[-2:]))
    ratios[NAME] = noise(bounds)
    return [
        ServerLimit(
            workload=workload.name,
            concurrency=run.clients,
            side=name,
            per_second=Spread.of(rates[name]),
            ratio=Spread.of(ratios[name]),
        )
        for name in rates
    ]


def script_of(workload: str, data: Data, clients: int) -> str:
    """Return a script that does the workload in each of a client's own conversations once."""
    sql, values = STATEMENTS[workload]
    places = Rotation(data, NAME).written if workload == "append" else Rotation(data, NAME).read
    rows = [
        f"({client}, {', '.join(_ids(next(places)) for _ in range(PLACES_OF_CLIENT))})"
        for client in range(clients)
    ]
    of_place = [(f"u{n}", f"c{n}") for n in range(PLACES_OF_CLIENT)]

    def statement(names: tuple[str, str]) -> str:
        given = (*(f":{name}" for name in names), *values)
        return re.sub(r"\$(\d)", lambda found: given[int(found[1]) - 1], sql).strip() + ";"

    return SCRIPT.format(
        rows=", ".join(rows),
        names=", ".join(name for names in of_place for name in names),
        statements="\n".join(map(statement, of_place)),
    )


def _ids(place: Place) -> str:
    return ", ".join(f"'{id_}'" for id_ in place)
