"""The pool: first come, first served, with a limit on how many callers wait."""

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Any, TypeAlias, cast

from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util import await_only, greenlet_spawn

from faceplate._driver.connection import Connection
from faceplate.errors import FaceplateError, Overloaded, PoolExhausted

REPLACE_EVERY_S = 5.0


class Pool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool behind a queue of our own, in which no caller is overtaken.

    Each check-out, by a lease or by SQLAlchemy, takes a turn; each check-in gives the turn back. A
    caller with a turn always finds a free connection, or room to make one.
    """

    # Not keyword-only: create_engine looks for the names of arguments that a pool takes.
    def __init__(self, creator: Any, max_waiting: int = 0, **kwargs: Any) -> None:
        super().__init__(creator, **kwargs)
        self.limit_waiting(max_waiting)
        self._replaced_s = float("-inf")
        self._lent: Any = None
        self._turn_is_taken = False

    def limit_waiting(self, max_waiting: int) -> None:
        """Let at most ``max_waiting`` callers wait. No connection may be checked out yet."""
        self._max_waiting = max_waiting
        self._turns = Turns(self.size() + self._max_overflow, max_waiting)

    @property
    def waiting(self) -> int:
        """The number of callers that wait for a connection."""
        return self._turns.waiting

    async def lease(self) -> "Lease":
        """Return a lease of a connection when it is the caller's turn.

        Raises Overloaded, PoolExhausted, and the driver's errors where none can be made.
        """
        await self._turns.wait(self._timeout)
        if (record := self._warm_record()) is not None:
            return self._lease_record(record)
        self._turn_is_taken = True  # until `_do_get`, which `connect` begins with
        proxied = await greenlet_spawn(self.connect)
        return Lease(self, cast("Connection", proxied.driver_connection), proxied=proxied)

    def lease_warm(self) -> "Lease | None":
        """Return a lease of a free connection that is known to be alive, or None.

        It needs neither a greenlet nor SQLAlchemy's proxy, which would take a quarter of a short
        unit's time. It returns None where a program listens to the pool's events.
        """
        record = self._warm_record()
        return None if record is None or not self._turns.take() else self._lease_record(record)

    def proxy(self, record: Any) -> PoolProxiedConnection:
        """Return SQLAlchemy's proxy for a connection that was leased without one."""
        record.driver_connection.skip_next_ping = True
        self._lent = record
        return super().connect()

    def replace_all(self, known: Connection | None = None) -> None:
        """Replace each existing connection at its next check-out.

        Where the cause is the connection ``known``, this happens once for all connections of its
        age, and at most every `REPLACE_EVERY_S`: on a host that takes no writes for a while, new
        connections are no better and must not replace each other.
        """
        now_s = time.monotonic()
        if known is None or (
            known.begun_s >= self._replaced_s and now_s - self._replaced_s > REPLACE_EVERY_S
        ):
            self._replaced_s = now_s

    def _do_get(self) -> Any:
        if (lent := self._lent) is not None:
            self._lent = None
            return lent
        if self._turn_is_taken:
            self._turn_is_taken = False
        elif not self._turns.take():
            await_only(self._turns.wait(self._timeout))
        try:
            return self._take_record()
        except BaseException:
            self._turns.give_back()
            raise

    def _take_record(self) -> Any:
        if self._pool.empty():
            return super()._do_get()
        record = self._pool.get(block=False)
        driver: Connection | None = record.driver_connection
        if driver is not None and driver.begun_s < self._replaced_s:
            record.invalidate()  # its check-out finds a new connection in it
        return record

    def _do_return_conn(self, record: Any) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            self._turns.give_back()

    def _invalidate(
        self,
        connection: Any,
        exception: BaseException | None = None,
        _checkin: bool = True,  # noqa: FBT001, FBT002 - SQLAlchemy's signature
    ) -> None:
        """Replace a connection that a ping found dead, and all that are as old.

        Their age is told by the monotonic clock; SQLAlchemy uses one that may be set back.
        """
        # After a failed ping its record is empty already; the connection below it is still known.
        below = getattr(connection, "dbapi_connection", None)
        if (driver := getattr(below, "driver_connection", None)) is not None:
            self.replace_all(driver)
        if _checkin and getattr(connection, "is_valid", False):
            connection.invalidate(exception)

    def _warm_record(self) -> Any:
        """Return the record of a free connection that needs no ping, without taking it."""
        queue: Any = self._pool
        free = queue._queue._queue  # noqa: SLF001 - a list whose last is taken first, in both
        if not free or self.dispatch.checkout or self.dispatch.checkin:
            return None
        return free[-1] if self._is_warm(free[-1]) else None

    def _lease_record(self, record: Any) -> "Lease":
        cast("Any", self._pool).get_nowait()  # the one that was looked at: nothing came between
        return Lease(self, record.driver_connection, record=record)

    def _is_warm(self, record: Any) -> bool:
        """Return whether the connection needs neither to be replaced nor to be pinged."""
        driver: Connection | None = record.driver_connection
        if driver is None or driver.is_closed() or driver.begun_s < self._replaced_s:
            return False
        return driver.is_quiet()

    def recreate(self) -> "Pool":
        """Return an empty pool like this one, for `Engine.dispose`."""
        pool = cast("Pool", super().recreate())
        pool.limit_waiting(self._max_waiting)
        return pool


class Lease:
    """A connection for one unit; with SQLAlchemy's proxy if a session needs it."""

    __slots__ = ("_pool", "_proxied", "_record", "driver")

    def __init__(
        self,
        pool: Pool,
        driver: Connection,
        *,
        record: Any = None,
        proxied: PoolProxiedConnection | None = None,
    ) -> None:
        self._pool = pool
        self._record = record
        self._proxied = proxied
        self.driver = driver

    @property
    def dbapi_connection(self) -> Any:
        """SQLAlchemy's adapter of the driver's connection."""
        return (self._proxied or self._record).dbapi_connection

    @property
    def proxied(self) -> PoolProxiedConnection:
        if self._proxied is None:
            self._proxied = self._pool.proxy(self._record)
        return self._proxied

    def try_check_in(self) -> bool:
        """Check the connection in if it is reusable and there is room; return whether."""
        driver, pool = self.driver, self._pool
        if not driver.is_reusable() or pool.checkedin() >= pool.size():
            return False
        self._return()
        return True

    async def check_in(self) -> None:
        """Check the connection in, idle and with a clean session, or close it."""
        driver = self.driver
        with suppress(FaceplateError):  # then it is thrown away
            if driver.is_preparing and not driver.is_closed():
                await driver.ping()
            if driver.must_reset_session and not (driver.is_closed() or driver.is_in_transaction()):
                await driver.reset_session()
        if self.try_check_in():
            return
        if not driver.is_reusable():
            driver.terminate()
        if driver.is_closed():
            await greenlet_spawn(self._invalidate)
        await greenlet_spawn(self._return)  # it is closed where there is no place for it

    def _invalidate(self) -> None:
        if self._proxied is None:
            self._record.invalidate()
        elif self._proxied.is_valid:  # else a session has noticed before, and SQLAlchemy warns
            self._proxied.invalidate()

    def _return(self) -> None:
        if self._proxied is None:
            self._pool._do_return_conn(self._record)  # noqa: SLF001 - what its proxy would call
        else:
            self._proxied.close()


Turn: TypeAlias = asyncio.Future[None]


class Turns:
    """The places of a pool, and the queue of callers that wait for one.

    At most ``places`` callers hold one at a time, and at most ``max_waiting`` wait.

    A place that is given back goes straight to the caller that has waited longest, so that no later
    caller takes it first. Nothing here awaits between reading the queue and changing it, so no lock
    is needed.
    """

    def __init__(self, places: int, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._queue: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def take(self) -> bool:
        """Take a free place and return True. None is free while a caller waits."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, limit_s: float) -> None:
        """Take a place when it is the caller's turn.

        Raises Overloaded at once where too many callers wait, and PoolExhausted after ``limit_s``.
        """
        if self.take():
            return
        if len(self._queue) >= self._max_waiting:
            raise Overloaded(
                f"all connections are in use, and {len(self._queue)} units wait for one already"
                " (max_waiting); this one was not begun"
            )
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(limit_s, _expire, turn)
        try:
            await turn
        except BaseException:
            if turn in self._queue:
                self._queue.remove(turn)
            elif _has_come(turn):  # at the very moment of a cancellation
                self.give_back()
            raise
        finally:
            timer.cancel()

    def give_back(self) -> None:
        """Give the place to the caller that has waited longest, or free it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _expire(turn: Turn) -> None:
    if not turn.done():
        turn.set_exception(
            PoolExhausted("no connection became free within pool_timeout_s; all are in use")
        )


def _has_come(turn: Turn) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None
