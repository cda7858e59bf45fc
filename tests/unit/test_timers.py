"""One timer of the event loop for the time limits of many commands."""

import asyncio
from typing import Any, NamedTuple

from faceplate._driver.timers import CommandTimer


class CountingLoop:
    """Counts the timers that the event loop is asked for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.timers = 0

    def call_later(self, *arguments: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return self._loop.call_later(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def test_many_commands_in_a_row_take_one_timer() -> None:
    """Else the event loop keeps a timer for each command until its time."""
    loop: Any = CountingLoop()
    timer = CommandTimer(loop)
    for _ in range(100):
        assert timer.set(60, _never).is_set
        timer.cancel()
        assert not timer.is_set
    assert loop.timers == 1


class RoundingTimer(NamedTuple):
    """A timer of a loop whose clock rounds."""

    due_s: float

    def when(self) -> float:
        return self.due_s + 1e-9

    def cancel(self) -> None:
        """Nothing waits for it."""


class RoundingLoop:
    """A loop in which no time passes."""

    timers = 0

    def time(self) -> float:
        return 1_000.0

    def call_later(self, delay_s: float, *_: Any) -> RoundingTimer:
        self.timers += 1
        return RoundingTimer(self.time() + delay_s)


async def test_a_clock_that_rounds_takes_no_more_timers() -> None:
    """Else a command on uvloop sets a timer of its own whenever the clock happens to round up."""
    loop: Any = RoundingLoop()
    timer = CommandTimer(loop)
    for _ in range(100):
        timer.set(60, _never).cancel()
    assert loop.timers == 1


async def test_a_later_command_has_its_whole_time() -> None:
    """Else a statement is cancelled because of the one before it."""
    loop: Any = CountingLoop()
    timer = CommandTimer(loop)
    began_s = loop.time()
    timer.set(0.02, _never).cancel()
    ended: asyncio.Future[str] = loop.create_future()
    timer.set(0.1, ended.set_result, "over")
    assert await ended == "over"
    assert loop.time() - began_s >= 0.09  # the clock of uvloop is coarse
    assert (loop.timers, timer.is_set) == (2, False)


async def test_a_command_with_less_time_is_not_kept_waiting() -> None:
    """Else a ping of two seconds may take as long as a statement."""
    loop: Any = CountingLoop()
    timer = CommandTimer(loop)
    timer.set(3_600, _never).cancel()
    ended: asyncio.Future[str] = loop.create_future()
    timer.set(0.01, ended.set_result, "over")
    assert await asyncio.wait_for(ended, 60) == "over"


async def test_a_cancelled_limit_calls_nothing() -> None:
    """Else an answered statement is cancelled, or the next one."""
    loop: Any = CountingLoop()
    timer = CommandTimer(loop)
    timer.set(0.001, _never).cancel()
    await asyncio.sleep(0.02)
    assert not timer.is_set
    ended: asyncio.Future[str] = loop.create_future()
    timer.set(0.001, ended.set_result, "over")
    assert await ended == "over"


def _never() -> None:
    raise AssertionError("a cancelled time limit was reached")
