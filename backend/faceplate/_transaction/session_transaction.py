"""A unit's transaction with an ORM session on it."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import await_only

from faceplate._driver import preamble, session_state
from faceplate._driver.cursor import fill
from faceplate._driver.encoding import UPDATED
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.preamble import Preamble
from faceplate._orm.connection import is_flushed_update
from faceplate._orm.session import (
    UnitSession,
    close_session,
    holds_changes,
    open_savepoint,
    open_session,
    rollback_reason_of,
)
from faceplate._transaction.transaction import Carried, Transaction
from faceplate.errors import FaceplateError, SchemaChanged, UsageError
from faceplate.statement import Effects, effects_of

SESSION_ERRORS = (AsyncAdapt_asyncpg_dbapi.Error, *DRIVER_ERRORS)


class SessionTransaction(Transaction):
    """A transaction that the unit can also use through an ORM session."""

    may_carry: bool = False
    """Whether a flush is running of which an UPDATE may wait for an INSERT."""
    _session: UnitSession | None = None

    @property
    def session(self) -> AsyncSession:
        """An ORM session on this transaction, opened at its first use.

        The runner flushes it when the unit returns. Its ``commit`` and ``rollback`` raise
        UsageError.
        """
        self.check_usable()
        if self._session is None:
            self._check_is_whole_unit()
            self.has_session = True
            self._session = open_session(self, self._engine, self._lease)
        return self._session

    def execute_in_session(self, cursor: Any, sql: str, parameters: Any, context: Any) -> None:
        """Run a statement of the session, in a greenlet, and put its answer into ``cursor``."""
        effects = effects_of(getattr(context, "compiled", None), sql)
        if effects.changes_session:
            session_state.refuse_transaction_control(sql)
        self._check_loop()  # there is no greenlet in another thread
        arguments = list(parameters or ())
        if self.may_carry and is_flushed_update(context) and self._may_wait(effects, arguments):
            fill(cursor, [], ([], UPDATED))
            return
        answer = await_only(self.run(effects, arguments))
        fill(cursor, self._driver.columns(sql), answer)

    def _may_wait(self, effects: Effects, arguments: list[Any]) -> bool:
        """Keep an UPDATE for the next statement's flight. Return whether it can wait for that."""
        if not self.is_open or self._must_resynchronize or effects.changes_session:
            return False
        encoded = self._driver.encode(effects.sql, arguments)
        if encoded is None:
            return False
        self._carried += (Carried(effects, arguments, encoded),)
        return True

    def drop_carried(self) -> None:
        """Discard the UPDATEs that wait, because their flush has failed."""
        self._carried = ()

    def run_in_session(self, run: Callable[[], None], cursor: Any, sql: str, context: Any) -> None:
        """Run a statement for many rows, or one with a cursor of the driver's, in a greenlet."""
        effects = effects_of(getattr(context, "compiled", None), sql)
        if self._carried:
            await_only(self.send_carried())
        self._claim()
        try:
            self._check_only_reads(effects)
            self.may_have_written |= effects.writes
            if effects.changes_session:
                session_state.refuse_transaction_control(sql)
                self._driver.note_session_change(sql)
            if self._must_resynchronize:
                await_only(self._resynchronize())
            # The driver makes no cursor before it has seen that the transaction is open.
            if cursor.server_side or not self._driver.is_pipelined:
                await_only(self._open())
            self._send_in_session(run, is_dml=effects.is_dml)
            if cursor.server_side:
                cursor._cursor = _UnitCursor(self, cursor._cursor)  # noqa: SLF001 - SQLAlchemy fetches from it
        finally:
            self.is_busy = False

    async def fetch_from(self, cursor: Any, count: int) -> list[Any]:
        """Return the next ``count`` rows of one of the driver's cursors."""
        self._claim()
        try:
            return await self._checked(
                self._driver.call(lambda _: cursor.fetch(count), f"FETCH {count}")
            )
        finally:
            self.is_busy = False

    def set_rollback_only(self, reason: str) -> None:
        """Have the innermost open savepoint rolled back, or the unit if there is none."""
        savepoint = None if self._session is None else open_savepoint(self._session)
        if savepoint is None:
            self.rollback_reason = reason
        else:
            savepoint.rollback_reason = reason

    async def finish_session(self) -> None:
        """Flush the session, because the unit has returned.

        Raises UsageError if the unit can only be rolled back, even if it caught that error.
        """
        if self._session is None:
            return
        if (reason := rollback_reason_of(self._session)) is not None:
            raise UsageError(reason)
        self._finishing_task = asyncio.current_task()
        if self._must_resynchronize:
            await self._resynchronize()
        self._check_in_sync()  # the unit may have used the driver's connection
        if holds_changes(self._session.sync_session):
            await self._session.flush()
        if self._carried:
            await self.send_carried()

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            close_session(session)

    def _send_in_session(self, run: Callable[[], None], *, is_dml: bool) -> None:
        driver = self._driver
        mark = self._mark if is_dml else None
        begins = not self.is_open
        ahead = preamble.join(self._begin_preamble(), mark) if begins else mark or preamble.NONE
        driver.queue_preamble(ahead)
        failure: FaceplateError | None = None
        try:
            run()
        except SESSION_ERRORS as error:
            failure = driver.map_error(error)
        except BaseException as error:
            self._note_session_statement(ahead, error, begins=begins)
            raise
        self._note_session_statement(ahead, failure, begins=begins)
        if isinstance(failure, SchemaChanged):
            driver.must_close = True  # SQLAlchemy keeps its outdated prepared statements
        if failure is not None:
            raise failure
        self._check_in_sync()

    def _note_session_statement(
        self, ahead: Preamble, error: BaseException | None, *, begins: bool
    ) -> None:
        self._driver.end_preamble()
        self._note_sent(ahead, begins=begins)
        if error is not None:
            self._note_failure(error, begins=begins)


class _UnitCursor:
    """A driver's cursor of the session, usable as long as its unit runs."""

    def __init__(self, transaction: SessionTransaction, cursor: Any) -> None:
        self._transaction = transaction
        self._cursor = cursor

    async def fetch(self, count: int) -> list[Any]:
        return await self._transaction.fetch_from(self._cursor, count)
