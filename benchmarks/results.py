"""What a run leaves behind: one JSON file, from which the pages and their plots are made."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import BaseModel

from benchmarks import ROOT
from benchmarks.data import Size
from benchmarks.measuring import Blocks, Spread
from benchmarks.sides.base import Side

DIRECTORY = ROOT / "build" / "bench"

PARTS = ("networks", "cells", "wires", "imports", "growth", "memory", "profiles")


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


class SideInfo(BaseModel):
    """A side that took part."""

    name: str
    package: str
    version: str
    note: str


class Network(BaseModel):
    """What lay between client and server, and how long the shortest statement took through it."""

    name: str
    round_trip_ms: float


class Cell(BaseModel):
    """One side at one workload."""

    network: str
    workload: str
    concurrency: int
    side: str
    blocks: int
    operations: int
    per_second: Spread
    ratio: Spread
    """To the limit's blocks around each block."""
    p50_ms: float
    p99_ms: float
    processor_us: float
    """Of the client, for an operation."""


class Wire(BaseModel):
    """What passes between client and server for one operation, counted by a relay."""

    workload: str
    side: str
    round_trips: float
    statements: float
    bytes_sent: float
    bytes_received: float


class Import(BaseModel):
    """One side at the import of a conversation."""

    side: str
    messages: int
    per_second: Spread
    ratio: Spread


class Growth(BaseModel):
    """faceplate or the limit at one workload, as what is stored grows."""

    kind: str
    """"conversation" or "table"."""
    messages: int
    side: str
    workload: str
    per_second: Spread
    ratio: Spread
    """Of the time that an operation takes to that at the smallest size, taken in turn."""
    p50_ms: float


class Memory(BaseModel):
    """The peak of a process that does one thing."""

    task: str
    messages: int
    peak_mb: float
    idle_mb: float
    """The peak of a process that only opens the database and reads a few messages."""
    elapsed_s: float


class ProfileRow(BaseModel):
    """A function's own time in one operation, under cProfile."""

    function: str
    calls: float
    own_us: float


class ProfilePart(BaseModel):
    """What some of an operation's time is for."""

    purpose: str
    own_us: float


class Profile(BaseModel):
    """Where an operation's time goes, seen from the client."""

    workload: str
    total_us: float
    parts: list[ProfilePart]
    rows: list[ProfileRow]


class Results(BaseModel):
    """All of a run. The parts that were not asked for are empty."""

    environment: Environment
    limit: str = ""
    sides: list[SideInfo] = []
    missing: dict[str, str] = {}
    networks: list[Network] = []
    cells: list[Cell] = []
    wires: list[Wire] = []
    imports: list[Import] = []
    growth: list[Growth] = []
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
        return results


def cell_of(network: str, workload: str, concurrency: int, side: str, blocks: Blocks) -> Cell:
    """Sum up a side's blocks."""
    return Cell(
        network=network,
        workload=workload,
        concurrency=concurrency,
        side=side,
        blocks=len(blocks.blocks),
        operations=blocks.operations,
        per_second=Spread.of([block.per_second for block in blocks.blocks]),
        ratio=Spread.of(blocks.ratios),
        p50_ms=blocks.latency_s(0.5) * 1e3,
        p99_ms=blocks.latency_s(0.99) * 1e3,
        processor_us=blocks.processor_s * 1e6,
    )


def info_of(side: Side) -> SideInfo:
    """Return what is said of a side beside its figures."""
    return SideInfo(
        name=side.name, package=side.package, version=version(side.package), note=side.note
    )


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
