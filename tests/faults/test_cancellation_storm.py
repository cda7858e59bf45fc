"""Units that are cancelled at any moment, in each way that there is.

Crowds of units share a pool that is too small for them, over a link on which every message takes
its time, so that they are hit while they wait for a connection, make one, begin, run, commit, roll
back, or give a connection back.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import anyio
import pytest
from tests.campaigns import Campaign
from tests.faults.plans import plans
from tests.faults.proxy import Action, Fault, Message, is_commit
from tests.faults.servers import OwnServer
from tests.faults.trials import Bench, State, bench
from tests.units import Belongings, nobodys

from faceplate.errors import ShuttingDown, was_committed

CROWD = 10
# No server goes away here, so that a machine which is slow to connect is no fault.
TIGHT = {"pool_size": 3, "max_overflow": 4, "connect_timeout_s": 30.0, "reconnect_timeout_s": 60.0}
DELAY_S = 0.001

# A sweep changes what belongs to the others in the crowd; to open what is there changes nothing.
LEFT_OUT = {"messages.sweep_drafts", "conversations.open, known"}
NAMES = [name for name in plans(nobodys()) if name not in LEFT_OUT]

Work: TypeAlias = Callable[[], Awaitable[None]]
Moment: TypeAlias = asyncio.Future[None]


class Victim:
    """One unit for one user, and what it raised to its caller."""

    def __init__(self, wire: Bench, name: str, own: Belongings, before: State) -> None:
        self._wire = wire
        self._own = own
        self._before = before
        self.name = name
        self.raised: BaseException | None = asyncio.CancelledError("it was never begun")

    async def run(self) -> None:
        try:
            await self._wire.run(self._own, plans(self._own)[self.name])
        except BaseException as error:
            self.raised = error
            raise
        self.raised = None

    async def judge(self) -> str | None:
        """Return what is wrong, if it is not as the caller was told."""
        is_written = await self._wire.rows(self._own) != self._before
        match self.raised:
            case None:
                right = is_written
            case asyncio.CancelledError() | ShuttingDown():
                right = is_written == was_committed(self.raised)
            case _:
                right = False
        if right:
            return None
        return f"{self.name} raised {self.raised!r} and was {'' if is_written else 'not '}written"


async def pick(wire: Bench, name: str) -> Victim:
    own = await wire.settle()
    return Victim(wire, name, own, await wire.rows(own))


@contextmanager
def at(moment: Moment, strike: Callable[[], object]) -> Iterator[None]:
    """Strike when the moment has come, if it comes before the end of the block."""

    is_over = False

    def land(_: Moment) -> None:
        if not is_over:
            strike()

    moment.add_done_callback(land)
    try:
        yield
    finally:
        is_over = True


async def cancel_the_task(work: Work, moment: Moment) -> None:
    task = asyncio.ensure_future(work())
    with at(moment, task.cancel):
        await asyncio.wait({task})
    await task


async def cancel_twice(work: Work, moment: Moment) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work())

    def strike() -> None:
        task.cancel()
        loop.call_later(2 * DELAY_S, task.cancel)

    with at(moment, strike):
        await asyncio.wait({task})
    await task


async def run_out_of_time(work: Work, moment: Moment) -> None:
    async with asyncio.timeout(None) as limit:
        with at(moment, lambda: limit.reschedule(0)):
            await work()


async def fail_beside(work: Work, moment: Moment) -> None:
    async def fail() -> None:
        await asyncio.shield(moment)
        raise ZeroDivisionError

    async def succeed() -> None:
        await work()
        failing.cancel()

    async with asyncio.TaskGroup() as group:
        failing = group.create_task(fail())
        group.create_task(succeed())


async def leave_a_scope(work: Work, moment: Moment) -> None:
    with anyio.CancelScope() as scope, at(moment, scope.cancel):
        await work()


async def end_of(work: Awaitable[None]) -> BaseException | None:
    # Not by asyncio.gather, which returns a CancelledError of its own making.
    try:
        await work
    except BaseException as error:  # noqa: BLE001 - it is looked at
        return error
    return None


WAYS = [cancel_the_task, run_out_of_time, fail_beside, leave_a_scope, cancel_twice]
Way: TypeAlias = Callable[[Work, Moment], Awaitable[None]]


@pytest.fixture
async def wire(steady_server: OwnServer) -> AsyncIterator[Bench]:
    async with bench(steady_server, **TIGHT, slow_statement_s=0) as wire:
        wire.proxy.delay_s = DELAY_S
        yield wire


async def time_a_crowd(wire: Bench, dice: random.Random) -> float:
    """Return how long a crowd takes that nobody cancels, in seconds."""
    crowd = [await pick(wire, dice.choice(NAMES)) for _ in range(CROWD)]
    started_s = time.monotonic()
    await asyncio.gather(*(victim.run() for victim in crowd))
    assert [await victim.judge() for victim in crowd] == [None] * CROWD
    return time.monotonic() - started_s


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_storm_leaves_nothing_behind_and_nobody_misinformed(
    wire: Bench, campaign: Campaign, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """Else clients that go away use up the connections, or their messages are stored twice."""
    caplog.set_level(logging.WARNING)
    loop, dice = asyncio.get_running_loop(), campaign.dice
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    longest_s = min([await time_a_crowd(wire, dice) for _ in range(3)])  # the first one connects
    for _ in range(campaign.size(50, 1000) // CROWD):
        crowd = [await pick(wire, dice.choice(NAMES)) for _ in range(CROWD)]
        moments = [loop.create_future() for _ in crowd]
        for moment in moments:
            loop.call_later(dice.uniform(0, longest_s), moment.set_result, None)
        working = [way(each.run, moment) for each, moment in zip(crowd, moments, strict=True)]
        await asyncio.gather(*working, return_exceptions=True)
        assert wire.db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # QueuePool's
        await asyncio.wait(moments)
        for victim in crowd:
            ends[type(victim.raised).__name__] += 1
            wrong += filter(None, [await victim.judge()])
    print(dict(ends))  # noqa: T201 - that it had any strength
    assert not wrong, "\n".join(wrong)
    assert ends["CancelledError"]
    await wire.check_leaks()
    assert caplog.messages == []


async def test_closing_in_a_storm_leaves_nothing_behind_and_nobody_misinformed(
    steady_server: OwnServer, campaign: Campaign, recwarn: pytest.WarningsRecorder
) -> None:
    """Else a deploy loses what was acknowledged, or stores twice what another process takes up."""
    dice = campaign.dice
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    async with bench(steady_server, **TIGHT, shutdown_timeout_s=0) as wire:
        wire.proxy.delay_s = DELAY_S
        longest_s = min([await time_a_crowd(wire, dice) for _ in range(3)])
        for _ in range(campaign.size(50, 1000) // CROWD):
            crowd = [await pick(wire, dice.choice(NAMES)) for _ in range(CROWD)]
            working = [asyncio.create_task(victim.run()) for victim in crowd]
            await asyncio.sleep(dice.uniform(0, longest_s))  # at any moment
            await wire.db.dispose()
            await asyncio.gather(*working, return_exceptions=True)
            await wire.check_leaks("")
            for victim in crowd:
                ends[type(victim.raised).__name__] += 1
                wrong += filter(None, [await victim.judge()])
            await wire.db.__aenter__()
    assert not recwarn.list
    print(dict(ends))  # noqa: T201 - that it had any strength
    assert not wrong, "\n".join(wrong)
    assert ends["ShuttingDown"]


SEEN: dict[Way, Any] = {
    cancel_the_task: asyncio.CancelledError,
    run_out_of_time: TimeoutError,
    fail_beside: ExceptionGroup,
    leave_a_scope: type(None),
    cancel_twice: asyncio.CancelledError,
}
"""What is seen from outside of each."""

TOLD_OUTSIDE = (cancel_the_task, run_out_of_time, cancel_twice)
"""The ways in which what is seen from outside still tells that the unit took effect."""


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_who_is_cancelled_during_commit_can_tell(wire: Bench, way: Way) -> None:
    """Else a message that is stored is sent once more, or a library takes the end for another's."""
    victim = await pick(wire, "messages.append")
    moment: Moment = asyncio.get_running_loop().create_future()

    def strike(message: Message) -> bool:
        if is_commit(message):
            moment.set_result(None)
        return is_commit(message)

    wire.proxy.plan(Fault(Action.DELAY, strike, delay_s=20 * DELAY_S))
    seen = await end_of(way(victim.run, moment))
    assert type(victim.raised) is asyncio.CancelledError
    assert was_committed(victim.raised)
    assert await victim.judge() is None
    assert isinstance(seen, SEEN[way])
    if way in TOLD_OUTSIDE:
        assert seen is not None
        assert was_committed(seen)
