"""A unit's transaction on its connection: what it believes, what it sends, and how long it lives.

A transaction has one life: new, open, closed. It opens with the first statement that may write or
lock, and in the same flight: a plain SELECT before that is a transaction of its own, which makes no
difference at READ COMMITTED. When its unit has ended, it refuses every use, and what was made from
it, its session and its streams, is closed with it.

It serves one task at a time. After each statement it compares what it believes with what the
driver knows of the server's transaction; a difference ends the unit.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.util import await_only

from faceplate._driver import preamble, session_state
from faceplate._driver.error_mapping import BUSY, DRIVER_ERRORS
from faceplate._driver.pool import Lease
from faceplate._driver.preamble import READ_COMMITTED, Prelude
from faceplate._driver.session_effects import compiled_changes_session
from faceplate._orm.session import (
    UnitSession,
    close_session,
    holds_changes,
    loss_of_open_blocks,
    nested_block,
    open_session,
)
from faceplate._transaction.ids import Ids
from faceplate._transaction.single_statement import Alone, NotAlone
from faceplate.config import Settings
from faceplate.errors import (
    DatabaseError,
    FaceplateError,
    SchemaChanged,
    TimedOut,
    Unavailable,
    UsageError,
)
from faceplate.statement import Compiled

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
LEFT_RUNNING = (
    "a statement of the unit was still running when the unit returned: await every task that uses"
    " the scope; nothing was written"
)
SESSION_ERRORS = (AsyncAdapt_asyncpg_dbapi.Error, *DRIVER_ERRORS)


class Transaction(ABC):
    """One transaction on one connection. The runner ends it; a unit only uses it."""

    is_open: bool = False
    """Whether BEGIN was sent."""
    is_busy: bool = False
    """Whether a statement of it is running."""
    may_have_written: bool = False
    """Whether more than plain SELECTs was run; a session counts, whatever it is used for."""
    alone: Alone[Any] | None = None
    """A statement that was the whole of its unit, once it was sent."""
    has_committed: bool = False
    """Whether a statement that was the whole of its unit has taken effect."""
    lost: Unavailable | None = None
    """The error with which its connection was lost, even where the unit caught it."""
    loss: str | None = None
    """Why the unit must not return, where something of it was undone or forgotten."""
    is_not_alone: bool = False
    """Whether the unit has to be run again in one transaction, even where it caught `NotAlone`."""

    def __init__(
        self,
        engine: AsyncEngine,
        lease: Lease,
        settings: Settings,
        user_id: UUID | None,
        ids: Ids,
        *,
        isolation: str = READ_COMMITTED,
        may_be_alone: bool = False,
        mark: Prelude | None = None,
    ) -> None:
        self.settings = settings
        self._user_id = user_id
        self._engine = engine
        self._lease = lease
        self._driver = lease.driver
        self._ids = ids
        self._isolation = isolation
        # Whether all statements have to see one snapshot, the first read included.
        self._is_strict = isolation != READ_COMMITTED
        self._may_be_alone = may_be_alone
        self._mark = mark
        self._session: UnitSession | None = None
        self._flaw: str | None = None
        self._finisher: asyncio.Task[Any] | None = None
        self._is_unsettled = False
        self._may_not_be_open = False

    @property
    def user_id(self) -> UUID | None:
        """The user that the unit runs for; None across users."""
        return self._user_id

    def new_id(self) -> UUID:
        """Return a new UUIDv7. A retried unit is given the same ids, in the same order."""
        self.check_usable()
        return self._ids.next()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raise UsageError: a copy would outlive the unit."""
        raise UsageError(ONE_OF_ITS_KIND)

    async def run(
        self,
        fetch: Callable[..., Awaitable[T]],
        compiled: Compiled,
        arguments: list[Any],
    ) -> T:
        """Run a statement, with what has to go ahead of it.

        ``fetch`` is a method of the driver's prepared statement.
        """
        self._claim()
        try:
            if self._is_unsettled:
                await self._settle()
            return await self._send(fetch, compiled, arguments)
        finally:
            self.is_busy = False

    async def call(self, run: Callable[..., Awaitable[T]], sql: str, *values: Any) -> T:
        """Run a method of the driver's own inside the transaction, which is begun for it."""
        self._claim()
        try:
            await self._open()
            return await self._checked(self._driver.call(run, sql, *values))
        finally:
            self.is_busy = False

    async def begin(self) -> None:
        """Begin the transaction now. One round trip, where it was not begun before."""
        self._claim()
        try:
            await self._open()
        finally:
            self.is_busy = False

    async def lend_driver(self) -> None:
        """Let the unit have the driver's connection, by which it may do and keep anything.

        So the transaction is begun before, and no other unit gets the connection afterwards. Its
        session is cleared all the same, as a pooler gives that to others.
        """
        await self.begin()
        self._driver.must_take_back = True
        self._driver.is_spent = True

    @property
    def session(self) -> AsyncSession:
        """An ORM session on this very transaction, made when a unit first asks for it.

        The runner flushes it. Its ``commit`` and ``rollback`` are the runner's: UsageError.
        """
        self.check_usable()
        if self._session is None:
            self.may_have_written = True
            self._refuse_company()
            self._session = open_session(self, self._engine, self._lease.proxied)
        return self._session

    def run_in_session(self, run: Callable[[], None], cursor: Any, sql: str, context: Any) -> None:
        """Run a statement of the session, as SQLAlchemy's dialect asks, in a greenlet."""
        self._claim()
        try:
            compiled = getattr(context, "compiled", None)
            if compiled_changes_session(compiled, sql):
                session_state.check_text(sql)
                self._driver.note_text(sql)
            if self._is_unsettled:
                await_only(self._settle())
            if cursor.server_side:  # the driver refuses a cursor unless it knows of a transaction
                await_only(self._open())
            self._run_in_session(run, is_dml=compiled is not None and _is_dml(context))
            if cursor.server_side:
                cursor._cursor = _UnitCursor(self, cursor._cursor)  # noqa: SLF001 - it has no other place for one
        finally:
            self.is_busy = False

    async def fetch_from(self, cursor: Any, count: int) -> list[Any]:
        """Return the next ``count`` rows of a cursor of the driver's, for the session."""
        self._claim()
        try:
            return await self._checked(
                self._driver.call(lambda _: cursor.fetch(count), f"FETCH {count}")
            )
        finally:
            self.is_busy = False

    async def finish(self) -> None:
        """End what the unit may do: send what its session holds, and refuse every other use.

        Raises what the unit must not return over, although it may have caught it.
        """
        if self.is_busy:
            raise UsageError(LEFT_RUNNING)
        self.check_usable()
        if self.loss is not None:
            raise UsageError(self.loss)
        if self._session is not None:
            if (loss := loss_of_open_blocks(self._session)) is not None:
                raise UsageError(loss)
            self._finisher = asyncio.current_task()
            if self._is_unsettled:
                await self._settle()
            self._compare()  # it may have lent the driver
            if holds_changes(self._session.sync_session):
                await self._session.flush()
        self.close()

    def note_loss(self, reason: str) -> None:
        """Have the nested block fail in which this is, or else the unit."""
        block = None if self._session is None else nested_block(self._session)
        if block is None:
            self.loss = reason
        else:
            block.loss = reason

    def close(self) -> None:
        """Refuse every use from now on. The session is closed; cursors end with the transaction."""
        if self._flaw is None:
            self._flaw = CLOSED
        if self._session is not None:
            close_session(self._session)

    async def _send(
        self, fetch: Callable[..., Awaitable[T]], compiled: Compiled, arguments: list[Any]
    ) -> T:
        if self._may_be_alone:
            self._refuse_company(compiled)
        driver, sql = self._driver, compiled.sql
        ahead, begins, is_alone = self._ahead(compiled)
        if not driver.is_ready(ahead, sql):
            await self._checked(driver.make_ready(ahead, sql))
            if begins and self._is_strict:
                await self._checked(driver.end_preparing())
            self.check_usable()
        self.may_have_written |= compiled.writes
        if compiled.changes_session:
            driver.note_text(sql)
        if is_alone:
            return await self._send_alone(ahead, fetch, sql, arguments)
        try:
            result = await driver.run(ahead, fetch, sql, arguments)
        except BaseException as error:
            self._note_sent(ahead, begins=begins)
            self._note_failure(error, begins=begins)
            raise
        if ahead.messages:
            self._note_sent(ahead, begins=begins)
        self._compare()
        return result

    def _ahead(self, compiled: Compiled) -> tuple[Prelude, bool, bool]:
        """Return what goes ahead, whether it begins the transaction, and whether that ends it."""
        mark = self._mark if compiled.is_dml else None
        if self.is_open:
            return mark or preamble.NONE, False, False
        if self._may_be_alone or not (compiled.needs_transaction or self._is_strict):
            return self._entry(), False, compiled.needs_transaction
        return preamble.join(self._beginning(), mark), True, False

    async def _send_alone(
        self,
        ahead: Prelude,
        fetch: Callable[..., Awaitable[T]],
        sql: str,
        arguments: list[Any],
    ) -> T:
        driver = self._driver
        running = driver.run(ahead, fetch, sql, arguments, may_commit=True)
        self.alone = alone = Alone(running, self.settings, driver)  # from now on, in doubt
        try:
            result = await alone
        except Unavailable as error:
            self.lost = error
            if alone.cancelled is not None:
                raise alone.cancelled from None
            raise
        except FaceplateError:
            if alone.cancelled is not None:
                raise alone.cancelled from None
            raise
        finally:
            alone.close()
        self.has_committed = True
        if alone.cancelled is not None:
            raise alone.cancelled
        self._compare()
        return result

    def _run_in_session(self, run: Callable[[], None], *, is_dml: bool) -> None:
        driver = self._driver
        mark = self._mark if is_dml else None
        begins = not self.is_open
        ahead = preamble.join(self._beginning(), mark) if begins else mark or preamble.NONE
        driver.send_ahead(ahead)
        failure: FaceplateError | None = None
        try:
            run()
        except SESSION_ERRORS as error:
            failure = driver.translated(error)
        except BaseException as error:
            self._note_session(ahead, error, begins=begins)
            raise
        self._note_session(ahead, failure, begins=begins)
        if isinstance(failure, SchemaChanged):
            driver.is_spent = True  # SQLAlchemy goes on believing in what it has prepared
        if failure is not None:
            raise failure
        self._compare()

    def _note_session(self, ahead: Prelude, error: BaseException | None, *, begins: bool) -> None:
        self._driver.end_ahead()
        self._note_sent(ahead, begins=begins)
        if error is not None:
            self._note_failure(error, begins=begins)

    async def _open(self) -> None:
        if self._is_unsettled:
            await self._settle()
        if self.is_open:
            return
        self._refuse_company()
        limits = self.settings.transaction_settings.items()
        setting = [f"SET LOCAL {name} = '{value}'" for name, value in limits]
        beginning = self._beginning()
        sql = "; ".join([beginning.sql, *setting])
        self.is_open = True  # it may be, also where this is cancelled
        try:
            await self._driver.call(self._driver.execute, sql)
            if beginning.bound is not None:
                await self._driver.call(self._driver.fetch, *beginning.bound)
        except BaseException as error:
            self._note_failure(error, begins=True)
            raise
        self._compare()

    async def _checked(self, sent: Awaitable[T]) -> T:
        try:
            result = await sent
        except BaseException as error:
            self._note_failure(error)
            raise
        self._compare()
        return result

    async def _settle(self) -> None:
        """Learn how the transaction stands after a statement whose answer does not tell."""
        may_not_be_open, self._may_not_be_open = self._may_not_be_open, False
        self._is_unsettled = False
        try:
            await self._driver.call(self._driver.execute, "SELECT 1")
        except (DatabaseError, TimedOut):
            pass  # the next statement says so again
        except BaseException as error:
            self._note_failure(error, begins=may_not_be_open)
            raise
        if may_not_be_open and not self._driver.is_in_transaction():
            self.is_open = False  # BEGIN was cancelled as well
        self._compare()

    def _note_sent(self, ahead: Prelude, *, begins: bool) -> None:
        if self._driver.sent_ahead:
            self.is_open |= begins
            if ahead.has_row:
                self._mark = None

    def _note_failure(self, error: BaseException, *, begins: bool = False) -> None:
        """Note what ``error`` left. ``begins`` says whether BEGIN was a part of what it ended."""
        driver = self._driver
        if isinstance(error, Unavailable):
            self.lost = error
        elif not isinstance(error, Exception):
            self._is_unsettled = True
            self._may_not_be_open |= begins
        elif self.is_open and not (driver.is_in_transaction() or driver.is_closed()):
            if begins:
                # BEGIN was refused, or it went ahead of a statement that was prepared and not run:
                # then the server has said nothing about it yet.
                self._is_unsettled = self._may_not_be_open = True
            else:
                self._end()

    def _end(self) -> None:
        """Send nothing more: something other than the runner has ended or begun the transaction."""
        self._flaw = ENDED
        self._driver.is_spent = True

    def _compare(self) -> None:
        """End the unit where the driver's transaction is not what this one believes."""
        driver = self._driver
        if driver.is_in_transaction() is not self.is_open and not driver.is_closed():
            self._end()
            raise UsageError(ENDED)

    def _claim(self) -> None:
        """Begin a use, for one task at a time."""
        self.check_usable()
        if self.is_busy:
            raise UsageError(BUSY)
        if not self._driver.is_in_its_loop():
            raise UsageError(ELSEWHERE)
        self.is_busy = True

    def check_usable(self) -> None:
        if self._flaw is not None:
            raise UsageError(self._flaw)
        if self._finisher is not None and not _is_current(self._finisher):
            raise UsageError(CLOSED)
        if self.lost is not None:
            raise self.lost  # a pooler may have kept the connection, with no transaction on it
        if self.is_not_alone:
            raise NotAlone

    def _refuse_company(self, compiled: Compiled | None = None) -> None:
        """Begin anew where a unit goes on after a statement that was to be the whole of it."""
        locks_for_more = compiled is None or (compiled.locks and not compiled.writes)
        if self._may_be_alone and (self.alone is not None or locks_for_more):
            self.is_not_alone = True
            raise NotAlone

    @abstractmethod
    def _entry(self) -> Prelude:
        """Return what goes ahead of a statement that is a transaction of its own."""

    @abstractmethod
    def _beginning(self) -> Prelude:
        """Return what goes ahead of the first statement of a transaction."""


class _UnitCursor:
    """A cursor of the session, which lives as long as its unit."""

    def __init__(self, transaction: Transaction, cursor: Any) -> None:
        self._transaction = transaction
        self._cursor = cursor

    async def fetch(self, count: int) -> list[Any]:
        return await self._transaction.fetch_from(self._cursor, count)


def _is_dml(context: Any) -> bool:
    return bool(context.isinsert or context.isupdate or context.isdelete)


def _is_current(task: "asyncio.Task[Any]") -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # a thread without a loop
        return False
