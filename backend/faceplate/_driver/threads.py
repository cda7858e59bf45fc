"""Runs blocking functions in threads that do not delay the end of the process.

A process waits for the threads of asyncio's default executor. There, a name server that does not
answer would delay the end by 10 s and more.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_in_thread(function: Callable[[], T], *, name: str) -> T:
    """Return the result of ``function``, called in a daemon thread.

    Raises what the function raises. A cancellation ends the waiting, and the thread goes on.
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
        except StopIteration:  # a future cannot hold it, and a coroutine cannot raise it
            conclude, value = outcome.set_exception, RuntimeError("StopIteration")
        except BaseException as error:  # noqa: BLE001 - raised where the outcome is awaited
            conclude, value = outcome.set_exception, error
        with contextlib.suppress(RuntimeError):  # the event loop was closed meanwhile
            loop.call_soon_threadsafe(finish, conclude, value)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await outcome
