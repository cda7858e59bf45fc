"""Statements of many callers that share a flight and a commit: see the setting `share_flights`.

While flights are out, statements wait; the next flight takes many, each with its own user. A flight
waits up to 5 ms for a lock. If a statement fails, nothing of its flight is committed: its unit is
run again by itself, where it waits or gets the error, and the others fly again. Where the project
has triggers of its own on the tables, nothing is shared: what one sets for its transaction would
reach the next user.
"""

import asyncio
import time
from collections import deque
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver.connection import Connection
from faceplate._driver.preamble import BEGIN_FLIGHT, REFUSES_FLIGHTS, Preamble
from faceplate._driver.shielding import Shielded, UncancellableTask
from faceplate._driver.timers import RESOLUTION_S
from faceplate.config import Settings
from faceplate.errors import ConnectionLost, FaceplateError, PoolExhausted, Unavailable

FEWEST_CALLERS = 10
"""With fewer units in flight, each has a connection of its own, which is as fast."""
MOST_FLIGHTS = 4
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


class FliesAlone(BaseException):
    """A statement did not take effect in a shared flight: its unit is run again by itself.

    It is not an Exception, so that no unit catches it.
    """


class Passenger(Shielded[list[Any]]):
    """A statement of a unit, which returns up to ``limit`` rows. Await it for them.

    The caller of one that writes cannot be cancelled while it is in flight.
    """

    def __init__(
        self,
        sql: str,
        values: list[Any],
        ahead: Preamble,
        *,
        key: int | None,
        writes: bool,
        limit: int,
    ) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        super().__init__(self.answer.__await__())  # type: ignore[arg-type]  # it has send
        self.come_s = time.monotonic()
        self.sql = sql
        self.values = values
        self.bytes = _bytes_of(values)
        self.ahead = ahead
        self.key = key
        self.writes = writes
        self.limit = limit
        self.is_in_flight = False
        self.failures = 0
        """How many of its flights have failed for another statement."""

    def note(self, error: asyncio.CancelledError) -> None:
        """Note a cancellation, and stop waiting unless something is being written."""
        super().note(error)
        if not (self.writes and self.is_in_flight):
            self.answer.cancel()

    def arrive(self, rows: list[Any]) -> None:
        """Give the rows to the caller, unless it was cancelled."""
        if not self.answer.done():
            self.answer.set_result(rows)

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` in the caller, unless it was cancelled."""
        if not self.answer.done():
            self.answer.set_exception(error)


class SharedFlights:
    """The flights of a `Database`, and the statements that wait for one."""

    is_refused = False
    """Whether the project has triggers that do not allow it."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self.settings = settings
        self._engine = engine
        self._waiting: deque[Passenger] = deque()
        self._in_flight: set[int] = set()
        """The keys of the statements in flight. None of them is in two flights."""
        self._passengers = 0
        """How many statements are in flight."""
        self._apart: set[int | str] = set()
        """The keys and the statements that stay out of flights for a while."""
        self._pace_s: dict[str, float] = {}
        """How long the last flights took for a passenger, by statement: a moving average."""
        self._flights: set[asyncio.Task[bool]] = set()
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

    def _is_apart(self, passenger: Passenger) -> bool:
        is_unlucky = passenger.failures >= MOST_FAILURES
        return is_unlucky or passenger.key in self._apart or passenger.sql in self._apart

    def _keep_apart(self, what: int | str) -> None:
        self._apart.add(what)
        asyncio.get_running_loop().call_later(APART_S, self._apart.discard, what)

    def _start_flight(self) -> None:
        if self._waiting and not self._is_boarding and len(self._flights) < MOST_FLIGHTS:
            self._is_boarding = True
            flight = UncancellableTask(self._fly())
            self._flights.add(flight)
            flight.add_done_callback(self._end_flight)

    def _end_flight(self, flight: asyncio.Task[bool]) -> None:
        self._flights.discard(flight)
        if flight.result():
            self._start_flight()

    async def _fly(self) -> bool:
        """Send a flight, and return whether it carried any statement."""
        try:
            # In a task that can be cancelled, because connecting uses `asyncio.timeout`.
            lease = self._pool.lease_warm() or await asyncio.ensure_future(self._pool.lease())
        except BaseException as reason:  # noqa: BLE001 - each unit then finds it by itself
            self._is_boarding = False
            self._send_away(reason)
            return False
        passengers = self._board()
        self._is_boarding = False
        if passengers:
            self._start_flight()
            rows, error = await self._send(lease.driver, passengers)
            self._in_flight.difference_update(one.key for one in passengers if one.key is not None)
            self._passengers -= len(passengers)
        try:
            if not lease.try_check_in():
                await lease.check_in()
        finally:
            if passengers:
                self._land(passengers, rows, error)
        return bool(passengers)

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
        waiting, in_flight = self._waiting, self._in_flight
        room = min(MOST_PASSENGERS, -(-(len(waiting) + self._passengers) // 2))
        boarded: list[Passenger] = []
        left: list[Passenger] = []
        sql, rows, size = "", MOST_ROWS, MOST_BYTES
        while waiting and len(boarded) < room and rows > 0:
            passenger = waiting.popleft()
            if passenger.answer.done():
                continue
            if self._is_apart(passenger):
                passenger.fail(FliesAlone())
            elif (
                passenger.key in in_flight
                or (sql or passenger.sql) != passenger.sql
                or passenger.bytes > size
            ):
                left.append(passenger)
            else:
                passenger.is_in_flight, sql = True, passenger.sql
                rows -= passenger.limit
                size -= passenger.bytes
                boarded.append(passenger)
                if passenger.key is not None:
                    in_flight.add(passenger.key)
        waiting.extendleft(reversed(left))
        self._passengers += len(boarded)
        # In one order, or flights of several processes would wait for each other.
        return sorted(boarded, key=lambda one: one.key or 0)

    async def _send(
        self, driver: Connection, passengers: list[Passenger]
    ) -> tuple[list[list[Any]], FaceplateError | None]:
        """Return what `Connection.run_shared` does, whatever happens."""
        sql, aheads = passengers[0].sql, [one.ahead for one in passengers]
        try:
            for ahead in aheads[0], BEGIN_FLIGHT:
                if not driver.is_ready(ahead, sql):
                    await driver.make_ready(ahead, sql)
            started_s = time.monotonic()
            rows, failure = await driver.run_shared(sql, aheads, [one.values for one in passengers])
        except FaceplateError as error:
            return [[] for _ in passengers], error  # nothing was sent
        except BaseException as error:  # noqa: BLE001 - else passengers wait for ever
            rows, failure = [], ConnectionLost(f"a shared flight broke: {type(error).__name__}")
            failure.in_doubt = True
        if isinstance(failure, Unavailable):
            driver.terminate()
        elif failure is not None:
            has_begun = len(rows) < len(passengers)
            self.is_refused |= failure.sqlstate == REFUSES_FLIGHTS and not has_begun
            self._note_pace(sql, 2 * SLOW_S)
        elif len(passengers) >= FEWEST_TIMED:
            self._note_pace(sql, (time.monotonic() - started_s) / len(passengers))
        return rows, failure

    def _note_pace(self, sql: str, each_s: float) -> None:
        """Keep a statement apart if its last flights took long for a passenger, or failed."""
        self._pace_s[sql] = pace_s = 0.8 * self._pace_s.get(sql, 0.0) + 0.2 * each_s
        if pace_s > SLOW_S:
            self._keep_apart(sql)

    def _land(
        self, passengers: list[Passenger], rows: list[list[Any]], error: FaceplateError | None
    ) -> None:
        """Give each its rows or an error, or have it fly again."""
        if error is None:
            for passenger, found in zip(passengers, rows, strict=True):
                passenger.arrive(found)
        elif isinstance(error, ConnectionLost) and error.in_doubt:
            for passenger in passengers:
                lost = ConnectionLost(error.message, sqlstate=error.sqlstate)
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
                passenger.is_in_flight = False
                passenger.failures += 1
                if passenger.cancelled is not None:
                    passenger.answer.cancel()
            self._waiting.extendleft(one for one in reversed(passengers) if not one.answer.done())


def _bytes_of(values: list[Any]) -> int:
    """Return about how many bytes a statement with ``values`` takes in a flight, at most."""
    texts = [value for value in values if isinstance(value, str)]
    return 300 + sum(len(text) * (1 if text.isascii() else 4) for text in texts)
