"""What a `Database` has begun and not ended, so that whoever closes it can wait, or cut it off."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias

from faceplate.errors import ShuttingDown

Task: TypeAlias = "asyncio.Task[object]"

_is_part: ContextVar[bool] = ContextVar("_is_part", default=False)


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

    def forget(self) -> None:
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


@contextmanager
def part_of_older() -> Iterator[None]:
    """Let what the block begins pass although the database is being closed."""
    token = _is_part.set(True)
    try:
        yield
    finally:
        _is_part.reset(token)
