"""A unit's transaction on its connection: which statement begins it, and what goes ahead of it.

It begins with the first statement that may write or lock, in the same round trip: a plain SELECT
before that is a transaction by itself, which makes no difference at READ COMMITTED. On a connection
that is not pipelined, it begins before the first statement of any kind, in a round trip of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver import preamble
from faceplate._driver.pool import Lease
from faceplate._driver.preamble import READ_COMMITTED, Preamble
from faceplate._driver.shielding import Autocommit
from faceplate._transaction.state import CLOSED, Ids, NeedsTransaction, State
from faceplate.config import Settings
from faceplate.errors import (
    FaceplateError,
    Unavailable,
    UsageError,
)
from faceplate.statement import Compiled

T = TypeVar("T")

LEFT_RUNNING = (
    "a statement of the unit was still running when the unit returned: await every task that uses"
    " the scope; nothing was written"
)


class Transaction(State, ABC):
    """One transaction on one connection, and the statements in it."""

    has_session: bool = False
    """Whether an ORM session shares it."""
    autocommit: Autocommit[Any] | None = None
    """A statement that was a transaction by itself, once it was sent."""

    def __init__(
        self,
        engine: AsyncEngine,
        lease: Lease,
        settings: Settings,
        user_id: UUID | None,
        ids: Ids,
        *,
        isolation: str = READ_COMMITTED,
        may_autocommit: bool = False,
        mark: Preamble | None = None,
    ) -> None:
        super().__init__(lease.driver, ids)
        self.settings = settings
        self._user_id = user_id
        self._engine = engine
        self._lease = lease
        self._isolation = isolation
        # Whether all statements have to see one snapshot, the first read included.
        self._has_snapshot = isolation != READ_COMMITTED
        self._may_autocommit = may_autocommit
        self._mark = mark

    @property
    def user_id(self) -> UUID | None:
        """The user that the unit runs for; None across users."""
        return self._user_id

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
            if self._must_resynchronize:
                await self._resynchronize()
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
        self._driver.must_reset_session = True
        self._driver.must_close = True

    async def finish(self) -> None:
        """Flush the session, and refuse every use from now on: the unit has returned.

        Raises UsageError where the unit must not return, although it may have caught the error.
        """
        if self.is_busy:
            raise UsageError(LEFT_RUNNING)
        self.check_usable()
        if self.rollback_reason is not None:
            raise UsageError(self.rollback_reason)
        if self.has_session:
            await self._finish_session()
        self.close()

    def close(self) -> None:
        """Refuse every use from now on. The session is closed; cursors end with the transaction."""
        if self._refusal is None:
            self._refusal = CLOSED
        if self.has_session:
            self._close_session()

    async def _send(
        self, fetch: Callable[..., Awaitable[T]], compiled: Compiled, arguments: list[Any]
    ) -> T:
        if self._may_autocommit:
            self._check_single_statement(compiled)
        driver, sql = self._driver, compiled.sql
        if not driver.is_pipelined:
            await self._open()
        ahead, begins, commits = self._preamble_for(compiled)
        if not driver.is_ready(ahead, sql):
            await self._checked(driver.make_ready(ahead, sql))
            if begins and self._has_snapshot:
                await self._checked(driver.end_preparing())
            self.check_usable()
        self.may_have_written |= compiled.writes
        if compiled.changes_session:
            driver.note_session_change(sql)
        if commits:
            return await self._send_autocommit(ahead, fetch, sql, arguments)
        try:
            result = await driver.run(ahead, fetch, sql, arguments)
        except BaseException as error:
            self._note_sent(ahead, begins=begins)
            self._note_failure(error, begins=begins)
            raise
        if ahead.messages:
            self._note_sent(ahead, begins=begins)
        self._check_in_sync()
        return result

    def _preamble_for(self, compiled: Compiled) -> tuple[Preamble, bool, bool]:
        """Return what goes ahead, whether it begins the transaction, and whether that ends it."""
        mark = self._mark if compiled.is_dml else None
        if self.is_open:
            return mark or preamble.NONE, False, False
        if self._may_autocommit or not (compiled.needs_transaction or self._has_snapshot):
            return self._autocommit_preamble(), False, compiled.needs_transaction
        return preamble.join(self._begin_preamble(), mark), True, False

    async def _send_autocommit(
        self,
        ahead: Preamble,
        fetch: Callable[..., Awaitable[T]],
        sql: str,
        arguments: list[Any],
    ) -> T:
        driver = self._driver
        running = driver.run(ahead, fetch, sql, arguments, may_commit=True)
        self.autocommit = sent = Autocommit(running, self.settings, driver)  # from now on, in doubt
        try:
            result = await sent
        except Unavailable as error:
            self.connection_error = error
            if sent.cancelled is not None:
                raise sent.cancelled from None
            raise
        except FaceplateError:
            if sent.cancelled is not None:
                raise sent.cancelled from None
            raise
        finally:
            sent.close()
        self.has_committed = True
        if sent.cancelled is not None:
            raise sent.cancelled
        self._check_in_sync()
        return result

    async def _open(self) -> None:
        if self._must_resynchronize:
            await self._resynchronize()
        if self.is_open:
            return
        self._check_single_statement()
        limits = self.settings.transaction_settings.items()
        setting = [f"SET LOCAL {name} = '{value}'" for name, value in limits]
        beginning = self._begin_preamble()
        sql = "; ".join([beginning.sql, *setting])
        self.is_open = True  # it may be, also where this is cancelled
        try:
            await self._driver.call(self._driver.execute, sql)
            if beginning.bound is not None:
                await self._driver.call(self._driver.fetch, *beginning.bound)
        except BaseException as error:
            self._note_failure(error, begins=True)
            raise
        self._check_in_sync()

    def _note_sent(self, ahead: Preamble, *, begins: bool) -> None:
        if self._driver.sent_preamble:
            self.is_open |= begins
            if ahead.has_row:
                self._mark = None

    def _check_single_statement(self, compiled: Compiled | None = None) -> None:
        """Begin anew where a unit goes on after a statement that was to be the whole of it."""
        locks_for_more = compiled is None or (compiled.locks and not compiled.writes)
        if self._may_autocommit and (self.autocommit is not None or locks_for_more):
            self.needs_transaction = True
            raise NeedsTransaction

    @abstractmethod
    async def _finish_session(self) -> None:
        """Send what the session holds."""

    @abstractmethod
    def _close_session(self) -> None:
        """Let go of what the session holds."""

    @abstractmethod
    def _autocommit_preamble(self) -> Preamble:
        """Return what goes ahead of a statement that is a transaction of its own."""

    @abstractmethod
    def _begin_preamble(self) -> Preamble:
        """Return what goes ahead of the first statement of a transaction."""
