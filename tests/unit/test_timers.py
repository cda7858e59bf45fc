"""Timers: each is due when asyncio's own would be, and a cancelled one never.

Time is what they are about, so the tests let some pass: a few hundredths of a second.
"""

import asyncio

from faceplate._driver.timers import LoopWithCheapTimers


async def test_timers_ring_in_their_order_and_not_before_their_time() -> None:
    """Else a command is given up too early, or never."""
    loop = asyncio.get_running_loop()
    timers = LoopWithCheapTimers(loop)
    begun_s = loop.time()
    rung: list[tuple[str, float]] = []

    def ring(name: str) -> None:
        rung.append((name, loop.time() - begun_s))

    timers.call_later(0.04, ring, "first")
    timers.call_later(0.02, ring, "soon")
    await asyncio.sleep(0.01)  # so that the second is due after the first
    timers.call_later(0.04, ring, "second")
    await asyncio.sleep(0.1)  # twice the longest of them
    assert [name for name, _ in rung] == ["soon", "first", "second"]
    dues = (0.02, 0.04, 0.05)
    # A loop may be early by as much as its clock can tell.
    assert all(after_s >= due_s - 0.001 for (_, after_s), due_s in zip(rung, dues, strict=True))


async def test_a_cancelled_timer_rings_no_more_and_lets_the_others_ring() -> None:
    """Else what was answered in time is given up afterwards."""
    timers = LoopWithCheapTimers(asyncio.get_running_loop())
    rung: list[int] = []
    of_all = [timers.call_later(0.01, rung.append, number) for number in range(5)]
    for number in (0, 2, 2):
        of_all[number].cancel()
    await asyncio.sleep(0.05)  # five times theirs
    assert rung == [1, 3, 4]
    of_all[1].cancel()


async def test_it_goes_on_after_there_was_nothing_to_wait_for() -> None:
    """Else only the commands of the first minute have a time limit."""
    timers = LoopWithCheapTimers(asyncio.get_running_loop())
    rung = asyncio.Event()
    timers.call_later(0.01, rung.set).cancel()
    await asyncio.sleep(0.03)  # three times its own
    timers.call_later(0.01, rung.set)
    async with asyncio.timeout(20):
        await rung.wait()


async def test_all_else_is_the_event_loop() -> None:
    """The driver makes its futures and its connections with it."""
    loop = asyncio.get_running_loop()
    timers = LoopWithCheapTimers(loop)
    assert timers.create_future().get_loop() is loop
    assert timers.time == loop.time
