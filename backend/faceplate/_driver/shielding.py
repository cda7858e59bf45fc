"""Awaiting something to its end, in the task that one is in, whoever cancels that task meanwhile.

`asyncio.shield` does so with a task of its own, which takes several turns of the event loop: too
much for every COMMIT. Not for what uses `asyncio.timeout` inside, which works by cancelling.
"""

from asyncio import AbstractEventLoop, CancelledError, Future
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shielded(Generic[T]):
    """Await it for the coroutine's result.

    ``cancelled`` is the first cancellation that came meanwhile, if one did. Whoever made it may
    know it again by its message only, so it is to be raised again, or as the cause of another.
    """

    __slots__ = ("_coroutine", "cancelled")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.cancelled: CancelledError | None = None

    def __await__(self) -> Generator[Any, None, T]:
        while True:
            try:
                awaited = self._coroutine.send(None)
            except StopIteration as end:
                result: T = end.value
                return result
            yield from self._wait_for(awaited)

    def note(self, error: CancelledError) -> None:
        """Take notice of a cancellation."""
        if self.cancelled is None:
            self.cancelled = error

    def _wait_for(self, awaited: Future[Any] | None) -> Generator[Any, None, None]:
        if awaited is None:  # a bare yield, as in asyncio.sleep(0)
            try:
                yield
            except CancelledError as error:
                self.note(error)
            return
        # As a task does that takes a future over; every future has it, by asyncio's protocol.
        awaited._asyncio_future_blocking = False  # noqa: SLF001
        while not awaited.done():
            try:
                yield _Uncancellable(awaited, self.note)
            except BaseException:  # the future's own, which the coroutine asks it for again
                if not awaited.done():
                    raise


class _Uncancellable:
    """What a task waits for in place of a future, which would be cancelled together with it."""

    __slots__ = ("_asyncio_future_blocking", "_future", "_note")

    def __init__(self, future: Future[Any], note: Callable[[CancelledError], None]) -> None:
        self._asyncio_future_blocking = True
        self._future = future
        self._note = note

    def get_loop(self) -> AbstractEventLoop:
        return self._future.get_loop()

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        self._future.add_done_callback(callback, context=context)

    def cancel(self, msg: Any = None) -> bool:
        self._note(CancelledError() if msg is None else CancelledError(msg))
        return True
