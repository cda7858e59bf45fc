"""Threads that a process does not wait for when it ends.

It waits for those of asyncio's default executor: a name server that does not answer would keep it
from ending for 10 s and more.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T], *, name: str) -> T:
    """Return what ``function`` returns, called in a daemon thread; raise what it raises.

    A cancellation ends the wait, and leaves the thread to itself.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def finish(conclude: Callable[[Any], None], value: object) -> None:
        if not outcome.done():
            conclude(value)

    def work() -> None:
        conclude: Callable[[Any], None] = outcome.set_result
        value: object
        try:
            value = context.run(function)
        except StopIteration:  # what a future cannot hold, and a coroutine cannot raise
            conclude, value = outcome.set_exception, RuntimeError("StopIteration")
        except BaseException as error:  # noqa: BLE001 - raised where the outcome is awaited
            conclude, value = outcome.set_exception, error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(finish, conclude, value)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await outcome
