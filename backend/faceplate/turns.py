"""Turns at a limited number of places: first come, first served."""

import asyncio
from collections import deque

from faceplate.errors import Overloaded, PoolExhausted

Turn = asyncio.Future[None]


class Turns:
    """Places for at most ``places`` users at a time, and a queue of at most ``max_waiting``.

    A place that is given back goes straight to the one that has waited longest: nobody who comes
    later can take it meanwhile. Nothing here awaits between a look at the queue and its change, so
    no lock is needed.
    """

    def __init__(self, places: int, max_waiting: int) -> None:
        self._free = places
        self._max_waiting = max_waiting
        self._queue: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def take(self) -> bool:
        """Take a place if one is free, which none is while somebody waits."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, limit_s: float) -> None:
        """Take a place, when it is one's turn.

        Raises Overloaded at once where too many wait, and PoolExhausted after ``limit_s``.
        """
        if self.take():
            return
        if len(self._queue) >= self._max_waiting:
            raise Overloaded(
                f"all connections are in use, and {len(self._queue)} units wait for one already"
                " (max_waiting); this one was not begun"
            )
        loop = asyncio.get_running_loop()
        turn: Turn = loop.create_future()
        self._queue.append(turn)
        timer = loop.call_later(limit_s, _expire, turn)
        try:
            await turn
        except BaseException:
            if turn in self._queue:
                self._queue.remove(turn)
            elif _has_come(turn):  # at the very moment of a cancellation
                self.give_back()
            raise
        finally:
            timer.cancel()

    def give_back(self) -> None:
        """Give a place to the one that has waited longest, or free it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _expire(turn: Turn) -> None:
    if not turn.done():
        turn.set_exception(
            PoolExhausted("no connection became free within pool_timeout_s; all are in use")
        )


def _has_come(turn: Turn) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None
