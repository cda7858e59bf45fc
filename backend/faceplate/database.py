"""`Database`: the connection pool and the runner of units. A program shares one.

::

    async with Database("postgresql://...") as db:
        message = await db.run(user_id, messages.append, conversation_id, role="user", content="hi")
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID

import uuid6
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from faceplate._driver.connection import driver_uuid
from faceplate._driver.engine import create_transactional_engine
from faceplate._driver.startup import verify
from faceplate._orm.flush_order import OrderedSession
from faceplate._runner import causal_tokens
from faceplate._runner.attempt import Attempt
from faceplate._runner.block import Block
from faceplate._runner.calls import BoundUnit, Call, InFlight
from faceplate._runner.causal_tokens import Moment
from faceplate._runner.confidentiality import remove_confidential
from faceplate._runner.opened import Opened
from faceplate._runner.shutdown import POLL_S
from faceplate._transaction.marks import Marks
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate._transaction.state import Ids
from faceplate.config import Settings
from faceplate.errors import UsageError
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
        self._opened: Opened | None = None

    async def __aenter__(self) -> Self:
        """Check that the server can be used, and open the pool.

        The check takes at most ``startup_timeout_s``.

        Raises Unavailable, Unauthorized or DatabaseError with the server's name and the reason, and
        UsageError if the database is open already.
        """
        await verify(self.settings)
        if self._opened is not None and self._opened.is_stale:
            await self.dispose()
        if self._opened is not None:
            raise UsageError("the database is open already: enter it once, and share it")
        self._opened = Opened(self.settings, self.counters, self.in_flight)
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
        opened = self._opened
        if opened is None:
            return 0
        if opened.is_stale:
            opened.abandon()
            self._opened = None
            return 0
        opened.check_place()
        if opened.is_closing:
            while self._opened is opened:  # noqa: ASYNC110 - see InFlight
                await asyncio.sleep(POLL_S)
            return 0
        try:
            return await opened.close()
        finally:
            self._opened = None

    @property
    def engine(self) -> AsyncEngine:
        """SQLAlchemy's engine.

        Raises UsageError unless this process and this event loop opened the database.
        """
        return self._usable().engine

    def _usable(self) -> Opened:
        """Return the open pools. Raises UsageError as `engine` does."""
        if self._opened is None:
            raise UsageError(NOT_OPEN)
        self._opened.check_place()
        return self._opened

    def pool(self) -> Pool:
        """Return the pool's size and use.

        Any thread may call it, also before the database is open.
        """
        engine = None if self._opened is None else self._opened.engine
        return pool_of(self.settings, engine)

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
        engine = self._usable().access_of(SystemScope).engine
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
        user, opened = _checked(user_id), self._usable()
        attempt = Attempt(opened.access_of(Scope), user, Ids(), marks)
        reading = opened.reading
        use = None if reading is None else reading.replicas.using_primary(user)
        return Block(Call(self.events, self.in_flight, "begin"), attempt, use)

    async def causal_token(self, user_id: UUID) -> str:
        """Return a token of everything that is committed now, for reads of this user.

        Hand it to the user's client after a write, and give it to `accept_causal_token` where the
        client comes back. In this process, reads find the user's own writes without it; they find
        what `run_system` has changed after this call. It takes one round trip, and says nothing
        about any data.

        Raises as `run` does.
        """
        token, now = await self.run(user_id, causal_tokens.issue)
        self._read_from(_checked(user_id), now)
        return token

    def accept_causal_token(self, user_id: UUID, token: str) -> None:
        """Have this user's reads in this process find all that was committed before ``token``.

        Raises InvalidInput if it is no token of `causal_token` for this user, by a program with the
        same ``encryption_keys`` or, without them, the same ``database_url``.
        """
        user = _checked(user_id)
        self._read_from(user, causal_tokens.read(self.settings, user, token))

    def _read_from(self, user: UUID, moment: Moment) -> None:
        if (reading := self._usable().reading) is not None:
            reading.replicas.rise_to(user, moment.system, moment.position)

    def replicas(self) -> tuple[Replica, ...]:
        """Return the state of each replica, in the order of ``read_urls``."""
        reading = None if self._opened is None else self._opened.reading
        return () if reading is None else replicas_of(reading.replicas)

    async def check(self) -> Health:
        """Return whether the server is reachable and the schema complete.

        If the server is not reachable, the fields that it would answer are None. Nothing is raised.
        """
        return await check(self.settings, pool_of(self.settings, self.engine))

    async def _run(self, kind: type[S], user_id: UUID | None, unit: BoundUnit[T]) -> T:
        try:
            user = None if kind is SystemScope else _checked(user_id)
            with Call(self.events, self.in_flight, unit.function) as call:
                return await self._usable().run(kind, user, unit, call)
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
