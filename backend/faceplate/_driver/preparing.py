"""What a connection of the driver keeps prepared, and what it makes of the driver's errors."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from faceplate._driver import citus
from faceplate._driver.connection_state import TrackedConnection
from faceplate._driver.error_details import (
    DRIVER_ERRORS,
    READ_ONLY,
    error_chain,
    is_connection_lost,
    server_error,
    sqlstate_of,
)
from faceplate._driver.error_mapping import describe_loss, is_from_pooler, map_error
from faceplate._driver.preamble import NONE, Preamble
from faceplate._driver.prepared import Prepared
from faceplate.config import Settings
from faceplate.errors import ConnectionLost, DatabaseError, FaceplateError, SchemaChanged

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement
T = TypeVar("T")

logger = logging.getLogger("faceplate.sql")

MAX_PREPARED = 200
OUTDATED = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.OutdatedSchemaCacheError,
)
DUPLICATE_NAME = "42P05"


class PreparingConnection(TrackedConnection):
    """A connection that keeps statements and preambles prepared, and forgets them when outdated.

    `call` and the methods of this class raise faceplate's errors; those inherited from asyncpg
    raise the driver's.
    """

    __slots__ = ("_discarded", "_log_after_s", "_preambles", "_prepared", "_settings")

    def use(self, settings: Settings) -> None:
        """Take the settings, and begin with nothing prepared."""
        self._settings = settings
        self._log_after_s = 0.0 if settings.log_sql else settings.slow_statement_s or float("inf")
        self._prepared: dict[str, Prepared] = {}
        self._preambles: dict[str, PreparedStatement[Any]] = {}
        self._discarded: list[PreparedStatement[Any]] = []

    async def call(
        self, run: Callable[..., Awaitable[T]], sql: str, *values: Any, may_commit: bool = False
    ) -> T:
        """Return what ``run(sql, *values)`` returns, a method of the driver's own."""
        started_s = time.monotonic()
        try:
            result = await run(sql, *values)
        except DRIVER_ERRORS as error:
            failure = self.map_error(error, may_commit=may_commit)
        else:
            self.is_preparing = False
            return result
        finally:
            self.log(sql, time.monotonic() - started_s)
        raise failure

    async def prepare(self, query: str, **options: Any) -> "PreparedStatement[Any]":
        """Prepare ``query``; raise asyncpg's error for a lost connection where it is closed.

        asyncpg prepares in several steps. Where another task closes the connection between two of
        them, asyncpg itself stumbles over the protocol that it has dropped.
        """
        try:
            prepared: PreparedStatement[Any] = await super().prepare(query, **options)
        except AttributeError:
            if not self.is_closed():
                raise
        else:
            return prepared
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of a call")

    def columns(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the columns of a statement that was run, as DB-API describes them."""
        return self._prepared[sql].columns

    def is_ready(self, ahead: Preamble, sql: str) -> bool:
        """Return whether both are prepared: from the second time on that ``sql`` runs."""
        return sql in self._prepared and (not ahead.name or ahead.name in self._preambles)

    def has_prepared(self, ahead: Preamble) -> bool:
        """Return whether a preamble can be sent."""
        return not ahead.name or ahead.name in self._preambles

    async def make_ready(self, ahead: Preamble, sql: str, *, undo: str = "") -> None:
        """Prepare for `run` what is not prepared yet. It executes nothing.

        ``undo`` is the command that makes an aborted transaction usable again.
        """
        if sql not in self._prepared:
            prepared = Prepared(await self._ask_to_prepare(sql))
            if len(self._prepared) >= MAX_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[sql] = prepared
        if not self.has_prepared(ahead):
            self._preambles[ahead.name] = await self._prepare_named(
                ahead.name, ahead.prepared, undo
            )

    async def _prepare_named(self, name: str, sql: str, undo: str) -> "PreparedStatement[Any]":
        try:
            return await self._ask_to_prepare(sql, name)
        except DatabaseError as error:
            if error.sqlstate != DUPLICATE_NAME:
                raise
        # A cancelled attempt has left it, or this unit's text has made it.
        await self.call(self.execute, f"{undo} DEALLOCATE {name}")
        return await self._ask_to_prepare(sql, name)

    async def _ask_to_prepare(self, sql: str, name: str | None = None) -> "PreparedStatement[Any]":
        self.is_preparing = True
        try:
            return await self.prepare(sql, name=name)
        except DRIVER_ERRORS as error:
            failure = self.map_error(error)
        raise failure

    def discard_preamble(self, ahead: Preamble) -> None:
        """Have a preamble prepared again before it is sent again."""
        # Collected, the old object would close the server's statement of the same name.
        self._discarded += filter(None, [self._preambles.pop(ahead.name, None)])

    def map_error(self, error: Exception, *, may_commit: bool = False) -> FaceplateError:
        """Return faceplate's error for the driver's or SQLAlchemy's ``error``.

        ``may_commit`` says that the command may have taken effect if no answer came.
        """
        target, closed = self._settings.target, self.is_closed()
        if self.is_citus and (server := server_error(error)) is not None:
            citus.name_constraint(server)
            if (loss := citus.loss(server, may_commit=may_commit)) is not None:
                lost = ConnectionLost(f"{target}: {loss}", sqlstate=server.sqlstate)
                lost.in_doubt = may_commit
                return lost
        if any(isinstance(cause, OUTDATED) for cause in error_chain(error)):
            return self._outdated(error)
        is_unanswered = isinstance(error, TimeoutError) or is_from_pooler(error)
        if may_commit and (is_unanswered or is_connection_lost(error, closed=closed)):
            lost = ConnectionLost(f"{target}: {describe_loss(error)}", sqlstate=sqlstate_of(error))
            lost.in_doubt = lost.sqlstate != READ_ONLY
            return lost
        return map_error(error, target=target, closed=closed)

    def _outdated(self, error: Exception) -> FaceplateError:
        """Forget what was prepared, after a migration or a DEALLOCATE; return the error."""
        self._prepared.clear()
        self.must_close |= isinstance(error, asyncpg.OutdatedSchemaCacheError)
        if any(
            isinstance(cause, asyncpg.InvalidSQLStatementNameError) for cause in error_chain(error)
        ):
            self._discarded += self._preambles.values()
            self._preambles.clear()
            self.must_close = True  # SQLAlchemy keeps its outdated prepared statements
        message = "a table or a prepared statement was changed under a statement"
        return SchemaChanged(message, sqlstate=sqlstate_of(error))

    def log(self, sql: str, elapsed_s: float, ahead: Preamble = NONE) -> None:
        """Log the statement, with a warning if it was slow.

        A ``slow_statement_s`` of 0 never warns. The driver's own query loggers would cost a
        statement up to a fifth of its round trip.
        """
        if 0 < self._settings.slow_statement_s <= elapsed_s:
            logger.warning("slow statement, %.3f s: %s", elapsed_s, sql)
        if self._settings.log_sql:
            logger.info("%.3f s: %s", elapsed_s, f"{ahead.sql}; {sql}" if ahead.sql else sql)
