"""What a unit of work is given: a transaction, the user it is for, and new ids.

A unit runs statements. A `Statement` is ordinary SQLAlchemy, made once, as a constant of its
module; it is compiled on its first use and from then on costs no more than the driver does. The
scope adds the owner to it when it is compiled, wherever an owned table appears: in a join, in a
subquery, in an UPDATE. So there is no filter to forget.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Connection, bindparam, event, inspect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql import Executable
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.sql.functions import FunctionElement, GenericFunction
from sqlalchemy.sql.visitors import iterate
from uuid6 import uuid7

from faceplate.config import Settings
from faceplate.engine import DIALECT
from faceplate.errors import InvalidInput, NotFound, UsageError
from faceplate.models import Owned, User

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler

R = TypeVar("R")
U = TypeVar("U", bound=Callable[..., Any])

STREAM_CHUNK = 200
"""Rows that a stream fetches at a time."""

# The parameters that the scope fills with its user: the criterion's, and an INSERT's own.
USER_PARAMETERS = ("owner", "user_id")

owned = (
    with_loader_criteria(
        Owned, lambda model: model.user_id == bindparam("owner"), include_aliases=True
    ),
    with_loader_criteria(User, User.id == bindparam("owner"), include_aliases=True),
)
"""What adds the owner to a statement, wherever one of the tables appears in it."""


@dataclass(frozen=True, slots=True)
class _Argument:
    name: str
    default: Any
    required: bool
    process: Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    arguments: tuple[_Argument, ...]
    names: frozenset[str]
    """Those that a unit gives; it never gives the user."""
    writes: bool


class Statement(Generic[R]):
    """A statement and what each of its rows becomes.

    ``into`` is a NamedTuple whose fields are the statement's columns in their order, or the type
    of its only column. Values come by the names of the statement's ``bindparam``s.

    ::

        OPEN = Statement(records.Task, select(*Task.columns()).where(~Task.completed))
        tasks = await scope.all(OPEN)
    """

    def __init__(self, into: type[R], statement: Executable) -> None:
        self.into = into
        self.statement = statement
        self.make: Callable[[Any], R] = getattr(into, "_make", None) or itemgetter(0)
        self._compiled: _Compiled | None = None
        self._compiled_across_users: _Compiled | None = None

    @property
    def compiled(self) -> _Compiled:
        """As a `Scope` runs it: with the owner."""
        if self._compiled is None:
            self._compiled = _compile(self.statement.options(*owned), filled=USER_PARAMETERS)
        return self._compiled

    @property
    def compiled_across_users(self) -> _Compiled:
        """As a `SystemScope` runs it."""
        if self._compiled_across_users is None:
            self._compiled_across_users = _compile(self.statement)
        return self._compiled_across_users


def _compile(statement: Any, *, filled: tuple[str, ...] = ()) -> _Compiled:
    compiled: SQLCompiler = statement.compile(dialect=DIALECT)
    if compiled.insert_prefetch or compiled.update_prefetch:
        columns = ", ".join(map(str, (*compiled.insert_prefetch, *compiled.update_prefetch)))
        raise UsageError(f"give a value to {columns}: a Statement applies no Python defaults")
    if compiled.post_compile_params or compiled.literal_execute_params:
        raise UsageError("a Statement has a fixed text: write `column == any_(array)` for an IN")
    arguments = []
    for name in compiled.positiontup or ():
        bind = compiled.binds[name]
        process = bind.type.dialect_impl(DIALECT).bind_processor(DIALECT)
        arguments.append(_Argument(name, bind.effective_value, bind.required, process))
    names = frozenset(argument.name for argument in arguments) - {*filled}
    writes = any(map(_may_write, iterate(statement)))
    return _Compiled(compiled.string, tuple(arguments), names, writes)


def _may_write(part: Any) -> bool:
    """Whether a part of a statement may change rows: as text may, or a function nobody knows."""
    if isinstance(part, FunctionElement):
        return not isinstance(part, GenericFunction)
    return getattr(part, "is_dml", False) or isinstance(part, TextClause)


class Transaction:
    """One transaction on one connection. The runner begins and ends it; a unit only uses it."""

    user_id: UUID | None
    may_have_written: bool = False
    """Whether more than plain SELECTs was run; a session counts, whatever it is used for."""

    def __init__(
        self,
        engine: AsyncEngine,
        pooled: PoolProxiedConnection,
        settings: Settings,
        user_id: UUID | None,
        ids: "Ids",
    ) -> None:
        self.settings = settings
        self.user_id = user_id
        self._engine = engine
        self._pooled = pooled
        self._driver: Any = pooled.driver_connection
        self._ids = ids
        self._session: AsyncSession | None = None
        self._streams = 0

    def new_id(self) -> UUID:
        """Return a new UUIDv7. A repeated unit is given the same ids, in the same order."""
        return self._ids.next()

    async def all(self, statement: Statement[R], **values: Any) -> list[R]:
        """Return every row, in the statement's order."""
        compiled = self._compiled(statement)
        driver, arguments = self._driver, self._arguments(compiled, values)
        rows = await driver.timed(driver.fetch, compiled.sql, *arguments)
        return list(map(statement.make, rows))

    async def first(self, statement: Statement[R], **values: Any) -> R | None:
        """Return the first row, or None where there is none."""
        compiled = self._compiled(statement)
        driver, arguments = self._driver, self._arguments(compiled, values)
        row = await driver.timed(driver.fetchrow, compiled.sql, *arguments)
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
        driver, arguments = self._driver, self._arguments(compiled, values)
        status: str = await driver.timed(driver.execute, compiled.sql, *arguments)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(
        self, statement: Statement[Any], values: Iterable[Mapping[str, Any]]
    ) -> int:
        """Run a statement that returns no rows once for each of ``values``; return how often.

        They are drawn and sent while the server works on those before them, so that neither waits
        for the other. Together they are one command to ``command_timeout_s``.
        """
        compiled = self._compiled(statement)
        count = 0

        def arguments() -> Iterator[list[Any]]:
            nonlocal count
            for count, one in enumerate(values, start=1):  # noqa: B007 - it outlives the loop
                yield self._arguments(compiled, dict(one))

        rest = arguments()
        # The first one ahead of the driver, so that what is refused at once is refused unsent.
        if (first := next(rest, None)) is not None:
            driver = self._driver
            await driver.timed(driver.executemany, compiled.sql, chain([first], rest))
        return count

    async def stream(self, statement: Statement[R], **values: Any) -> AsyncIterator[R]:
        """Yield every row, in the statement's order, fetching `STREAM_CHUNK` rows at a time."""
        compiled = self._compiled(statement)
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

    @property
    def session(self) -> AsyncSession:
        """An ORM session on this very transaction, made when a unit first asks for it.

        The runner flushes it. Its ``commit`` and ``rollback`` are the runner's: UsageError.
        """
        if self._session is None:
            self.may_have_written = True
            connection = Connection(self._engine.sync_engine, connection=self._pooled)
            self._session = AsyncSession(
                AsyncConnection(self._engine, connection),
                sync_session_class=UnitSession,
                expire_on_commit=False,
                info={"transaction": self},
            )
        return self._session

    async def flush(self) -> None:
        """Send what the ORM session holds, if there is one, to the database."""
        if self._session is not None:
            await self._session.flush()

    def _compiled(self, statement: Statement[Any]) -> _Compiled:
        return statement.compiled

    def _arguments(self, compiled: _Compiled, values: dict[str, Any]) -> list[Any]:
        if compiled.writes:
            self.may_have_written = True
        arguments = []
        if not values.keys() <= compiled.names:
            unknown = ", ".join(sorted(values.keys() - compiled.names))
            raise UsageError(f"the statement has no parameter {unknown}")
        for argument in compiled.arguments:
            name = argument.name
            if name in values:
                value = values[name]
            elif name in USER_PARAMETERS and self.user_id is not None:
                value = self.user_id
            elif argument.required:
                raise UsageError(f"the statement needs a value for {name}")
            else:
                value = argument.default
            arguments.append(value if argument.process is None else argument.process(value))
        return arguments


class Scope(Transaction):
    """A transaction bound to one user: it reads and writes that user's rows, and no others."""

    user_id: UUID


class SystemScope(Transaction):
    """A transaction across users, as the connecting role: see `Database.run_system`."""

    def _compiled(self, statement: Statement[Any]) -> _Compiled:
        return statement.compiled_across_users


def replayable(unit: U) -> U:
    """Mark a unit that, run again with the same ids, stores and returns what it did before.

    When the answer to its COMMIT is lost, such a unit is simply run again. For any other the
    runner asks PostgreSQL what became of the transaction, which takes one more round trip before
    each COMMIT.
    """
    unit.__dict__["replayable"] = True
    return unit


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


class UnitSession(Session):
    """The ORM session of a unit: its statements get the owner too, and it never commits."""

    def commit(self) -> None:
        raise UsageError("a unit does not commit: the runner does, when the unit has returned")

    def rollback(self) -> None:
        raise UsageError("a unit does not roll back: raise an error, and the runner does")


@event.listens_for(UnitSession, "do_orm_execute")
def _add_owner(state: ORMExecuteState) -> None:
    user_id = state.session.info["transaction"].user_id
    if user_id is not None:
        state.statement = state.statement.options(
            with_loader_criteria(
                Owned, lambda model: model.user_id == user_id, include_aliases=True
            ),
            with_loader_criteria(User, User.id == user_id, include_aliases=True),
        )


@event.listens_for(UnitSession, "before_attach")
def _check_attached(session: Session, row: Any) -> None:
    """Refuse what was loaded elsewhere: no criterion is added where a known row is refreshed."""
    if isinstance(row, Owned):
        identity = inspect(row).identity
        _check_owner(session, row, row.user_id if identity is None else identity[0])


@event.listens_for(UnitSession, "before_flush")
def _check_written(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Owned):
            _check_owner(session, row, row.user_id)
    for row in session.new:
        if getattr(row, "id", row) is None:
            row.id = session.info["transaction"].new_id()


def _check_owner(session: Session, row: Owned, owner: UUID) -> None:
    if session.info["transaction"].user_id not in (None, owner):
        raise InvalidInput(
            f"{inspect(row).mapper.local_table.name}.user_id",
            "must be the user that the unit runs for",
        )
