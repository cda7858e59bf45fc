"""What a unit of work is given: a transaction, the user it is for, and new ids.

A unit runs statements, each a `Statement`. The scope adds the owner to it when it is compiled,
wherever an owned table appears: in a join, in a subquery, in an UPDATE. So there is no filter to
forget.

A scope begins its transaction with the first statement that may write or lock, and in the same
flight: a plain SELECT before that is a transaction of its own. At READ COMMITTED, which is what
units run at, that makes no difference to what either sees.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar
from uuid import UUID

from asyncpg.prepared_stmt import PreparedStatement
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from uuid6 import uuid7

from faceplate import prelude
from faceplate.alone import Alone, NotAlone
from faceplate.config import Settings
from faceplate.errors import NotFound, UsageError
from faceplate.pool import Lease
from faceplate.prelude import Prelude
from faceplate.statement import Compiled, Statement
from faceplate.unit_session import UnitConnection, UnitSession, holds_changes

R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U", bound=Callable[..., Any])

STREAM_CHUNK = 200
"""Rows that a stream fetches at a time."""


class Transaction:
    """One transaction on one connection. The runner ends it; a unit only uses it."""

    user_id: UUID | None
    is_open: bool = False
    """Whether BEGIN was sent."""
    may_have_written: bool = False
    """Whether more than plain SELECTs was run; a session counts, whatever it is used for."""
    alone: Alone[Any] | None = None
    """How a statement went that was the whole of its unit, if there was one."""

    def __init__(
        self,
        engine: AsyncEngine,
        lease: Lease,
        settings: Settings,
        user_id: UUID | None,
        ids: "Ids",
        *,
        may_be_alone: bool = False,
    ) -> None:
        self.settings = settings
        self.user_id = user_id
        self._engine = engine
        self._lease = lease
        self._driver = lease.driver
        self._ids = ids
        self._may_be_alone = may_be_alone
        self._session: AsyncSession | None = None
        self._streams = 0

    def new_id(self) -> UUID:
        """Return a new UUIDv7. A repeated unit is given the same ids, in the same order."""
        return self._ids.next()

    async def all(self, statement: Statement[R], **values: Any) -> list[R]:
        """Return every row, in the statement's order."""
        rows = await self._run(PreparedStatement.fetch, self._compiled(statement), values)
        return list(map(statement.make, rows))

    async def first(self, statement: Statement[R], **values: Any) -> R | None:
        """Return the first row, or None where there is none."""
        row = await self._run(PreparedStatement.fetchrow, self._compiled(statement), values)
        return None if row is None else statement.make(row)

    async def one(self, statement: Statement[R], **values: Any) -> R:
        """Return the first row, or raise NotFound."""
        row = await self.first(statement, **values)
        if row is None:
            raise NotFound(statement.into)
        return row

    async def execute(self, statement: Statement[Any], **values: Any) -> int:
        """Run a statement that returns no rows. Return how many it touched."""
        compiled = self._compiled(statement)
        await self._run(PreparedStatement.fetch, compiled, values)
        count = self._driver.tag_of(compiled.sql).rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(
        self, statement: Statement[Any], values: Iterable[Mapping[str, Any]]
    ) -> int:
        """Run a statement that returns no rows once for each of ``values``; return how often.

        They are drawn and sent while the server works on those before them, so that neither waits
        for the other. Together they are one command to ``command_timeout_s``.
        """
        compiled = self._compiled(statement)
        self.may_have_written |= compiled.writes
        count = 0

        def arguments() -> Iterator[list[Any]]:
            nonlocal count
            for count, one in enumerate(values, start=1):  # noqa: B007 - it outlives the loop
                yield self._arguments(compiled, dict(one))

        rest = arguments()
        # The first one ahead of the driver, so that what is refused at once is refused unsent.
        if (first := next(rest, None)) is not None:
            await self.open()
            driver = self._driver
            await driver.timed(driver.executemany, compiled.sql, chain([first], rest))
        return count

    async def stream(self, statement: Statement[R], **values: Any) -> AsyncIterator[R]:
        """Yield every row, in the statement's order, fetching `STREAM_CHUNK` rows at a time."""
        compiled = self._compiled(statement)
        await self.open()
        self._streams += 1
        cursor = f"faceplate_{self._streams}_{id(statement):x}"
        await self._driver.execute(
            f"DECLARE {cursor} NO SCROLL CURSOR FOR {compiled.sql}",
            *self._arguments(compiled, values),
        )
        while rows := await self._driver.fetch(f"FETCH {STREAM_CHUNK} FROM {cursor}"):
            for row in rows:
                yield statement.make(row)
        await self._driver.execute(f"CLOSE {cursor}")

    async def open(self) -> None:
        """Begin the transaction now, for what goes to the driver by another way than `Statement`.

        One round trip. A unit need not call it.
        """
        if self.is_open:
            return
        self._refuse_company()
        self.is_open = True
        limits = self.settings.transaction_settings.items()
        setting = [f"SET LOCAL {name} = '{value}'" for name, value in limits]
        sql = "; ".join([self._beginning().sql, *setting])
        await self._driver.timed(self._driver.execute, sql)

    def begin_ahead(self) -> None:
        """Let the transaction begin with whatever is sent next: for the ORM session."""
        if not self.is_open:
            self._refuse_company()
            self.is_open = True
            self._driver.send_ahead(self._beginning())

    @property
    def session(self) -> AsyncSession:
        """An ORM session on this very transaction, made when a unit first asks for it.

        The runner flushes it. Its ``commit`` and ``rollback`` are the runner's: UsageError.
        """
        if self._session is None:
            self.may_have_written = True
            engine = self._engine.sync_engine
            connection = UnitConnection(engine, self._lease.proxied, self.user_id)
            self._session = AsyncSession(
                AsyncConnection(self._engine, connection),
                sync_session_class=UnitSession,
                expire_on_commit=False,
                info={"transaction": self},
            )
        return self._session

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to send: each statement was a transaction of its own."""
        return not self.is_open and self._session is None

    async def flush(self) -> None:
        """Send what the ORM session holds, if there is one, to the database."""
        if self._session is not None and holds_changes(self._session.sync_session):
            await self._session.flush()

    def _compiled(self, statement: Statement[Any]) -> Compiled:
        return statement.compiled

    async def _run(
        self, fetch: Callable[..., Awaitable[T]], compiled: Compiled, values: dict[str, Any]
    ) -> T:
        """Run a statement, with what has to go ahead of it."""
        if self._may_be_alone:
            self._refuse_company(compiled)
        arguments = self._arguments(compiled, values)
        self.may_have_written |= compiled.writes
        driver, sql, is_alone = self._driver, compiled.sql, False
        if self.is_open:
            ahead = prelude.NONE
            if compiled.is_dml:
                driver.send_ahead_of_write()
        elif not compiled.needs_transaction or self._may_be_alone:
            ahead, is_alone = self._entry(), compiled.needs_transaction
        else:
            self.is_open = True
            ahead = self._beginning()
            if compiled.is_dml:
                ahead = prelude.join(ahead, driver.take_ahead_of_write())
        if not driver.is_ready(ahead, sql):
            await driver.make_ready(ahead, sql)
        running = driver.run_after(ahead, fetch, sql, arguments)
        if not is_alone:
            return await running
        self.alone = alone = Alone(running, self.settings, driver)  # from now on, in doubt
        try:
            return await alone
        finally:
            alone.close()

    def _refuse_company(self, compiled: Compiled | None = None) -> None:
        """Begin anew where a unit goes on after a statement that was to be the whole of it."""
        locks_for_more = compiled is None or (compiled.locks and not compiled.writes)
        if self._may_be_alone and (self.alone is not None or locks_for_more):
            raise NotAlone

    def _entry(self) -> Prelude:
        """What goes ahead of a statement that is a transaction of its own."""
        if self.user_id is None or not self.settings.row_level_security:
            return prelude.NONE
        return prelude.enter(self.user_id)

    def _beginning(self) -> Prelude:
        """What goes ahead of the first statement of a transaction."""
        return prelude.begin(self.user_id, row_level_security=self.settings.row_level_security)

    def _arguments(self, compiled: Compiled, values: dict[str, Any]) -> list[Any]:
        if not values.keys() <= compiled.names:
            unknown = ", ".join(sorted(values.keys() - compiled.names))
            raise UsageError(f"the statement has no parameter {unknown}")
        arguments = []
        for name, default, required, process, is_user in compiled.arguments:
            if is_user:
                value = self.user_id
            elif name in values:
                value = values[name]
            elif required:
                raise UsageError(f"the statement needs a value for {name}")
            else:
                value = default
            arguments.append(value if process is None else process(value))
        return arguments


class Scope(Transaction):
    """A transaction bound to one user: it reads and writes that user's rows, and no others."""

    user_id: UUID


class SystemScope(Transaction):
    """A transaction across users, as the connecting role: see `Database.run_system`."""

    def _compiled(self, statement: Statement[Any]) -> Compiled:
        return statement.compiled_across_users


def replayable(unit: U) -> U:
    """Mark a unit that, run again with the same ids, stores and returns what it did before.

    When the answer to its COMMIT is lost, such a unit is simply run again. For any other the
    runner asks PostgreSQL what became of the transaction, whose id travels with its first INSERT,
    UPDATE or DELETE. What writes without looking so, as text, takes a round trip more for it.
    """
    unit.__dict__["replayable"] = True
    return unit


def one_statement(unit: U) -> U:
    """Mark a `replayable` unit that is done once its first writing statement has returned a row.

    `Database.run` sends that statement as a transaction of its own: one round trip for the whole
    unit, where BEGIN and COMMIT would make two. The unit must do nothing that fails after it. If
    it goes on to another statement, as where no row came back, all of it is run again in one
    transaction; so a statement that returns no row must not have written anything.
    """
    unit.__dict__["one_statement"] = True
    return replayable(unit)


class Ids:
    """The ids that a unit mints, replayed in the same order when the unit is repeated."""

    def __init__(self) -> None:
        self.minted: list[UUID] = []
        self._given = 0

    def next(self) -> UUID:
        if self._given == len(self.minted):
            self.minted.append(uuid7())
        self._given += 1
        return self.minted[self._given - 1]

    def rewind(self) -> None:
        self._given = 0
