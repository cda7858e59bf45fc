"""A unit's transaction: which statement begins it, and with which preamble.

BEGIN is sent in one round trip with the first statement that may write or lock. A plain SELECT
before that runs by itself, also one of the session, which makes no difference at READ COMMITTED.
On a connection without pipelining, BEGIN takes a round trip of its own before the first statement
of any kind.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm.exc import StaleDataError

from faceplate._driver import preamble
from faceplate._driver.connection import Answer
from faceplate._driver.encoding import UPDATED, Encoded
from faceplate._driver.error_mapping import FLUSH_FAILED
from faceplate._driver.pool import Lease
from faceplate._driver.preamble import READ_COMMITTED, Preamble
from faceplate._driver.shielding import Autocommit
from faceplate._transaction.state import CLOSED, Ids, State
from faceplate.config import Settings
from faceplate.errors import (
    FaceplateError,
    Unavailable,
    UsageError,
)
from faceplate.statement import Effects

T = TypeVar("T")

LEFT_RUNNING = (
    "a statement of the unit was still running when the unit returned: await every task that uses"
    " the scope; nothing was written"
)
COMMIT_FAILED = (
    "nothing was written: COMMIT, which went behind the last statement, has failed, and the unit"
    " caught its error"
)
WRITES = "a unit that is marked `read_only` neither writes nor locks: take the mark away"


class Carried(NamedTuple):
    """An UPDATE of a flush, which goes ahead of the transaction's next statement."""

    effects: Effects
    arguments: list[Any]
    encoded: Encoded


class Transaction(State, ABC):
    """One transaction on one connection, and the statements in it."""

    autocommits: bool
    """Whether the first statement that writes is a transaction by itself."""
    has_session: bool = False
    """Whether the unit has used its ORM session."""
    autocommit: Autocommit[Any] | None = None
    """The statement that commits by itself, as soon as it is sent."""
    _read_only: bool = False
    """Whether the unit is marked as one that only reads."""
    _carried: tuple[Carried, ...] = ()
    """The UPDATEs of a flush that wait for the next statement."""

    def __init__(
        self,
        engine: AsyncEngine,
        lease: Lease,
        settings: Settings,
        user_id: UUID | None,
        ids: Ids,
        *,
        isolation: str = READ_COMMITTED,
        read_only: bool = False,
        may_autocommit: bool = False,
        mark: Preamble | None = None,
    ) -> None:
        super().__init__(lease.driver, ids)
        self.settings = settings
        self._user_id = user_id
        self._engine = engine
        self._lease = lease
        self._read_only = read_only
        self._isolation = f"{isolation} READ ONLY" if read_only else isolation
        # Whether all statements, also a first read, have to see the same snapshot.
        self._has_snapshot = isolation != READ_COMMITTED
        self.autocommits = may_autocommit
        self._mark = mark

    @property
    def user_id(self) -> UUID | None:
        """The user that the unit runs for; None across users."""
        return self._user_id

    @property
    def is_on_citus(self) -> bool:
        """Whether the server is the coordinator of a Citus cluster."""
        return self._driver.is_citus

    def begin_with_next(self) -> bool:
        """Begin the transaction with the next statement, in a unit that needs several.

        Return whether that is a `one_statement` unit, which may `commit_with_next`.
        """
        if self.autocommits and self.autocommit is not None:
            self.restart_in_transaction()
        may_commit, self.autocommits = self.autocommits, False
        return may_commit

    def commit_with_next(self) -> None:
        """Commit with the next statement, in one round trip: the last one of the unit.

        The earlier ones are kept even if that one affects no row.
        """
        self.autocommits = True

    @property
    def is_carrying(self) -> bool:
        """Whether an UPDATE of a flush waits for another statement."""
        return bool(self._carried)

    async def run(self, effects: Effects, arguments: list[Any], limit: int = 0) -> Answer:
        """Return up to ``limit`` rows, or all if it is 0, and the command tag.

        The statement is sent with the preamble that it needs.
        """
        self._claim()
        try:
            if self._must_resynchronize:
                await self._resynchronize()
            self._check_only_reads(effects)
            if self.autocommits:
                self._check_is_whole_unit(effects)
            driver = self._driver
            if not driver.is_pipelined:
                await self._open()
            ahead, begins, commits = self._preamble_for(effects)
            if self._carried:
                return await self._run_with_carried(ahead, effects, arguments, limit)
            if not driver.is_ready(ahead, effects.sql):
                await self._make_ready(ahead, effects.sql, begins=begins)
            self.may_have_written |= effects.writes
            if effects.changes_session:
                driver.note_session_change(effects.sql)
            if commits:
                return await self._send_autocommit(ahead, effects.sql, arguments, limit)
            return await self._send(ahead, effects.sql, arguments, limit, begins=begins)
        finally:
            self.is_busy = False

    async def call(self, run: Callable[..., Awaitable[T]], sql: str, *values: Any) -> T:
        """Return ``run(sql, *values)`` of the driver, called in the transaction."""
        if self._carried:
            await self.send_carried()
        self._claim()
        try:
            await self._open()
            return await self._checked(self._driver.call(run, sql, *values))
        finally:
            self.is_busy = False

    async def begin(self) -> None:
        """Begin the transaction now, in one round trip, unless it is open already."""
        if self._carried:
            await self.send_carried()
        self._claim()
        try:
            await self._open()
        finally:
            self.is_busy = False

    async def send_carried(self) -> None:
        """Send the UPDATEs that have waited for another statement, and check what they found."""
        last, self._carried = self._carried[-1], self._carried[:-1]
        _, tag = await self.run(last.effects, last.arguments)
        self._check_updated((last,), [tag])

    async def lend_driver(self) -> None:
        """Begin the transaction, and have the connection closed when the unit has ended.

        Call it before the unit gets the driver's connection: the unit may change anything on it,
        and may keep it. The server's session is reset all the same, because a pooler may give it
        to another client.
        """
        await self.begin()
        self.may_have_written = True
        self._driver.must_reset_session = True
        self._driver.must_close = True

    def check_complete(self) -> None:
        """Raise if the unit, which has returned, must not be committed.

        Raises UsageError if the unit can only be rolled back, even if it caught that error.
        """
        if self.is_busy:
            raise UsageError(LEFT_RUNNING)
        self.check_usable()
        if self.rollback_reason is not None:
            raise UsageError(self.rollback_reason)

    def close(self) -> None:
        """Refuse every use from now on, and close the session."""
        if self._refusal is None:
            self._refusal = CLOSED
        if self.has_session:
            self._close_session()

    async def _make_ready(self, ahead: Preamble, sql: str, *, begins: bool) -> None:
        await self._checked(self._driver.make_ready(ahead, sql))
        if begins and self._has_snapshot:
            await self._checked(self._driver.end_preparing())
        self.check_usable()

    async def _send(
        self, ahead: Preamble, sql: str, arguments: list[Any], limit: int, *, begins: bool
    ) -> Answer:
        try:
            answer = await self._driver.run(ahead, sql, arguments, limit=limit)
        except BaseException as error:
            self._note_sent(ahead, begins=begins)
            self._note_failure(error, begins=begins)
            raise
        if ahead.messages:
            self._note_sent(ahead, begins=begins)
        self._check_in_sync()
        return answer

    async def _run_with_carried(
        self, ahead: Preamble, effects: Effects, arguments: list[Any], limit: int
    ) -> Answer:
        """Run a statement behind the UPDATEs that have waited for it, in the open transaction."""
        carried, self._carried = self._carried, ()
        self.may_have_written = True
        if effects.changes_session:
            self._driver.note_session_change(effects.sql)
        try:
            if not self._driver.is_ready(ahead, effects.sql):
                await self._make_ready(ahead, effects.sql, begins=False)
            ahead = preamble.carry(ahead, [each.encoded for each in carried])
            answer = await self._send(ahead, effects.sql, arguments, limit, begins=False)
            self._check_updated(carried, self._driver.carried_tags)
        except BaseException:
            self.set_rollback_only(FLUSH_FAILED)
            raise
        return answer

    def _check_updated(self, carried: tuple[Carried, ...], tags: list[bytes]) -> None:
        """Raise the ORM's error if an UPDATE of a flush has not found its row."""
        if tags != [UPDATED] * len(carried):
            self.set_rollback_only(FLUSH_FAILED)
            raise StaleDataError("an UPDATE of a flush has not found its row")

    def _preamble_for(self, effects: Effects) -> tuple[Preamble, bool, bool]:
        """Return the preamble, whether it has BEGIN, and whether the statement commits.

        A statement commits if it writes or locks and no BEGIN was sent, or by `commit_with_next`.
        """
        mark = self._mark if effects.is_dml else None
        if self.is_open:
            return mark or preamble.NONE, False, self.autocommits
        if self.autocommits or not (effects.needs_transaction or self._has_snapshot):
            return self._autocommit_preamble(), False, effects.needs_transaction
        return preamble.join(self._begin_preamble(), mark), True, False

    async def _send_autocommit(
        self, ahead: Preamble, sql: str, arguments: list[Any], limit: int
    ) -> Answer:
        driver = self._driver
        if self.is_open:
            running = driver.run_and_commit(ahead, sql, arguments, limit=limit)
        else:
            running = driver.run(ahead, sql, arguments, limit=limit, may_commit=True)
        self.autocommit = sent = Autocommit(running, self.settings, driver)  # in doubt from now on
        try:
            answer = await sent
        except FaceplateError as error:
            if isinstance(error, Unavailable):
                self.connection_error = error
            elif self.is_open and not driver.is_in_transaction():
                # Else the runner would send COMMIT once more, which succeeds and commits nothing.
                self.is_open, self.rollback_reason = False, COMMIT_FAILED
            if sent.cancelled is not None:
                raise sent.cancelled from None
            raise
        finally:
            sent.close()
        rows, tag = answer
        self.is_open = False
        # A `one_statement` that affects no row has written nothing.
        self.has_committed = bool(rows) or not tag.endswith(b" 0")
        if sent.cancelled is not None:
            raise sent.cancelled
        self._check_in_sync()
        return answer

    async def _open(self) -> None:
        if self._must_resynchronize:
            await self._resynchronize()
        if self.is_open:
            return
        self._check_is_whole_unit()
        begin = self._begin_preamble()
        self.is_open = True  # even if this is cancelled, BEGIN may have run
        try:
            await self._driver.run_commands(begin.sql.split("; "))
            if begin.bound is not None:
                await self._driver.call(self._driver.fetch, *begin.bound)
        except BaseException as error:
            self._note_failure(error, begins=True)
            raise
        self._check_in_sync()

    async def _resynchronize(self) -> None:
        was_unconfirmed = self._begin_is_unconfirmed
        await super()._resynchronize()
        if was_unconfirmed and self.is_open and self._driver.is_citus:
            # There each command of `_open` is sent alone. The user may not have been set.
            _, *settings = self._begin_preamble().sql.split("; ")
            try:
                await self._driver.run_commands(settings)
            except BaseException as error:
                self._note_failure(error, begins=True)
                raise

    def _check_only_reads(self, effects: Effects) -> None:
        """Raise UsageError for what writes or locks. The server refuses what text hides."""
        if self._read_only and (effects.is_dml or effects.locks):
            raise UsageError(WRITES)

    def _note_sent(self, ahead: Preamble, *, begins: bool) -> None:
        if self._driver.sent_preamble:
            self.is_open |= begins
            if ahead.has_row:
                self._mark = None

    def _check_is_whole_unit(self, effects: Effects | None = None) -> None:
        """Raise NeedsTransaction if a `one_statement` unit sends more than one.

        That is a second statement, a lock for a later one, or, without ``effects``, BEGIN itself.
        """
        needs_more = effects is None or (effects.locks and not effects.writes)
        if self.autocommits and (self.autocommit is not None or needs_more):
            self.restart_in_transaction()

    @abstractmethod
    def set_rollback_only(self, reason: str) -> None:
        """Have the innermost open savepoint rolled back, or the unit if there is none."""

    @abstractmethod
    async def finish_session(self) -> None:
        """Flush the session, because the unit has returned."""

    @abstractmethod
    def _close_session(self) -> None:
        """Discard the session's objects."""

    @abstractmethod
    def _autocommit_preamble(self) -> Preamble:
        """Return the preamble of a statement that is a transaction by itself."""

    @abstractmethod
    def _begin_preamble(self) -> Preamble:
        """Return the preamble that begins the transaction."""
