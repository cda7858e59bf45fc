"""When a unit is retried, and with which backoff."""

import asyncio
import random
import time
from typing import TypeVar
from uuid import UUID

from faceplate._runner.attempt import Access, Attempt
from faceplate._runner.calls import BoundUnit, Call
from faceplate._runner.flight import FliesAlone
from faceplate._runner.shared_scope import SharedScope
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids, NeedsTransaction
from faceplate.config import Settings
from faceplate.errors import (
    CannotConnect,
    CommitOutcomeUnknown,
    ConnectionLost,
    Contention,
    FaceplateError,
    Overloaded,
    PoolExhausted,
    SchemaChanged,
    ShuttingDown,
    Unavailable,
    was_committed,
)
from faceplate.events import Kind

S = TypeVar("S", bound=SessionTransaction)
T = TypeVar("T")

CONTENTION_LIMIT_S = 10.0
CONTENTION_PAUSE_S = 0.02
CONTENTION_PAUSE_MAX_S = 1.0
RECONNECT_PAUSE_S = 0.1
RECONNECT_PAUSE_MAX_S = 2.0


async def run_with_retries(
    unit: BoundUnit[T],
    access: Access[S],
    user_id: UUID | None,
    call: Call,
    shared: SharedScope | None,
) -> T:
    """Return what ``unit`` returns, run in as many attempts as `Retry` allows.

    With ``shared``, the first attempt is made with that scope.

    Raises CommitOutcomeUnknown if an attempt is in doubt and its retry failed.
    """
    ids = Ids() if shared is None else shared.ids
    retry: Retry | None = None  # most calls never need one
    marks = unit.marks
    may_autocommit = marks.may_autocommit
    while True:
        attempt = Attempt(access, user_id, ids, marks, may_autocommit=may_autocommit)
        try:
            try:
                if shared is not None:
                    return await shared.run_unit(unit)
                async with attempt as scope:
                    return await unit(scope)
            except FaceplateError as error:
                retry = retry or Retry(access.settings, call)
                await retry.after(error)
        except FliesAlone:
            shared = None
            ids.rewind()
            continue  # nothing can have been stored
        except NeedsTransaction:
            pass
        except BaseException as error:
            if retry is not None and retry.in_doubt and not was_committed(error):
                raise CommitOutcomeUnknown(
                    "the connection was lost during COMMIT, and the retry failed", ids=ids.minted
                ) from error
            raise
        # A retry looks in one transaction for what the first attempt may have stored.
        may_autocommit = False
        shared = None
        ids.rewind()


class Retry:
    """The retry policy of one call of `Database.run`, and its retries so far."""

    def __init__(self, settings: Settings, call: Call) -> None:
        self._settings = settings
        self._call = call
        self._contention_until_s: float | None = None
        self._contention_pause_s = CONTENTION_PAUSE_S
        self._reconnect_until_s: float | None = None
        self._was_lost = False
        self._schema_changed = False
        self.in_doubt = False
        """Whether an earlier attempt may have committed."""
        self._reconnect_pause_s = RECONNECT_PAUSE_S

    async def after(self, error: FaceplateError) -> None:
        """Return after a backoff if the unit may be retried; else raise ``error``."""
        match error:
            case SchemaChanged() if not self._schema_changed:
                self._schema_changed = True
                self._begin_anew(error)
            case Contention():
                await self._after_contention(error)
            case Overloaded() | PoolExhausted() | CannotConnect() | ShuttingDown():
                raise error
            case ConnectionLost():
                await self._after_loss(error)
            case Unavailable():
                await self._until_reconnected(error)
            case _:
                raise error

    async def _after_contention(self, error: Contention) -> None:
        """Retry with backoff and jitter until a deadline.

        The first pause is short, because the other transaction has ended. Later pauses grow, or
        many units that conflict with each other would go on conflicting.
        """
        now = time.monotonic()
        if self._contention_until_s is None:
            self._contention_until_s = now + CONTENTION_LIMIT_S
        if now >= self._contention_until_s:
            raise error
        self._begin_anew(error)
        await asyncio.sleep(random.uniform(0, self._contention_pause_s))  # noqa: S311 - no secret
        self._contention_pause_s = min(2 * self._contention_pause_s, CONTENTION_PAUSE_MAX_S)

    async def _after_loss(self, error: ConnectionLost) -> None:
        """Retry once, after a pause, because the server may be restarting."""
        self.in_doubt |= error.in_doubt
        if self._was_lost:
            raise error
        self._was_lost = True
        self._begin_anew(error)
        await asyncio.sleep(self._settings.retry_delay_s)

    async def _until_reconnected(self, error: Unavailable) -> None:
        """Connect again with backoff and jitter until a deadline. The unit has not begun."""
        now = time.monotonic()
        if self._reconnect_until_s is None:
            self._reconnect_until_s = now + self._settings.reconnect_timeout_s
            self._call.record(Kind.RECONNECT, error)
        if now >= self._reconnect_until_s:
            raise error
        await asyncio.sleep(self._reconnect_pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._reconnect_pause_s = min(2 * self._reconnect_pause_s, RECONNECT_PAUSE_MAX_S)

    def _begin_anew(self, error: FaceplateError) -> None:
        self._call.record(Kind.RETRY, error)
        self._call.attempt += 1
