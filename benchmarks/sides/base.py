"""What every side of the comparison can be asked to do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from benchmarks.data import Data, Line, Place


class Turn(NamedTuple):
    """What a user says and what they are answered."""

    question: str
    answer: str


class Side(ABC):
    """One way to keep conversations, in its own best configuration.

    The coroutines are what a web handler would await: each is a unit of work of its own, and is
    durable when it returns. Several run at a time, never two on one conversation.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    """The distribution whose version stands in the results."""
    note: ClassVar[str]
    """How it is used here."""
    lists: ClassVar[bool] = True
    """Whether it can list a user's conversations."""
    appends_alone: ClassVar[bool] = False
    """Whether it differs from another side in its appends only."""
    imports: ClassVar[bool] = True
    """Whether it has an import of its own."""
    import_limit: ClassVar[int | None] = None
    """How many messages an import brings, where the full number would take minutes."""

    @abstractmethod
    async def load(self, url: str, data: Data) -> None:
        """Make the tables, where they are not faceplate's, and store all of ``data``."""

    @abstractmethod
    async def open(self, url: str, connections: int) -> None:
        """Open a pool of up to ``connections``."""

    @abstractmethod
    async def close(self) -> None:
        """Close the pool."""

    @abstractmethod
    async def append(self, place: Place, text: str) -> object:
        """Store a user's message at the end of a conversation, and move its activity."""

    @abstractmethod
    async def last(self, place: Place) -> Sequence[Any]:
        """Return the last 50 messages, in order."""

    @abstractmethod
    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        """Store a new conversation with all of ``lines``."""

    async def list(self, place: Place) -> Sequence[Any]:
        """Return 20 conversations of a user, those with the newest activity."""
        raise NotImplementedError

    async def turn(self, place: Place, turn: Turn) -> None:
        """Read the last 50 messages and store the question, then store the answer.

        Between the two a model would think, so they are never one transaction.
        """
        await self.last(place)
        await self.append(place, turn.question)
        await self.append(place, turn.answer)

    @abstractmethod
    def content(self, message: Any) -> str:
        """Return the text of one of `last`'s messages."""
