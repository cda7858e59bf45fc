"""One attempt at a unit: a connection, the block, COMMIT or ROLLBACK, back to the pool."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate._driver.connection import Connection
from faceplate._driver.error_details import READ_ONLY
from faceplate._driver.error_mapping import ABORTED, FOREIGN_ERRORS, map_connect_error, map_error
from faceplate._driver.pool import Lease, Pool
from faceplate._driver.preamble import READ_COMMITTED
from faceplate._driver.session_state import RESET_AND_COMMIT, ROLLBACK_AND_RESET
from faceplate._driver.shielding import Shielded, ShieldedByTask
from faceplate._runner import commit_outcome
from faceplate._runner.commit_outcome import Mark, Outcome
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids, NeedsTransaction
from faceplate.config import Settings
from faceplate.errors import (
    CancelledAfterCommit,
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseError,
    FaceplateError,
)

S = TypeVar("S", bound=SessionTransaction)
T = TypeVar("T")

ROLLBACK_TIMEOUT_S = 2.0


class Attempt(Generic[S]):
    """``async with`` it for a scope. Leaving commits; leaving with an error rolls back.

    Whatever happens in between, a cancellation included, the scope is closed, and the connection
    goes back to the pool clean or is thrown away.
    """

    __slots__ = (
        *("_driver", "_engine", "_ids", "_isolation", "_kind", "_lease", "_may_autocommit"),
        *("_replayable", "_scope", "_settings", "_user"),
    )

    _lease: Lease
    _driver: Connection
    _scope: S

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        kind: type[S],
        user_id: UUID | None,
        ids: Ids,
        *,
        isolation: str = READ_COMMITTED,
        replayable: bool = False,
        may_autocommit: bool = False,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._kind = kind
        self._user = user_id
        self._ids = ids
        self._isolation = isolation
        self._replayable = replayable
        self._may_autocommit = may_autocommit

    async def __aenter__(self) -> S:
        pool = cast("Pool", self._engine.sync_engine.pool)
        self._lease = pool.lease_warm() or await self._connect(pool)
        self._driver = driver = self._lease.driver
        driver.begin_unit()
        self._scope = self._kind(
            self._engine,
            self._lease,
            self._settings,
            self._user,
            self._ids,
            isolation=self._isolation,
            may_autocommit=self._may_autocommit and driver.is_pipelined,
            mark=None if self._replayable else commit_outcome.mark_preamble(driver),
        )
        return self._scope

    async def _connect(self, pool: Pool) -> Lease:
        try:
            return await pool.lease()
        except Exception as error:  # noqa: BLE001 - of SQLAlchemy's or the driver's many kinds
            limit_s = self._settings.connect_timeout_s
            failure = map_connect_error(error, target=self._settings.target, limit_s=limit_s)
        raise failure

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        if error is not None:
            await self._abandon(error)
            return
        scope = self._scope
        try:
            await scope.finish()
            mark = await self._mark() if scope.is_open else None
        except BaseException as flaw:
            await self._abandon(flaw)
            raise
        if scope.is_open:
            await self._commit(mark)
        elif not self._lease.try_check_in():
            await self._leave()

    async def _mark(self) -> Mark | None:
        """Return what the transaction can be found again by, if it may have to be."""
        if self._replayable or not self._scope.may_have_written:
            return None
        return await commit_outcome.mark(self._driver, may_prepare=self._driver.is_pipelined)

    def _shielded(self, work: Coroutine[Any, Any, T]) -> Shielded[T]:
        return Shielded(work) if self._driver.is_pipelined else ShieldedByTask(work)

    async def _leave(self) -> None:
        """Give the connection back: what was done is done, without a COMMIT."""
        check_in = self._shielded(self._lease.check_in())
        await check_in
        if check_in.cancelled is not None:
            raise self._cancelled(check_in.cancelled, kept=self._scope.has_committed)

    async def _commit(self, mark: Mark | None) -> None:
        """Send COMMIT and wait for its answer, however often the waiting is cancelled."""
        driver = self._driver
        sql = RESET_AND_COMMIT if driver.must_reset_session else "COMMIT"
        commit = self._shielded(driver.call(driver.execute, sql, may_commit=True))
        try:
            status = await commit
        except FaceplateError as error:
            failure = error
        else:
            driver.must_reset_session = False
            check_in = self._shielded(self._lease.check_in())
            await check_in
            is_kept = status == "COMMIT"
            if cancelled := commit.cancelled or check_in.cancelled:
                raise self._cancelled(cancelled, kept=is_kept)
            if not is_kept:
                raise DatabaseError(ABORTED)
            return
        await self._survive(failure, mark, commit.cancelled)

    async def _survive(
        self, error: FaceplateError, mark: Mark | None, cancelled: asyncio.CancelledError | None
    ) -> None:
        """Find out what a failed COMMIT means, and tell a cancelled caller just as much."""
        failure: BaseException | None = None
        ending = ShieldedByTask(self._after_failed_commit(error, mark))
        try:
            await ending
        except BaseException as ended:  # noqa: BLE001 - raised below
            failure = ended
        cancelled = ending.cancelled or cancelled
        if failure is not None:
            raise failure if cancelled is None else self._as_cancelled(failure, cancelled)
        if cancelled is not None:
            raise self._cancelled(cancelled, kept=True)

    async def _after_failed_commit(self, error: FaceplateError, mark: Mark | None) -> None:
        """Return where the transaction has taken effect all the same; raise where it has not."""
        if not isinstance(error, ConnectionLost):
            await self._roll_back()
            raise error
        self._driver.terminate()
        self._replace_all(error)
        await self._lease.check_in()
        error.message = f"the connection was lost during COMMIT: {error.message}"
        if not error.in_doubt or (self._replayable and self._scope.may_have_written):
            raise error
        if mark is None:
            return  # there was nothing to write
        match await commit_outcome.find_outcome(self._settings, mark):
            case Outcome.ROLLED_BACK:
                error.in_doubt = False
                raise error
            case Outcome.UNKNOWN:
                raise CommitOutcomeUnknown(error.message, ids=self._ids.minted)

    def _as_cancelled(
        self, failure: BaseException, cancelled: asyncio.CancelledError
    ) -> BaseException:
        """Return what a cancelled caller is told: whether something may have been written."""
        if isinstance(failure, ConnectionLost) and failure.in_doubt:
            return CommitOutcomeUnknown(failure.message, ids=self._ids.minted)
        if isinstance(failure, CommitOutcomeUnknown):
            return failure
        return self._cancelled(cancelled, kept=False)

    def _cancelled(
        self, cancelled: asyncio.CancelledError, *, kept: bool
    ) -> asyncio.CancelledError:
        """Return the cancellation, with `CancelledAfterCommit` as its cause where that is so.

        A unit inside of this one may have set it for itself.
        """
        if kept:
            cancelled.__cause__ = CancelledAfterCommit()
        elif isinstance(cancelled.__cause__, CancelledAfterCommit):
            cancelled.__cause__ = None
        return cancelled

    async def _abandon(self, error: BaseException) -> None:
        """Roll back, check in, and raise what the caller is to get in place of ``error``."""
        scope = self._scope
        ours = self._translate(error)
        scope.close()
        if self._driver.lacks_preamble_row:
            commit_outcome.recheck_support(self._driver)
        told = ours or scope.connection_error
        if isinstance(told, ConnectionLost):
            self._driver.terminate()  # a standby's connection works, and must be replaced too
            self._replace_all(told)
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        if scope.is_open or scope.is_busy or not self._lease.try_check_in():
            ending = ShieldedByTask(self._roll_back())
            await ending
            cancelled = ending.cancelled or cancelled
        if cancelled is not None:
            if told is None:
                raise self._cancelled(cancelled, kept=scope.has_committed)
            raise self._as_cancelled(told, cancelled)
        if scope.needs_transaction:
            raise NeedsTransaction
        if ours is not None and ours is not error:
            raise ours

    def _translate(self, error: BaseException) -> FaceplateError | None:
        """Return faceplate's error for one of the database, and None for any other."""
        if isinstance(error, FaceplateError):
            return error
        if isinstance(error, FOREIGN_ERRORS):
            return map_error(error, target=self._settings.target, closed=self._driver.is_closed())
        return None

    def _replace_all(self, lost: ConnectionLost) -> None:
        """Replace the pool's connections where they all lead to a server that takes no writes."""
        if lost.sqlstate == READ_ONLY:
            cast("Pool", self._engine.sync_engine.pool).replace_all(self._driver)

    async def _roll_back(self) -> None:
        driver = self._driver
        if self._scope.is_busy:  # an orphan of the unit waits for an answer
            driver.terminate()
        if self._scope.is_open and not driver.is_closed():
            sql = ROLLBACK_AND_RESET if driver.must_reset_session else "ROLLBACK"
            try:
                await driver.execute(sql, timeout=ROLLBACK_TIMEOUT_S)
                driver.must_reset_session = driver.is_preparing = False
            except Exception:  # noqa: BLE001 - the server rolls back what it never hears of again
                driver.terminate()
        await self._lease.check_in()
