"""The scope of a unit: its transaction, the user it runs for, and new ids.

A unit runs statements, each a `Statement`. The owner is added when the statement is compiled,
wherever an owned table appears: in a join, in a subquery, in an UPDATE. So a unit cannot forget it.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, TypeVar, get_args
from uuid import UUID

import orjson

from faceplate._driver import preamble
from faceplate._driver.preamble import ACROSS_USERS, ROLE, UNIT, Preamble
from faceplate._transaction import marks
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate.errors import NotFound, UsageError
from faceplate.statement import Compiled, Statement

R = TypeVar("R")
U = TypeVar("U", bound=Callable[..., Any])

STREAM_FIRST, STREAM_MOST = 16, 1_000
"""How many rows a stream fetches at first, and at most."""
STREAM_CHARS = 4_000_000
"""How many characters of text and bytes a stream fetches at a time, where rows are alike."""
MAX_HASH = 2**64 - 1
STREAM_SAMPLE = 8
"""How many rows of a fetch are measured, to tell how many the next one takes."""

EXECUTE_MANY_FAILED = (
    "execute_many failed and the unit caught its error: run what may fail inside of"
    " `async with scope.session.begin_nested():`, and catch the error outside of that block"
)

Isolation = Literal["read committed", "repeatable read", "serializable"]


class AnyScope(SessionTransaction):
    """The methods that `Scope` and `SystemScope` have in common.

    Each raises UsageError if the unit has ended or if another task is using the scope, and another
    FaceplateError if the database or the connection fails.
    """

    _streams = 0

    async def all(self, statement: Statement[R], **values: Any) -> list[R]:
        """Return every row, in the statement's order."""
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        rows, _ = await self.run(compiled, arguments)
        return statement.make_all(rows)

    async def first(self, statement: Statement[R], **values: Any) -> R | None:
        """Return the first row, or None where there is none."""
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        rows, _ = await self.run(compiled, arguments, limit=1)
        return statement.make(rows[0]) if rows else None

    async def one(self, statement: Statement[R], **values: Any) -> R:
        """Return the first row, or raise NotFound."""
        row = await self.first(statement, **values)
        if row is None:
            raise NotFound(statement.into)
        return row

    async def execute(self, statement: Statement[Any], **values: Any) -> int:
        """Run a statement that returns no rows. Return how many rows it affected."""
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        _, tag = await self.run(compiled, arguments)
        count = tag.rpartition(b" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(
        self, statement: Statement[Any], values: Iterable[Mapping[str, Any]]
    ) -> int:
        """Run a statement without result rows for each of ``values``; return how many.

        The driver draws and sends values while the server works on earlier ones.
        ``command_timeout_s`` limits the whole call.

        An error leaves the earlier rows in the transaction. So the unit is rolled back even if it
        catches the error. Inside of ``async with scope.session.begin_nested():``, only that block
        is rolled back.
        """
        compiled = self._compiled(statement)
        self._note(compiled)
        count = 0

        def arguments() -> Iterator[list[Any]]:
            nonlocal count
            for count, one in enumerate(values, start=1):  # noqa: B007 - read after the loop
                yield compiled.bind(one, self._user_id)

        rest = arguments()
        # The first values are checked before anything is sent.
        if (first := next(rest, None)) is not None:
            try:
                await self.call(self._driver.executemany, compiled.sql, chain([first], rest))
            except BaseException as error:
                # After an error of the server's own, the transaction or savepoint is aborted.
                if count > 1 and getattr(error, "sqlstate", None) is None:
                    self.set_rollback_only(EXECUTE_MANY_FAILED)
                raise
        return count

    async def stream(self, statement: Statement[R], **values: Any) -> AsyncIterator[R]:
        """Yield every row in order.

        It fetches up to `STREAM_MOST` rows at a time, and fewer where they are large.
        """
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        self._note(compiled)
        self._streams += 1
        # The driver keeps a FETCH prepared with its columns, so its name must tell the statement.
        cursor = f"faceplate_{self._streams}_{hash(compiled.sql) & MAX_HASH:x}"
        declaration = f"DECLARE {cursor} NO SCROLL CURSOR FOR {compiled.sql}"
        # `fetch` prepares, so that text can hold only one statement; `execute` would run several.
        await self.call(self._driver.fetch, declaration, *arguments)
        count = STREAM_FIRST
        while rows := await self.call(self._driver.fetch, f"FETCH {count} FROM {cursor}"):
            count = _next_fetch(rows)
            for made in statement.make_all(rows):
                yield made
            del rows, made
        await self.call(self._driver.execute, f"CLOSE {cursor}")

    async def open(self) -> None:
        """Begin the transaction now, in one round trip. No unit needs to call it.

        It serves code that uses the driver's connection without a `Statement`.
        """
        await self.begin()

    def _note(self, compiled: Compiled) -> None:
        """Note what the statement may do, before a method of the driver sends it."""
        self.check_usable()
        self._check_only_reads(compiled)
        self.may_have_written |= compiled.writes
        if compiled.changes_session:
            self._driver.note_session_change(compiled.sql)

    def _compiled(self, statement: Statement[Any]) -> Compiled:
        return statement.compiled


def _next_fetch(rows: Sequence[Any]) -> int:
    """Return how many rows like these a stream may fetch at a time."""
    sample = rows[:: max(1, len(rows) // STREAM_SAMPLE)]
    chars = sum(_chars_of(value) for row in sample for value in row)
    return max(1, min(STREAM_MOST, STREAM_CHARS * len(sample) // max(chars, 1)))


def _chars_of(value: Any) -> int:
    if isinstance(value, dict | list):
        return len(orjson.dumps(value, default=str)) if value else 0  # an array may hold anything
    return len(value) if isinstance(value, str | bytes) else 0


class Scope(AnyScope):
    """A transaction for one user, which reads and writes that user's rows alone."""

    _user_id: UUID

    @property
    def user_id(self) -> UUID:
        """The user that the unit runs for. It never changes."""
        return self._user_id

    def _autocommit_preamble(self) -> Preamble:
        settings, limits = self.settings, self._driver.limits
        if not settings.row_level_security:
            return preamble.enter_unprepared(limits) if limits else preamble.NONE
        if limits:
            return preamble.enter_unprepared((*UNIT, *limits), self._user_id, settings.seal)
        return preamble.enter(self._user_id, settings.seal, on_workers=self._driver.is_citus)

    def _begin_preamble(self) -> Preamble:
        settings = self.settings
        # Behind a pooler each transaction sets the role; elsewhere the connection starts with it.
        role = ROLE if settings.pgbouncer and settings.row_level_security else None
        return preamble.begin(
            self._user_id,
            role=role,
            isolation=self._isolation,
            key=settings.seal,
            limits=self._driver.limits,
        )


class SystemScope(AnyScope):
    """A transaction across users, as the connecting role: see `Database.run_system`."""

    def _compiled(self, statement: Statement[Any]) -> Compiled:
        return statement.compiled_across_users

    def _autocommit_preamble(self) -> Preamble:
        if limits := self._driver.limits:
            return preamble.enter_unprepared((*ACROSS_USERS, *limits))
        return preamble.step_up(on_workers=self._driver.is_citus)

    def _begin_preamble(self) -> Preamble:
        return preamble.begin_across_users(self._isolation, limits=self._driver.limits)


def replayable(unit: U) -> U:
    """Mark a unit that can be run again with the same ids and the same result.

    When the answer to its COMMIT is lost, the runner runs such a unit again. For any other unit it
    asks PostgreSQL what became of the transaction. It fetches the transaction's id with the first
    INSERT, UPDATE or DELETE; a unit that writes by text alone takes one round trip more.
    """
    marks.mark(unit, replayable=True)
    return unit


def one_statement(unit: U) -> U:
    """Mark a `replayable` unit that is done when its first write returns a row.

    `Database.run` sends that statement as a transaction of its own: one round trip for the whole
    unit, where BEGIN and COMMIT would make two. After that statement, the unit must do nothing
    that can fail. If it runs another statement, as when no row came back, the runner runs the whole
    unit again in one transaction. So a statement that returns no row must have written nothing.
    """
    marks.mark(unit, replayable=True, one_statement=True)
    return unit


def shareable(unit: U) -> U:
    """Mark a unit whose one statement may share a flight: see the setting ``share_flights``.

    One that writes is also a `one_statement` unit. If it runs another statement than one that may
    be shared, the runner runs the whole unit again by itself.
    """
    marks.mark(unit, shareable=True)
    return unit


def read_only(unit: U) -> U:
    """Mark a unit that only reads, so that it may run on a replica: see the setting ``read_urls``.

    Its transaction is READ ONLY, there and on the primary. If it writes or locks, it raises
    UsageError. Units that it calls run as a part of it.
    """
    marks.mark(unit, read_only=True)
    return unit


def isolation_level(level: Isolation) -> Callable[[U], U]:
    """Mark a unit that needs a stricter isolation level than READ COMMITTED.

    ``level`` is "repeatable read" or "serializable". All statements of the unit, reads included,
    then run in one transaction, and the unit is retried after a serialization failure. Units that
    it calls run at its level, not at their own.

    Raises UsageError for any other level.

    ::

        @isolation_level("serializable")
        async def transfer(scope: Scope, ...) -> None: ...
    """

    isolation = checked_level(level)

    def mark(unit: U) -> U:
        marks.mark(unit, isolation=isolation)
        return unit

    return mark


def checked_level(level: Isolation) -> str:
    """Return ``level`` as written in BEGIN. Raises UsageError for an unknown level."""
    if level not in get_args(Isolation):
        raise UsageError(f"an isolation level is one of {', '.join(get_args(Isolation))}")
    return level.upper()
