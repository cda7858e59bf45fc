"""One replica: its pool, its watch, and whether it can be read from."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from faceplate._driver.connection import Connection
from faceplate._driver.engine import create_engine
from faceplate._replicas.position import Position
from faceplate._replicas.primary import MARK, SYSTEM, History, PrimaryWatch
from faceplate._replicas.watch import Watch
from faceplate.config import Settings
from faceplate.errors import CannotConnect, FaceplateError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_STARTED = "SELECT pg_postmaster_start_time()::text"
# The mark is read first: who has it by then has it at the place that is read after it.
_ASK = f"""
SELECT {MARK}, pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint,
    {SYSTEM}, pg_postmaster_start_time()::text
"""
LEFT_OUT_S = 1.0
"""How long a replica on which a unit has failed is not read from."""


class Life:
    """One run of a server, during which it only ever gains."""

    def __init__(self, started: str) -> None:
        self.started = started
        """When it was started, as the server says."""


class Answer(NamedTuple):
    """What a replica says of itself."""

    mark: str
    is_in_recovery: bool
    lsn: int | None
    system: int
    started: str

    def problem(self, history: History) -> str | None:
        """Return why it cannot be read from beside a primary with ``history``, or None."""
        if not self.is_in_recovery:
            return "it is no standby: it was promoted, or never was one"
        if self.lsn is None:
            return "it replays no log of PostgreSQL's own, so that nothing tells how far it is"
        if self.system != history.system:
            return "it is a standby of another server"
        if self.mark != history.mark:
            return "it does not follow the primary's timeline, or not yet"
        return None


async def ask(connection: Connection) -> Answer:
    """Return a replica's answer. Raises the driver's errors."""
    [(mark, *rest)] = await connection.fetch(_ASK)
    return Answer(mark or "", *rest)


class ReplicaWatch(Watch):
    """The watch of a replica. It has a position while it is a standby of the primary."""

    life: Life | None = None

    def __init__(
        self,
        settings: Settings,
        primary: PrimaryWatch,
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__(settings)
        self._primary = primary
        self._on_failure = on_failure

    async def _ask(self, connection: Connection, _asked_s: float) -> str | None:
        history = self._primary.history  # of before, in case it changes meanwhile
        answer = await ask(connection)
        if self.life is None or self.life.started != answer.started:
            self.life = Life(answer.started)
        if history is None:
            return "the primary has not been asked yet"
        problem, self.position = answer.problem(history), None
        if problem is None and answer.lsn is not None:
            self.position = Position(history.timeline, answer.lsn)
        return problem

    def _note_failure(self, error: Exception) -> None:
        super()._note_failure(error)
        self._on_failure()


class Replica:
    """A server that is read from as far as it is known to have got."""

    def __init__(self, settings: Settings, primary: PrimaryWatch) -> None:
        self.settings = settings
        self.engine: AsyncEngine = create_engine(settings, check=self._check)
        self.watch = ReplicaWatch(settings, primary, self._cut_off)
        self.reads = 0
        """How many units were read from it."""
        self._primary = primary
        self._connections: WeakSet[Connection] = WeakSet()
        self._left_out_until_s = float("-inf")
        self._failure: str | None = None

    @property
    def lag_s(self) -> float | None:
        """How many seconds it is behind the primary, or None where that is not known."""
        position = self.watch.position
        return None if position is None else self._primary.lag_s(position)

    @property
    def problem(self) -> str | None:
        """Why no unit reads from it now, or None."""
        if self.watch.problem is not None:
            return self.watch.problem
        if time.monotonic() < self._left_out_until_s:
            return self._failure
        lag_s, limit_s = self.lag_s, self.settings.max_replica_lag_s
        if lag_s is not None and lag_s > limit_s:
            return f"it is more than {limit_s:g} s behind"
        return None

    def leave_out(self, error: FaceplateError) -> None:
        """Read nothing from it for a while, because a unit has failed there."""
        self._failure = error.message
        self._left_out_until_s = time.monotonic() + LEFT_OUT_S
        self.watch.hurry()

    async def _check(self, connection: Connection) -> None:
        """Raise CannotConnect unless the watch asks the same run of the same server."""
        started = await connection.fetchval(_STARTED)
        life = self.watch.life
        if life is None or life.started != started:
            raise CannotConnect(
                f"{self.settings.target}: another server has answered than before, or it was"
                " started again"
            )
        self._connections.add(connection)

    def _cut_off(self) -> None:
        """Close all connections, so that no unit waits for a server that does not answer."""
        for connection in list(self._connections):
            connection.terminate()
