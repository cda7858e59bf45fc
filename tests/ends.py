"""How a task has ended."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def end_of(task: Awaitable[T]) -> T | BaseException:
    """Return the result or the error; `asyncio.gather` leaves out what has caused the error."""
    try:
        return await task
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the test judges it
        return error
