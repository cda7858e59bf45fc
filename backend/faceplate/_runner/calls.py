"""A call of `Database.run`: its unit, its events, and the registry of work in flight."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from faceplate._transaction.marks import Marks, marks_of
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

_allowed: ContextVar[bool] = ContextVar("_allowed", default=False)

GIVEN_UP = (Contention, SchemaChanged, Unavailable)


class BoundUnit(Generic[T]):
    """A unit with its arguments, to be called with a scope.

    Its repr shows no argument, so that no traceback does.
    """

    __slots__ = ("_args", "_call", "_kwargs", "function", "marks")

    marks: Marks

    def __init__(
        self,
        function: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._call = function
        # A partial has neither the unit's decorators nor the name that log lines show.
        self.function = function.func if isinstance(function, partial) else function
        self._args = args
        self._kwargs = kwargs
        self.marks = marks_of(self.function)

    def __call__(self, scope: Any) -> Awaitable[T]:
        return self._call(scope, *self._args, **self._kwargs)


class Work(Protocol):
    """A call of `Database.run`, a block of `Database.begin`, or a draft."""

    @property
    def unit(self) -> str:
        """The name for log lines."""

    @property
    def tasks(self) -> Sequence[Task]:
        """The tasks that it started. Their work is cut off with it, not separately."""

    def cut_off(self, task: Task) -> None:
        """Make the work, which began in ``task``, end soon. Never raise or block."""


class InFlight:
    """The registry of work in flight, each with the task in which it began.

    It notifies nobody, because that would cost every unit something: `Shutdown` polls it.
    """

    def __init__(self) -> None:
        self.is_closing = False
        self._tasks: dict[Work, Task] = {}

    def begin(self, work: Work) -> None:
        """Register ``work``.

        During a shutdown, raise ShuttingDown unless earlier work needs it.
        """
        task: Any = asyncio.current_task()
        if self.is_closing:
            self._check_is_needed(task)
        self._tasks[work] = task

    def end(self, work: Work) -> None:
        """Remove ``work``. A second call does nothing."""
        self._tasks.pop(work, None)

    def __len__(self) -> int:
        return len(self._tasks)

    def clear(self) -> None:
        """Remove all work, and accept new work again."""
        self._tasks.clear()
        self.is_closing = False

    def others(self) -> dict[Work, Task]:
        """Return all work but the caller's, which cannot end while the caller waits."""
        own = asyncio.current_task()
        return {work: task for work, task in self._tasks.items() if task is not own}

    def check_is_open(self) -> None:
        """Raise ShuttingDown if the database is being closed."""
        if self.is_closing:
            raise ShuttingDown("not begun, since the database is being closed: ask another process")

    def _check_is_needed(self, task: Task) -> None:
        if not _allowed.get() and task not in self._tasks.values():
            self.check_is_open()


class Call:
    """A context around one call of `run` or `begin`, with all its attempts."""

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
        """The unit's name, such as ``messages.append``, or ``begin`` for a block."""
        if isinstance(self._unit, str):
            return self._unit
        names = str(getattr(self._unit, "__module__", "")).split(".")
        # A private module is a part of its package: the caller knows the package alone.
        module = ([name for name in names if not name.startswith("_")] or names)[-1]
        name = getattr(self._unit, "__qualname__", None) or type(self._unit).__name__
        return f"{module}.{name}"

    def cut_off(self, task: Task) -> None:
        """Cancel the call. Its caller gets ShuttingDown in place of the CancelledError."""
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
        raised = error
        if self._cut_off_in is not None:
            raised = self._error_of_cut_off(self._cut_off_in, error)
        if isinstance(raised, FaceplateError):
            self._record_end(raised)
        if self._observation is not None:
            self._observation.__exit__(None if raised is None else type(raised), raised, traceback)
        if raised is not None and raised is not error:
            raise raised from error

    def _error_of_cut_off(self, task: Task, error: BaseException | None) -> BaseException | None:
        """Return what a call that was cut off raises in place of ``error``.

        A cancellation stays as it is after a COMMIT, and where someone else has cancelled, too.
        """
        if task.uncancel() > 0 or error is None or was_committed(error):
            return error
        if isinstance(error, asyncio.CancelledError):
            return ShuttingDown("cut off and rolled back, since the database is being closed")
        return error

    def _record_end(self, error: FaceplateError) -> None:
        """Set the error's unit, and record a refusal or an unknown outcome once.

        An error that leaves nested calls of `run` belongs to the innermost one.
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
        """Record an event of ``kind`` for ``error``, which ended an attempt."""
        elapsed_s = time.monotonic() - self._started_s
        reason = type(error).__name__
        event = Event(kind, self.unit, reason, error.sqlstate, self.attempt, elapsed_s)
        self._events.record(event, error)


@contextmanager
def allow_during_shutdown() -> Iterator[None]:
    """Allow new work inside the block even if the database is being closed."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)
