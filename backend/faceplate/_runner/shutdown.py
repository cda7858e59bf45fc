"""Closing the pool: waits for work in flight, then cuts off what takes too long."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver.connection import Connection
from faceplate._driver.shielding import end_cancel_requests
from faceplate._runner.calls import InFlight
from faceplate.errors import ShuttingDown

if TYPE_CHECKING:
    from faceplate._driver.pool import Pool

logger = logging.getLogger("faceplate")

POLL_S = 0.01
CUT_OFF_S = 5.0
"""How long units that were cut off may take to roll back, and drafts to be saved."""
CLOSE_S = 1.0
"""How long a connection, or a request to cancel, may take to close in an orderly way."""


class Shutdown:
    """Closes ``engines``.

    Make it together with them, because it registers each connection.
    """

    def __init__(self, engines: set[AsyncEngine], in_flight: InFlight) -> None:
        self._engines = engines
        self._in_flight = in_flight
        self._connections: WeakSet[Connection] = WeakSet()
        self._is_over = False
        for engine in engines:
            event.listen(engine.sync_engine, "connect", self._register)

    @property
    def has_begun(self) -> bool:
        """Whether `run` is closing the pool."""
        return self._in_flight.is_closing

    async def run(self, limit_s: float) -> int:
        """Refuse new work, wait up to ``limit_s``, cut off the rest, and close the pool.

        Return how many units, blocks and drafts were cut off. A cancellation of this call ends the
        waiting, and the pool is closed all the same.
        """
        in_flight = self._in_flight
        in_flight.is_closing = True
        try:
            first = await _until_cancelled(_wait_while(self._is_busy, limit_s))
            count = self._cut_off()
            second = await _until_cancelled(_wait_while(in_flight.others, CUT_OFF_S))
            self._is_over = True
            third = await _until_cancelled(self._close())
            for engine in self._engines:
                await engine.dispose()  # it awaits nothing, as all connections are closed
        finally:
            in_flight.is_closing = False
        if cancelled := first or second or third:
            raise cancelled
        return count

    def abandon_after_fork(self) -> None:
        """Abandon the connections that a forked process has inherited from its parent.

        Closing one, or collecting it as garbage, would end the parent's session on the shared
        socket. So each connection's socket is first replaced by one that leads nowhere.
        """
        self._in_flight.clear()
        for driver in self._open():
            replacement, other_end = socket.socketpair()
            with replacement, other_end:
                os.dup2(replacement.fileno(), driver.socket.fileno())
            driver.terminate()

    def abandon_closed_loop(self) -> None:
        """Abandon the connections of an event loop that was closed.

        Their sockets are closed when the connections are collected as garbage.
        """
        self._in_flight.clear()
        for driver in self._open():
            with suppress(RuntimeError):  # the event loop is closed
                driver.terminate()

    def register(self, driver: Connection) -> None:
        """Have a connection closed with the others. Raises ShuttingDown if they are closed."""
        if self._is_over:  # it is for a plain session that was made before the shutdown
            driver.terminate()
            raise ShuttingDown("the database is closed")
        self._connections.add(driver)

    def _register(self, connection: Any, _record: Any) -> None:
        self.register(connection.driver_connection)

    def _is_busy(self) -> bool:
        in_use = sum(cast("Pool", engine.sync_engine.pool).checkedout() for engine in self._engines)
        return bool(self._in_flight.others()) or in_use > len(self._in_flight)

    def _cut_off(self) -> int:
        others = self._in_flight.others()
        parts = {task for work in others for task in work.tasks}
        works = {work: task for work, task in others.items() if task not in parts}
        if works:
            names = ", ".join(sorted({work.unit for work in works}))
            logger.warning("closing cuts off what is in flight: %d of %s", len(works), names)
        for work, task in works.items():
            work.cut_off(task)
        return len(works)

    async def _close(self) -> None:
        await end_cancel_requests(CLOSE_S)
        closing = (driver.close(timeout=CLOSE_S) for driver in self._open())
        # The driver raises where a connection is busy, broken or slow, and has terminated it.
        await asyncio.gather(*closing, return_exceptions=True)

    def _open(self) -> list[Connection]:
        return [driver for driver in self._connections if not driver.is_closed()]


async def _wait_while(holds: Callable[[], object], limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    while holds() and time.monotonic() < until_s:  # noqa: ASYNC110 - see InFlight
        await asyncio.sleep(POLL_S)


async def _until_cancelled(step: Awaitable[None]) -> asyncio.CancelledError | None:
    """Await ``step``. Return the cancellation that ended it, or None."""
    try:
        await step
    except asyncio.CancelledError as error:
        return error
    return None
