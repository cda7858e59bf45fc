"""Awaiting something to its end, in the task that one is in, whoever cancels that task meanwhile.

`asyncio.shield` does so with a task of its own, which takes several rounds of the event loop: too
much for every COMMIT. Not for what uses `asyncio.timeout` inside, which works by cancelling.
"""

from asyncio import CancelledError, Future
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Uninterrupted(Generic[T]):
    """Await it for the coroutine's result.

    ``cancelled`` is the first cancellation that came meanwhile, if one did. Whoever made it may
    know it again by its message only, so it is to be raised again, or as the cause of another.
    ``on_cancel`` is called when it comes.
    """

    __slots__ = ("_coroutine", "_on_cancel", "cancelled")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, T],
        on_cancel: Callable[[], object] = lambda: None,
    ) -> None:
        self._coroutine = coroutine
        self._on_cancel = on_cancel
        self.cancelled: CancelledError | None = None

    def __await__(self) -> Generator[Any, None, T]:
        while True:
            try:
                awaited = self._coroutine.send(None)
            except StopIteration as end:
                result: T = end.value
                return result
            yield from self._wait_for(awaited)

    def _wait_for(self, awaited: Future[Any] | None) -> Generator[Any, None, None]:
        """Wait through a future of our own: to cancel the task cancels what it waits for."""
        if awaited is None:  # a bare yield, as in asyncio.sleep(0)
            try:
                yield
            except CancelledError as error:
                self._note(error)
            return
        # As a task does that takes a future over; every future has it, by asyncio's protocol.
        awaited._asyncio_future_blocking = False  # noqa: SLF001
        while not awaited.done():
            relay: Future[None] = awaited.get_loop().create_future()
            release = partial(_release, relay)
            awaited.add_done_callback(release)
            try:
                yield from relay
            except CancelledError as error:
                self._note(error)
                awaited.remove_done_callback(release)  # some cancel in every turn of the loop

    def _note(self, error: CancelledError) -> None:
        if self.cancelled is None:
            self.cancelled = error
            self._on_cancel()


def _release(relay: Future[None], _awaited: Future[Any]) -> None:
    if not relay.done():
        relay.set_result(None)
