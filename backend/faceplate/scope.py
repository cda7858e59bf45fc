"""What a unit of work is given: a transaction, the user it is for, and new ids.

A unit runs statements, each a `Statement`. The scope adds the owner to it when it is compiled,
wherever an owned table appears: in a join, in a subquery, in an UPDATE. So there is no filter to
forget.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Literal, TypeVar, get_args
from uuid import UUID

from faceplate._driver import preamble
from faceplate._driver.connection import all_rows, command_tag, first_row
from faceplate._driver.preamble import ROLE, Preamble
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate.errors import NotFound, UsageError
from faceplate.statement import Compiled, Statement

R = TypeVar("R")
U = TypeVar("U", bound=Callable[..., Any])

STREAM_CHUNK = 200
"""Rows that a stream fetches at a time."""

HALF_DONE = (
    "execute_many had failed, and its error was caught: a part that may fail belongs into"
    " `async with scope.session.begin_nested():`, and its error is caught around that"
)

Isolation = Literal["read committed", "repeatable read", "serializable"]


class AnyScope(SessionTransaction):
    """What a unit does with its transaction, whomever it is for.

    Each method raises UsageError where the unit has ended or another task uses the scope at that
    moment, and FaceplateError for what the database says.
    """

    _streams = 0

    async def all(self, statement: Statement[R], **values: Any) -> list[R]:
        """Return every row, in the statement's order."""
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        rows = await self.run(all_rows, compiled, arguments)
        return list(map(statement.make, rows))

    async def first(self, statement: Statement[R], **values: Any) -> R | None:
        """Return the first row, or None where there is none."""
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        row = await self.run(first_row, compiled, arguments)
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
        arguments = compiled.bind(values, self._user_id)
        tag = await self.run(command_tag, compiled, arguments)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(
        self, statement: Statement[Any], values: Iterable[Mapping[str, Any]]
    ) -> int:
        """Run a statement that returns no rows once for each of ``values``; return how often.

        They are drawn and sent while the server works on those before them, so that neither waits
        for the other. Together they are one command to ``command_timeout_s``.

        After an error, what was sent before it is there. So the error ends the unit, also where it
        is caught, or the block of ``async with scope.session.begin_nested():`` around it.
        """
        compiled = self._compiled(statement)
        self._note(compiled)
        count = 0

        def arguments() -> Iterator[list[Any]]:
            nonlocal count
            for count, one in enumerate(values, start=1):  # noqa: B007 - it outlives the loop
                yield compiled.bind(one, self._user_id)

        rest = arguments()
        # The first one ahead of the driver, so that what is refused at once is refused unsent.
        if (first := next(rest, None)) is not None:
            try:
                await self.call(self._driver.executemany, compiled.sql, chain([first], rest))
            except BaseException as error:
                # What the server itself has refused undoes everything, unless a block does.
                if count > 1 and getattr(error, "sqlstate", None) is None:
                    self.set_rollback_only(HALF_DONE)
                raise
        return count

    async def stream(self, statement: Statement[R], **values: Any) -> AsyncIterator[R]:
        """Yield every row, in the statement's order, fetching `STREAM_CHUNK` rows at a time."""
        compiled = self._compiled(statement)
        arguments = compiled.bind(values, self._user_id)
        self._note(compiled)
        self._streams += 1
        cursor = f"faceplate_{self._streams}_{id(statement):x}"
        declaration = f"DECLARE {cursor} NO SCROLL CURSOR FOR {compiled.sql}"
        # By `fetch`, which prepares: `execute` would run several statements where text has them.
        await self.call(self._driver.fetch, declaration, *arguments)
        while rows := await self.call(self._driver.fetch, f"FETCH {STREAM_CHUNK} FROM {cursor}"):
            for row in rows:
                yield statement.make(row)
        await self.call(self._driver.execute, f"CLOSE {cursor}")

    async def open(self) -> None:
        """Begin the transaction now, for what goes to the driver by another way than `Statement`.

        One round trip. A unit need not call it.
        """
        await self.begin()

    def _note(self, compiled: Compiled) -> None:
        """Note what is about to be sent by a method of the driver's own."""
        self.check_usable()
        self.may_have_written |= compiled.writes
        if compiled.changes_session:
            self._driver.note_session_change(compiled.sql)

    def _compiled(self, statement: Statement[Any]) -> Compiled:
        return statement.compiled


class Scope(AnyScope):
    """A transaction bound to one user: it reads and writes that user's rows, and no others."""

    _user_id: UUID

    @property
    def user_id(self) -> UUID:
        """The user that the unit is for, who is the same for as long as it runs."""
        return self._user_id

    def _autocommit_preamble(self) -> Preamble:
        if not self.settings.row_level_security:
            return preamble.NONE
        return preamble.enter(self._user_id, self.settings.seal)

    def _begin_preamble(self) -> Preamble:
        settings = self.settings
        # Behind a pooler the connection's role is not known; elsewhere it is that of units.
        role = ROLE if settings.pgbouncer and settings.row_level_security else None
        return preamble.begin(
            self._user_id, role=role, isolation=self._isolation, key=settings.seal
        )


class SystemScope(AnyScope):
    """A transaction across users, as the connecting role: see `Database.run_system`."""

    def _compiled(self, statement: Statement[Any]) -> Compiled:
        return statement.compiled_across_users

    def _autocommit_preamble(self) -> Preamble:
        return preamble.step_up()

    def _begin_preamble(self) -> Preamble:
        return preamble.begin_across_users(self._isolation)


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


def isolation_level(level: Isolation) -> Callable[[U], U]:
    """Mark a unit that needs more than READ COMMITTED, the level that units run at.

    ``level`` is "repeatable read" or "serializable". All statements of the unit, reads included,
    then run in one transaction, and the unit is retried where PostgreSQL finds a conflict. The
    units that it calls run at its level, whatever they are marked with.

    Raises UsageError for another word.

    ::

        @isolation_level("serializable")
        async def transfer(scope: Scope, ...) -> None: ...
    """

    isolation = checked_level(level)

    def mark(unit: U) -> U:
        unit.__dict__["isolation"] = isolation
        return unit

    return mark


def checked_level(level: Isolation) -> str:
    """Return ``level`` as BEGIN says it. Raises UsageError for another word."""
    if level not in get_args(Isolation):
        raise UsageError(f"an isolation level is one of {', '.join(get_args(Isolation))}")
    return level.upper()
