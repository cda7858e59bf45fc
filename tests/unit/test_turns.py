"""Turns are taken in the order of arrival, even if some waiters give up."""

import asyncio
import random

import pytest

from faceplate._driver.turns import Turns
from faceplate.errors import Overloaded, PoolExhausted

LONG_S = 60.0


class Queue:
    """Callers of one `Turns`, and the order in which they were served."""

    def __init__(self, places: int, max_waiting: int = 100) -> None:
        self.turns = Turns(places, max_waiting)
        self.served: list[int] = []

    async def arrive(self, number: int, limit_s: float = LONG_S) -> "asyncio.Task[None]":
        """Return when the caller has a place, or waits for one."""

        async def call() -> None:
            await self.turns.wait(limit_s)
            self.served.append(number)

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        return task


async def settle() -> None:
    """Let all that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_places_are_taken_at_once_and_given_to_who_has_waited_longest() -> None:
    """Else a caller waits for as long as others come, and is given up in the end."""
    queue = Queue(places=2)
    for number in range(6):
        await queue.arrive(number)
    assert queue.served == [0, 1]
    for _ in range(4):
        queue.turns.give_back()
        assert not queue.turns.take()  # nobody overtakes, not even before the other one has run
        await settle()
    assert queue.served == [0, 1, 2, 3, 4, 5]
    assert queue.turns.waiting == 0
    assert not queue.turns.take()
    queue.turns.give_back()
    assert queue.turns.take()


async def test_a_caller_that_gives_up_is_passed_over() -> None:
    """Else its place is lost, and the pool smaller by one for good."""
    queue = Queue(places=1)
    tasks = [await queue.arrive(number) for number in range(4)]
    tasks[1].cancel()
    await settle()
    assert queue.turns.waiting == 2
    tasks[2].cancel()
    queue.turns.give_back()  # at the very moment: the cancelled one has not run yet
    await settle()
    assert queue.served == [0, 3]
    queue.turns.give_back()
    assert queue.turns.take()
    assert not queue.turns.take()


async def test_a_place_that_comes_together_with_a_cancellation_is_passed_on() -> None:
    """Else a client that goes away at the wrong moment takes a connection with it."""
    queue = Queue(places=1)
    tasks = [await queue.arrive(number) for number in range(3)]
    queue.turns.give_back()
    tasks[1].cancel()  # it has the place and does not know it yet
    await settle()
    assert tasks[1].cancelled()
    assert queue.served == [0, 2]
    queue.turns.give_back()
    assert queue.turns.take()
    assert not queue.turns.take()


async def test_a_caller_waits_no_longer_than_its_limit() -> None:
    """Else a request is answered long after its client has gone."""
    queue = Queue(places=1)
    await queue.arrive(0)
    impatient = await queue.arrive(1, limit_s=0)
    patient = await queue.arrive(2)
    with pytest.raises(PoolExhausted, match="pool_timeout_s"):
        await impatient
    assert queue.turns.waiting == 1
    queue.turns.give_back()
    await patient
    assert queue.served == [0, 2]


async def test_one_too_many_is_refused_at_once() -> None:
    """Else a crowd waits in memory for what it will not get in time."""
    queue = Queue(places=1, max_waiting=1)
    await queue.arrive(0)
    waiting = await queue.arrive(1)
    with pytest.raises(Overloaded, match="1 units wait"):
        await queue.turns.wait(LONG_S)
    waiting.cancel()
    await settle()
    replaced = await queue.arrive(2)
    queue.turns.give_back()
    await replaced
    assert queue.served == [0, 2]


@pytest.mark.parametrize("seed", range(20))
async def test_order_and_number_of_places_hold_in_a_storm(seed: int) -> None:
    """Else some order of arrivals, cancellations and returns loses a place or lets one overtake."""
    dice = random.Random(seed)
    queue = Queue(places=3)
    tasks: list[asyncio.Task[None]] = []
    returned = 0
    for _ in range(300):
        match dice.randrange(4):
            case 0 | 1:
                tasks.append(await queue.arrive(len(tasks)))
            case 2 if tasks:
                dice.choice(tasks).cancel()
            case 3 if returned < len(queue.served):
                returned += 1
                queue.turns.give_back()
        if dice.random() < 0.5:
            await settle()
        assert len(queue.served) - returned <= 3
    while returned < len(queue.served):
        returned += 1
        queue.turns.give_back()
        await settle()
    assert queue.served == sorted(queue.served)
    assert queue.turns.waiting == 0
    assert [queue.turns.take() for _ in range(4)] == [True, True, True, False]
