"""What an SDK's sides do, and what is measured of them."""

from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import cast

import asyncpg

from benchmarks.data import Data, Place, Rotation, Size
from benchmarks.sides.base import Side, Turn
from benchmarks.workloads import Operation, Workload

# A side loads its data through the SDK, so there is less of it than elsewhere.
FULL = Size(users=20, read=1, written=11, long=8)
QUICK = Size(users=4, read=1, written=5, long=2)
TINY = Size(users=2, read=1, written=2, messages=60, long=2, long_messages=120)


class SdkSide(Side):
    """A store that is used through an SDK's interface."""

    lists = False
    imports = False

    @abstractmethod
    async def add(self, place: Place, turn: Turn) -> None:
        """Store a question and its answer, as the SDK does at the end of a run."""

    @abstractmethod
    async def everything(self, place: Place) -> Sequence[object]:
        """Return all messages of a conversation."""


async def make_users(url: str, data: Data) -> None:
    """Store the users of the data in faceplate, with their ids as text for subjects."""
    connection = await asyncpg.connect(url)
    try:
        await connection.copy_records_to_table(
            "users",
            schema_name="faceplate",
            columns=("id", "subject_id"),
            records=[(user_id, str(user_id)) for user_id in data.users],
        )
    finally:
        await connection.close()


def _add(side: Side, rotation: Rotation) -> Operation:
    sdk = cast("SdkSide", side)
    return lambda: sdk.add(next(rotation.written), _next_turn(rotation))


def _last(side: Side, rotation: Rotation) -> Operation:
    return lambda: side.last(next(rotation.long))


def _everything(side: Side, rotation: Rotation) -> Operation:
    sdk = cast("SdkSide", side)
    return lambda: sdk.everything(next(rotation.long))


def _turn(side: Side, rotation: Rotation) -> Operation:
    def take() -> Awaitable[None]:
        return side.turn(next(rotation.written), _next_turn(rotation))

    return take


def _next_turn(rotation: Rotation) -> Turn:
    return Turn(next(rotation.questions), next(rotation.answers))


SDK_WORKLOADS = (
    Workload("add", "add two messages", _add),
    Workload("last-of-5000", "last 50 of 5,000", _last),
    Workload("everything", "all of 5,000", _everything),
    Workload("turn", "one chat turn", _turn),
)
