"""The choice of the server that a unit reads from."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._replicas.floors import Floor, Floors
from faceplate._replicas.position import Position
from faceplate._replicas.primary import PrimaryWatch
from faceplate._replicas.replica import Life, Replica
from faceplate._replicas.watch import OnConnect, Watch
from faceplate.config import Settings

WAIT_S = 0.05
"""How long a read waits for a replica to catch up with its user. Then the primary serves it."""
NEAR_S = 1.0
"""A replica that is further behind is not waited for."""
VAIN_S = 0.25
"""How long no read waits after one that has waited in vain."""


class Replicas:
    """The replicas of one `Database`, and what its users have seen."""

    def __init__(self, settings: Settings) -> None:
        self.primary = PrimaryWatch(settings.of_owner)
        self.all = [Replica(each, self.primary) for each in settings.of_replicas]
        self._floors = Floors(time.monotonic())
        self._no_wait_until_s = 0.0

    @property
    def _watches(self) -> list[Watch]:
        return [self.primary, *(replica.watch for replica in self.all)]

    @property
    def engines(self) -> list[AsyncEngine]:
        """The engine of each replica."""
        return [replica.engine for replica in self.all]

    def start(self, on_connect: OnConnect) -> None:
        """Begin to ask the servers how far they are, over connections of their own."""
        for watch in self._watches:
            watch.start(on_connect)

    def cancel(self) -> None:
        """Ask no more."""
        for watch in self._watches:
            watch.cancel()

    async def ended(self) -> None:
        """Return when nothing is asked any more."""
        for watch in self._watches:
            await watch.ended()

    @contextmanager
    def using_primary(self, user: UUID) -> Iterator[None]:
        """Have the user's reads find all that the primary shows during the block.

        While it lasts they run on the primary, too.
        """
        floor = self._floors.of(user)
        floor.writers += 1
        try:
            yield
        finally:
            floor.writers -= 1
            floor.used_primary(time.monotonic())
            self.primary.note_use()

    @contextmanager
    def using_replica(self, user: UUID, life: Life) -> Iterator[None]:
        """Have the user's reads find all that a replica shows during the block.

        While it lasts they run on the same replica, or on the primary.
        """
        floor = self._floors.of(user)
        floor.readers, floor.reading = floor.readers + 1, life
        floor.used_replica(life, time.monotonic())
        try:
            yield
        finally:
            floor.readers -= 1
            floor.used_replica(life, time.monotonic())

    def rise_to(self, user: UUID, system: int, position: Position) -> None:
        """Have the user's next reads find all that is before ``position`` of a cluster.

        A place of another cluster, from which the data was moved, says nothing here.
        """
        history = self.primary.history
        if history is None or history.system == system:
            self._floors.of(user).rise_to(position)

    async def choose(self, user: UUID) -> Replica | None:
        """Return a replica that has all that the user has seen; None if the primary has to serve.

        It waits up to `WAIT_S` for one that is about to catch up.
        """
        floor = self._floors.of(user)
        found = self._find(user, floor)
        until_s = time.monotonic()
        if found is None and until_s >= self._no_wait_until_s and not floor.writers:
            until_s += WAIT_S
        while found is None and (left_s := until_s - time.monotonic()) > 0:
            watches: list[Watch] = [replica.watch for replica in self.all if _is_near(replica)]
            if not watches:
                return None
            if self.primary.position_after(floor.moment_for(None)) is None:
                watches.append(self.primary)
            for watch in watches:
                watch.hurry()
            answers = {watch.next_answer for watch in watches}
            await asyncio.wait(answers, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            found = self._find(user, floor)
            if found is None and time.monotonic() >= until_s:
                self._no_wait_until_s = until_s + VAIN_S
        return found

    def _find(self, user: UUID, floor: Floor) -> Replica | None:
        """Return the replica that the user has read from, or another one, if it has got so far.

        Users are spread over the replicas by their ids.
        """
        first = user.int % len(self.all)
        in_order = self.all[first:] + self.all[:first]
        if floor.life is not None:
            in_order.sort(key=lambda replica: replica.watch.life is not floor.life)
        for replica in in_order:
            if replica.problem is None and self._has_reached(replica, floor):
                return replica
        return None

    def _has_reached(self, replica: Replica, floor: Floor) -> bool:
        """Return whether a replica has all that a user has seen."""
        position, life = replica.watch.position, replica.watch.life
        if position is None or not floor.allows(life):
            return False
        after = self.primary.position_after(floor.moment_for(life))
        return after is not None and position >= max(after, floor.position)


def _is_near(replica: Replica) -> bool:
    lag_s = replica.lag_s
    return replica.problem is None and lag_s is not None and lag_s < NEAR_S
