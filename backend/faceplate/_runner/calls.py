"""A call of `Database.run`: its unit, what is recorded of it, and that it is in flight."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from faceplate._driver.preamble import READ_COMMITTED
from faceplate.errors import (
    CommitOutcomeUnknown,
    Contention,
    FaceplateError,
    SchemaChanged,
    ShuttingDown,
    Unavailable,
    was_committed,
)
from faceplate.events import Event, Events, Kind

T = TypeVar("T")
Task: TypeAlias = "asyncio.Task[object]"

_is_part: ContextVar[bool] = ContextVar("_is_part", default=False)

GIVEN_UP = (Contention, SchemaChanged, Unavailable)


class BoundUnit(Generic[T]):
    """Call it with a scope. Its repr shows no argument, so that no traceback does."""

    __slots__ = ("_args", "_call", "_kwargs", "function", "is_replayable", "isolation")

    isolation: str
    """The level that the unit is marked with, or that of units: see `isolation_level`."""
    is_replayable: bool
    """Whether it is marked `replayable`."""

    def __init__(
        self,
        function: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._call = function
        # The marks are the function's own, and its name is what a log line needs.
        self.function = function.func if isinstance(function, partial) else function
        self._args = args
        self._kwargs = kwargs
        self.isolation = getattr(self.function, "isolation", READ_COMMITTED)
        self.is_replayable = getattr(self.function, "replayable", False)

    def __call__(self, scope: Any) -> Awaitable[T]:
        return self._call(scope, *self._args, **self._kwargs)

    @property
    def is_one_statement(self) -> bool:
        """Whether it is marked `one_statement`, and its level lets one be sent by itself."""
        return getattr(self.function, "one_statement", False) and self.isolation == READ_COMMITTED


class Work(Protocol):
    """A call of `Database.run`, a block of `Database.begin`, or a draft that is written."""

    @property
    def unit(self) -> str:
        """What a log line calls it."""

    @property
    def tasks(self) -> Sequence[Task]:
        """Those that it has made, whose work is its own and not cut off for itself."""

    def cut_off(self, task: Task) -> None:
        """See to it that what was begun in ``task`` ends soon. It must neither raise nor block."""


class InFlight:
    """All of it, each with the task that it was begun in.

    Every unit passes here, so nobody is told of an end: who waits for one looks again.
    """

    def __init__(self) -> None:
        self.is_closing = False
        self._tasks: dict[Work, Task] = {}

    def begin(self, work: Work) -> None:
        """Note ``work``. Raises ShuttingDown, unless it is part of what was begun before."""
        task: Any = asyncio.current_task()
        if self.is_closing:
            self._check_is_part(task)
        self._tasks[work] = task

    def end(self, work: Work) -> None:
        """Forget ``work``. Doing so twice is no error."""
        self._tasks.pop(work, None)

    def __len__(self) -> int:
        return len(self._tasks)

    def clear(self) -> None:
        """Forget everything."""
        self._tasks.clear()
        self.is_closing = False

    def others(self) -> dict[Work, Task]:
        """Return all but the calling task's own, for whose end it cannot wait."""
        own = asyncio.current_task()
        return {work: task for work, task in self._tasks.items() if task is not own}

    def check_is_open(self) -> None:
        """Raise ShuttingDown if nothing is to be begun any more."""
        if self.is_closing:
            raise ShuttingDown("not begun, since the database is being closed: ask another process")

    def _check_is_part(self, task: Task) -> None:
        if not _is_part.get() and task not in self._tasks.values():
            self.check_is_open()


class Call:
    """``with`` it around one call of `Database.run` or `Database.begin`, all attempts together."""

    tasks = ()
    __slots__ = (
        "_cut_off_in",
        "_events",
        "_in_flight",
        "_observation",
        "_started_s",
        "_unit",
        "attempt",
    )

    def __init__(self, events: Events, in_flight: InFlight, unit: object) -> None:
        self._events = events
        self._in_flight = in_flight
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
            self._in_flight.begin(self)
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
        self._in_flight.end(self)
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


@contextmanager
def allow_during_shutdown() -> Iterator[None]:
    """Let what the block begins pass although the database is being closed."""
    token = _is_part.set(True)
    try:
        yield
    finally:
        _is_part.reset(token)
