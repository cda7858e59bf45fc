"""The queue of callers that wait for a connection of the pool: first come, first served."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from faceplate._driver.timers import RESOLUTION_S
from faceplate.errors import Overloaded, PoolExhausted

if TYPE_CHECKING:
    from collections.abc import Sized


class Turn(NamedTuple):
    """A caller that waits for a place."""

    come: "asyncio.Future[None]"
    expires_s: float
    """By the event loop's clock."""


class Turns:
    """The places of a pool, and the queue of callers that wait for one.

    At most ``places`` callers hold one at a time, and at most ``max_waiting`` wait.

    A place that is given back goes straight to the caller that has waited longest, so that no later
    caller takes it first. One timer is enough, since that caller is also the first whose time is
    over. Nothing here awaits between reading the queue and changing it, so no lock is needed.
    """

    def __init__(self, places: int, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._queue: deque[Turn] = deque()
        self.others: Sized = ()
        """What else waits for a connection, and counts as much as a caller."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_one_free(self) -> bool:
        """Whether a place is free."""
        return self._free > 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue) + len(self.others)

    def take(self) -> bool:
        """Take a free place and return True. None is free while a caller waits."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, limit_s: float) -> None:
        """Take a place when it is the caller's turn.

        Raises Overloaded at once where too many callers wait, and PoolExhausted after ``limit_s``,
        which is the same for all callers.
        """
        if self.take():
            return
        if self.waiting >= self._max_waiting:
            raise Overloaded(
                f"all connections are in use, and {self.waiting} units wait for one already"
                " (max_waiting); this one was not begun"
            )
        loop = asyncio.get_running_loop()
        turn = Turn(loop.create_future(), loop.time() + limit_s)
        self._queue.append(turn)
        if self._timer is None:
            self._timer = loop.call_at(turn.expires_s, self._expire, loop)
        try:
            await turn.come
        except BaseException:
            if turn in self._queue:
                self._queue.remove(turn)
            elif _has_come(turn.come):  # at the very moment of a cancellation
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give the place to the caller that has waited longest, or free it."""
        while self._queue:
            come = self._queue.popleft().come
            if not come.done():
                come.set_result(None)
                return
        self._free += 1

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the waits whose time is over, and look again when that of the next one is."""
        queue, until_s = self._queue, loop.time() + RESOLUTION_S
        while queue and queue[0].expires_s <= until_s:
            come = queue.popleft().come
            if not come.done():
                come.set_exception(
                    PoolExhausted("no connection became free within pool_timeout_s; all are in use")
                )
        self._timer = loop.call_at(queue[0].expires_s, self._expire, loop) if queue else None


def _has_come(turn: "asyncio.Future[None]") -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None
