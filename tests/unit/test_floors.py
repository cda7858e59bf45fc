"""What a user's next read has to find, and how long that is known."""

import asyncio
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from faceplate._replicas.floors import Floor, Floors
from faceplate._replicas.position import START, Position
from faceplate._replicas.primary import MAX_SAMPLES, History, PrimaryWatch
from faceplate._replicas.replica import Life
from faceplate._replicas.routing import Replicas
from faceplate.config import Settings

LATER = Position(2, 5)


def test_a_position_of_a_later_timeline_is_later() -> None:
    assert START < Position(1, 900) < LATER < Position(2, 6)


def life() -> Life:
    return Life(7, "today")


def test_a_use_of_the_primary_counts_what_a_replica_has_shown() -> None:
    floor = Floor(0.0)
    floor.used_replica(life(), 1.0)
    floor.used_primary(2.0)
    assert (floor.primary_s, floor.life) == (2.0, None)


def test_a_use_of_the_primary_is_not_forgotten_over_a_replica() -> None:
    floor, one = Floor(0.0), life()
    floor.used_primary(2.0)
    floor.used_replica(one, 3.0)
    assert (floor.moment_for(one), floor.moment_for(life()), floor.moment_for(None)) == (2, 3, 3)


def test_another_replica_must_have_what_the_first_one_showed() -> None:
    floor, first, second = Floor(0.0), life(), life()
    floor.used_replica(first, 1.0)
    assert (floor.moment_for(first), floor.moment_for(second)) == (0, 1)
    floor.used_replica(second, 2.0)
    assert (floor.moment_for(first), floor.moment_for(second)) == (2, 1)


def test_no_other_server_is_read_while_a_unit_runs() -> None:
    floor, one = Floor(0.0), life()
    floor.readers, floor.reading = 1, one
    assert floor.allows(one)
    assert not floor.allows(life())
    floor.writers = 1
    assert not floor.allows(one)


def test_floors_that_are_dropped_hold_for_everybody_else() -> None:
    floors = Floors(0.0, max_users=2)
    first, second, *others = (UUID(int=number) for number in range(5))
    floors.of(first).rise_to(LATER)
    floors.of(second).used_replica(life(), 7.0)
    for other in others:
        floors.of(other)
    assert len(floors) == 2
    again = floors.of(first)
    assert (again.position, again.primary_s) == (LATER, 7.0)


def test_the_users_that_were_active_last_are_kept() -> None:
    floors = Floors(0.0, max_users=2)
    busy, idle, new = (UUID(int=number) for number in range(3))
    kept = floors.of(busy)
    kept.used_primary(3.0)
    floors.of(idle)
    assert floors.of(busy) is kept
    floors.of(new)
    assert floors.of(busy) is kept
    assert floors.of(new).primary_s == 0.0


class Told(PrimaryWatch):
    """A watch of a primary that has said this, in the order of time."""

    def __init__(self, said: list[tuple[float, Position]], **settings: Any) -> None:
        super().__init__(Settings(database_url=SecretStr("postgresql://a@b/c"), **settings))
        for asked_s, position in said:
            self.position, self.asked_s = position, asked_s
            self._keep(asked_s, position)


async def test_a_position_counts_what_was_committed_before_it_was_asked_for() -> None:
    watch = Told([(1.0, Position(1, 10)), (2.0, Position(1, 20)), (2.001, Position(1, 21))])
    assert watch.position_after(0.5) == (1, 10)
    assert watch.position_after(1.0) == (1, 20)
    assert watch.position_after(2.0) == (1, 21)  # too close to be kept, and the newest
    assert watch.position_after(2.001) is None


async def test_how_far_a_position_is_behind() -> None:
    watch = Told([(float(n), Position(1, 10 * n)) for n in range(1, 6)])
    assert watch.lag_s(Position(1, 50), 6.0) == 0
    assert watch.lag_s(Position(2, 1), 6.0) == 0
    assert watch.lag_s(Position(1, 49), 6.0) == 1.0
    assert watch.lag_s(Position(1, 10), 6.0) == 4.0
    assert watch.lag_s(Position(1, 10), 2.5) == 1.0  # no more than there was when it was asked
    assert watch.lag_s(Position(1, 9), 6.0) == float("inf")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200), st.data())
def test_what_is_kept_never_tells_too_little(steps: list[int], data: st.DataObject) -> None:
    """Of any number of answers, whatever is thinned out or dropped."""

    async def check() -> None:
        said = [
            (number * 0.01, Position(1, sum(steps[: number + 1]))) for number in range(len(steps))
        ]
        watch = Told(said, max_replica_lag_s=1.0)
        moment_s = data.draw(st.floats(-1, len(steps) * 0.01))
        found = watch.position_after(moment_s)
        told = [position for asked_s, position in said if asked_s > moment_s]
        assert (found is None) == (not told)
        assert found is None or found >= told[0]

    asyncio.run(check())


async def test_what_is_kept_is_bounded() -> None:
    watch = Told([(float(n), Position(1, n)) for n in range(3 * MAX_SAMPLES)])
    assert len(watch._times) == len(watch._positions) <= MAX_SAMPLES
    assert watch.position_after(3 * MAX_SAMPLES - 10) == (1, 3 * MAX_SAMPLES - 9)


def test_a_floor_in_use_is_not_dropped() -> None:
    """Else what is shown to the user meanwhile is forgotten."""
    floors = Floors(0.0, max_users=2)
    busy, others = UUID(int=9), [UUID(int=number) for number in range(5)]
    kept = floors.of(busy)
    kept.writers += 1
    for other in others:
        floors.of(other)
    assert floors.of(busy) is kept
    kept.writers -= 1
    for other in others:
        floors.of(other)
    assert len(floors) == 2
    assert floors.of(busy) is not kept


async def test_a_watch_that_was_cancelled_is_not_believed() -> None:
    """Else a unit waits for ever for it to answer once more."""
    watch = Told([(1.0, LATER)])
    watch.start(lambda _: None)
    answer = watch.next_answer
    await asyncio.sleep(0)
    watch.cancel()
    await watch.ended()
    assert answer.done()
    assert (watch.position, watch.problem) == (None, "it is not asked any more")


async def test_a_token_of_another_cluster_says_nothing() -> None:
    """Data was moved: the places of the old log would send every user to the primary for ever."""
    settings = Settings(database_url=SecretStr("postgresql://a@b/c"))
    replicas = Replicas(settings)
    replicas.primary.history = History(1, "", 7)
    user = UUID(int=1)
    replicas.rise_to(user, 8, LATER)
    assert replicas._floors.of(user).position == START
    replicas.rise_to(user, 7, LATER)
    assert replicas._floors.of(user).position == LATER


async def test_a_watch_ends_when_it_is_told_at_any_moment() -> None:
    """Else closing a Database waits for ever."""
    for steps in range(6):
        watch = Told([])
        pausing = asyncio.create_task(watch._pause())
        await asyncio.sleep(0.005)  # beyond the shortest pause
        watch.hurry()
        for _ in range(steps):
            await asyncio.sleep(0)
        is_over = pausing.done()
        pausing.cancel()
        await asyncio.wait({pausing})
        assert pausing.cancelled() or is_over
