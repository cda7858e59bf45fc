"""What each user has seen, and so has to find on the server of the next read."""

from collections import OrderedDict
from uuid import UUID

from faceplate._replicas.position import START, Position
from faceplate._replicas.replica import Life

MAX_USERS = 100_000
NEVER_S = float("-inf")


class Floor:
    """How far a server must be for one user's reads. It only ever rises."""

    __slots__ = ("life", "position", "primary_s", "replica_s", "uses")

    def __init__(self, position: Position = START, primary_s: float = NEVER_S) -> None:
        self.position = position
        """A place that the server must have reached."""
        self.primary_s = primary_s
        """When the primary was used last: the server must have what was committed by then."""
        self.life: Life | None = None
        """The run of the replica that was read from last, if the primary was not used since."""
        self.replica_s = NEVER_S
        """When that was: another server must have what this one had by then."""
        self.uses = 0
        """How many units use the primary now, and may have shown anything of it already."""

    def rise_to(self, position: Position) -> None:
        """Ask for ``position`` from now on."""
        self.position = max(self.position, position)

    def used_primary(self, now_s: float) -> None:
        """Ask for everything that the primary showed by ``now_s``."""
        self.primary_s = max(self.primary_s, now_s)
        self.life = None  # the primary had all that a replica had

    def used_replica(self, life: Life, now_s: float) -> None:
        """Ask for everything that this replica showed by ``now_s``."""
        if self.life is not None and self.life is not life:
            self.used_primary(now_s)  # of two at a time, either may have been ahead
        else:
            self.life, self.replica_s = life, now_s

    def leave_replica(self) -> None:
        """Ask for what the primary showed then, in place of what a replica did."""
        self.used_primary(self.replica_s)


class Floors:
    """The floors of the users that were active last, `MAX_USERS` of them.

    Those of others become one that holds for everybody who is not among them. That is little to
    ask, because it is of long ago.
    """

    def __init__(self, max_users: int = MAX_USERS) -> None:
        self._of: OrderedDict[UUID, Floor] = OrderedDict()
        self._max_users = max_users
        self._others = Floor()

    def __len__(self) -> int:
        return len(self._of)

    def of(self, user: UUID) -> Floor:
        """Return the floor of a user."""
        floor = self._of.get(user)
        if floor is not None:
            self._of.move_to_end(user)
            return floor
        floor = self._of[user] = Floor(self._others.position, self._others.primary_s)
        if len(self._of) > self._max_users:
            self._drop_oldest()
        return floor

    def _drop_oldest(self) -> None:
        user, oldest = self._of.popitem(last=False)
        if oldest.uses:
            self._of[user] = oldest  # as the newest: it is one more than there may be
            return
        if oldest.life is not None:
            oldest.leave_replica()
        self._others.rise_to(oldest.position)
        self._others.used_primary(oldest.primary_s)
