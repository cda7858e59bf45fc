"""A unit that only reads, run on a replica where one has what its user has seen."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from faceplate._driver.error_details import READ_ONLY
from faceplate._replicas.replica import Replica
from faceplate._replicas.routing import Replicas
from faceplate._runner.attempt import Access, Attempt
from faceplate._runner.calls import BoundUnit
from faceplate._transaction.state import Ids
from faceplate.config import Settings
from faceplate.errors import (
    ConnectionLost,
    Contention,
    DatabaseError,
    FaceplateError,
    Overloaded,
    PoolExhausted,
    SchemaChanged,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from faceplate.events import Counters
from faceplate.scope import Scope

T = TypeVar("T")

STATEMENT_TIMEOUT = "57014"
SERIALIZABLE = "SERIALIZABLE"
"""The isolation level that a standby does not have."""
FULL = (Overloaded, PoolExhausted)
"""The errors of a replica that serves others."""


class Reading:
    """The reads of one `Database` that has replicas."""

    def __init__(self, replicas: Replicas, settings: Settings, counters: Counters) -> None:
        self.replicas = replicas
        self._settings = settings
        self._counters = counters

    async def run(
        self, unit: BoundUnit[T], user: UUID, run_on_primary: Callable[[], Awaitable[T]]
    ) -> T:
        """Return what ``unit`` returns, from a replica if it only reads and one has got so far.

        An error that may be the replica's alone is not raised: the primary decides.
        """
        if unit.marks.read_only and unit.marks.isolation != SERIALIZABLE:
            replica = await self.replicas.choose(user)
            if replica is not None:
                try:
                    return await self._run_on(replica, unit, user)
                except FaceplateError as error:
                    if not _may_be_of_the_replica(error):
                        raise
                    self._note_failure(replica, error)
            self._counters.reads_on_primary += 1
        with self.replicas.using_primary(user):
            return await run_on_primary()

    async def _run_on(self, replica: Replica, unit: BoundUnit[T], user: UUID) -> T:
        life, target = replica.watch.life, replica.settings.target
        if life is None:
            raise ConnectionLost(f"{target}: {replica.problem}")
        access = Access(Scope, replica.engine, self._settings, target)
        with self.replicas.using_replica(user, life):
            async with Attempt(access, user, Ids(), unit.marks) as scope:
                # A connection of another life is made only after the watch has heard of that.
                if replica.watch.life is not life:
                    raise ConnectionLost(f"{target}: the server was started again")
                replica.reads += 1
                self._counters.reads_on_replicas += 1
                return await unit(scope)

    def _note_failure(self, replica: Replica, error: FaceplateError) -> None:
        self._counters.reads_moved[type(error).__name__] += 1
        if isinstance(error, Unavailable | TimedOut) and not isinstance(error, FULL):
            replica.leave_out(error)


def _may_be_of_the_replica(error: FaceplateError) -> bool:
    """Return whether the primary may do better: the replica is gone, locked, or behind the log.

    A standby takes for a write what a transaction that only reads may do elsewhere.
    """
    if isinstance(error, TimedOut):
        return error.sqlstate != STATEMENT_TIMEOUT
    kinds = (Unavailable, Contention, SchemaChanged, Unauthorized, DatabaseError)
    return isinstance(error, kinds) or error.sqlstate == READ_ONLY
