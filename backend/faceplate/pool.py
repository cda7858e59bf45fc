"""The pool of connections, with a limit on how many wait for one."""

import time
from typing import Any, cast

from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from faceplate.connection import Connection
from faceplate.errors import Overloaded


class Pool(AsyncAdaptedQueuePool):
    """Whoever would be one too many to wait is told so at once, and not after ``pool_timeout_s``.

    No lock is needed: nothing is awaited between a look at the numbers and their change.
    """

    # Not keyword-only: create_engine looks for the names of arguments that a pool takes.
    def __init__(self, creator: Any, max_waiting: int = 0, **kwargs: Any) -> None:
        super().__init__(creator, **kwargs)
        self.max_waiting = max_waiting
        self.waiting = 0

    async def lease(self) -> "Lease":
        """Return a connection, when there is one. Raises Overloaded and what SQLAlchemy does."""
        proxied = await greenlet_spawn(self.connect)
        return Lease(self, cast("Connection", proxied.driver_connection), proxied=proxied)

    def lease_warm(self) -> "Lease | None":
        """Return a connection that is known to be alive without having to ask, if one is free.

        It costs no greenlet and no proxy, which would be most of what a short unit costs. Whoever
        waits already goes first, and whoever listens to SQLAlchemy's events is served.
        """
        queue: Any = self._pool
        free = queue._queue._queue  # noqa: SLF001 - a list whose last is taken first, in both
        if not free or self.waiting or self.dispatch.checkout or self.dispatch.checkin:
            return None
        if not self._is_warm(free[-1]):
            return None
        record = queue.get_nowait()
        return Lease(self, record.driver_connection, record=record)

    def connect(self) -> PoolProxiedConnection:
        """Return a connection in SQLAlchemy's proxy, as `lease` does. Runs in a greenlet."""
        if self.checkedout() < self.size() + self._max_overflow:
            return super().connect()
        if self.waiting >= self.max_waiting:
            raise Overloaded(
                f"all connections are in use, and {self.waiting} units wait for one already"
                " (max_waiting); this one was not begun"
            )
        self.waiting += 1
        try:
            return super().connect()
        finally:
            self.waiting -= 1

    def proxy(self, record: Any) -> PoolProxiedConnection:
        """Return SQLAlchemy's proxy of a connection that was leased without one."""
        self._do_return_conn(record)  # the last one in is the next one out
        record.driver_connection.is_trusted = True
        return super().connect()

    def _do_get(self) -> Any:
        # Some versions of SQLAlchemy wait, in a greenlet, even for what is there.
        return super()._do_get() if self._pool.empty() else self._pool.get(block=False)

    def _is_warm(self, record: Any) -> bool:
        """Whether SQLAlchemy would neither make the connection anew nor ping it."""
        driver = record.driver_connection
        if driver is None or driver.is_closed():
            return False
        made_anew_before = max(self._invalidate_time, record._soft_invalidate_time)  # noqa: SLF001 - as SQLAlchemy decides it
        return bool(record.starttime > made_anew_before and driver.is_quiet())

    def replace_all(self) -> None:
        """Make each connection anew that there is now, when it is next asked for."""
        self._invalidate_time = time.time()

    def recreate(self) -> "Pool":
        """Return an empty pool like this one, for `Engine.dispose`."""
        pool = cast("Pool", super().recreate())
        pool.max_waiting = self.max_waiting
        return pool


class Lease:
    """A connection for one unit. SQLAlchemy's proxy is put around it only where one is needed."""

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
    def proxied(self) -> PoolProxiedConnection:
        if self._proxied is None:
            self._proxied = self._pool.proxy(self._record)
        return self._proxied

    def give_back_at_once(self) -> bool:
        """Return the connection to a free place in the pool if it is as it was, else do nothing."""
        driver, pool = self.driver, self._pool
        if driver.is_closed() or driver.is_in_transaction() or driver.is_adrift:
            return False
        if pool.checkedin() >= pool.size():
            return False
        self._return()
        return True

    async def give_back(self) -> None:
        """Return the connection to the pool, or throw it away unless it is as it was."""
        if self.give_back_at_once():
            return
        if self.driver.is_closed() or self.driver.is_in_transaction():
            self.driver.terminate()
            await greenlet_spawn(self._invalidate)
        await greenlet_spawn(self._return)  # it is closed where there is no place for it

    def _invalidate(self) -> None:
        if self._proxied is None:
            self._record.invalidate()
        elif self._proxied.is_valid:  # else a session has noticed before, and SQLAlchemy warns
            self._proxied.invalidate()

    def _return(self) -> None:
        self.driver.ahead_of_write = None
        if self._proxied is None:
            self._pool._do_return_conn(self._record)  # noqa: SLF001 - what its proxy would call
        else:
            self._proxied.close()
