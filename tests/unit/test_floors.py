"""What a user's next read has to find, and how long that is known."""

import asyncio
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from faceplate._replicas.floors import NEVER_S, Floor, Floors
from faceplate._replicas.position import START, Position
from faceplate._replicas.primary import MAX_SAMPLES, History, PrimaryWatch
from faceplate._replicas.replica import Life
from faceplate._replicas.routing import Replicas
from faceplate.config import Settings

LATER = Position(2, 5)


def test_a_position_of_a_later_timeline_is_later() -> None:
    assert START < Position(1, 900) < LATER < Position(2, 6)


def test_a_use_of_the_primary_counts_what_a_replica_has_shown() -> None:
    floor = Floor()
    floor.used_replica(Life("a"), 1.0)
    floor.used_primary(2.0)
    assert (floor.primary_s, floor.life) == (2.0, None)


def test_a_use_of_the_primary_is_not_forgotten_over_a_replica() -> None:
    floor, life = Floor(), Life("a")
    floor.used_primary(2.0)
    floor.used_replica(life, 3.0)
    assert (floor.primary_s, floor.life, floor.replica_s) == (2.0, life, 3.0)


def test_reads_of_two_replicas_at_a_time_ask_for_the_primary() -> None:
    """Else the next read may go to the one of them that was behind the other."""
    floor = Floor()
    floor.used_replica(Life("a"), 1.0)
    floor.used_replica(Life("b"), 2.0)
    assert (floor.primary_s, floor.life) == (2.0, None)


def test_floors_that_are_dropped_hold_for_everybody_else() -> None:
    floors = Floors(max_users=2)
    first, second, *others = (UUID(int=number) for number in range(5))
    floors.of(first).rise_to(LATER)
    floors.of(second).used_replica(Life("a"), 7.0)
    for other in others:
        floors.of(other)
    assert len(floors) == 2
    again = floors.of(first)
    assert (again.position, again.primary_s) == (LATER, 7.0)


def test_the_users_that_were_active_last_are_kept() -> None:
    floors = Floors(max_users=2)
    busy, idle, new = (UUID(int=number) for number in range(3))
    kept = floors.of(busy)
    kept.used_primary(3.0)
    floors.of(idle)
    assert floors.of(busy) is kept
    floors.of(new)
    assert floors.of(busy) is kept
    assert floors.of(new).primary_s == NEVER_S


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
    assert watch.lag_s(Position(1, 50)) == 0
    assert watch.lag_s(Position(2, 1)) == 0
    assert watch.lag_s(Position(1, 49)) == 1.0
    assert watch.lag_s(Position(1, 10)) == 4.0
    assert watch.lag_s(Position(1, 9)) == float("inf")


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


def test_a_user_of_the_primary_is_not_dropped() -> None:
    """Else what is shown to the user meanwhile is forgotten."""
    floors = Floors(max_users=1)
    busy, others = UUID(int=9), [UUID(int=number) for number in range(3)]
    kept = floors.of(busy)
    kept.uses += 1
    for other in others:
        floors.of(other)
    assert floors.of(busy) is kept


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
