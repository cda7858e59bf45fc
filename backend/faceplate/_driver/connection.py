"""What a connection of the driver runs: prepared statements, preambles, errors."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import asyncpg

from faceplate._driver.connection_state import TrackedConnection
from faceplate._driver.encoding import Encoded, encode
from faceplate._driver.error_details import (
    DRIVER_ERRORS,
    READ_ONLY,
    error_chain,
    is_connection_lost,
    sqlstate_of,
)
from faceplate._driver.error_mapping import describe_loss, is_from_pooler, map_error
from faceplate._driver.preamble import LIMIT_WAITS, NONE, LocalSettings, Preamble
from faceplate._driver.preamble_row import PreambleRow
from faceplate._driver.prepared import Prepared
from faceplate._driver.session_state import RESET_SESSION
from faceplate._driver.shared_flight import SharedFlight
from faceplate.config import Settings
from faceplate.errors import (
    ConnectionLost,
    DatabaseError,
    FaceplateError,
    SchemaChanged,
    UsageError,
)

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

    from faceplate._driver.wire import Wire

    DriverConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    DriverConnection = asyncpg.Connection  # generic in the stubs alone
T = TypeVar("T")
Answer: TypeAlias = tuple[list[Any], bytes]
"""The rows of a statement and its command tag, such as ``UPDATE 3``."""

logger = logging.getLogger("faceplate.sql")

driver_uuid = asyncpg.pgproto.pgproto.UUID
"""The type of the UUIDs that the driver returns."""
MAX_PREPARED = 200
OUTDATED = (
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.OutdatedSchemaCacheError,
)
DUPLICATE_NAME = "42P05"
PING_TIMEOUT_S = 2.0


class Connection(TrackedConnection):
    """A connection that keeps statements prepared and sends preambles ahead of them.

    The methods of this class raise faceplate's errors; those inherited from asyncpg raise the
    driver's.
    """

    __slots__ = (
        "_discarded",
        "_log_after_s",
        "_preamble_row",
        "_preambles",
        "_prepared",
        "_settings",
        "_wire",
        "carried_tags",
        "limits",
        "sent_preamble",
        "supports_marks",
    )

    limits: LocalSettings
    """The time limits that each transaction has to set: none, but behind a pooler."""
    supports_marks: bool | None
    """Whether the server tells a transaction's mark; None until that was tried."""
    sent_preamble: bool
    """Whether the last preamble was sent."""
    carried_tags: list[bytes]
    """The command tags of the statements that the last preamble with any has carried."""

    def set_up(self, settings: Settings, begun_s: float, wire: "Wire | None") -> None:
        """Set what the driver's own constructor has no argument for.

        With a ``wire``, statements are pipelined: see `faceplate._driver.wire`.
        """
        self.track(begun_s, is_pipelined=wire is not None)
        self._settings = settings
        self.limits = tuple(settings.transaction_settings.items())
        self._wire = wire
        self.sent_preamble = True
        self.carried_tags = []
        self._log_after_s = 0.0 if settings.log_sql else settings.slow_statement_s or float("inf")
        self._prepared: dict[str, Prepared] = {}
        self._preambles: dict[str, PreparedStatement[Any]] = {}
        self._discarded: list[PreparedStatement[Any]] = []
        self._preamble_row: PreambleRow | None = None
        self.supports_marks = None

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

    def begin_unit(self) -> None:
        """Forget the preamble's row of the unit before."""
        self._preamble_row = None

    async def run(
        self,
        ahead: Preamble,
        sql: str,
        values: list[Any],
        *,
        limit: int = 0,
        may_commit: bool = False,
    ) -> Answer:
        """Run ``sql`` with the preamble ``ahead``; return up to ``limit`` rows, or all if it is 0.

        Both ``sql`` and ``ahead`` have to be ready, and take one round trip. `sent_preamble` tells
        afterwards whether the preamble was sent. ``may_commit`` says that the statement is a
        transaction by itself: without an answer it is in doubt.
        """
        self.queue_preamble(ahead, sql)
        started_s = time.monotonic()
        try:
            # What the methods of a prepared statement come to, three calls further down.
            state = self._prepared[sql].state
            rows, tag, _ = await self._protocol.bind_execute(
                state, values, "", limit, return_extra=True, timeout=None
            )
        except DRIVER_ERRORS as error:
            failure = self.map_error(error, may_commit=may_commit)
        else:
            self.is_preparing = False
            self.last_heard_s = time.monotonic()
            return rows, tag
        finally:
            self.end_preamble()
            if (elapsed_s := time.monotonic() - started_s) >= self._log_after_s:
                self.log(sql, elapsed_s, ahead)
        raise failure

    async def run_shared(
        self, sql: str, aheads: Sequence[Preamble], values: Sequence[list[Any]]
    ) -> tuple[list[list[Any]], FaceplateError | None]:
        """Run ``sql`` with each of ``values``, in one transaction. Return the rows of each.

        Each has its preamble ahead. All of them, `LIMIT_WAITS` and ``sql`` have to be ready. After
        an error it returns that, too, and an empty list for each statement that went well; nothing
        of them is committed, or all is in doubt.
        """
        first, *others = (ahead.messages for ahead in aheads)
        flight = SharedFlight(self._wire, [LIMIT_WAITS.messages + first, *others])
        run = partial(self._protocol.bind_execute_many, timeout=None, return_rows=True)
        failure, rows = None, list[Any]()
        try:
            rows = await self.call(
                lambda _: run(self._prepared[sql].state, values, ""), sql, may_commit=True
            )
            self.last_heard_s = time.monotonic()
        except FaceplateError as error:
            failure = error
        finally:
            flight.end()
        # The first command is that of LIMIT_WAITS. A preamble that sets a user has one, too.
        counts = flight.counts()[2::2] if first else flight.counts()[1:]
        found = iter(rows)
        return [list(islice(found, count)) for count in counts], failure

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

    def queue_preamble(self, ahead: Preamble, sql: str | None = None) -> None:  # noqa: ARG002 - a subclass needs it
        """Send ``ahead`` together with the next write, until `end_preamble`.

        That write runs ``sql``, which is ready, or it is SQLAlchemy's. Raises UsageError where the
        connection is not pipelined.
        """
        if not ahead.messages:
            return
        wire, row = self._wire, None
        if wire is None:
            raise UsageError("nothing goes ahead of a statement on this connection")
        if ahead.has_row or ahead.carried:
            row = PreambleRow(
                wire.transport, wire.protocol, has_row=ahead.has_row, carried=ahead.carried
            )
            self.carried_tags = row.tags
            if ahead.has_row:
                self._preamble_row = row
        wire.queue(ahead.messages, row)

    def end_preamble(self) -> None:
        """Set `sent_preamble`, and drop the preamble where it was not sent."""
        self.sent_preamble = self._wire is None or not self._wire.drop_queued()
        if not self.sent_preamble:
            self._preamble_row = None

    @property
    def preamble_row(self) -> list[str] | None:
        """The row that a preamble of this unit returned."""
        return None if self._preamble_row is None else self._preamble_row.values

    @property
    def lacks_preamble_row(self) -> bool:
        """Whether a preamble of this unit should have returned a row and did not."""
        return self._preamble_row is not None and self._preamble_row.values is None

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

    def encode(self, sql: str, values: list[Any]) -> Encoded | None:
        """Return ``sql`` with its values for a preamble, or None where it has to be run by itself.

        So it has where it is not prepared yet, and where the driver has to wait for the end of a
        command that was cancelled. Its transaction has to be open.
        """
        wire, prepared = self._wire, self._prepared.get(sql)
        if wire is None or prepared is None:
            return None
        try:
            messages = encode(wire, prepared, values)
        except DRIVER_ERRORS as error:
            failure = self.map_error(error)
        else:
            return None if messages is None else Encoded(sql, messages, prepared)
        raise failure

    async def end_preparing(self) -> None:
        """End the implicit transaction in which the server has prepared a statement.

        The driver leaves it open, and a BEGIN would continue it, with its snapshot.
        """
        await self.call(self.execute, "SELECT 1")

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

    async def request_cancel(self) -> None:
        """Ask for the cancellation of the command in flight, by the connection's own key.

        Closes the connection if that cannot be sent.
        """
        cancel: Any = self._cancel  # type: ignore[attr-defined]  # asyncpg's stubs leave it out
        await cancel(self._loop.create_future())

    async def reset_session(self) -> None:
        """Undo what text has changed in the session, outside of a transaction.

        Raises FaceplateError.
        """
        await self.call(partial(self.execute, timeout=PING_TIMEOUT_S), RESET_SESSION)
        self.must_reset_session = False

    async def ping(self) -> None:
        """Ask whether the server is there. Raises FaceplateError."""
        await self.call(partial(self.execute, timeout=PING_TIMEOUT_S), "SELECT 1")
        self.last_heard_s = time.monotonic()

    def map_error(self, error: Exception, *, may_commit: bool = False) -> FaceplateError:
        """Return faceplate's error for the driver's or SQLAlchemy's ``error``.

        ``may_commit`` says that the command may have taken effect if no answer came.
        """
        target, closed = self._settings.target, self.is_closed()
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
