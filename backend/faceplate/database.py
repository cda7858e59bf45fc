"""The runner: the only place that begins, commits, retries and translates.

::

    async with Database("postgresql://...") as db:
        message = await db.run(user_id, messages.append, conversation_id, role="user", content="hi")
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from faceplate._driver.engine import create_engine, create_transactional_engine
from faceplate._driver.startup import verify
from faceplate._orm.flush_order import OrderedSession
from faceplate._runner.attempt import Attempt
from faceplate._runner.calls import BoundUnit, Call, InFlight
from faceplate._runner.confidentiality import remove_confidential
from faceplate._runner.retry import Retry
from faceplate._runner.shutdown import POLL_S, Shutdown
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids, NeedsTransaction
from faceplate.config import Settings
from faceplate.errors import (
    CommitOutcomeUnknown,
    FaceplateError,
    UsageError,
    was_committed,
)
from faceplate.events import Counters, Events
from faceplate.health import Health, Pool, check, pool_of
from faceplate.scope import Isolation, Scope, SystemScope, checked_level

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=SessionTransaction)


class Database:
    """A pool of connections to one PostgreSQL, and the runner of units over it.

    ``settings`` is a `Settings`, a URL, or None to read DATABASE_URL and FACEPLATE_* from the
    environment and from .env. Making one connects to nothing; entering it does. It belongs to
    the event loop and the process that entered it.

    Raises ConfigurationError where a setting is missing or malformed.
    """

    def __init__(self, settings: Settings | SecretStr | str | None = None) -> None:
        if isinstance(settings, str):
            settings = SecretStr(settings)  # before anything raises: no frame shows the password
        if isinstance(settings, SecretStr):
            settings = Settings(database_url=settings)
        self.settings = settings or Settings()
        self.events = Events()
        self.in_flight = InFlight()
        self._engine: AsyncEngine | None = None
        self._owner_engine: AsyncEngine | None = None
        self._owner_settings = self.settings.of_owner
        self._shutdown: Shutdown | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    async def __aenter__(self) -> Self:
        """Verify, within ``startup_timeout_s``, that the server can be used, and open the pool.

        Raises Unavailable, Unauthorized or DatabaseError, which say which server and why, and
        UsageError where it is open already.
        """
        await verify(self.settings)
        if self._is_left_over():
            await self.dispose()
        if self._engine is not None:
            raise UsageError("the database is open already: enter it once, and share it")
        self._engine = self._owner_engine = create_engine(self.settings)
        if self.settings.owner_url is not None:
            self._owner_engine = create_engine(self._owner_settings, powerless=False)
        self._shutdown = Shutdown({self._engine, self._owner_engine}, self.in_flight)
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispose()

    async def dispose(self) -> int:
        """Close the pool when what is under way has ended, or after ``shutdown_timeout_s``.

        Return how many units, blocks and drafts were cut off. New ones are refused from now on,
        with ShuttingDown. A unit or block that is cut off is rolled back, and its caller gets
        ShuttingDown, or CancelledAfterCommit where it had taken effect; a draft ends as
        interrupted. That takes some seconds at most. Whoever is cancelled while waiting for this
        cuts all off at once.

        A second call waits for the first one and returns 0, as does one where nothing is open. In
        a forked process it leaves the parent's connections alone. Where the event loop that has
        entered it was closed, nothing of it is under way, and nothing is waited for.

        Raises UsageError in another event loop than the one that has entered it, unless that one
        was closed.
        """
        shutdown = self._shutdown
        if shutdown is None:
            return 0
        if self._pid != os.getpid():
            shutdown.leave_to_parent()
            self._engine = self._owner_engine = self._shutdown = None
            return 0
        if self._is_left_over():
            shutdown.leave_to_loop()
            self._engine = self._owner_engine = self._shutdown = None
            return 0
        self._check_place()
        if shutdown.has_begun:
            while self._shutdown is shutdown:  # noqa: ASYNC110 - see InFlight
                await asyncio.sleep(POLL_S)
            return 0
        try:
            return await shutdown.run(self.settings.shutdown_timeout_s)
        finally:
            self._engine = self._owner_engine = self._shutdown = None

    @property
    def engine(self) -> AsyncEngine:
        """The engine. Raises UsageError unless this process and event loop have entered it."""
        if self._engine is None:
            raise UsageError("the database is not open: use `async with Database(...) as db:`")
        self._check_place()
        return self._engine

    def _engine_for(self, kind: type[SessionTransaction]) -> AsyncEngine:
        """Return the engine for units of a kind: those across users may have a login of their own.

        Raises UsageError as `engine` does.
        """
        engine = self.engine
        return engine if kind is Scope else self._owner_engine or engine

    def pool(self) -> Pool:
        """Return how the pool stands. Any thread may ask, and before it is open, too."""
        return pool_of(self.settings, self._engine)

    @property
    def counters(self) -> Counters:
        """How many retries, reconnects, refusals and unknown outcomes there were. It counts on."""
        return self.events.counters

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """Plain SQLAlchemy sessions over the same pool, as the connecting role.

        No user is set and nothing is retried: what is not for one user at a time, and code
        that brings its own transactions, uses these. Raises ShuttingDown.
        """
        self.in_flight.check_is_open()
        engine = self._engine_for(SystemScope)
        transactional = create_transactional_engine(engine, self.settings)
        return async_sessionmaker(
            transactional, expire_on_commit=False, sync_session_class=OrderedSession
        )

    def run(
        self,
        user_id: UUID,
        unit: Callable[Concatenate[Scope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, T]:
        """Await it: ``unit(scope, *args, **kwargs)`` in a transaction for one user. Its result.

        After a lost connection the whole unit is retried once, on a fresh connection, which it
        may wait for up to ``reconnect_timeout_s``; after a deadlock or a serialization failure,
        at once and a few times. A unit may therefore be called more than once, and should touch
        nothing but the database; `Scope.new_id` gives it the same ids each time.

        Raises what the unit raises, and FaceplateError for whatever the database says.
        """
        # Not async itself: a frame of it would show the arguments in every traceback.
        return self._run(Scope, user_id, BoundUnit(unit, args, kwargs))

    def run_system(
        self,
        unit: Callable[Concatenate[SystemScope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, T]:
        """Await it: a unit across users, as the login's own role. No owner is added.

        Otherwise as `run`. It is a method of its own so that a reviewer sees it.

        Raises Unauthorized where the connecting role does not see the rows of all users.
        """
        return self._run(SystemScope, None, BoundUnit(unit, args, kwargs))

    def begin(
        self, user_id: UUID, *, isolation: Isolation = "read committed"
    ) -> AbstractAsyncContextManager[Scope]:
        """Return ``async with db.begin(user_id) as scope:``, a transaction around a block.

        It commits when the block ends and rolls back when it raises. It is never retried, since
        a block cannot be entered twice: prefer `run`. For ``isolation``, see `isolation_level`.
        """
        work = Attempt(
            self.engine,
            self.settings,
            Scope,
            _checked(user_id),
            Ids(),
            isolation=checked_level(isolation),
        )
        return _Block(Call(self.events, self.in_flight, "begin"), work)

    async def check(self) -> Health:
        """Return what an operator asks first: reachable, how fast, which version, at head, pool.

        What cannot be told because the server is not reached is None; nothing is raised for it.
        """
        return await check(self.settings, pool_of(self.settings, self.engine))

    def _is_left_over(self) -> bool:
        """Whether it was opened in a process that has forked this one, or in a closed loop."""
        return self._pid != os.getpid() or (self._loop is not None and self._loop.is_closed())

    def _check_place(self) -> None:
        if self._loop is not asyncio.get_running_loop() or self._pid != os.getpid():
            raise UsageError(
                "the database was opened in another event loop or process: "
                "open one of its own in each, after the fork"
            )

    async def _run(self, kind: type[S], user_id: UUID | None, unit: BoundUnit[T]) -> T:
        try:
            user = None if kind is SystemScope else _checked(user_id)
            with Call(self.events, self.in_flight, unit.function) as call:
                return await self._attempts(call, kind, user, unit)
        except BaseException as error:
            remove_confidential(error)
            raise

    async def _attempts(
        self, call: Call, kind: type[S], user_id: UUID | None, unit: BoundUnit[T]
    ) -> T:
        ids = Ids()
        retry: Retry | None = None
        may_autocommit = unit.is_one_statement
        while True:
            work = Attempt(
                self._engine_for(kind),
                self.settings if kind is Scope else self._owner_settings,
                kind,
                user_id,
                ids,
                isolation=unit.isolation,
                replayable=unit.is_replayable,
                may_autocommit=may_autocommit,
            )
            may_autocommit = False  # a retry finds out in one transaction what there is
            try:
                try:
                    async with work as scope:
                        return await unit(scope)
                except FaceplateError as error:
                    retry = retry or Retry(self.settings, call)
                    await retry.after(error)  # raises it where a retry would be wrong
            except NeedsTransaction:
                pass
            except BaseException as error:
                if retry is not None and retry.in_doubt and not was_committed(error):
                    raise CommitOutcomeUnknown(
                        "the connection was lost during COMMIT, and the retry failed",
                        ids=ids.minted,
                    ) from error
                raise
            ids.rewind()


def _checked(user_id: UUID | None) -> UUID:
    if not isinstance(user_id, UUID):
        raise UsageError(f"user_id must be a UUID, not {type(user_id).__name__}")
    # A subclass may write itself differently each time that it is asked.
    return user_id if type(user_id) is UUID else UUID(int=user_id.int)


class _Block(AbstractAsyncContextManager[S]):
    """The block of `Database.begin`."""

    def __init__(self, call: Call, work: Attempt[S]) -> None:
        self._call = call
        self._work = work
        self._was_entered = False
        self._is_entered = False

    async def __aenter__(self) -> S:
        if self._was_entered:
            raise UsageError("a block is entered once: call `begin` for each")
        self._was_entered = True
        self._call.__enter__()
        try:
            scope = await self._work.__aenter__()
        except BaseException as error:
            self._leave(error)
            raise
        self._is_entered = True
        return scope

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_entered:
            raise UsageError("a block is left once, after it was entered")
        self._is_entered = False
        try:
            await self._work.__aexit__(kind, error, traceback)
        except BaseException as failure:
            self._leave(failure)
            raise
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            remove_confidential(error)
        self._call.__exit__(None if error is None else type(error), error, None)
