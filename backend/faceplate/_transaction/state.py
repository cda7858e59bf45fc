"""The state of a unit's transaction, and whether the unit may still use it.

A transaction is new, then open, then closed, and serves one task at a time. After each statement it
compares its state with the state that the server reported to the driver; a difference ends the
unit. After the unit has returned, every use raises UsageError.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from uuid6 import uuid7

from faceplate._driver.connection import Connection
from faceplate._driver.error_mapping import BUSY
from faceplate.errors import DatabaseError, TimedOut, Unavailable, UsageError

T = TypeVar("T")

CLOSED = (
    "the unit of this scope has ended: its statements, streams and session cannot be used any more;"
    " run another unit"
)
OTHER_LOOP = (
    "a scope can be used only in the event loop of its unit, not in another thread or event loop"
)
ENDED_ELSEWHERE = (
    "something other than the runner began or ended the unit's transaction: no more statements are"
    " sent, and what was not committed is lost"
)
NOT_COPYABLE = "a scope cannot be copied or pickled: it lives as long as its unit"


class Ids:
    """The ids of one call of `Database.run`, the same in each attempt."""

    def __init__(self) -> None:
        self.minted: list[UUID] = []
        self._next = 0

    def next(self) -> UUID:
        """Return the next id, minting it where no earlier attempt did."""
        if self._next == len(self.minted):
            self.minted.append(uuid7())
        self._next += 1
        return self.minted[self._next - 1]

    def rewind(self) -> None:
        """Start at the first id again, for the next attempt."""
        self._next = 0


class NeedsTransaction(BaseException):
    """A `one_statement` unit needs more statements: it is run again with BEGIN.

    It is not an Exception, so that no unit catches it.
    """


class State:
    """What is known of a transaction, and who may use it."""

    is_open: bool = False
    """Whether BEGIN was sent."""
    is_busy: bool = False
    """Whether a statement of the unit is in flight."""
    may_have_written: bool = False
    """Whether anything but plain SELECTs was run."""
    has_committed: bool = False
    """Whether a statement that commits by itself has taken effect."""
    connection_error: Unavailable | None = None
    """The error by which the connection was lost, even if the unit caught it."""
    rollback_reason: str | None = None
    """Why the unit can only be rolled back, or None. It is the message of the unit's error.

    It is set where the ORM session has discarded changes of the unit, or where a part of the unit
    was undone, and the unit may not have noticed.
    """
    needs_transaction: bool = False
    """Whether `NeedsTransaction` was raised, even if the unit caught it."""
    _refusal: str | None = None
    """Why the unit must not use its scope any more."""
    _finishing_task: "asyncio.Task[Any] | None" = None
    """The only task that may use the scope of a unit that has returned."""
    _must_resynchronize: bool = False
    """Whether the outcome of the last statement is unknown, as after a cancellation."""
    _begin_is_unconfirmed: bool = False
    """Whether that statement carried BEGIN."""

    def __init__(self, driver: Connection, ids: Ids) -> None:
        self._driver = driver
        self._ids = ids

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raise UsageError: a copy would outlive the unit."""
        raise UsageError(NOT_COPYABLE)

    def new_id(self) -> UUID:
        """Return a new UUIDv7. A retry of the unit gets the same ids, in the same order."""
        self.check_usable()
        return self._ids.next()

    def restart_in_transaction(self) -> NoReturn:
        """Leave the unit, and have the runner run it again in one transaction."""
        self.needs_transaction = True
        raise NeedsTransaction

    def check_usable(self) -> None:
        """Raise if the unit has ended, is lost, or must be run again with BEGIN."""
        if self._refusal is not None:
            raise UsageError(self._refusal)
        if self._finishing_task is not None and not _is_current(self._finishing_task):
            raise UsageError(CLOSED)
        if self.connection_error is not None:
            # A pooler may have kept the connection, without the transaction.
            raise self.connection_error
        if self.needs_transaction:
            raise NeedsTransaction

    def _claim(self) -> None:
        """Set ``is_busy``, which the caller clears. Raise UsageError if it is set."""
        self.check_usable()
        if self.is_busy:
            raise UsageError(BUSY)
        self._check_loop()
        self.is_busy = True

    def _check_loop(self) -> None:
        if not self._driver.is_in_its_loop():
            raise UsageError(OTHER_LOOP)

    def _check_in_sync(self) -> None:
        """End the unit if the server's transaction is not in the state of this one."""
        driver = self._driver
        if driver.is_in_transaction() is not self.is_open and not driver.is_closed():
            self._refuse_all()
            raise UsageError(ENDED_ELSEWHERE)

    def _note_failure(self, error: BaseException, *, begins: bool = False) -> None:
        """Update the state after the error of a statement; ``begins``, if with BEGIN."""
        driver = self._driver
        if isinstance(error, Unavailable):
            self.connection_error = error
        elif not isinstance(error, Exception):
            self._must_resynchronize = True
            self._begin_is_unconfirmed |= begins
        elif self.is_open and not (driver.is_in_transaction() or driver.is_closed()):
            if begins:
                # The server refused BEGIN, or has not answered it yet: it went ahead of a statement
                # that was prepared and not run.
                self._must_resynchronize = self._begin_is_unconfirmed = True
            else:
                self._refuse_all()

    async def _checked(self, sent: Awaitable[T]) -> T:
        try:
            result = await sent
        except BaseException as error:
            self._note_failure(error)
            raise
        self._check_in_sync()
        return result

    async def _resynchronize(self) -> None:
        """Ask the server for the state, after a statement whose outcome is unknown."""
        begin_is_unconfirmed, self._begin_is_unconfirmed = self._begin_is_unconfirmed, False
        self._must_resynchronize = False
        try:
            await self._driver.call(self._driver.execute, "SELECT 1")
        except (DatabaseError, TimedOut):
            pass  # the next statement raises it again
        except BaseException as error:
            self._note_failure(error, begins=begin_is_unconfirmed)
            raise
        if begin_is_unconfirmed and not self._driver.is_in_transaction():
            self.is_open = False  # BEGIN was cancelled, too
        self._check_in_sync()

    def _refuse_all(self) -> None:
        """Refuse every further use, and have the connection closed at check-in."""
        self._refusal = ENDED_ELSEWHERE
        self._driver.must_close = True


def _is_current(task: "asyncio.Task[Any]") -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # a thread without an event loop
        return False
