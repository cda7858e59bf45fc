"""Verifies at the start of a program, with backoff, that the server can be used."""

import asyncio
import time

from faceplate._driver.connecting import open_connection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.error_mapping import map_connect_error
from faceplate.config import Settings
from faceplate.errors import CannotConnect, FaceplateError

PAUSE_S = 0.05
PAUSE_MAX_S = 0.4


async def verify(settings: Settings) -> None:
    """Connect and run SELECT 1 within ``startup_timeout_s``.

    Faults that may go away are retried with backoff. Raises Unavailable, Unauthorized or
    DatabaseError with the server's name and the reason.
    """
    budget_s = settings.startup_timeout_s
    started = time.monotonic()
    pause_s = PAUSE_S
    failure: FaceplateError | None = None
    while True:
        left_s = budget_s - (time.monotonic() - started)
        try:
            async with asyncio.timeout(left_s):
                connection = await open_connection(settings)
                try:
                    await connection.execute("SELECT 1")
                finally:
                    connection.terminate()
        except DRIVER_ERRORS as error:
            # The error of an attempt that the deadline ended says less than the error before it.
            if failure is None or not isinstance(error, TimeoutError):
                failure = map_connect_error(error, target=settings.target, limit_s=budget_s)
            elapsed_s = time.monotonic() - started
            if isinstance(failure, CannotConnect) or elapsed_s + pause_s >= budget_s:
                raise failure from error
        else:
            return
        await asyncio.sleep(pause_s)  # backoff: the server may be starting
        pause_s = min(2 * pause_s, PAUSE_MAX_S)
