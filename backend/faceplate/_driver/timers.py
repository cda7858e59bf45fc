"""Time limits that cost next to nothing, as nearly all of them are never reached.

The driver sets a timer for each command and cancels it when the answer comes. In asyncio's heap of
timers that is as much work as all that a unit does for its statement beside.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, TypeAlias

_Queue: TypeAlias = "dict[Timer, None]"


class Timer:
    """What `LoopWithCheapTimers.call_later` returns."""

    __slots__ = ("_queue", "args", "callback", "due_s")

    def __init__(
        self, queue: _Queue, due_s: float, callback: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self._queue = queue
        self.due_s = due_s
        self.callback = callback
        self.args = args

    def cancel(self) -> None:
        """Doing so twice, or too late, is no error."""
        self._queue.pop(self, None)


class LoopWithCheapTimers:
    """An event loop as the driver's protocol uses one.

    Timers of one delay are due in the order in which they were set, so that they need no heap, and
    only the first of them a timer of the loop.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._now_s = loop.time
        self._queues: dict[float, _Queue] = {}
        self._watched: set[float] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` after ``delay_s``, as the event loop's own method does."""
        queue = self._queues.get(delay_s)
        if queue is None:
            queue = self._queues[delay_s] = {}
        timer = Timer(queue, self._now_s() + delay_s, callback, args)
        queue[timer] = None
        if delay_s not in self._watched:
            self._watched.add(delay_s)
            self._loop.call_at(timer.due_s, self._look, delay_s)
        return timer

    def _look(self, delay_s: float) -> None:
        """Call what is due, and look again when the next one is."""
        queue = self._queues[delay_s]
        now_s = self._now_s()
        for timer in list(queue):
            if timer.due_s > now_s:
                self._loop.call_at(timer.due_s, self._look, delay_s)
                return
            timer.cancel()
            self._loop.call_soon(timer.callback, *timer.args)
        self._watched.discard(delay_s)
        del self._queues[delay_s]
