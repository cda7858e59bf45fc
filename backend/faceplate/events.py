"""Events of units: each is counted, logged once, and passed to a listener.

=================  ========================================================================
retry              a unit runs again: after a lost connection, contention, a changed schema
reconnect          a unit waits until the server can be reached again
refusal            a unit was given up, since the database cannot be used or is too busy
unknown outcome    a unit was given up, and its COMMIT may or may not have taken effect
=================  ========================================================================

An event holds neither the content of a row nor the id of a user.
"""

import logging
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

from faceplate.errors import (
    Contention,
    FaceplateError,
    Overloaded,
    PoolExhausted,
    SchemaChanged,
    ShuttingDown,
)

logger = logging.getLogger("faceplate")

PASSING = (Contention, SchemaChanged)
BUSY = (Contention, Overloaded, PoolExhausted, ShuttingDown)


class Kind(Enum):
    """The kinds of events; a log line begins with the value."""

    RETRY = "retrying"
    RECONNECT = "reconnecting for"
    REFUSAL = "gave up"
    UNKNOWN_OUTCOME = "outcome unknown of"


class Event(NamedTuple):
    """One event of one unit."""

    kind: Kind
    unit: str
    """The unit's module and name, such as ``messages.append``."""
    reason: str
    """The name of the error's class, such as ``ConnectionLost``."""
    sqlstate: str | None
    attempt: int
    """The number of the attempt that ended with this event, from 1."""
    elapsed_s: float
    """Seconds since the unit was called."""


class Observed(Protocol):
    """One call of `Database.run` or `Database.begin`, with all its attempts."""

    attempt: int
    """The number of the attempt that is running, from 1."""

    @property
    def unit(self) -> str:
        """The unit's module and name, such as ``messages.append``; ``begin`` for a block."""


class Listener(Protocol):
    """An observer of units, for example for tracing."""

    def observe(self, call: Observed) -> AbstractContextManager[Any]:
        """Return a context that is entered around the call.

        It sees the error that ends the call.
        """

    def record(self, event: Event) -> None:
        """Record an event. It must neither raise nor block."""


@dataclass
class Counters:
    """Counts of events since the `Database` was made.

    A reason is the name of an error class.
    """

    retries: Counter[str] = field(default_factory=Counter)
    """By reason: ConnectionLost, Contention, SchemaChanged."""
    reconnects: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """By reason: PoolExhausted, Overloaded, CannotConnect, Unavailable and others."""
    unknown_outcomes: int = 0
    reads_on_replicas: int = 0
    """How many units that are marked `read_only` ran on a replica."""
    reads_on_primary: int = 0
    """How many of them ran on the primary, since no replica had all that their user had seen.

    Without replicas, and for serializable units, nothing is counted.
    """
    reads_moved: Counter[str] = field(default_factory=Counter)
    """How many failed on a replica and then ran on the primary, by reason."""

    def count(self, event: Event) -> None:
        match event.kind:
            case Kind.RETRY:
                self.retries[event.reason] += 1
            case Kind.RECONNECT:
                self.reconnects += 1
            case Kind.REFUSAL:
                self.refusals[event.reason] += 1
            case Kind.UNKNOWN_OUTCOME:
                self.unknown_outcomes += 1


class Events:
    """The counters and the listener of one `Database`."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.listener: Listener | None = None

    def record(self, event: Event, error: FaceplateError) -> None:
        self.counters.count(event)
        _log(event, error)
        if self.listener is not None:
            self.listener.record(event)


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
    """Return the log level: a retry after contention is routine."""
    if kind in {Kind.RETRY, Kind.RECONNECT}:
        return logging.INFO if isinstance(error, PASSING) else logging.WARNING
    return logging.WARNING if isinstance(error, BUSY) else logging.ERROR
