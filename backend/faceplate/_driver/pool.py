"""The pool: first come, first served, with a limit on how many callers wait."""

import time
from collections.abc import Sized
from contextlib import suppress
from typing import Any, cast

from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.queue import Empty, Full

from faceplate._driver.connection import Connection
from faceplate._driver.turns import Turns
from faceplate._driver.unprepared import Descriptions
from faceplate.errors import FaceplateError

REPLACE_EVERY_S = 5.0


class FreeRecords:
    """The free connections of a `Pool`, in place of SQLAlchemy's queue.

    The one that was used last is taken first, because it is most likely alive.
    """

    use_lifo = True

    def __init__(self, maxsize: int = 0, **_: Any) -> None:
        self.maxsize = maxsize
        self.records: list[Any] = []

    def qsize(self) -> int:
        """Return how many there are."""
        return len(self.records)

    def get(self, *_: Any) -> Any:
        """Take one. Raise Empty if there is none: a caller with a turn need not wait."""
        if not self.records:
            raise Empty
        return self.records.pop()

    def put(self, record: Any, *_: Any) -> None:
        """Add one. Raise Full if there is no room."""
        if len(self.records) >= self.maxsize:
            raise Full
        self.records.append(record)


class Pool(AsyncAdaptedQueuePool):
    """SQLAlchemy's pool behind a queue of our own, in which no caller is overtaken.

    Each check-out, by a lease or by SQLAlchemy, takes a turn; each check-in gives the turn back. A
    caller with a turn always finds a free connection, or room to make one.
    """

    _queue_class: Any = FreeRecords
    _pool: Any
    descriptions: Descriptions
    """What a pooler has said of statements. A disposed engine forgets it with its pool."""

    # Not keyword-only: create_engine looks for the names of arguments that a pool takes.
    def __init__(self, creator: Any, max_waiting: int = 0, **kwargs: Any) -> None:
        super().__init__(creator, **kwargs)
        self.limit_waiting(max_waiting)
        self.descriptions = {}
        self._replaced_s = float("-inf")
        self._lent: Any = None
        self._turn_is_taken = False

    def limit_waiting(self, max_waiting: int) -> None:
        """Let at most ``max_waiting`` callers wait. No connection may be checked out yet."""
        self._max_waiting = max_waiting
        self._turns = Turns(self.size() + self._max_overflow, max_waiting)

    @property
    def waiting(self) -> int:
        """The number of callers that wait for a connection, themselves or for a shared flight."""
        return self._turns.waiting

    def count_waiting(self, others: Sized) -> None:
        """Count all of ``others`` as callers that wait, now and later."""
        self._turns.others = others

    async def lease(self) -> "Lease":
        """Return a lease of a connection when it is the caller's turn.

        Raises Overloaded, PoolExhausted, and the driver's errors where none can be made.
        """
        await self._turns.wait(self._timeout)
        if (lease := self._take_warm()) is not None:
            return lease
        self._turn_is_taken = True  # until `_do_get`, which `connect` begins with
        proxied = await greenlet_spawn(self.connect)
        return Lease(self, cast("Connection", proxied.driver_connection), None, proxied)

    def lease_warm(self) -> "Lease | None":
        """Return a lease of a free connection that is known to be alive, or None.

        It needs neither a greenlet nor SQLAlchemy's proxy, which would take a quarter of a short
        unit's time. It returns None where a program listens to the pool's events.
        """
        if not self._turns.is_one_free or (lease := self._take_warm()) is None:
            return None
        self._turns.take()
        return lease

    def take_back(self, record: Any) -> bool:
        """Take back the record of an idle connection. Return False if there is no room."""
        free = self._pool
        if len(free.records) >= free.maxsize:
            return False
        free.records.append(record)
        self._turns.give_back()
        return True

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
        if not self._pool.records:
            return super()._do_get()
        record = self._pool.get()
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

    def _take_warm(self) -> "Lease | None":
        """Return a lease of a free connection that needs no ping, for a caller with a turn."""
        records = self._pool.records
        if not records or self.dispatch.checkout or self.dispatch.checkin:
            return None
        adapted = records[-1].dbapi_connection
        driver: Connection | None = None if adapted is None else adapted.driver_connection
        if driver is None or driver.begun_s < self._replaced_s or driver.is_closed():
            return None  # to be replaced
        return Lease(self, driver, records.pop(), None) if driver.is_quiet() else None

    def recreate(self) -> "Pool":
        """Return an empty pool like this one, for `Engine.dispose`."""
        pool = cast("Pool", super().recreate())
        pool.limit_waiting(self._max_waiting)
        pool.count_waiting(self._turns.others)
        return pool


class Lease:
    """A connection for one unit; with SQLAlchemy's proxy if a session needs it."""

    __slots__ = ("_pool", "_proxied", "_record", "driver")

    def __init__(
        self,
        pool: Pool,
        driver: Connection,
        record: Any,
        proxied: PoolProxiedConnection | None,
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
        if not self.driver.is_reusable():
            return False
        if self._proxied is None:
            return self._pool.take_back(self._record)
        if self._pool.checkedin() >= self._pool.size():
            return False
        self._proxied.close()
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
