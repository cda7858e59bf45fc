"""The time limit of a connection's commands: one timer of the event loop for many of them.

The driver sets a timer for each command and cancels it with the answer. The event loop keeps what
was cancelled until its time, in order, so that each command would pay for the ones before it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

RESOLUTION_S = 0.001
"""How much earlier than its time a timer of uvloop may fire, by the loop's own clock."""


class CommandTimer:
    """The handle of a time limit, which is set again for each command.

    Its timer stays when the limit is cancelled. When it fires early for a later command, it is set
    anew.
    """

    __slots__ = ("_call", "_due_s", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._call: tuple[Callable[..., object], tuple[Any, ...]] | None = None
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether a command has a time limit now."""
        return self._call is not None

    def set(self, delay_s: float, callback: Callable[..., object], *args: Any) -> "CommandTimer":
        """Call ``callback`` after ``delay_s``, unless the limit is cancelled before."""
        self._call = callback, args
        self._due_s = self._loop.time() + delay_s
        # A loop that counts milliseconds, as uvloop does, rounds when its timers are due.
        if self._timer is None or self._timer.when() > self._due_s + RESOLUTION_S:
            self._start(delay_s)
        return self

    def cancel(self) -> None:
        """Cancel the limit, because the answer has come."""
        self._call = None

    def _start(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._call is None:
            return
        if (left_s := self._due_s - self._loop.time()) > RESOLUTION_S:
            self._start(left_s)
            return
        (callback, args), self._call = self._call, None
        callback(*args)
