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
from faceplate._replicas.position import START, Position
from faceplate._replicas.watch import Watch
from faceplate.config import Settings
from faceplate.errors import CannotConnect

MARK = "obj_description(to_regclass('faceplate.alembic_version'), 'pg_class')"
SYSTEM = "(SELECT system_identifier FROM pg_control_system())"
POSITION = """
('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int AS timeline, (lsn - '0/0')::bigint AS lsn
FROM (SELECT pg_current_wal_insert_lsn()) AS place (lsn)
"""
"""The select list of a `Position`, which everything that is committed by now is before."""
_ASK = f"SELECT {MARK}, {POSITION}"
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
        self._system = 0
        self._furthest = START
        self._spacing_s = max(BUSY_PACE_S, 2 * settings.max_replica_lag_s / MAX_SAMPLES)
        self._times: list[float] = []
        self._positions: list[Position] = []

    def note_use(self) -> None:
        """Ask soon, because a position of now will be needed."""
        if not self._was_used:
            self._was_used = True
            self._loop.call_later(BUSY_PACE_S, self.hurry)

    def note_replica(self, position: Position) -> None:
        """Take note that a replica has got so far: the primary must be at least as far."""
        self._furthest = max(self._furthest, position)

    def position_after(self, moment_s: float) -> Position | None:
        """Return a place that counts what was committed by ``moment_s``; None if not known yet."""
        place = bisect_right(self._times, moment_s)
        if place < len(self._times):
            return self._positions[place]
        return self.position if self.asked_s > moment_s else None

    def lag_s(self, position: Position, asked_s: float) -> float:
        """Return how many seconds a server was behind that had ``position`` at ``asked_s``.

        It is infinite where that is longer ago than what is kept.
        """
        newest = bisect_right(self._times, asked_s) - 1
        place = bisect_right(self._positions, position) - 1
        if newest <= place:
            return 0.0
        return self._times[newest] - self._times[place] if place >= 0 else float("inf")

    async def _begin(self, connection: Connection) -> None:
        if connection.is_citus:  # its place in the log says nothing of those of the workers
            raise CannotConnect(f"{self.target}: no replica is read on Citus")
        self._system = await system_of(connection)

    async def _ask(self, connection: Connection, asked_s: float) -> str | None:
        self._was_used = False
        earlier, furthest = self.history, self._furthest  # of before the question
        history, position = await ask(connection, self._system)
        if earlier is not None and history.system != earlier.system:
            self._forget_places()
        elif earlier is not None and history.timeline < earlier.timeline:
            raise CannotConnect(f"{self.target}: it is on an earlier timeline than before")
        elif position < furthest:  # it lost the end of its log, and will write another one
            self._forget_places()
            history = await self._put_mark(connection, history)
        if not history.is_marked:
            history = await self._put_mark(connection, history)
        self.history, self.position = history, position
        self._furthest = max(self._furthest, position)
        self._keep(asked_s, position)
        return None

    async def _put_mark(self, connection: Connection, history: History) -> History:
        mark = f"{_mark_of(history.timeline)}{uuid4()}"
        await connection.execute(f"COMMENT ON TABLE faceplate.alembic_version IS '{mark}'")
        return history._replace(mark=mark)

    def _forget_places(self) -> None:
        self._furthest = START
        self._times, self._positions = [], []

    def _keep(self, asked_s: float, position: Position) -> None:
        times, positions = self._times, self._positions
        if times and asked_s - times[-1] < self._spacing_s:
            return
        if len(times) == MAX_SAMPLES:
            del times[: MAX_SAMPLES // 2], positions[: MAX_SAMPLES // 2]
        times.append(asked_s)
        positions.append(position)


async def system_of(connection: Connection) -> int:
    """Return PostgreSQL's identifier of the cluster. Raises the driver's errors."""
    system: int = await connection.fetchval(f"SELECT {SYSTEM}")
    return system


async def ask(connection: Connection, system: int) -> tuple[History, Position]:
    """Return the primary's history and its place. Raises the driver's errors."""
    [(mark, timeline, lsn)] = await connection.fetch(_ASK)
    return History(timeline, mark or "", system), Position(timeline, lsn)


def _mark_of(timeline: int) -> str:
    return f"timeline {timeline}, "
