"""Units that share a flight and a commit: see the setting `share_appends`.

While flights are out, statements wait; the next flight takes many, each with its own user. A flight
waits up to 5 ms for a lock. If a statement fails, nothing of its flight is committed: its unit is
run again in a transaction, where it waits or gets the error, and the others fly again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver import preamble
from faceplate._driver.connection import Connection
from faceplate._driver.preamble import LIMIT_WAITS, Preamble
from faceplate._driver.shielding import Shielded
from faceplate._transaction.state import Ids, NeedsTransaction
from faceplate.config import Settings
from faceplate.errors import (
    CancelledAfterCommit,
    CommitOutcomeUnknown,
    ConnectionLost,
    FaceplateError,
    Unavailable,
)
from faceplate.scope import Scope
from faceplate.statement import Statement

R = TypeVar("R")
T = TypeVar("T")

FEWEST_CALLERS = 10
"""With fewer units in flight, each has a connection of its own, which is as fast."""
MOST_FLIGHTS = 4
MOST_PASSENGERS = 32
MOST_CHARS = 20_000
"""A longer text goes on its own. It would hold up the others."""
APART_S = 1.0
"""How long a key stays out of flights after its statement failed, perhaps for a lock."""


class Passenger(Shielded[Any]):
    """A statement of a unit. Await it for its row, or None if it returned none.

    Its caller cannot be cancelled while it is in flight.
    """

    def __init__(self, sql: str, key: int, ahead: Preamble, values: list[Any]) -> None:
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        super().__init__(self.answer.__await__())  # type: ignore[arg-type]  # it has send
        self.sql = sql
        self.key = key
        self.ahead = ahead
        self.values = values
        self.is_in_flight = False

    def note(self, error: asyncio.CancelledError) -> None:
        """Note a cancellation, and stop waiting for a flight."""
        super().note(error)
        if not self.is_in_flight:
            self.answer.cancel()

    def refuse(self) -> None:
        """Have the unit run in a transaction, unless its caller was cancelled."""
        if not self.answer.done():
            self.answer.set_exception(NeedsTransaction())


class SharedFlights:
    """The flights of a `Database`, and the statements that wait for one."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self.engine = engine
        self.settings = settings
        self._waiting: deque[Passenger] = deque()
        self._in_flight: set[int] = set()
        """The keys of the statements in flight. None of them is in two flights."""
        self._apart: set[int] = set()
        self._flights: set[asyncio.Task[bool]] = set()
        self._is_boarding = False

    def add(self, passenger: Passenger) -> None:
        """Take a statement along in the next flight that has room."""
        self._waiting.append(passenger)
        self._start_flight()

    def _start_flight(self) -> None:
        if self._waiting and not self._is_boarding and len(self._flights) < MOST_FLIGHTS:
            self._is_boarding = True
            flight = asyncio.create_task(self._fly())
            self._flights.add(flight)
            flight.add_done_callback(self._end_flight)

    def _end_flight(self, flight: asyncio.Task[bool]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled() and flight.result():
            self._start_flight()

    async def _fly(self) -> bool:
        """Send a flight, and return whether it carried any statement."""
        pool: Any = self.engine.sync_engine.pool
        try:
            lease = pool.lease_warm() or await pool.lease()
        except BaseException:  # noqa: BLE001 - each unit then finds the reason by itself
            self._is_boarding = False
            while self._waiting:
                self._waiting.popleft().refuse()
            return False
        passengers = self._board()
        self._is_boarding = False
        if passengers:
            self._start_flight()
            rows, error = await self._send(lease.driver, passengers)
            self._in_flight.difference_update(one.key for one in passengers)
        try:
            if not lease.try_check_in():
                await lease.check_in()
        finally:
            if passengers:
                self._land(passengers, rows, error)
        return bool(passengers)

    def _board(self) -> list[Passenger]:
        """Return who flies: up to half of all, so that two flights overlap."""
        waiting = self._waiting
        room = min(MOST_PASSENGERS, -(-(len(waiting) + len(self._in_flight)) // 2))
        boarded: list[Passenger] = []
        left: list[Passenger] = []
        sql = ""
        while waiting and len(boarded) < room:
            passenger = waiting.popleft()
            if passenger.key in self._apart:
                passenger.refuse()
            elif passenger.key in self._in_flight or (sql or passenger.sql) != passenger.sql:
                left.append(passenger)
            elif not passenger.answer.done():
                passenger.is_in_flight, sql = True, passenger.sql
                boarded.append(passenger)
        waiting.extendleft(reversed(left))
        self._in_flight.update(one.key for one in boarded)
        # In one order, or flights of several processes would wait for each other.
        return sorted(boarded, key=lambda one: one.key)

    async def _send(
        self, driver: Connection, passengers: list[Passenger]
    ) -> tuple[list[Any], FaceplateError | None]:
        """Return what `Connection.run_shared` does, whatever happens."""
        sql, aheads = passengers[0].sql, [one.ahead for one in passengers]
        try:
            for ahead in aheads[0], LIMIT_WAITS:
                if not driver.is_ready(ahead, sql):
                    await driver.make_ready(ahead, sql)
            rows, failure = await driver.run_shared(sql, aheads, [one.values for one in passengers])
        except FaceplateError as error:
            return [None] * len(passengers), error  # nothing was sent
        except BaseException as error:  # noqa: BLE001 - else passengers wait for ever
            rows, failure = [], ConnectionLost(f"a shared flight broke: {type(error).__name__}")
            failure.in_doubt = True
        if isinstance(failure, Unavailable):
            driver.terminate()
        return rows, failure

    def _land(
        self, passengers: list[Passenger], rows: list[Any], error: FaceplateError | None
    ) -> None:
        """Give each its row or an error, or have it fly again."""
        if error is None:
            for passenger, row in zip(passengers, rows, strict=True):
                passenger.answer.set_result(row)
        elif isinstance(error, ConnectionLost) and error.in_doubt:
            for passenger in passengers:
                lost = ConnectionLost(error.message, sqlstate=error.sqlstate)
                lost.in_doubt = True
                passenger.answer.set_exception(lost)
        elif len(rows) == len(passengers):
            for passenger in passengers:
                passenger.refuse()
        else:
            culprit = passengers[len(rows)].key
            self._apart.add(culprit)
            asyncio.get_running_loop().call_later(APART_S, self._apart.discard, culprit)
            for passenger in passengers:
                passenger.is_in_flight = False
                if passenger.cancelled is not None:
                    passenger.answer.cancel()
            self._waiting.extendleft(reversed(passengers))


class SharedScope(Scope):
    """The scope of a unit of one statement, which it sends in a shared flight.

    It has no connection. If the unit needs one, it is run again in a transaction.
    """

    _has_flown = False

    def __init__(self, flights: SharedFlights, user_id: UUID) -> None:
        self.settings = flights.settings
        self.ids = self._ids = Ids()
        self._flights = flights
        self._user_id = user_id
        self.autocommits = True

    async def run_unit(self, unit: Callable[[Scope], Awaitable[T]]) -> T:
        """Return what the unit returns."""
        try:
            result = await unit(self)
            self.check_complete()
        finally:
            self.close()
        return result

    async def all(self, statement: Statement[R], **values: Any) -> list[R]:
        """Return the row, if there is one."""
        name = statement.shared_key
        if name is None or self.is_busy or self._has_flown:
            return await super().all(statement, **values)  # which needs a connection
        self.check_usable()
        compiled, settings = statement.compiled, self.settings
        arguments = compiled.bind(values, self._user_id)
        if sum(len(value) for value in arguments if isinstance(value, str)) > MOST_CHARS:
            self.restart_in_transaction()
        enter = preamble.enter(self._user_id, settings.seal)
        ahead = enter if settings.row_level_security else preamble.NONE
        passenger = Passenger(compiled.sql, values[name].int, ahead, arguments)
        self.is_busy = self._has_flown = True
        self._flights.add(passenger)
        try:
            row = await passenger
        except ConnectionLost as lost:
            self.connection_error = lost
            if passenger.cancelled is None:
                raise
            raise CommitOutcomeUnknown(lost.message, ids=self.ids.minted) from None
        except (NeedsTransaction, asyncio.CancelledError):
            if passenger.cancelled is None:
                self.restart_in_transaction()
            raise passenger.cancelled from None
        finally:
            self.is_busy = False
        if passenger.cancelled is None:
            return [] if row is None else [statement.make(row)]
        raise passenger.cancelled from None if row is None else CancelledAfterCommit()

    @property
    def _driver(self) -> Connection:  # type: ignore[override]  # it never returns
        self.restart_in_transaction()
