"""A statement that is a transaction by itself: its answer is the word that it is committed."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from faceplate._driver.connection import Connection
from faceplate._driver.engine import open_connection
from faceplate._driver.error_mapping import DRIVER_ERRORS
from faceplate._driver.shielding import Shielded
from faceplate.config import Settings

T = TypeVar("T")

CANCEL_AFTER_S = 0.1


class NeedsTransaction(BaseException):
    """The unit goes on after its only statement. Not an Exception, so that no unit catches it."""


class Autocommit(Shielded[T]):
    """Await it for what the statement returns or raises, although its task is cancelled meanwhile.

    ``cancelled`` is the first cancellation that came. Call `close` once it was awaited.
    """

    __slots__ = ("_cancelling", "_driver", "_settings", "_was_cancelled")

    def __init__(
        self, statement: Coroutine[Any, Any, T], settings: Settings, driver: Connection
    ) -> None:
        super().__init__(statement)
        self._settings = settings
        self._driver = driver
        self._cancelling: asyncio.Task[None] | None = None
        self._was_cancelled = False

    def note(self, error: asyncio.CancelledError) -> None:
        """Note a cancellation, and limit the wait from then on."""
        super().note(error)
        if self._cancelling is None:
            self._cancelling = asyncio.ensure_future(self._cancel())

    def close(self) -> None:
        """Let a cancel request that is in flight hit no other unit's statement."""
        if self._cancelling is not None:
            self._cancelling.cancel()
        if self._was_cancelled:
            self._driver.is_spent = True

    async def _cancel(self) -> None:
        """Have the server cancel a statement that takes long, as when it waits for a lock."""
        await asyncio.sleep(CANCEL_AFTER_S)
        self._was_cancelled = True
        pid = self._driver.get_server_pid()
        with suppress(TimeoutError, *DRIVER_ERRORS):  # then the server's time limits end it
            connection = await open_connection(self._settings)
            try:
                await connection.execute(f"SELECT pg_cancel_backend({pid})")
            finally:
                connection.terminate()
