"""The ids that a unit mints."""

from uuid import UUID

from uuid6 import uuid7


class Ids:
    """The ids of one unit, in order: when the unit is run again, it is given the same ones."""

    def __init__(self) -> None:
        self.minted: list[UUID] = []
        self._given = 0

    def next(self) -> UUID:
        if self._given == len(self.minted):
            self.minted.append(uuid7())
        self._given += 1
        return self.minted[self._given - 1]

    def rewind(self) -> None:
        self._given = 0
