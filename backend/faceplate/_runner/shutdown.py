"""Closing the pool: what is in flight may end, for a limited time; what lasts longer is cut off."""

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
from faceplate._runner.calls import InFlight
from faceplate.errors import ShuttingDown

if TYPE_CHECKING:
    from faceplate._driver.pool import Pool

logger = logging.getLogger("faceplate")

POLL_S = 0.01
CUT_OFF_S = 5.0
"""What was cut off may take this long to roll back, and a draft to be saved."""
CLOSE_S = 1.0
"""A server that does not answer to a farewell for so long gets none."""


class Shutdown:
    """The end of ``engines``. Make it along with them, since it notes each connection."""

    def __init__(self, engines: set[AsyncEngine], in_flight: InFlight) -> None:
        self._engines = engines
        self._in_flight = in_flight
        self._connections: WeakSet[Connection] = WeakSet()
        self._is_over = False
        for engine in engines:
            event.listen(engine.sync_engine, "connect", self._note)

    @property
    def has_begun(self) -> bool:
        return self._in_flight.is_closing

    async def run(self, limit_s: float) -> int:
        """Refuse what is new, wait up to ``limit_s``, cut off what lasts, and close the pool.

        Return how many units, blocks and drafts were cut off. Whoever is cancelled in here waits
        no longer, and closes the pool all the same.
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
                await engine.dispose()  # it finds them closed, and so awaits nothing
        finally:
            in_flight.is_closing = False
        if cancelled := first or second or third:
            raise cancelled
        return count

    def abandon_after_fork(self) -> None:
        """Let go of connections that a forked process has got from its parent, and goes on using.

        To close one, or to collect its garbage, would say goodbye to the server on the socket that
        the two have in common. So each gets another one here, with nobody at its other end.
        """
        self._in_flight.clear()
        for driver in self._open():
            ours, other = socket.socketpair()
            with ours, other:
                os.dup2(ours.fileno(), driver.socket.fileno())
            driver.terminate()

    def abandon_closed_loop(self) -> None:
        """Let go of connections whose event loop was closed, and which nobody can serve any more.

        Their sockets are closed along with them, when they are collected as garbage.
        """
        self._in_flight.clear()
        for driver in self._open():
            with suppress(RuntimeError):  # of the loop: it is closed
                driver.terminate()

    def _note(self, connection: Any, _record: Any) -> None:
        driver: Connection = connection.driver_connection
        if self._is_over:  # a session that was asked for before
            driver.terminate()
            raise ShuttingDown("the database is closed")
        self._connections.add(driver)

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
        farewells = (driver.close(timeout=CLOSE_S) for driver in self._open())
        # What is busy, silent or gone already has been dropped by then, and has an error to say so.
        await asyncio.gather(*farewells, return_exceptions=True)

    def _open(self) -> list[Connection]:
        return [driver for driver in self._connections if not driver.is_closed()]


async def _wait_while(holds: Callable[[], object], limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    while holds() and time.monotonic() < until_s:  # noqa: ASYNC110 - see InFlight
        await asyncio.sleep(POLL_S)


async def _until_cancelled(step: Awaitable[None]) -> asyncio.CancelledError | None:
    """Return the cancellation that ended ``step``, if one did."""
    try:
        await step
    except asyncio.CancelledError as error:
        return error
    return None
