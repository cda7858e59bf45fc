"""A statement that is the whole of its unit: it is its own COMMIT, and is waited for like one."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from faceplate._driver.connection import Connection
from faceplate._driver.engine import open_connection
from faceplate._driver.error_mapping import DRIVER_ERRORS
from faceplate._driver.shielding import Uninterrupted
from faceplate.config import Settings

T = TypeVar("T")

CANCEL_AFTER_S = 0.1


class NotAlone(BaseException):
    """The unit needs a transaction after all. Not an Exception, so that no unit catches it."""


class Alone(Uninterrupted[T]):
    """Await it for what the statement returns or raises, although its task is cancelled meanwhile.

    ``cancelled`` is the first cancellation that came. The outcome is known all the same. Once it
    was awaited, it has to be closed.
    """

    __slots__ = ("_driver", "_gave_up", "_giving_up", "_settings")

    def __init__(
        self, statement: Coroutine[Any, Any, T], settings: Settings, driver: Connection
    ) -> None:
        super().__init__(statement)
        self._settings = settings
        self._driver = driver
        self._giving_up: asyncio.Task[None] | None = None
        self._gave_up = False

    def note(self, error: asyncio.CancelledError) -> None:
        """Take notice of a cancellation, and wait for a limited time from then on."""
        super().note(error)
        if self._giving_up is None:
            self._giving_up = asyncio.ensure_future(self._give_up())

    def close(self) -> None:
        """Stop giving up, and let a pending cancellation hit nobody else's statement."""
        if self._giving_up is not None:
            self._giving_up.cancel()
        if self._gave_up:
            self._driver.is_spent = True

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
