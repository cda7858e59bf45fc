"""A statement that is the whole of its unit: it is its own COMMIT, and is waited for like one."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from faceplate.config import Settings
from faceplate.connection import Connection
from faceplate.engine import open_connection
from faceplate.translation import DRIVER_ERRORS
from faceplate.uninterrupted import Uninterrupted

T = TypeVar("T")

CANCEL_AFTER_S = 0.1


class NotAlone(BaseException):
    """The unit needs a transaction after all. Not an Exception, so that no unit catches it."""


class Alone:
    """Runs the statement to its end, whoever cancels its task meanwhile."""

    def __init__(self, settings: Settings, driver: Connection) -> None:
        self._settings = settings
        self._driver = driver
        self._giving_up: asyncio.Task[None] | None = None
        self._gave_up = False
        self.cancelled: asyncio.CancelledError | None = None
        """The first cancellation that came meanwhile. What was done is known all the same."""

    async def run(self, statement: Coroutine[Any, Any, T]) -> T:
        """Return what the statement returns, or raise what it raises, but no CancelledError."""
        running = Uninterrupted(statement, on_cancel=self._give_up_soon)
        try:
            return await running
        finally:
            self.cancelled = running.cancelled
            if self._giving_up is not None:
                self._giving_up.cancel()
            if self._gave_up:
                self._driver.terminate()  # else the cancellation may hit whoever is next

    def _give_up_soon(self) -> None:
        self._giving_up = asyncio.ensure_future(self._give_up())

    async def _give_up(self) -> None:
        """Have the server cancel a statement that takes long, as when it waits for a lock."""
        await asyncio.sleep(CANCEL_AFTER_S)
        self._gave_up = True
        pid = self._driver.get_server_pid()
        with suppress(TimeoutError, *DRIVER_ERRORS):  # then its own time limits end it
            connection = await open_connection(self._settings)
            try:
                await connection.execute(f"SELECT pg_cancel_backend({pid})")
            finally:
                connection.terminate()
