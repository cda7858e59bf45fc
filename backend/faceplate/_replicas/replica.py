"""One replica: its pool, its watch, and whether it can be read from."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from faceplate._driver.connection import Connection
from faceplate._driver.engine import create_engine
from faceplate._replicas.position import Position
from faceplate._replicas.primary import MARK, History, PrimaryWatch, system_of
from faceplate._replicas.watch import PACE_S, Watch
from faceplate.config import Settings
from faceplate.errors import CannotConnect, FaceplateError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_STARTED = "pg_postmaster_start_time()::text"
# The mark is read first: who has it by then has it at the place that is read after it.
_ASK = f"""
SELECT {MARK}, pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint
"""
LEFT_OUT_S = 1.0
"""How long a replica on which a unit has failed is not read from."""


class Life:
    """The life of one connection of a watch.

    While it lasts, the server neither crashes nor is replaced: it only gains.
    """

    def __init__(self, system: int, started: str) -> None:
        self.system = system
        """PostgreSQL's identifier of the cluster."""
        self.started = started
        """When the server was started, as it says."""


class Answer(NamedTuple):
    """What a replica says of itself."""

    mark: str
    is_in_recovery: bool
    lsn: int | None

    def problem(self, system: int, history: History) -> str | None:
        """Return why it cannot be read from beside a primary with ``history``, or None.

        ``system`` is the identifier of its own cluster.
        """
        if not self.is_in_recovery:
            return "it is no standby: it was promoted, or never was one"
        if self.lsn is None:
            return "it replays no log of PostgreSQL's own, so that nothing tells how far it is"
        if system != history.system:
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

    async def confirm(self, life: Life) -> bool:
        """Return whether ``life`` lasts until after now, when the server has answered again."""
        now_s = time.monotonic()
        while self.life is life and self.asked_s <= now_s:
            self.hurry()
            await asyncio.wait({self.next_answer})
        return self.life is life

    async def _begin(self, connection: Connection) -> None:
        system = await system_of(connection)
        self.life = Life(system, await connection.fetchval(f"SELECT {_STARTED}"))

    async def _ask(self, connection: Connection, _asked_s: float) -> str | None:
        history = self._primary.history  # of before, in case it changes meanwhile
        answer = await ask(connection)
        if history is None or self.life is None:
            return self._primary.problem
        problem, self.position = answer.problem(self.life.system, history), None
        if problem is None and answer.lsn is not None:
            self.position = Position(history.timeline, answer.lsn)
            self._primary.note_replica(self.position)
        return problem

    def _forget(self, problem: str) -> None:
        self.life = None
        super()._forget(problem)
        self._on_failure()


class Replica:
    """A server that is read from as far as it is known to have got."""

    def __init__(self, settings: Settings, primary: PrimaryWatch) -> None:
        self.settings = settings
        self.engine: AsyncEngine = create_engine(settings, admit=self._admit)
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
        if position is None:
            return None
        return self._primary.lag_s(position, self.watch.asked_s)

    @property
    def problem(self) -> str | None:
        """Why no unit reads from it now, or None."""
        if self.watch.problem is not None:
            return self.watch.problem
        now_s, limit_s, lag_s = time.monotonic(), self.settings.max_replica_lag_s, self.lag_s
        if now_s < self._left_out_until_s:
            return self._failure
        if lag_s is not None and lag_s > limit_s:
            return f"it is more than {limit_s:g} s behind"
        if now_s - self._primary.asked_s + (lag_s or 0.0) > limit_s + 2 * PACE_S:
            return f"the primary cannot be asked: {self._primary.problem}"
        return None

    def leave_out(self, error: FaceplateError) -> None:
        """Read nothing from it for a while, because a unit has failed there."""
        self._failure = error.message
        self._left_out_until_s = time.monotonic() + LEFT_OUT_S
        self.watch.hurry()

    async def _admit(self, connect: Callable[[], Awaitable[Connection]]) -> Connection:
        """Return a new connection to the server that the watch asks, in the same life.

        Raises CannotConnect if it is another one, or if the watch has no answer.
        """
        if self.watch.problem is not None:
            raise CannotConnect(f"{self.settings.target}: {self.watch.problem}")
        life = self.watch.life
        connection = await connect()
        self._connections.add(connection)  # from here on, it is closed if the watch fails
        try:
            await self._check(connection, life)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _check(self, connection: Connection, life: Life | None) -> None:
        """Raise CannotConnect unless a connection leads to the server of ``life``, which lasts."""
        if life is not None and self.watch.life is life:
            started = await connection.fetchval(f"SELECT {_STARTED}")
            if life.started == started and await self.watch.confirm(life):
                return
        target = self.settings.target
        raise CannotConnect(f"{target}: it was started again, or is another server than before")

    def _cut_off(self) -> None:
        """Close all connections, so that no unit waits for a server that does not answer."""
        for connection in list(self._connections):
            connection.terminate()
