"""One shared flight: statements of many callers, sent in one write and committed together."""

import asyncio
import time
from typing import Any

from faceplate._driver.connection import Connection
from faceplate._driver.preamble import BEGIN_FLIGHT, END_FLIGHT, NONE, Preamble
from faceplate._driver.shielding import Shielded
from faceplate.errors import ConnectionLost, FaceplateError, TimedOut, Unavailable


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
        super().__init__(self.answer.__await__())  # type: ignore[arg-type]  # of a coroutine only `send` is called, which this has
        self.come_s = time.monotonic()
        self.sql = sql
        self.values = values
        self.bytes = _bytes_of(values)
        self.ahead = ahead
        self.key = key
        self.writes = writes
        self.limit = limit
        self.flight: Flight | None = None
        self.failures = 0
        """How many of its flights have failed for another statement."""

    def note(self, error: asyncio.CancelledError) -> None:
        """Note a cancellation, and stop waiting unless something is being written."""
        super().note(error)
        if self.flight is None or not self.writes:
            self.answer.cancel()

    def arrive(self, rows: list[Any]) -> None:
        """Give the rows to the caller, unless it was cancelled."""
        self.flight = None  # or both would keep the rows of all until they are collected
        if not self.answer.done():
            self.answer.set_result(rows)

    def fail(self, error: BaseException) -> None:
        """Raise ``error`` in the caller, unless it was cancelled."""
        self.flight = None
        if not self.answer.done():
            self.answer.set_exception(error)

    def wait_again(self) -> None:
        """Wait for another flight, unless the caller was cancelled."""
        self.flight = None
        self.failures += 1
        if self.cancelled is not None:
            self.answer.cancel()


class Flight:
    """The same statement of each passenger, on one connection."""

    def __init__(self, driver: Connection, passengers: list[Passenger]) -> None:
        self.driver = driver
        self.passengers = passengers
        self.sql = passengers[0].sql
        self.writes = passengers[0].writes
        self.is_late = False
        self.took_s = 0.0
        for passenger in passengers:
            passenger.flight = self

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing is written, and nobody waits for it any more."""
        return not self.writes and all(one.answer.done() for one in self.passengers)

    async def send(self) -> tuple[list[list[Any]], FaceplateError | None]:
        """Return what `Connection.run_shared` does, whatever happens."""
        driver, sql, passengers = self.driver, self.sql, self.passengers
        aheads = [one.ahead for one in passengers]
        ending = END_FLIGHT if self.writes else NONE
        try:
            for ahead in aheads[0], BEGIN_FLIGHT, ending:
                if not driver.is_ready(ahead, sql):
                    await driver.make_ready(ahead, sql)
            started_s = time.monotonic()
            rows, failure = await driver.run_shared(
                sql, aheads, [one.values for one in passengers], ending
            )
            self.took_s = time.monotonic() - started_s
        except FaceplateError as error:
            if isinstance(error, TimedOut):  # the driver would wait for its cancellation
                driver.terminate()
            return [[] for _ in passengers], error  # nothing was sent
        except BaseException as error:  # noqa: BLE001 - what it is, or the passengers would wait for ever
            rows, failure = [], ConnectionLost(f"a shared flight broke: {type(error).__name__}")
            failure.in_doubt = True
        if isinstance(failure, Unavailable):
            driver.terminate()
        return rows, failure


def _bytes_of(values: list[Any]) -> int:
    """Return about how many bytes a statement with ``values`` takes in a flight, at most."""
    texts = [value for value in values if isinstance(value, str)]
    return 300 + sum(len(text) * (1 if text.isascii() else 4) for text in texts)
