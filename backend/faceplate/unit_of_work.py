"""One attempt at a unit: a connection, the block, COMMIT or ROLLBACK, back to the pool."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from faceplate import outcome
from faceplate.config import Settings
from faceplate.connection import Connection
from faceplate.errors import (
    CancelledAfterCommit,
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseError,
    FaceplateError,
    Unavailable,
)
from faceplate.outcome import Mark, Outcome
from faceplate.pool import Lease, Pool
from faceplate.scope import Ids, Transaction
from faceplate.translation import (
    is_lost,
    is_ours,
    reason,
    sqlstate_of,
    translate,
    translate_connect,
    visible_cause,
)
from faceplate.uninterrupted import Uninterrupted

S = TypeVar("S", bound=Transaction)
T = TypeVar("T")

ROLLBACK_TIMEOUT_S = 2.0
READ_ONLY = "25006"

_under_way: set[asyncio.Task[Any]] = set()  # the event loop alone keeps no task alive


class UnitOfWork(Generic[S]):
    """``async with`` it for a scope. Leaving commits; leaving with an error rolls back.

    Whatever happens in between, a cancellation included, the connection goes back to the pool
    clean, or is thrown away.
    """

    __slots__ = (
        *("_driver", "_engine", "_ids", "_kind", "_lease", "_may_be_alone", "_replayable"),
        *("_scope", "_settings", "_user"),
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
        replayable: bool = False,
        may_be_alone: bool = False,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._kind = kind
        self._user = user_id
        self._ids = ids
        self._replayable = replayable
        self._may_be_alone = may_be_alone

    async def __aenter__(self) -> S:
        try:
            self._lease = self._pool.lease_warm() or await self._pool.lease()
        except Exception as error:
            limit_s = self._settings.connect_timeout_s
            raise translate_connect(error, target=self._settings.target, limit_s=limit_s) from error
        self._driver = self._lease.driver
        self._driver.begin_unit(None if self._replayable else outcome.mark_ahead(self._driver))
        self._scope = self._kind(
            self._engine,
            self._lease,
            self._settings,
            self._user,
            self._ids,
            may_be_alone=self._may_be_alone,
        )
        if self._settings.pgbouncer:
            try:
                await self._scope.open()
            except BaseException as error:
                await self._abandon(error)
                raise
        return self._scope

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        if error is not None:
            await self._abandon(error)
        elif self._scope.is_over:
            await self._leave()
        else:
            try:
                await self._scope.flush()
                mark = await self._mark()
            except BaseException as flaw:
                await self._abandon(flaw)
                raise
            await (self._commit(mark) if self._scope.is_open else self._leave())

    async def _mark(self) -> Mark | None:
        """What the transaction can be found again by, if it may have to be."""
        if self._replayable or not (self._scope.is_open and self._scope.may_have_written):
            return None
        return await outcome.mark(self._driver, may_prepare=not self._settings.pgbouncer)

    async def _leave(self) -> None:
        """Give the connection back: what was done is done, without a COMMIT."""
        alone = self._scope.alone
        cancelled = alone.cancelled if alone is not None else None
        if not self._lease.give_back_at_once():
            check_in = Uninterrupted(self._check_in())
            await check_in
            cancelled = cancelled or check_in.cancelled
        if cancelled is None:
            return
        if alone is not None:
            raise CancelledAfterCommit(*cancelled.args) from cancelled
        raise cancelled

    async def _commit(self, mark: Mark | None) -> None:
        """Say COMMIT and wait for its answer, however often the waiting is cancelled."""
        commit = Uninterrupted(self._driver.timed(self._driver.execute, "COMMIT"))
        try:
            status = await commit
        except Exception as error:  # noqa: BLE001 - looked into, and raised if it must be
            await self._survive(error, mark, commit.cancelled)
            return
        self._driver.is_adrift = False
        check_in = Uninterrupted(self._check_in())
        await check_in
        if status != "COMMIT":
            raise DatabaseError(
                "nothing was written: a statement of the unit had failed and its error was caught"
            )
        if cancelled := commit.cancelled or check_in.cancelled:
            raise CancelledAfterCommit(*cancelled.args) from cancelled

    async def _survive(
        self, error: Exception, mark: Mark | None, cancelled: asyncio.CancelledError | None
    ) -> None:
        """Find out what a failed COMMIT means, and tell a cancelled caller just as much."""
        ending = _start(self._after_failed_commit(error, mark))
        cancelled = await _settle(ending) or cancelled
        if (failure := ending.exception()) is not None:
            raise self._as_cancelled(failure, cancelled) if cancelled else failure
        if cancelled:
            raise CancelledAfterCommit(*cancelled.args) from cancelled

    async def _after_failed_commit(self, error: Exception, mark: Mark | None) -> None:
        """Return where the transaction has taken effect all the same; raise where it has not."""
        closed = self._driver.is_closed()
        if not (is_lost(error, closed=closed) or isinstance(error, TimeoutError)):
            await self._roll_back()
            raise translate(error, target=self._settings.target, closed=closed) from None
        self._driver.terminate()
        await self._check_in()
        message = f"the connection was lost during COMMIT: {reason(error)}"
        if self._replayable and self._scope.may_have_written:
            lost = ConnectionLost(message)
            lost.in_doubt = True
            raise lost from visible_cause(error)
        if mark is None:
            return  # there was nothing to write
        match await outcome.find_out(self._settings, mark):
            case Outcome.ROLLED_BACK:
                raise ConnectionLost(message) from visible_cause(error)
            case Outcome.UNKNOWN:
                raise CommitOutcomeUnknown(message, ids=self._ids.minted) from visible_cause(error)

    def _as_cancelled(
        self, failure: BaseException, cancelled: asyncio.CancelledError
    ) -> BaseException:
        """What a cancelled caller is told: whether something may have been written or not."""
        if isinstance(failure, ConnectionLost) and failure.in_doubt:
            return CommitOutcomeUnknown(failure.message, ids=self._ids.minted)
        if isinstance(failure, CommitOutcomeUnknown):
            return failure
        return cancelled

    async def _abandon(self, error: BaseException) -> None:
        """Roll back, check in, and raise faceplate's error in place of a database's one."""
        ours = self._translate(error)
        if self._driver.was_refused_ahead:
            outcome.forget(self._driver)
        if isinstance(ours, ConnectionLost):
            self._driver.terminate()  # a standby's connection works, and must be replaced too
            if ours.sqlstate == READ_ONLY:  # so do the others, and a repeat would meet one
                self._pool.replace_all()
        cancelled = None
        if self._scope.is_open or not self._lease.give_back_at_once():
            cancelled = await _settle(_start(self._roll_back()))
        if self._scope.alone is not None:
            cancelled = self._scope.alone.cancelled or cancelled
        if cancelled:
            raise self._as_cancelled(ours, cancelled) if ours else cancelled
        if ours is not None:
            # What a server says of a statement may quote the values that it was sent with.
            raise ours from (visible_cause(error) if isinstance(ours, Unavailable) else None)

    def _translate(self, error: BaseException) -> FaceplateError | None:
        """Return faceplate's error for one of the database, and None for any other."""
        closed, target = self._driver.is_closed(), self._settings.target
        if not (isinstance(error, Exception) and is_ours(error)):
            return None
        is_unanswered = is_lost(error, closed=closed) or isinstance(error, TimeoutError)
        if self._scope.alone is not None and is_unanswered:  # and may have been its own COMMIT
            lost = ConnectionLost(f"{target}: {reason(error)}", sqlstate=sqlstate_of(error))
            lost.in_doubt = lost.sqlstate != READ_ONLY
            return lost
        return translate(error, target=target, closed=closed)

    @property
    def _pool(self) -> Pool:
        return cast("Pool", self._engine.sync_engine.pool)

    async def _roll_back(self) -> None:
        try:
            if not self._driver.is_closed() and self._scope.is_open:
                await self._driver.execute("ROLLBACK", timeout=ROLLBACK_TIMEOUT_S)
                self._driver.is_adrift = False
        except Exception:  # noqa: BLE001 - the server rolls back what it never hears of again
            self._driver.terminate()
        await self._check_in()

    async def _check_in(self) -> None:
        if self._driver.is_adrift and not self._driver.is_closed():
            try:
                await self._driver.settle()
            except Exception:  # noqa: BLE001 - whatever it is, the connection is of no more use
                self._driver.terminate()
        await self._lease.give_back()


def _start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return task


async def _settle(task: asyncio.Task[Any]) -> asyncio.CancelledError | None:
    """Wait until ``task`` is done. Return the first cancellation of the waiting, if there was."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    return cancelled
