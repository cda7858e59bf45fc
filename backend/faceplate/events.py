"""What befalls units beyond the ordinary: counted, logged once, and told to a listener.

=================  ===========================================================================
repeat             a unit begins anew: after a lost connection, contention, a changed schema
reconnect          a unit waits for the server to be there again
refusal            a unit was given up, since the database cannot be used or is too busy
unknown outcome    a unit was given up, and nobody can tell whether its COMMIT took effect
=================  ===========================================================================

Nothing here holds or writes what is in a row, or whose it is.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from faceplate.errors import (
    CommitOutcomeUnknown,
    Contention,
    FaceplateError,
    Overloaded,
    PoolExhausted,
    SchemaChanged,
    ShuttingDown,
    Unavailable,
    was_committed,
)
from faceplate.under_way import Task, UnderWay

logger = logging.getLogger("faceplate")

PASSING = (Contention, SchemaChanged)
BUSY = (Contention, Overloaded, PoolExhausted, ShuttingDown)
GIVEN_UP = (Contention, SchemaChanged, Unavailable)


class Kind(Enum):
    """The value is how a log line begins."""

    REPEAT = "repeating"
    RECONNECT = "reconnecting for"
    REFUSAL = "gave up"
    UNKNOWN_OUTCOME = "outcome unknown of"


class Event(NamedTuple):
    kind: Kind
    unit: str
    """The unit's module and name, such as ``messages.append``."""
    reason: str
    """The name of the error's class, such as ``ConnectionLost``."""
    sqlstate: str | None
    attempt: int
    """Which attempt at the unit ended so, from 1."""
    elapsed_s: float
    """Since the unit was called."""


class Listener(Protocol):
    """Whoever wants to hear of each unit, for example to trace it."""

    def observe(self, call: "Call") -> AbstractContextManager[Any]:
        """Return what is entered around a unit with all its attempts. It sees how that ends."""

    def record(self, event: Event) -> None:
        """Take notice of an event. It must neither raise nor block."""


@dataclass
class Counters:
    """How often each has happened since the `Database` was made. A reason is an error's name."""

    repeats: Counter[str] = field(default_factory=Counter)
    """By reason: ConnectionLost, Contention, SchemaChanged."""
    reconnects: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By reason: PoolExhausted, Overloaded, CannotConnect, Unavailable and so on."""
    unknown_outcomes: int = 0

    def count(self, event: Event) -> None:
        match event.kind:
            case Kind.REPEAT:
                self.repeats[event.reason] += 1
            case Kind.RECONNECT:
                self.reconnects += 1
            case Kind.REFUSAL:
                self.refusals[event.reason] += 1
            case Kind.UNKNOWN_OUTCOME:
                self.unknown_outcomes += 1


class Events:
    """Where events of one `Database` go, and what is under way in it."""

    def __init__(self) -> None:
        self.under_way = UnderWay()
        self.counters = Counters()
        self.listener: Listener | None = None

    def record(self, event: Event, error: FaceplateError) -> None:
        self.counters.count(event)
        _log(event, error)
        if self.listener is not None:
            self.listener.record(event)


class Call:
    """``with`` it around one call of `Database.run` or `Database.begin`, all attempts together."""

    tasks = ()
    __slots__ = ("_cut_off_in", "_events", "_observation", "_started_s", "_unit", "attempt")

    def __init__(self, events: Events, unit: object) -> None:
        self._events = events
        self._unit = unit
        self._observation: AbstractContextManager[Any] | None = None
        self._cut_off_in: Task | None = None
        self._started_s = time.monotonic()
        self.attempt = 1

    @property
    def unit(self) -> str:
        """The unit's module and name, such as ``messages.append``, or ``begin`` for a block."""
        if isinstance(self._unit, str):
            return self._unit
        module = str(getattr(self._unit, "__module__", "")).rpartition(".")[2]
        name = getattr(self._unit, "__qualname__", None) or type(self._unit).__name__
        return f"{module}.{name}"

    def cut_off(self, task: Task) -> None:
        """Cancel it, and let the caller be told by ShuttingDown, as by `asyncio.timeout`."""
        self._cut_off_in = task
        task.cancel()

    def __enter__(self) -> Self:
        try:
            self._events.under_way.begin(self)
        except ShuttingDown as refusal:
            self._record_end(refusal)
            raise
        if self._events.listener is not None:
            self._observation = self._events.listener.observe(self)
            self._observation.__enter__()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._events.under_way.end(self)
        told = error if self._cut_off_in is None else self._told(self._cut_off_in, error)
        if isinstance(told, FaceplateError):
            self._record_end(told)
        if self._observation is not None:
            self._observation.__exit__(None if told is None else type(told), told, traceback)
        if told is not None and told is not error:
            raise told from error

    def _told(self, task: Task, error: BaseException | None) -> BaseException | None:
        """What the caller is told who was cut off. ``error`` is what came of it.

        A cancellation after COMMIT stays, and so does one where another caller has cancelled too.
        """
        if task.uncancel() > 0 or error is None or was_committed(error):
            return error
        if isinstance(error, asyncio.CancelledError):
            return ShuttingDown("cut off and rolled back, since the database is being closed")
        return error

    def _record_end(self, error: FaceplateError) -> None:
        """Name the unit, and record a refusal or an unknown outcome, once.

        An error that leaves several calls, one inside the other, is the first one's.
        """
        error.unit = error.unit or self.unit
        if error.is_recorded:
            return
        error.is_recorded = True
        if isinstance(error, CommitOutcomeUnknown):
            self.record(Kind.UNKNOWN_OUTCOME, error)
        elif isinstance(error, GIVEN_UP):
            self.record(Kind.REFUSAL, error)

    def record(self, kind: Kind, error: FaceplateError) -> None:
        """Record what ``error``, which ended an attempt, leads to."""
        elapsed_s = time.monotonic() - self._started_s
        reason = type(error).__name__
        event = Event(kind, self.unit, reason, error.sqlstate, self.attempt, elapsed_s)
        self._events.record(event, error)


def _log(event: Event, error: FaceplateError) -> None:
    logger.log(
        _level(event.kind, error),
        "%s %s after attempt %d, %.3f s: %s: %s%s",
        event.kind.value,
        event.unit,
        event.attempt,
        event.elapsed_s,
        event.reason,
        error.message,
        f" [SQLSTATE {event.sqlstate}]" if event.sqlstate else "",
        extra={"faceplate": event._asdict() | {"kind": event.kind.name.lower()}},
    )


def _level(kind: Kind, error: FaceplateError) -> int:
    """A repeat after what comes with traffic is nothing to look at; a unit given up is."""
    if kind in {Kind.REPEAT, Kind.RECONNECT}:
        return logging.INFO if isinstance(error, PASSING) else logging.WARNING
    return logging.WARNING if isinstance(error, BUSY) else logging.ERROR
