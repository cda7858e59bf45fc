"""What a run leaves behind: one JSON file, from which the pages and their plots are made."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import BaseModel

from benchmarks import ROOT
from benchmarks.data import Size
from benchmarks.figures import (
    Cell,
    ClosedLoop,
    Condition,
    Growth,
    Import,
    Memory,
    Network,
    OpenLoop,
    Profile,
    ServerLimit,
    SideInfo,
    SoakSample,
    Wire,
    Written,
)

DIRECTORY = ROOT / "build" / "bench"

PARTS = (
    "networks",
    "cells",
    "wires",
    "load_sides",
    "closed_loops",
    "open_loops",
    "pooler",
    "uvloop",
    "pgbench",
    "sdks",
    "imports",
    "growth",
    "written",
    "soak",
    "memory",
    "profiles",
)


class Environment(BaseModel):
    """Where and with what the figures were made."""

    date: datetime
    seed: int
    quick: bool
    messages: int
    """What every side held at the start."""
    conversations: int
    cores: int
    processor: str
    kernel: str
    python: str
    postgres: str
    settings: dict[str, str]
    """The server's settings that decide what a COMMIT costs and what is cached."""


class Results(BaseModel):
    """All of a run. The parts that were not asked for are empty."""

    environment: Environment
    limit: str = ""
    sides: list[SideInfo] = []
    missing: dict[str, str] = {}
    not_run: dict[str, str] = {}
    """Why a part that was asked for could not be run here."""
    networks: list[Network] = []
    cells: list[Cell] = []
    wires: list[Wire] = []
    load_sides: list[SideInfo] = []
    closed_loops: list[ClosedLoop] = []
    open_loops: list[OpenLoop] = []
    pooler: Condition | None = None
    uvloop: Condition | None = None
    pgbench: list[ServerLimit] = []
    sdks: list[Condition] = []
    imports: list[Import] = []
    growth: list[Growth] = []
    written: list[Written] = []
    soak: list[SoakSample] = []
    memory: list[Memory] = []
    profiles: list[Profile] = []

    def save(self, directory: Path = DIRECTORY) -> Path:
        """Write the file and return where it is."""
        directory.mkdir(parents=True, exist_ok=True)
        kind = "quick" if self.environment.quick else "full"
        path = directory / f"{self.environment.date:%Y%m%d-%H%M%S}-{kind}.json"
        path.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path, *again: Path) -> "Results":
        """Read a file that `save` wrote, with the parts that were measured ``again`` since."""
        results = cls.model_validate_json(path.read_text(encoding="utf-8"))
        for later in map(cls.read, again):
            for part in PARTS:
                if found := getattr(later, part):
                    setattr(results, part, found)
                    results.not_run.pop(part, None)
        return results


async def environment_of(url: str, size: Size, *, seed: int, quick: bool) -> Environment:
    """Look at the machine and the server."""
    connection: Any = await asyncpg.connect(url)
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    try:
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in names}
    finally:
        await connection.close()
    return Environment(
        date=datetime.now(UTC),
        seed=seed,
        quick=quick,
        messages=size.total,
        conversations=size.users * (size.read + size.written) + size.long,
        cores=os.cpu_count() or 0,
        processor=_processor(),
        kernel=platform.platform(terse=True),
        python=platform.python_version(),
        postgres=settings.pop("server_version"),
        settings=settings,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
