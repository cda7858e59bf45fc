"""One attempt at a unit, from check-out to COMMIT or ROLLBACK and check-in."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver.connection import Connection
from faceplate._driver.error_details import READ_ONLY
from faceplate._driver.error_mapping import ABORTED, FOREIGN_ERRORS, map_connect_error, map_error
from faceplate._driver.pool import Lease, Pool
from faceplate._driver.session_state import RESET_AND_COMMIT, ROLLBACK_AND_RESET
from faceplate._driver.shielding import Shielded, ShieldedByTask, ShieldedWithTimeouts
from faceplate._runner import commit_outcome, transaction_mark
from faceplate._runner.commit_outcome import Outcome
from faceplate._runner.transaction_mark import Mark
from faceplate._transaction.marks import Marks
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids, NeedsTransaction
from faceplate._transaction.transaction import WRITES
from faceplate.config import Settings
from faceplate.errors import (
    CancelledAfterCommit,
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseError,
    FaceplateError,
    UsageError,
)

S = TypeVar("S", bound=SessionTransaction)
T = TypeVar("T")

ROLLBACK_TIMEOUT_S = 2.0


class Access(NamedTuple, Generic[S]):
    """How the units of one kind reach the database."""

    kind: type[S]
    """What a unit is called with."""
    engine: AsyncEngine
    settings: Settings
    target: str
    """The server's name in messages."""


class Attempt(Generic[S]):
    """A scope for ``async with``: commits at the end, rolls back after an error.

    In every case, also after a cancellation, the scope is closed, and the connection is checked in
    clean or is closed.
    """

    __slots__ = (
        *("_access", "_driver", "_ids", "_lease", "_marks", "_may_autocommit", "_scope", "_user"),
    )

    _lease: Lease
    _driver: Connection
    _scope: S

    def __init__(
        self,
        access: Access[S],
        user_id: UUID | None,
        ids: Ids,
        marks: Marks,
        *,
        may_autocommit: bool = False,
    ) -> None:
        self._access = access
        self._user = user_id
        self._ids = ids
        self._marks = marks
        self._may_autocommit = may_autocommit

    async def __aenter__(self) -> S:
        kind, engine, settings, _ = self._access
        pool: Any = engine.sync_engine.pool
        self._lease = lease = pool.lease_warm() or await self._connect(pool)
        self._driver = driver = lease.driver
        driver.begin_unit()
        marks = self._marks
        self._scope = scope = kind(
            engine,
            lease,
            settings,
            self._user,
            self._ids,
            isolation=marks.isolation,
            read_only=marks.read_only,
            may_autocommit=self._may_autocommit and driver.is_pipelined,
            mark=None if marks.needs_no_outcome else transaction_mark.mark_preamble(driver),
        )
        return scope

    async def _connect(self, pool: Pool) -> Lease:
        try:
            return await pool.lease()
        except Exception as error:  # noqa: BLE001 - of SQLAlchemy's or the driver's many kinds
            limit_s = self._access.settings.connect_timeout_s
            failure = map_connect_error(error, target=self._access.target, limit_s=limit_s)
        raise failure

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        if error is not None:
            await self._roll_back_after(error)
            return
        scope = self._scope
        try:
            scope.check_complete()
            if scope.has_session:
                await scope.finish_session()
            scope.close()
            mark = await self._mark() if scope.is_open else None
        except BaseException as failure:
            await self._roll_back_after(failure)
            raise
        if scope.is_open:
            await self._commit(mark)
        elif not self._lease.try_check_in():
            await self._check_in()

    async def _mark(self) -> Mark | None:
        """Return the transaction's mark, or None where nothing will ask for its outcome."""
        if self._marks.needs_no_outcome or not self._scope.may_have_written:
            return None
        return await transaction_mark.take_mark(self._driver, may_prepare=self._driver.is_pipelined)

    def _shielded(self, work: Coroutine[Any, Any, T]) -> Shielded[T]:
        return Shielded(work) if self._driver.is_pipelined else ShieldedByTask(work)

    async def _check_in(self) -> None:
        """Check the connection in. There is no transaction to commit."""
        check_in = self._shielded(self._lease.check_in())
        await check_in
        if check_in.cancelled is not None:
            raise self._cancelled(check_in.cancelled, committed=self._scope.has_committed)

    async def _commit(self, mark: Mark | None) -> None:
        """Send COMMIT, and wait for its answer even if the caller is cancelled."""
        driver = self._driver
        commands = RESET_AND_COMMIT if driver.must_reset_session else ("COMMIT",)
        commit = self._shielded(driver.run_commands(commands, may_commit=True))
        try:
            status = await commit
        except FaceplateError as error:
            failure = error
        else:
            driver.must_reset_session = False
            check_in = self._shielded(self._lease.check_in())
            await check_in
            committed = status == "COMMIT"  # ROLLBACK if the transaction was aborted
            if cancelled := commit.cancelled or check_in.cancelled:
                raise self._cancelled(cancelled, committed=committed)
            if not committed:
                raise DatabaseError(ABORTED)
            return
        await self._handle_failed_commit(failure, mark, commit.cancelled)

    async def _handle_failed_commit(
        self, error: FaceplateError, mark: Mark | None, cancelled: asyncio.CancelledError | None
    ) -> None:
        """Return if the transaction has committed all the same; else raise.

        A caller that was cancelled meanwhile gets its cancellation once the outcome is known.
        """
        failure: BaseException | None = None
        resolving = ShieldedWithTimeouts(self._resolve_failed_commit(error, mark))
        try:
            await resolving
        except asyncio.CancelledError as raised:  # every task is cancelled, and so was this one
            cancelled = cancelled or raised
            failure = error
            if isinstance(error, ConnectionLost) and error.in_doubt:
                failure = CommitOutcomeUnknown(error.message, ids=self._ids.minted)
        except BaseException as raised:  # noqa: BLE001 - raised below
            failure = raised
        cancelled = resolving.cancelled or cancelled
        if failure is not None:
            raise failure if cancelled is None else self._as_cancelled(failure, cancelled)
        if cancelled is not None:
            raise self._cancelled(cancelled, committed=True)

    async def _resolve_failed_commit(self, error: FaceplateError, mark: Mark | None) -> None:
        """Return if the transaction has committed; raise if not, or if in doubt."""
        if not isinstance(error, ConnectionLost):
            await ShieldedByTask(self._roll_back())
            raise error
        self._driver.terminate()
        self._replace_pool(error)
        await self._lease.check_in()
        error.message = f"the connection was lost during COMMIT: {error.message}"
        if not error.in_doubt or (self._marks.replayable and self._scope.may_have_written):
            raise error
        if mark is None:
            return  # nothing was written, so there is nothing to lose
        match await commit_outcome.find_outcome(self._access.settings, mark):
            case Outcome.ROLLED_BACK:
                error.in_doubt = False
                raise error
            case Outcome.UNKNOWN:
                raise CommitOutcomeUnknown(error.message, ids=self._ids.minted)

    def _as_cancelled(
        self, failure: BaseException, cancelled: asyncio.CancelledError
    ) -> BaseException:
        """Return the error of a cancelled caller, which says if a commit is in doubt."""
        if isinstance(failure, ConnectionLost) and failure.in_doubt:
            return CommitOutcomeUnknown(failure.message, ids=self._ids.minted)
        if isinstance(failure, CommitOutcomeUnknown):
            return failure
        return self._cancelled(cancelled, committed=False)

    def _cancelled(
        self, cancelled: asyncio.CancelledError, *, committed: bool
    ) -> asyncio.CancelledError:
        """Return the cancellation; its cause says whether the unit has committed.

        Another call of `run` inside of the unit may have set that cause for its own commit.
        """
        if committed:
            cancelled.__cause__ = CancelledAfterCommit()
        elif isinstance(cancelled.__cause__, CancelledAfterCommit):
            cancelled.__cause__ = None
        return cancelled

    async def _roll_back_after(self, error: BaseException) -> None:
        """Roll back, check in, and raise the error that replaces ``error``, if any."""
        scope = self._scope
        mapped = self._map_error(error)
        scope.close()
        if self._driver.lacks_preamble_row:
            transaction_mark.recheck_support(self._driver)
        reported = mapped or scope.connection_error
        if self._marks.read_only and reported is not None and reported.sqlstate == READ_ONLY:
            reported = mapped = UsageError(WRITES, sqlstate=READ_ONLY)
        if isinstance(reported, ConnectionLost):
            self._driver.terminate()  # a connection to a standby still works
            self._replace_pool(reported)
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        if scope.is_open or scope.is_busy or not self._lease.try_check_in():
            rollback = ShieldedByTask(self._roll_back())
            await rollback
            cancelled = rollback.cancelled or cancelled
        if cancelled is not None:
            if reported is None:
                raise self._cancelled(cancelled, committed=scope.has_committed)
            raise self._as_cancelled(reported, cancelled)
        if scope.needs_transaction:
            raise NeedsTransaction
        if mapped is not None and mapped is not error:
            raise mapped

    def _map_error(self, error: BaseException) -> FaceplateError | None:
        """Return faceplate's error for one of the database, or None for any other error."""
        if isinstance(error, FaceplateError):
            return error
        if isinstance(error, FOREIGN_ERRORS):
            return map_error(error, target=self._access.target, closed=self._driver.is_closed())
        return None

    def _replace_pool(self, lost: ConnectionLost) -> None:
        """Replace all connections of the pool if the server has become read-only."""
        if lost.sqlstate == READ_ONLY:
            cast("Pool", self._access.engine.sync_engine.pool).replace_all(self._driver)

    async def _roll_back(self) -> None:
        driver = self._driver
        if self._scope.is_busy:  # an orphaned task of the unit waits for an answer
            driver.terminate()
        if self._scope.is_open and not driver.is_closed():
            commands = ROLLBACK_AND_RESET if driver.must_reset_session else ("ROLLBACK",)
            try:
                await driver.run_commands(commands, timeout_s=ROLLBACK_TIMEOUT_S)
                driver.must_reset_session = driver.is_preparing = False
            except Exception:  # noqa: BLE001 - the server rolls back when the connection closes
                driver.terminate()
        await self._lease.check_in()
