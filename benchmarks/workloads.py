"""What is measured: five operations that a chat backend does all the time."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from benchmarks.data import Rotation
from benchmarks.sides.base import Side, Turn

Operation = Callable[[], Awaitable[object]]


class Workload(NamedTuple):
    """``of`` returns an operation of a side, which takes the next conversation on each call."""

    name: str
    title: str
    of: Callable[[Side, Rotation], Operation]


def _append(side: Side, rotation: Rotation) -> Operation:
    return lambda: side.append(next(rotation.written), next(rotation.questions))


def _last_of_short(side: Side, rotation: Rotation) -> Operation:
    return lambda: side.last(next(rotation.read))


def _last_of_long(side: Side, rotation: Rotation) -> Operation:
    return lambda: side.last(next(rotation.long))


def _list(side: Side, rotation: Rotation) -> Operation:
    return lambda: side.list(next(rotation.read))


def _turn(side: Side, rotation: Rotation) -> Operation:
    def take() -> Awaitable[None]:
        turn = Turn(next(rotation.questions), next(rotation.answers))
        return side.turn(next(rotation.written), turn)

    return take


WORKLOADS = (
    Workload("append", "append a message", _append),
    Workload("last-of-100", "last 50 of 100", _last_of_short),
    Workload("last-of-5000", "last 50 of 5,000", _last_of_long),
    Workload("list", "list 20 conversations", _list),
    Workload("turn", "one chat turn", _turn),
)
"""A chat turn reads the last 50 messages and appends the question and the answer."""


def can_do(side: Side, workload: Workload) -> bool:
    """Return whether ``side`` can do the workload."""
    if side.appends_alone:
        return workload.name == "append"
    return side.lists or workload.name != "list"
