"""What a unit's transaction believes of the server's, and whether the unit may go on.

A transaction has one life: new, open, closed. It serves one task at a time. After each statement
it compares what it believes with what the driver knows of the server's transaction; a difference
ends the unit. When the unit has ended, every use is refused.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import UUID

from uuid6 import uuid7

from faceplate._driver.connection import Connection
from faceplate._driver.error_mapping import BUSY
from faceplate.errors import DatabaseError, TimedOut, Unavailable, UsageError

T = TypeVar("T")

CLOSED = (
    "the unit of this scope has ended: nothing of it (statements, streams, session) can be used any"
    " more; run another unit"
)
ELSEWHERE = (
    "a scope is for the event loop that its unit runs in: no thread and no other loop can use it"
)
ENDED = (
    "the unit's transaction was ended or begun by something other than the runner: nothing more is"
    " sent, and what was not committed is lost"
)
ONE_OF_ITS_KIND = "a scope cannot be copied or pickled: it lives as long as its unit"


class Ids:
    """The ids of one call of `Database.run`, in order: a retried unit is given the same ones."""

    def __init__(self) -> None:
        self.minted: list[UUID] = []
        self._next = 0

    def next(self) -> UUID:
        """Return the next id, a new one where there is none yet."""
        if self._next == len(self.minted):
            self.minted.append(uuid7())
        self._next += 1
        return self.minted[self._next - 1]

    def rewind(self) -> None:
        """Begin again with the first id."""
        self._next = 0


class NeedsTransaction(BaseException):
    """The unit goes on after its only statement. Not an Exception, so that no unit catches it."""


class State:
    """Where a transaction stands, and who may use it."""

    is_open: bool = False
    """Whether BEGIN was sent."""
    is_busy: bool = False
    """Whether a statement of it is running."""
    may_have_written: bool = False
    """Whether more than plain SELECTs was run; a session counts, whatever it is used for."""
    has_committed: bool = False
    """Whether a statement that was a transaction by itself has taken effect."""
    connection_error: Unavailable | None = None
    """The error with which its connection was lost, even where the unit caught it."""
    rollback_reason: str | None = None
    """Why the unit must not return, where something of it was undone or forgotten."""
    needs_transaction: bool = False
    """Whether the unit has to be run again in one transaction, even where it caught the signal."""

    def __init__(self, driver: Connection, ids: Ids) -> None:
        self._driver = driver
        self._ids = ids
        self._refusal: str | None = None
        self._finisher: asyncio.Task[Any] | None = None
        self._must_resynchronize = False
        self._begin_is_unconfirmed = False

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raise UsageError: a copy would outlive the unit."""
        raise UsageError(ONE_OF_ITS_KIND)

    def new_id(self) -> UUID:
        """Return a new UUIDv7. A retried unit is given the same ids, in the same order."""
        self.check_usable()
        return self._ids.next()

    def check_usable(self) -> None:
        """Raise where the unit has ended, was lost, or has to be run again in one transaction."""
        if self._refusal is not None:
            raise UsageError(self._refusal)
        if self._finisher is not None and not _is_current(self._finisher):
            raise UsageError(CLOSED)
        if self.connection_error is not None:
            # A pooler may have kept the connection, without the transaction.
            raise self.connection_error
        if self.needs_transaction:
            raise NeedsTransaction

    def _claim(self) -> None:
        """Begin a use, which ends with ``is_busy = False``. Only one task uses it at a time."""
        self.check_usable()
        if self.is_busy:
            raise UsageError(BUSY)
        if not self._driver.is_in_its_loop():
            raise UsageError(ELSEWHERE)
        self.is_busy = True

    def _check_in_sync(self) -> None:
        """End the unit where the driver's transaction is not what this one believes."""
        driver = self._driver
        if driver.is_in_transaction() is not self.is_open and not driver.is_closed():
            self._refuse_all()
            raise UsageError(ENDED)

    def _note_failure(self, error: BaseException, *, begins: bool = False) -> None:
        """Note what ``error`` left. ``begins`` says whether BEGIN was a part of what it ended."""
        driver = self._driver
        if isinstance(error, Unavailable):
            self.connection_error = error
        elif not isinstance(error, Exception):
            self._must_resynchronize = True
            self._begin_is_unconfirmed |= begins
        elif self.is_open and not (driver.is_in_transaction() or driver.is_closed()):
            if begins:
                # BEGIN was refused, or it went ahead of a statement that was prepared and not run:
                # then the server has said nothing about it yet.
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
        """Learn how the transaction stands after a statement whose answer does not tell."""
        begin_is_unconfirmed, self._begin_is_unconfirmed = self._begin_is_unconfirmed, False
        self._must_resynchronize = False
        try:
            await self._driver.call(self._driver.execute, "SELECT 1")
        except (DatabaseError, TimedOut):
            pass  # the next statement says so again
        except BaseException as error:
            self._note_failure(error, begins=begin_is_unconfirmed)
            raise
        if begin_is_unconfirmed and not self._driver.is_in_transaction():
            self.is_open = False  # BEGIN was cancelled as well
        self._check_in_sync()

    def _refuse_all(self) -> None:
        """Send nothing more: something other than the runner has ended or begun the transaction."""
        self._refusal = ENDED
        self._driver.must_close = True


def _is_current(task: "asyncio.Task[Any]") -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # a thread without a loop
        return False
