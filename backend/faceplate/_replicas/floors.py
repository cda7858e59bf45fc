"""What each user has seen, and so has to find on the server of the next read."""

from collections import OrderedDict
from uuid import UUID

from faceplate._replicas.position import START, Position
from faceplate._replicas.replica import Life

MAX_USERS = 100_000


class Floor:
    """How far a server must be for one user's reads. It only ever rises."""

    __slots__ = ("life", "position", "primary_s", "readers", "reading", "replica_s", "writers")

    def __init__(self, primary_s: float, position: Position = START) -> None:
        self.position = position
        """A place that the server must have reached, from a token."""
        self.primary_s = primary_s
        """When the primary was used last: the server must have what was committed by then."""
        self.life: Life | None = None
        """The life of the replica that was read from last, if the primary was not used since."""
        self.replica_s = primary_s
        """When that was. Another server must have what the primary had by then, which is more."""
        self.writers = 0
        """How many units use the primary now, and may have shown anything of it already."""
        self.readers = 0
        """How many units read from the replica ``reading`` now."""
        self.reading: Life | None = None

    def moment_for(self, life: Life | None) -> float:
        """Return the time whose state of the primary a replica in ``life`` must have."""
        if self.life is None or self.life is life:
            return self.primary_s
        return max(self.primary_s, self.replica_s)

    def allows(self, life: Life | None) -> bool:
        """Return whether no unit that runs elsewhere may have shown more."""
        return not self.writers and (not self.readers or self.reading is life)

    def rise_to(self, position: Position) -> None:
        """Ask for ``position`` from now on."""
        self.position = max(self.position, position)

    def used_primary(self, now_s: float) -> None:
        """Ask for everything that the primary showed by ``now_s``."""
        self.primary_s = max(self.primary_s, now_s)
        self.life = None  # the primary had all that a replica had

    def used_replica(self, life: Life, now_s: float) -> None:
        """Ask for everything that this replica showed by ``now_s``."""
        self.primary_s = self.moment_for(life)
        self.life, self.replica_s = life, now_s


class Floors:
    """The floors of the users that were active last, `MAX_USERS` of them.

    Those of others become one that holds for everybody who is not among them. At first it asks for
    what the primary had when the program was started: an earlier one may have shown it.
    """

    def __init__(self, now_s: float, max_users: int = MAX_USERS) -> None:
        self._of: OrderedDict[UUID, Floor] = OrderedDict()
        self._max_users = max_users
        self._others = Floor(now_s)

    def __len__(self) -> int:
        return len(self._of)

    def of(self, user: UUID) -> Floor:
        """Return the floor of a user."""
        floor = self._of.get(user)
        if floor is not None:
            self._of.move_to_end(user)
            return floor
        floor = self._of[user] = Floor(self._others.primary_s, self._others.position)
        for _ in range(2):  # one more than was added, because some may have been kept
            if len(self._of) > self._max_users:
                self._drop_oldest()
        return floor

    def _drop_oldest(self) -> None:
        user, oldest = self._of.popitem(last=False)
        if oldest.writers or oldest.readers:
            self._of[user] = oldest  # as the newest: it is one more than there may be
            return
        self._others.rise_to(oldest.position)
        self._others.used_primary(oldest.moment_for(None))
