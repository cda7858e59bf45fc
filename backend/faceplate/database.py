"""`Database`: the connection pool and the runner of units. A program shares one.

::

    async with Database("postgresql://...") as db:
        message = await db.run(user_id, messages.append, conversation_id, role="user", content="hi")
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID

import uuid6
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from faceplate._driver.connection import driver_uuid
from faceplate._driver.engine import create_engine, create_transactional_engine
from faceplate._driver.preamble import READ_COMMITTED
from faceplate._driver.startup import verify
from faceplate._orm.flush_order import OrderedSession
from faceplate._replicas.routing import Replicas
from faceplate._runner import causal_tokens
from faceplate._runner.attempt import Access, Attempt
from faceplate._runner.block import Block
from faceplate._runner.calls import BoundUnit, Call, InFlight
from faceplate._runner.confidentiality import remove_confidential
from faceplate._runner.reading import Reading
from faceplate._runner.retry import run_with_retries
from faceplate._runner.shared_flights import FEWEST_CALLERS, SharedFlights, may_share
from faceplate._runner.shared_scope import SharedScope
from faceplate._runner.shutdown import POLL_S, Shutdown
from faceplate._transaction.marks import Marks
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids
from faceplate.config import Settings
from faceplate.errors import (
    UsageError,
)
from faceplate.events import Counters, Events
from faceplate.health import Health, Pool, Replica, check, pool_of, replicas_of
from faceplate.scope import Isolation, Scope, SystemScope, checked_level

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=SessionTransaction)

NOT_OPEN = "the database is not open: use `async with Database(...) as db:`"
KINDS_OF_UUID = {UUID, uuid6.UUID, driver_uuid}
"""Python's, the one of new ids, and the one of ids that were read."""


class Database:
    """A pool of connections to one PostgreSQL, and the runner of units over it.

    ``settings`` is a `Settings`, a URL, or None to read DATABASE_URL and FACEPLATE_* from the
    environment and from .env. ``read_urls`` is the setting of that name, beside a URL. ``async
    with`` connects; before it, nothing does. An open database belongs to the event loop and the
    process that opened it.

    Raises ConfigurationError if a setting is missing or malformed.
    """

    def __init__(
        self,
        settings: Settings | SecretStr | str | None = None,
        *,
        read_urls: Sequence[SecretStr | str] | None = None,
    ) -> None:
        # Hidden before anything can raise a traceback with a password.
        given: dict[str, Any] = {}
        if read_urls is not None:
            given["read_urls"] = read_urls = tuple(map(_hidden, read_urls))
        if isinstance(settings, str | SecretStr):
            given["database_url"] = settings = _hidden(settings)
        elif settings is not None and given:
            raise UsageError("give read_urls to Settings, or a URL in place of Settings")
        self.settings = settings if isinstance(settings, Settings) else Settings(**given)
        self.events = Events()
        self.in_flight = InFlight()
        self._engine: AsyncEngine | None = None
        self._access: dict[type[SessionTransaction], Access[Any]] = {}
        self._flights: SharedFlights | None = None
        self._reading: Reading | None = None
        self._shutdown: Shutdown | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    async def __aenter__(self) -> Self:
        """Check that the server can be used, and open the pool.

        The check takes at most ``startup_timeout_s``.

        Raises Unavailable, Unauthorized or DatabaseError with the server's name and the reason, and
        UsageError if the database is open already.
        """
        await verify(self.settings)
        if self._is_stale():
            await self.dispose()
        if self._engine is not None:
            raise UsageError("the database is open already: enter it once, and share it")
        self._engine = owner_engine = create_engine(self.settings)
        owner_settings = self.settings.of_owner
        if self.settings.owner_url is not None:
            owner_engine = create_engine(owner_settings, units_role=False)
        self._access = {
            Scope: Access(Scope, self._engine, self.settings, self.settings.target),
            SystemScope: Access(SystemScope, owner_engine, owner_settings, owner_settings.target),
        }
        engines = {self._engine, owner_engine}
        self._reading = None
        if self.settings.read_urls:
            self._reading = Reading(Replicas(self.settings), self.settings, self.counters)
            engines.update(self._reading.replicas.engines)
        self._shutdown = Shutdown(engines, self.in_flight)
        self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
        self._flights = None
        if may_share(self.settings):
            self._flights = SharedFlights(self._engine, self.settings)
        if self._reading is not None:
            self._reading.replicas.start(self._shutdown.register)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispose()

    async def dispose(self) -> int:
        """Close the pool when nothing is in flight, or after ``shutdown_timeout_s``.

        New units, blocks and drafts are refused with ShuttingDown. What is still in flight after
        ``shutdown_timeout_s`` is cut off, which takes some seconds at most; a cancellation of this
        call cuts it off at once. A unit or block that is cut off is rolled back, and its caller
        gets ShuttingDown. If it had committed already, the caller gets a CancelledError of which
        `was_committed` is true. A draft that is cut off is stored as interrupted. Returns how many
        units, blocks and drafts were cut off.

        A second call waits for the first one and returns 0. A call on a database that is not open
        returns 0. In a forked process, the parent's connections are left alone. If the event loop
        that opened the database is closed, nothing is waited for.

        Raises UsageError in another event loop than the one that opened the database, unless that
        one is closed.
        """
        shutdown = self._shutdown
        if shutdown is None:
            return 0
        if self._pid != os.getpid():
            shutdown.abandon_after_fork()
            self._engine = self._shutdown = None
            return 0
        if self._is_stale():
            shutdown.abandon_closed_loop()
            self._engine = self._shutdown = None
            return 0
        self._check_loop_and_process()
        if shutdown.has_begun:
            while self._shutdown is shutdown:  # noqa: ASYNC110 - see InFlight
                await asyncio.sleep(POLL_S)
            return 0
        try:
            return await shutdown.run(self.settings.shutdown_timeout_s)
        finally:
            if self._reading is not None:
                await self._reading.replicas.stop()
            self._engine = self._shutdown = None

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's engine.

        Raises UsageError unless this process and this event loop opened the database.
        """
        return self._access_of(Scope).engine

    def _access_of(self, kind: type[S]) -> Access[S]:
        """Return how ``kind`` reaches the database: work across users may have its own login.

        Raises UsageError as `engine` does.
        """
        if self._engine is None:
            raise UsageError(NOT_OPEN)
        self._check_loop_and_process()
        return self._access[kind]

    def pool(self) -> Pool:
        """Return the pool's size and use.

        Any thread may call it, also before the database is open.
        """
        return pool_of(self.settings, self._engine)

    @property
    def counters(self) -> Counters:
        """How many retries, reconnects, refusals and unknown outcomes there have been."""
        return self.events.counters

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """A factory of plain SQLAlchemy sessions over the same pool.

        A plain session has the login's own role and no user, and is never retried. It serves code
        that manages its own transactions, and work that is not for one user. Raises ShuttingDown.
        """
        self.in_flight.check_is_open()
        engine = self._access_of(SystemScope).engine
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
        """Return, awaited, ``unit(scope, *args, **kwargs)``, run for one user.

        The unit runs in one transaction. After a lost connection it is retried once, on a new
        connection, for which the runner waits up to ``reconnect_timeout_s``. After a deadlock or a
        serialization failure it is retried with backoff for up to 10 s. So the runner may call a
        unit more than once, and a unit should change only the database. `Scope.new_id` gives it the
        same ids each time.

        Raises what the unit raises, and a FaceplateError for each error of the database.
        """
        # It is no coroutine itself, or a frame of it would show the arguments in tracebacks.
        return self._run(Scope, user_id, BoundUnit(unit, args, kwargs))

    def run_system(
        self,
        unit: Callable[Concatenate[SystemScope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[object, None, T]:
        """Return, awaited, the result of a unit that works across users.

        It runs as the login's own role, and no owner is added to its statements. Otherwise it works
        as `run` does. It has a name of its own so that a reviewer sees where a program works across
        users.

        Raises Unauthorized if the login may not see the rows of all users.
        """
        return self._run(SystemScope, None, BoundUnit(unit, args, kwargs))

    def begin(
        self, user_id: UUID, *, isolation: Isolation = "read committed"
    ) -> AbstractAsyncContextManager[Scope]:
        """Return a transaction for ``async with db.begin(user_id) as scope:``.

        It commits when the block ends, and rolls back when the block raises. It is never retried,
        because Python cannot enter a block twice: prefer `run`. For ``isolation``, see
        `isolation_level`.
        """
        marks = Marks(isolation=checked_level(isolation))
        user = _checked(user_id)
        attempt = Attempt(self._access_of(Scope), user, Ids(), marks)
        on_end = None if self._reading is None else partial(self._reading.used_primary, user)
        return Block(Call(self.events, self.in_flight, "begin"), attempt, on_end)

    async def causal_token(self, user_id: UUID) -> str:
        """Return a token of everything that is committed now, for reads of this user.

        Hand it to the user's client after a write, and give it to `accept_causal_token` where the
        client comes back. In this process, reads find the user's own writes without it; they find
        what `run_system` has changed after this call. It takes one round trip, and says nothing
        about any data.

        Raises as `run` does.
        """
        token, position = await self.run(user_id, causal_tokens.issue)
        if self._reading is not None:
            self._reading.replicas.rise_to(_checked(user_id), position)
        return token

    def accept_causal_token(self, user_id: UUID, token: str) -> None:
        """Have this user's reads in this process find all that was committed before ``token``.

        Raises InvalidInput if it is no token of `causal_token` for this user, by a program with the
        same ``encryption_keys`` or, without them, the same ``database_url``.
        """
        user = _checked(user_id)
        position = causal_tokens.read(self.settings, user, token)
        if self._reading is not None:
            self._reading.replicas.rise_to(user, position)

    def replicas(self) -> tuple[Replica, ...]:
        """Return the state of each replica, in the order of ``read_urls``."""
        return () if self._reading is None else replicas_of(self._reading.replicas)

    async def check(self) -> Health:
        """Return whether the server is reachable and the schema complete.

        If the server is not reachable, the fields that it would answer are None. Nothing is raised.
        """
        return await check(self.settings, pool_of(self.settings, self.engine))

    def _is_stale(self) -> bool:
        """Return whether a parent process or a closed event loop has opened it."""
        return self._pid != os.getpid() or (self._loop is not None and self._loop.is_closed())

    def _check_loop_and_process(self) -> None:
        if self._loop is not asyncio.get_running_loop() or self._pid != os.getpid():
            raise UsageError(
                "the database was opened in another event loop or process: "
                "open one in each process and event loop, after the fork"
            )

    def _shared_scope(self, user: UUID | None, unit: BoundUnit[T]) -> SharedScope | None:
        """Return the scope of a unit that is to share a flight; None without enough callers."""
        flights, marks = self._flights, unit.marks
        if flights is None or flights.is_refused or len(self.in_flight) < FEWEST_CALLERS:
            return None
        if user is None or not marks.shareable or marks.isolation != READ_COMMITTED:
            return None
        return SharedScope(flights, user)

    def _run_on_primary(
        self, unit: BoundUnit[T], access: Access[S], user: UUID | None, call: Call
    ) -> Awaitable[T]:
        return run_with_retries(unit, access, user, call, self._shared_scope(user, unit))

    async def _run(self, kind: type[S], user_id: UUID | None, unit: BoundUnit[T]) -> T:
        try:
            user = None if kind is SystemScope else _checked(user_id)
            with Call(self.events, self.in_flight, unit.function) as call:
                access = self._access_of(kind)
                if self._reading is None or user is None:
                    return await self._run_on_primary(unit, access, user, call)
                on_primary = partial(self._run_on_primary, unit, access, user, call)
                return await self._reading.run(unit, user, on_primary)
        except BaseException as error:
            remove_confidential(error)
            raise


def _hidden(url: SecretStr | str) -> SecretStr:
    return SecretStr(url) if isinstance(url, str) else url


def _checked(user_id: UUID | None) -> UUID:
    if not isinstance(user_id, UUID):
        raise UsageError(f"user_id must be a UUID, not {type(user_id).__name__}")
    # Another subclass of UUID may return another text each time.
    return user_id if type(user_id) in KINDS_OF_UUID else UUID(int=user_id.int)
