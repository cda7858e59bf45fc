"""The watch of the primary: what a commit came to, and which history the server is in.

Two servers may be at the same place of the log with different contents: a standby was promoted, and
another one has stayed behind with the old primary. So each timeline gets a mark with a random id,
which travels with the log: the comment on faceplate's table of revisions. A server that shows the
primary's mark has the primary's history.
"""

from bisect import bisect_right
from typing import NamedTuple
from uuid import uuid4

from faceplate._driver.connection import Connection
from faceplate._replicas.position import Position
from faceplate._replicas.watch import Watch
from faceplate.config import Settings

MARK = "obj_description(to_regclass('faceplate.alembic_version'), 'pg_class')"
SYSTEM = "(SELECT system_identifier FROM pg_control_system())"
POSITION = """
('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int AS timeline, (lsn - '0/0')::bigint AS lsn
FROM (SELECT pg_current_wal_insert_lsn()) AS place (lsn)
"""
"""The select list of a `Position`, which everything that is committed by now is before."""
_ASK = f"SELECT {MARK}, {SYSTEM}, {POSITION}"
BUSY_PACE_S = 0.02
"""The time to the next question after the primary was used."""
MAX_SAMPLES = 4096
"""How many positions of the past are kept at most, twice as far back as a replica may lag."""


class History(NamedTuple):
    """What a replica must have in common with the primary."""

    timeline: int
    mark: str
    """The mark of this timeline, or that of an earlier one until the primary has put its own."""
    system: int
    """PostgreSQL's identifier of the cluster, which its standbys share."""

    @property
    def is_marked(self) -> bool:
        """Whether the mark is of this timeline."""
        return self.mark.startswith(_mark_of(self.timeline))


class PrimaryWatch(Watch):
    """The watch of the primary, as the login that owns the schema."""

    has_units_role = False
    history: History | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._was_used = False
        self._spacing_s = max(BUSY_PACE_S, 2 * settings.max_replica_lag_s / MAX_SAMPLES)
        self._times: list[float] = []
        self._positions: list[Position] = []

    def note_use(self) -> None:
        """Ask soon, because a position of now will be needed."""
        if not self._was_used:
            self._was_used = True
            self._loop.call_later(BUSY_PACE_S, self.hurry)

    def position_after(self, moment_s: float) -> Position | None:
        """Return a place that counts what was committed by ``moment_s``; None if not known yet."""
        place = bisect_right(self._times, moment_s)
        if place < len(self._times):
            return self._positions[place]
        return self.position if self.asked_s > moment_s else None

    def lag_s(self, position: Position) -> float:
        """Return how many seconds ``position`` was behind when this server was asked last.

        It is infinite where that is longer ago than what is kept.
        """
        place = bisect_right(self._positions, position)
        if place == len(self._positions):
            return 0.0
        return self._times[-1] - self._times[place - 1] if place else float("inf")

    async def _ask(self, connection: Connection, asked_s: float) -> str | None:
        self._was_used = False
        history, position = await ask(connection)
        if (earlier := self.history) is not None and history.system == earlier.system:
            if history.timeline < earlier.timeline:
                self.position = None
                return "it is on an earlier timeline than the primary before"
        elif earlier is not None:
            self._times, self._positions = [], []
        if not history.is_marked:
            mark = f"{_mark_of(history.timeline)}{uuid4()}"
            await connection.execute(f"COMMENT ON TABLE faceplate.alembic_version IS '{mark}'")
            history, position = await ask(connection)
        self.history, self.position = history, position
        self._keep(asked_s, self.position)
        return None

    def _keep(self, asked_s: float, position: Position) -> None:
        times, positions = self._times, self._positions
        if times and asked_s - times[-1] < self._spacing_s:
            return
        if len(times) == MAX_SAMPLES:
            del times[: MAX_SAMPLES // 2], positions[: MAX_SAMPLES // 2]
        times.append(asked_s)
        positions.append(position)


async def ask(connection: Connection) -> tuple[History, Position]:
    """Return the primary's history and its place. Raises the driver's errors."""
    [(mark, system, timeline, lsn)] = await connection.fetch(_ASK)
    return History(timeline, mark or "", system), Position(timeline, lsn)


def _mark_of(timeline: int) -> str:
    return f"timeline {timeline}, "
