"""An open `Database`: its pools, how units reach them, and how they are closed."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from faceplate._driver.engine import create_engine
from faceplate._driver.preamble import READ_COMMITTED
from faceplate._replicas.routing import Replicas
from faceplate._runner.attempt import Access
from faceplate._runner.calls import BoundUnit, Call, InFlight
from faceplate._runner.reading import Reading
from faceplate._runner.retry import run_with_retries
from faceplate._runner.shared_flights import FEWEST_CALLERS, SharedFlights, may_share
from faceplate._runner.shared_scope import SharedScope
from faceplate._runner.shutdown import Shutdown
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate.config import Settings
from faceplate.errors import UsageError
from faceplate.events import Counters
from faceplate.scope import Scope, SystemScope

S = TypeVar("S", bound=SessionTransaction)
T = TypeVar("T")


class Opened:
    """The pools of a `Database`, which belong to the event loop and the process that made them."""

    def __init__(self, settings: Settings, counters: Counters, in_flight: InFlight) -> None:
        self._limit_s = settings.shutdown_timeout_s
        self._in_flight = in_flight
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self.engine = create_engine(settings)
        owner_engine, owner_settings = self.engine, settings.of_owner
        if settings.owner_url is not None:
            owner_engine = create_engine(owner_settings, units_role=False)
        self._access: dict[type[SessionTransaction], Access[Any]] = {
            Scope: Access(Scope, self.engine, settings, settings.target),
            SystemScope: Access(SystemScope, owner_engine, owner_settings, owner_settings.target),
        }
        self.flights = SharedFlights(self.engine, settings) if may_share(settings) else None
        self.reading: Reading | None = None
        engines = {self.engine, owner_engine}
        if settings.read_urls:
            self.reading = Reading(Replicas(settings), settings, counters)
            engines.update(self.reading.replicas.engines)
        self._shutdown = Shutdown(engines, in_flight)
        if self.reading is not None:
            self.reading.replicas.start(self._shutdown.register)

    @property
    def is_stale(self) -> bool:
        """Whether a parent process or a closed event loop has opened it."""
        return self._pid != os.getpid() or self._loop.is_closed()

    @property
    def is_closing(self) -> bool:
        """Whether `close` has begun."""
        return self._shutdown.has_begun

    def check_place(self) -> None:
        """Raise UsageError in another event loop or process than the one that opened it."""
        if self._loop is not asyncio.get_running_loop() or self._pid != os.getpid():
            raise UsageError(
                "the database was opened in another event loop or process: "
                "open one in each process and event loop, after the fork"
            )

    def access_of(self, kind: type[S]) -> Access[S]:
        """Return how ``kind`` reaches the database: work across users may have its own login."""
        return self._access[kind]

    def run(self, kind: type[S], user: UUID | None, unit: BoundUnit[T], call: Call) -> Awaitable[T]:
        """Return, awaited, what ``unit`` returns, from the primary or from a replica."""
        if self.reading is None or user is None:
            return self._run_on_primary(kind, user, unit, call)
        on_primary = partial(self._run_on_primary, kind, user, unit, call)
        return self.reading.run(unit, user, on_primary)

    def _run_on_primary(
        self, kind: type[S], user: UUID | None, unit: BoundUnit[T], call: Call
    ) -> Awaitable[T]:
        shared = self._shared_scope(user, unit)
        return run_with_retries(unit, self._access[kind], user, call, shared)

    def _shared_scope(self, user: UUID | None, unit: BoundUnit[T]) -> SharedScope | None:
        """Return the scope of a unit that is to share a flight; None without enough callers."""
        flights, marks = self.flights, unit.marks
        if flights is None or flights.is_refused or len(self._in_flight) < FEWEST_CALLERS:
            return None
        if user is None or not marks.shareable or marks.isolation != READ_COMMITTED:
            return None
        return SharedScope(flights, user, read_only=marks.read_only)

    async def close(self) -> int:
        """Close the pools, as `Database.dispose` says. Return how much work was cut off."""
        if self.reading is not None:  # the primary serves what still reads
            self.reading.replicas.cancel()
        try:
            return await self._shutdown.run(self._limit_s)
        finally:
            if self.reading is not None:
                await self.reading.replicas.ended()

    def abandon(self) -> None:
        """Leave the connections of a parent process or a closed event loop alone."""
        if self.reading is not None:
            with suppress(RuntimeError):  # the event loop is closed
                self.reading.replicas.cancel()
        if self._pid != os.getpid():
            self._shutdown.abandon_after_fork()
        else:
            self._shutdown.abandon_closed_loop()
