"""Which statements of many callers share a flight and a commit: see the setting `share_flights`.

While flights are out, statements wait; the next flight takes many, each with its own user. A flight
waits up to 5 ms for a lock. If a statement fails, nothing of its flight is committed: its unit is
run again by itself, where it waits or gets the error, and the others fly again. Where the project
has triggers of its own on the tables, nothing is shared: what one sets for its transaction would
reach the next user.
"""

import asyncio
import logging
import time
from collections import deque
from contextvars import Context
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver import pipelining
from faceplate._driver.preamble import FLIGHT_LOCK_S, FLIGHT_STATEMENT_S, REFUSES_FLIGHTS
from faceplate._driver.shielding import UncancellableTask
from faceplate._driver.timers import RESOLUTION_S
from faceplate._runner.flight import FliesAlone, Flight, Passenger
from faceplate.config import Settings
from faceplate.errors import ConnectionLost, FaceplateError, PoolExhausted, Unavailable

logger = logging.getLogger("faceplate")

FEWEST_CALLERS = 10
"""With fewer units in flight, each has a connection of its own, which is as fast."""
MOST_FLIGHTS = 4
LATE_S = 0.1
"""A flight that takes longer is not counted: nothing has to wait for a commit that hangs."""
MOST_PASSENGERS = 32
MOST_ROWS = 300
"""Of one flight, which is kept whole in memory until it has landed."""
FEWEST_TIMED = 5
SLOW_S = 0.003
"""A statement that takes longer is faster on its own. Flights of `FEWEST_TIMED` or more tell.

The statements of a flight run one after the other, and waits for a disk add up.
"""
MOST_BYTES = 120_000
"""Of one flight. For a longer one the driver waits between two writes, by `asyncio.timeout`."""
MOST_BYTES_EACH = 20_000
"""A longer statement goes on its own. It would hold up the others."""
MOST_FAILURES = 2
"""After so many flights that failed for others, a statement goes on its own as well."""
APART_S = 1.0
"""How long a statement that was slow, or a key after a failure, stays out of flights."""


def may_share(settings: Settings) -> bool:
    """Return whether flights can be shared, and have limits no longer than those of a unit."""
    for limit_s, in_flight_s in (
        (settings.statement_timeout_s, FLIGHT_STATEMENT_S),
        (settings.lock_timeout_s, FLIGHT_LOCK_S),
    ):
        if 0 < limit_s < in_flight_s:
            return False
    return settings.share_flights and not settings.pgbouncer and pipelining.is_possible(settings)


class SharedFlights:
    """The flights of a `Database`, and the statements that wait for one."""

    is_refused = False
    """Whether the project has triggers that do not allow it, or the server is Citus."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self.settings = settings
        self._engine = engine
        self._waiting: deque[Passenger] = deque()
        self._out: set[Flight] = set()
        self._keys: set[int] = set()
        """The keys of the statements in flight. None of them is in two flights."""
        self._apart: set[int | str] = set()
        """The keys and the statements that stay out of flights for a while."""
        self._pace_s: dict[str, float] = {}
        """How long the last flights took for a passenger, by statement: a moving average."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_boarding = False
        self._pool.count_waiting(self._waiting)

    @property
    def _pool(self) -> Any:
        return self._engine.sync_engine.pool

    def add(self, passenger: Passenger) -> None:
        """Take a statement along in the next flight that has room. Raises FliesAlone."""
        is_large = passenger.limit > MOST_ROWS or passenger.bytes > MOST_BYTES_EACH
        is_full = self._pool.waiting >= self.settings.max_waiting
        if is_large or is_full or self._is_apart(passenger):
            raise FliesAlone
        self._waiting.append(passenger)
        self._start_flight()

    def leave(self, passenger: Passenger) -> None:
        """Forget a statement whose caller was cancelled, and its flight if nobody needs it."""
        if passenger in self._waiting:
            self._waiting.remove(passenger)
        if passenger.flight in self._out and passenger.flight.is_abandoned:
            asyncio.get_running_loop().call_later(LATE_S, self._abandon, passenger.flight)

    def _abandon(self, flight: Flight) -> None:
        if flight in self._out:
            flight.driver.terminate()

    def _is_apart(self, passenger: Passenger) -> bool:
        is_unlucky = passenger.failures >= MOST_FAILURES
        return is_unlucky or passenger.key in self._apart or passenger.sql in self._apart

    def _keep_apart(self, what: int | str) -> None:
        self._apart.add(what)
        asyncio.get_running_loop().call_later(APART_S, self._apart.discard, what)

    def _start_flight(self) -> None:
        in_time = sum(not flight.is_late for flight in self._out)
        if self._waiting and not self._is_boarding and in_time < MOST_FLIGHTS:
            self._is_boarding = True
            # In a context of its own: it serves more callers than the one that begins it.
            task = UncancellableTask(self._fly(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fly(self) -> None:
        """Send a flight of what waits, when there is a connection."""
        try:
            # In a task that can be cancelled, because connecting uses `asyncio.timeout`.
            lease = self._pool.lease_warm() or await asyncio.ensure_future(self._pool.lease())
        except BaseException as reason:  # noqa: BLE001 - each unit then finds it by itself
            self._is_boarding = False
            self._send_away(reason)
            return
        if lease.driver.is_citus:  # which passes on one user in a transaction
            self.is_refused = True
            self._send_away(FliesAlone())
        passengers = self._board()
        self._is_boarding = False
        if passengers:
            rows, failure = await self._carry(Flight(lease.driver, passengers))
        try:
            if not lease.try_check_in():
                await lease.check_in()
        finally:
            if passengers:
                self._land(passengers, rows, failure)
                self._start_flight()

    def _send_away(self, reason: BaseException) -> None:
        """Have all wait for a connection by themselves, unless their time is over."""
        came_s = time.monotonic() - self.settings.pool_timeout_s + 2 * RESOLUTION_S
        while self._waiting:
            passenger = self._waiting.popleft()
            if isinstance(reason, PoolExhausted) and passenger.come_s <= came_s:
                passenger.fail(PoolExhausted(reason.message))
            else:
                passenger.fail(FliesAlone())

    def _board(self) -> list[Passenger]:
        """Return who flies: up to half of all, so that two flights overlap."""
        waiting, keys = self._waiting, self._keys
        in_flight = sum(len(flight.passengers) for flight in self._out)
        room = min(MOST_PASSENGERS, -(-(len(waiting) + in_flight) // 2))
        boarded: list[Passenger] = []
        left: list[Passenger] = []
        sql, rows, size = "", MOST_ROWS, MOST_BYTES
        while waiting and len(boarded) < room:
            passenger = waiting.popleft()
            if passenger.answer.done():  # its caller was cancelled a moment ago
                continue
            if self._is_apart(passenger):
                passenger.fail(FliesAlone())
                continue
            is_other = passenger.key in keys or (sql or passenger.sql) != passenger.sql
            if is_other or passenger.limit > rows or passenger.bytes > size:
                left.append(passenger)
                continue
            sql = passenger.sql
            rows -= passenger.limit
            size -= passenger.bytes
            boarded.append(passenger)
            if passenger.key is not None:
                keys.add(passenger.key)
            if self._pace_s.get(sql, SLOW_S) >= SLOW_S:  # a few try out whether it is slow
                room = min(room, FEWEST_TIMED)
        waiting.extendleft(reversed(left))
        # In one order, or flights of several processes would wait for each other.
        return sorted(boarded, key=lambda one: one.key or 0)

    async def _carry(self, flight: Flight) -> tuple[list[list[Any]], FaceplateError | None]:
        """Send a flight, and the next one meanwhile. Return what `Flight.send` does."""
        self._out.add(flight)
        late = asyncio.get_running_loop().call_later(LATE_S, self._note_late, flight)
        self._start_flight()
        rows, failure = await flight.send()
        late.cancel()
        self._out.discard(flight)
        self._keys.difference_update(one.key for one in flight.passengers if one.key is not None)
        self._judge(flight, failure, is_whole=len(rows) == len(flight.passengers))
        return rows, failure

    def _note_late(self, flight: Flight) -> None:
        flight.is_late = True
        self._start_flight()

    def _judge(self, flight: Flight, failure: FaceplateError | None, *, is_whole: bool) -> None:
        """Learn from a flight whether the next ones are worth it."""
        count = len(flight.passengers)
        if failure is None and count >= FEWEST_TIMED:
            self._note_pace(flight.sql, min(flight.took_s / count, 2 * SLOW_S))
        elif failure is None or isinstance(failure, Unavailable):
            pass  # which tells nothing of the statement
        elif is_whole and failure.sqlstate == REFUSES_FLIGHTS:
            self.is_refused = True
            logger.warning("a trigger on messages or conversations: flights are not shared")
        else:
            self._note_pace(flight.sql, 2 * SLOW_S)

    def _note_pace(self, sql: str, each_s: float) -> None:
        """Keep a statement apart if its last flights took long for a passenger, or failed.

        It takes four, so that a pause of the machine is not enough. Later, one tries it out.
        """
        pace_s = 0.8 * self._pace_s.get(sql, 0.0) + 0.2 * each_s
        self._pace_s[sql] = min(pace_s, SLOW_S)
        if pace_s > SLOW_S:
            self._keep_apart(sql)

    def _land(
        self, passengers: list[Passenger], rows: list[list[Any]], failure: FaceplateError | None
    ) -> None:
        """Give each its rows or an error, or have it fly again."""
        if failure is None:
            for passenger, found in zip(passengers, rows, strict=True):
                passenger.arrive(found)
        elif isinstance(failure, ConnectionLost) and failure.in_doubt:
            for passenger in passengers:
                lost = ConnectionLost(failure.message, sqlstate=failure.sqlstate)
                lost.in_doubt = passenger.writes
                passenger.fail(lost)
        elif len(rows) == len(passengers):
            for passenger in passengers:
                passenger.fail(FliesAlone())
        else:
            culprit = passengers[len(rows)]
            culprit.fail(FliesAlone())
            if culprit.key is not None:
                self._keep_apart(culprit.key)
            for passenger in passengers:
                passenger.wait_again()
            self._waiting.extendleft(one for one in reversed(passengers) if not one.answer.done())
