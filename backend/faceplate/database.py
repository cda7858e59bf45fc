"""The runner of units: `Database`, which programs open once and share.

::

    async with Database("postgresql://...") as db:
        message = await db.run(user_id, messages.append, conversation_id, role="user", content="hi")
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from faceplate._driver.engine import create_engine, create_transactional_engine
from faceplate._driver.startup import verify
from faceplate._orm.flush_order import OrderedSession
from faceplate._runner.attempt import Attempt
from faceplate._runner.block import Block
from faceplate._runner.calls import BoundUnit, Call, InFlight
from faceplate._runner.confidentiality import remove_confidential
from faceplate._runner.retry import Retry, run_with_retries
from faceplate._runner.shutdown import POLL_S, Shutdown
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids
from faceplate.config import Settings
from faceplate.errors import (
    UsageError,
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
        """Verify within ``startup_timeout_s`` that the server can be used, and open the pool.

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
            self._owner_engine = create_engine(self._owner_settings, units_role=False)
        self._shutdown = Shutdown({self._engine, self._owner_engine}, self.in_flight)
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispose()

    async def dispose(self) -> int:
        """Close the pool when nothing is in flight, or after ``shutdown_timeout_s``.

        Returns how many units, blocks and drafts were cut off. New ones are refused with
        ShuttingDown from the call on. A unit or block that is cut off is rolled back, and its
        caller gets ShuttingDown; where it had committed before, the caller gets a CancelledError
        of which `was_committed` is true. A draft that is cut off is stored as interrupted. Cutting
        off takes some seconds at most. A cancellation of this call cuts everything off at once.

        A second call waits for the first one and returns 0; so does a call where nothing is open.
        In a forked process it leaves the parent's connections alone. Where the event loop that
        entered the database was closed, it waits for nothing.

        Raises UsageError in another event loop than the one that entered the database, unless
        that one was closed.
        """
        shutdown = self._shutdown
        if shutdown is None:
            return 0
        if self._pid != os.getpid():
            shutdown.abandon_after_fork()
            self._engine = self._owner_engine = self._shutdown = None
            return 0
        if self._is_left_over():
            shutdown.abandon_closed_loop()
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
        """Return the engine for units of a kind: units across users may have their own login.

        Raises UsageError as `engine` does.
        """
        engine = self.engine
        return engine if kind is Scope else self._owner_engine or engine

    def pool(self) -> Pool:
        """Return the pool's size and use, from any thread, also before the database is open."""
        return pool_of(self.settings, self._engine)

    @property
    def counters(self) -> Counters:
        """The numbers of retries, reconnects, refusals and unknown outcomes since it was made."""
        return self.events.counters

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """A maker of plain SQLAlchemy sessions over the same pool, as the login's own role.

        They have no user and are never retried. They serve code that manages its transactions
        itself, and work that is not for one user. Raises ShuttingDown.
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
    ) -> Coroutine[object, None, T]:
        """Return, awaited, the result of ``unit(scope, *args, **kwargs)`` run for one user.

        The unit runs in one transaction. After a lost connection it is retried once, on a new
        connection, for which it waits up to ``reconnect_timeout_s``. After a deadlock or a
        serialization failure it is retried with backoff for up to 10 s. So a unit may be called
        more than once, and should touch nothing but the database; `Scope.new_id` gives it the same
        ids each time.

        Raises what the unit raises, and FaceplateError for each error of the database.
        """
        # Not async itself: a frame of it would show the arguments in every traceback.
        return self._run(Scope, user_id, BoundUnit(unit, args, kwargs))

    def run_system(
        self,
        unit: Callable[Concatenate[SystemScope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[object, None, T]:
        """Return, awaited, the result of a unit that works across users, as the login's own role.

        No owner is added to its statements. Otherwise it works as `run`; it has its own name so
        that a reviewer sees it.

        Raises Unauthorized where the login may not see the rows of all users.
        """
        return self._run(SystemScope, None, BoundUnit(unit, args, kwargs))

    def begin(
        self, user_id: UUID, *, isolation: Isolation = "read committed"
    ) -> AbstractAsyncContextManager[Scope]:
        """Return ``async with db.begin(user_id) as scope:``, a transaction around a block.

        It commits when the block ends and rolls back when the block raises. It is never retried,
        since a block cannot be entered twice: prefer `run`. For ``isolation``, see
        `isolation_level`.
        """
        attempt = Attempt(
            self.engine,
            self.settings,
            Scope,
            _checked(user_id),
            Ids(),
            isolation=checked_level(isolation),
        )
        return Block(Call(self.events, self.in_flight, "begin"), attempt)

    async def check(self) -> Health:
        """Return whether the server is reachable and the schema whole, with version and pool.

        Fields that only the server can tell are None where it is not reachable; nothing is raised.
        """
        return await check(self.settings, pool_of(self.settings, self.engine))

    def _is_left_over(self) -> bool:
        """Return whether it was opened in a parent process, or in an event loop that was closed."""
        return self._pid != os.getpid() or (self._loop is not None and self._loop.is_closed())

    def _check_place(self) -> None:
        if self._loop is not asyncio.get_running_loop() or self._pid != os.getpid():
            raise UsageError(
                "the database was opened in another event loop or process: "
                "open one of its own in each, after the fork"
            )

    async def _run(self, kind: type[S], user_id: UUID | None, unit: BoundUnit[T]) -> T:
        def attempt(ids: Ids, *, is_first: bool) -> Attempt[S]:
            return Attempt(
                self._engine_for(kind),
                self.settings if kind is Scope else self._owner_settings,
                kind,
                user,
                ids,
                isolation=unit.isolation,
                replayable=unit.is_replayable,
                # A retry finds out in one transaction what the first attempt has left.
                may_autocommit=is_first and unit.is_one_statement,
            )

        try:
            user = None if kind is SystemScope else _checked(user_id)
            with Call(self.events, self.in_flight, unit.function) as call:
                return await run_with_retries(unit, attempt, Retry(self.settings, call))
        except BaseException as error:
            remove_confidential(error)
            raise


def _checked(user_id: UUID | None) -> UUID:
    if not isinstance(user_id, UUID):
        raise UsageError(f"user_id must be a UUID, not {type(user_id).__name__}")
    # A subclass may write itself differently each time that it is asked.
    return user_id if type(user_id) is UUID else UUID(int=user_id.int)
