"""The figures of a run: what each part of it measured."""

from importlib.metadata import version

from pydantic import BaseModel

from benchmarks.measuring import Blocks, Spread
from benchmarks.sides.base import Side


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
    ratios: list[float] = []
    """The same of each round, in order."""
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


class Condition(BaseModel):
    """The comparison of a few sides under another condition, with a limit of its own."""

    what: str
    """"PgBouncer 1.18.0", "uvloop 0.23.0"."""
    sides: list[SideInfo]
    """The limit first."""
    cells: list[Cell]
    wires: list[Wire]


class ClosedLoop(BaseModel):
    """One side with a number of callers, each of which starts anew when it has its answer."""

    workload: str
    callers: int
    connections: int
    side: str
    blocks: int
    per_second: Spread
    ratio: Spread
    """To the limit's blocks around each block, with as many callers."""
    to_full: Spread
    """To the side's own block beside it, with as many callers as connections."""
    least_served: Spread
    """The operations of the caller that got fewest, to those of the median caller."""
    p50_ms: float
    p99_ms: float


class OpenLoop(BaseModel):
    """One side with appends that arrive by themselves, however long the last ones take."""

    rate: int
    """Arrivals a second, on average."""
    connections: int
    side: str
    windows: int
    arrivals: int
    late: int
    """Arrivals that the client began later than it should have."""
    dropped: int
    """Arrivals that the side refused."""
    kept_up: bool
    p50_ms: float
    p99_ms: float
    longest_ms: float
    """All three from the moment of the arrival, whenever it was begun."""


class ServerLimit(BaseModel):
    """One side beside pgbench, which sends the same statement from C."""

    workload: str
    concurrency: int
    side: str
    per_second: Spread
    ratio: Spread
    """To pgbench's runs around each block."""


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


class Written(BaseModel):
    """What the server writes for an append, once the table has a number of messages."""

    messages: int
    appends: int
    hot_share: float
    """The share of the updates of conversations that changed no index."""
    wal_bytes: float
    """Of write-ahead log, for one append."""
    whole_pages: float
    """Of these, the pages that were written as a whole, for one append."""


class SoakSample(BaseModel):
    """Some minutes of appends at full speed, and the tables at their end."""

    minute: float
    """At the end of the sample, since the start."""
    per_second: float
    p99_ms: float
    messages: int
    hot_share: float | None
    """None where the server has not yet told of an update."""
    wal_bytes: float
    """Of write-ahead log, for one append."""
    vacuums: int
    """By autovacuum, of both tables, since the start."""
    dead_conversations: int
    conversations_mb: float
    conversations_index_mb: float
    messages_mb: float
    messages_index_mb: float


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
        ratios=blocks.ratios,
        p50_ms=blocks.latency_s(0.5) * 1e3,
        p99_ms=blocks.latency_s(0.99) * 1e3,
        processor_us=blocks.processor_s * 1e6,
    )


def info_of(side: Side) -> SideInfo:
    """Return what is said of a side beside its figures."""
    return SideInfo(
        name=side.name, package=side.package, version=version(side.package), note=side.note
    )
