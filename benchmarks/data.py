"""What is stored: the same users, conversations and messages for every side, from one seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import NamedTuple, TypeVar
from uuid import UUID

T = TypeVar("T")

TITLE = "A conversation of some length"
LISTED = 20
"""How many conversations a list shows."""
LAST = 50
"""How many messages a history shows."""
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_SENTENCE = """
the model of a weather that nobody saw coming is what it says when you ask about rain
and wind or whether tomorrow brings sun over hills where people walk with their dogs
"""
_WORDS = _SENTENCE.split()


class Size(NamedTuple):
    """How much is loaded before anything is measured."""

    users: int = 50
    read: int = 10
    """Conversations of each user that are only read."""
    written: int = 11
    """Conversations of each user that are appended to."""
    messages: int = 100
    """Messages in each of these."""
    long: int = 20
    """Long conversations, one for each of the first users."""
    long_messages: int = 5_000
    imported: int = 10_000
    """Messages that an import brings."""

    @property
    def total(self) -> int:
        """Messages that every side holds at the start."""
        shorter = self.users * (self.read + self.written) * self.messages
        return shorter + self.long * self.long_messages


FULL = Size()
QUICK = Size(users=8, long=2)
TINY = Size(users=2, messages=60, long=2, long_messages=120, imported=100)


class Place(NamedTuple):
    """A conversation and whose it is."""

    user_id: UUID
    conversation_id: UUID


class Line(NamedTuple):
    """A message before it is stored, with an id and a time for those sides that load them."""

    id: UUID
    position: int
    role: str
    content: str
    at: datetime


@dataclass(frozen=True)
class Data:
    """Everything that is loaded, made from ``seed``; two of the same seed are the same."""

    size: Size
    seed: int
    users: list[UUID] = field(init=False, default_factory=list)
    read: list[Place] = field(init=False, default_factory=list)
    written: list[Place] = field(init=False, default_factory=list)
    long: list[Place] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        for number in range(self.size.users):
            user_id = _uuid(dice, _BEGINNING)
            self.users.append(user_id)
            self.read.extend(_places(dice, user_id, self.size.read))
            self.written.extend(_places(dice, user_id, self.size.written))
            self.long.extend(_places(dice, user_id, int(number < self.size.long)))
        for places in (self.read, self.written, self.long):
            dice.shuffle(places)  # one after the other belongs to somebody else

    def conversations(self) -> Iterator[tuple[Place, int]]:
        """Yield every conversation with the number of its messages."""
        for place in (*self.read, *self.written):
            yield place, self.size.messages
        for place in self.long:
            yield place, self.size.long_messages

    def lines(self, place: Place, count: int) -> Iterator[Line]:
        """Yield the messages of a conversation, user and assistant in turn, in order."""
        dice = random.Random(f"{self.seed} {place.conversation_id}")
        at = _some_time(dice)
        for index in range(count):
            role = ("user", "assistant")[index % 2]
            at += timedelta(seconds=1)
            yield Line(_uuid(dice, at), index + 1, role, _text(dice, role), at)

    def new_lines(self, count: int) -> list[Line]:
        """Return ``count`` messages for an import."""
        return list(self.lines(self.read[0], count))


class Rotation:
    """What each operation of a side works on: the next conversation, a new text.

    A conversation comes again only after all others, so that no two operations at a time wait
    for one row.
    """

    def __init__(self, data: Data, salt: str) -> None:
        dice = random.Random(f"{data.seed} {salt}")
        self.read = _rotate(data.read, dice)
        self.written = _rotate(data.written, dice)
        self.long = _rotate(data.long, dice)
        self.questions = cycle([_text(dice, "user") for _ in range(200)])
        self.answers = cycle([_text(dice, "assistant") for _ in range(200)])


def _rotate(items: Sequence[T], dice: random.Random) -> Iterator[T]:
    return cycle(dice.sample(items, len(items)))


def _places(dice: random.Random, user_id: UUID, count: int) -> Iterator[Place]:
    for _ in range(count):
        yield Place(user_id, _uuid(dice, _some_time(dice)))


def _some_time(dice: random.Random) -> datetime:
    return _BEGINNING + timedelta(seconds=dice.randrange(1_000_000))


def _uuid(dice: random.Random, at: datetime) -> UUID:
    """A UUIDv7 as it would have been made at that time."""
    milliseconds = int(at.timestamp() * 1_000)
    bits = milliseconds << 80 | 0x7 << 76 | dice.getrandbits(12) << 64
    return UUID(int=bits | 0b10 << 62 | dice.getrandbits(62))


def _text(dice: random.Random, role: str) -> str:
    """A question of some 60 characters, or an answer of some 500."""
    words = dice.randint(4, 18) if role == "user" else dice.randint(30, 170)
    return " ".join(dice.choices(_WORDS, k=words))
