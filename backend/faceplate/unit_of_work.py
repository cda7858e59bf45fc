"""One attempt at a unit: a connection, BEGIN, the block, COMMIT or ROLLBACK, back to the pool."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from faceplate.config import Settings
from faceplate.errors import CommitOutcomeUnknown, DatabaseError, Unavailable
from faceplate.scope import Ids, Transaction
from faceplate.translation import is_lost, is_ours, reason, translate, translate_connect

S = TypeVar("S", bound=Transaction)
T = TypeVar("T")

ROLLBACK_TIMEOUT_S = 2.0

_under_way: set[asyncio.Task[Any]] = set()  # the event loop alone keeps no task alive


class UnitOfWork(Generic[S]):
    """``async with`` it for a scope. Leaving commits; leaving with an error rolls back.

    Whatever happens in between, a cancellation included, the connection goes back to the pool
    clean, or is thrown away.
    """

    __slots__ = ("_driver", "_engine", "_ids", "_kind", "_pooled", "_scope", "_settings", "_user")

    _pooled: PoolProxiedConnection
    _driver: Any
    _scope: S

    def __init__(
        self,
        engine: AsyncEngine,
        settings: Settings,
        kind: type[S],
        user_id: UUID | None,
        ids: Ids,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._kind = kind
        self._user = user_id
        self._ids = ids

    async def __aenter__(self) -> S:
        try:
            self._pooled = await greenlet_spawn(self._engine.sync_engine.pool.connect)
        except Exception as error:
            limit_s = self._settings.connect_timeout_s
            raise translate_connect(error, target=self._settings.target, limit_s=limit_s) from error
        self._driver = self._pooled.driver_connection
        try:
            await self._driver.execute(self._begin())
        except BaseException as error:
            await self._abandon(error)
            raise
        self._scope = self._kind(self._engine, self._pooled, self._settings, self._user, self._ids)
        return self._scope

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                await self._scope.flush()
            except BaseException as flaw:
                await self._abandon(flaw)
                raise
            await self._commit()
        else:
            await self._abandon(error)

    def _begin(self) -> str:
        if self._user is None:
            return "BEGIN"
        mine = f"SET LOCAL faceplate.user_id = '{self._user}'"
        if not self._settings.row_level_security:
            return f"BEGIN; {mine}"
        return f"BEGIN; SET LOCAL ROLE faceplate_app; {mine}"

    async def _commit(self) -> None:
        commit = _start(self._driver.execute("COMMIT"))
        try:
            status = await asyncio.shield(commit)
        except asyncio.CancelledError:
            await _settle(commit)
            await self._check_in()
            raise
        except Exception as error:
            await self._check_in()
            self._explain_failed_commit(error)
            raise
        await self._check_in()
        if status != "COMMIT":
            raise DatabaseError(
                "nothing was written: a statement of the unit had failed and its error was caught"
            )

    def _explain_failed_commit(self, error: Exception) -> None:
        closed = self._driver.is_closed()
        if is_lost(error, closed=closed) or isinstance(error, TimeoutError):
            raise CommitOutcomeUnknown(
                f"the connection was lost during COMMIT: {reason(error)}", ids=self._ids.minted
            ) from error
        raise translate(error, target=self._settings.target, closed=closed) from None

    async def _abandon(self, error: BaseException) -> None:
        """Roll back, release, and raise faceplate's error in place of a database's one."""
        closed = self._driver.is_closed()
        await _settle(_start(self._roll_back()))
        if isinstance(error, Exception) and is_ours(error):
            ours = translate(error, target=self._settings.target, closed=closed)
            # What a server says of a statement may quote the values that it was sent with.
            raise ours from (error if isinstance(ours, Unavailable) else None)

    async def _roll_back(self) -> None:
        try:
            if not self._driver.is_closed():
                await self._driver.execute("ROLLBACK", timeout=ROLLBACK_TIMEOUT_S)
        except Exception:  # noqa: BLE001 - the server rolls back what it never hears of again
            self._driver.terminate()
        await self._check_in()

    async def _check_in(self) -> None:
        if self._driver.is_closed() or self._driver.is_in_transaction():
            self._driver.terminate()
            await greenlet_spawn(self._pooled.invalidate)
        await greenlet_spawn(self._pooled.close)


def _start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return task


async def _settle(task: asyncio.Task[Any]) -> None:
    """Wait until ``task`` is done, however often the waiting is cancelled meanwhile."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if not task.cancelled() and task.exception() is None and cancelled:
        raise asyncio.CancelledError
