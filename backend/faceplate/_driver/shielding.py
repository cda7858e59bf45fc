"""Awaits a coroutine to its end, even if the caller's task is cancelled meanwhile.

COMMIT, check-in, and a statement that commits by itself are awaited so. `ShieldedByTask` uses
public means: a task of its own, which takes several turns of the event loop, an eighth of what an
append costs the client. `Shielded` drives the coroutine in the caller's task. Neither is for a
coroutine that uses `asyncio.timeout`, which works by cancelling: `ShieldedWithTimeouts` is.
"""

import asyncio
from asyncio import CancelledError, Future
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from faceplate._driver.connecting import open_connection
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate.config import Settings

T = TypeVar("T")

CANCEL_AFTER_S = 0.1
_CANCELLING: set["asyncio.Task[None]"] = set()
"""What asks for cancellations: the event loop alone would not keep it from being collected."""


async def end_cancel_requests(limit_s: float) -> None:
    """Wait until a pooler has ended what it was asked to cancel: it may exit at a hang-up."""
    loop = asyncio.get_running_loop()
    if asking := [task for task in _CANCELLING if task.get_loop() is loop]:
        await asyncio.wait(asking, timeout=limit_s)


class Shielded(Generic[T]):
    """Await it for the coroutine's result.

    ``cancelled`` is the first cancellation that came meanwhile, or None. The canceller may
    recognise it by its message alone, so raise that very error, or make it another one's cause.
    """

    __slots__ = ("_coroutine", "cancelled")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self.cancelled: CancelledError | None = None

    def __await__(self) -> Generator[Any, None, T]:
        send, note = self._coroutine.send, self.note
        while True:
            try:
                awaited = send(None)
            except StopIteration as end:
                result: T = end.value
                return result
            if awaited is None:  # a bare yield, as in asyncio.sleep(0)
                try:
                    yield
                except CancelledError as error:
                    note(error)
                continue
            # As a task does that takes over a future. By asyncio's protocol every one has the flag.
            awaited._asyncio_future_blocking = False  # noqa: SLF001 - asyncio has no public name for it
            while not awaited.done():
                try:
                    yield _Uncancellable(awaited, note)
                except BaseException:  # the future's own, which the coroutine asks it for again
                    if not awaited.done():
                        raise

    def note(self, error: CancelledError) -> None:
        """Note a cancellation."""
        if self.cancelled is None:
            self.cancelled = error


_tasks: set[asyncio.Task[Any]] = set()  # the event loop alone keeps no task alive


class UncancellableTask(asyncio.Task[T]):
    """A task that ignores cancellation: at its end `asyncio.run` cancels every task."""

    def cancel(self, msg: Any = None) -> bool:  # noqa: ARG002 - asyncio's signature
        return False


class ShieldedByTask(Shielded[T]):
    """The same, by a task of its own, which no caller can cancel."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, T]:
        task = self._start()
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        while not task.done():
            try:
                yield from asyncio.wait({task}).__await__()
            except CancelledError as error:
                self.note(error)
        return task.result()

    def _start(self) -> asyncio.Task[T]:
        return UncancellableTask(self._coroutine)


class ShieldedWithTimeouts(ShieldedByTask[T]):
    """The same for a coroutine that uses `asyncio.timeout`, which has to cancel its task.

    So it raises CancelledError where that task was cancelled, as by `asyncio.run` at its end.
    """

    __slots__ = ()

    def _start(self) -> asyncio.Task[T]:
        return asyncio.ensure_future(self._coroutine)


class _Uncancellable:
    """Stands for a future that a task awaits, so that no cancellation reaches it."""

    __slots__ = ("_asyncio_future_blocking", "_note", "add_done_callback", "get_loop")

    def __init__(self, future: Future[Any], note: Callable[[CancelledError], None]) -> None:
        self._asyncio_future_blocking = True
        self._note = note
        self.add_done_callback = future.add_done_callback
        self.get_loop = future.get_loop

    def cancel(self, msg: Any = None) -> bool:
        self._note(CancelledError() if msg is None else CancelledError(msg))
        return True


class Autocommit(Shielded[T]):
    """Await it for the result of a statement that commits by itself.

    ``cancelled`` is the first cancellation that came. After it, the wait is limited: the server is
    asked to cancel a statement that takes long. Call `close` afterwards.
    """

    __slots__ = ("_cancelling", "_driver", "_settings", "_was_cancelled")

    def __init__(
        self, statement: Coroutine[Any, Any, T], settings: Settings, driver: Connection
    ) -> None:
        super().__init__(statement)
        self._settings = settings
        self._driver = driver
        self._cancelling: asyncio.Task[None] | None = None
        self._was_cancelled = False

    def note(self, error: asyncio.CancelledError) -> None:
        """Note a cancellation, and limit the wait from then on."""
        super().note(error)
        if self._cancelling is None:
            self._cancelling = asyncio.ensure_future(self._cancel())
            _CANCELLING.add(self._cancelling)
            self._cancelling.add_done_callback(_CANCELLING.discard)

    def close(self) -> None:
        """Let a cancel request that is in flight hit no other unit's statement.

        A pooler gets it to its end: PgBouncer 1.18 and 1.19.0 exit when the client of a cancel
        request hangs up (https://github.com/pgbouncer/pgbouncer/pull/846).
        """
        if self._cancelling is not None and not (self._was_cancelled and self._driver.limits):
            self._cancelling.cancel()
        if self._was_cancelled:
            self._driver.must_close = True

    async def _cancel(self) -> None:
        """Have the server cancel a statement that takes long, as one waiting for a lock."""
        await asyncio.sleep(CANCEL_AFTER_S)  # nearly all statements end before
        self._was_cancelled = True
        if self._driver.limits:  # behind a pooler, which invents the pid and keeps the key
            await self._driver.request_cancel()
            return
        pid = self._driver.get_server_pid()
        with suppress(TimeoutError, *DRIVER_ERRORS):  # then the server's time limits end it
            connection = await open_connection(self._settings)
            try:
                await connection.execute(f"SELECT pg_cancel_backend({pid})")
            finally:
                connection.terminate()
