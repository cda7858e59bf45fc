"""One connection of the driver: a statement goes out together with what has to go ahead of it."""

import asyncio
import logging
import select
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from faceplate.config import Settings
from faceplate.prelude import NONE, Prelude
from faceplate.row_ahead import RowAhead

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
PING_AFTER_IDLE_S = 5.0
PING_TIMEOUT_S = 2.0
SETTLE_TIMEOUT_S = 2.0


class Connection(asyncpg.Connection):
    """It keeps statements prepared, and can tell, mostly without asking, whether it is alive."""

    __slots__ = (
        *("_ahead", "_poll", "_prepared", "_row_ahead", "_rows", "ahead_of_write", "answers_marks"),
        *("is_adrift", "is_trusted", "last_heard_s", "logs_sql", "said", "slow_statement_s"),
    )

    ahead_of_write: Prelude | None
    """What is to go ahead of a unit's first INSERT, UPDATE or DELETE."""
    answers_marks: bool | None
    """Whether its server says by what a transaction can be found; None until that was tried."""
    said: set[str]
    """What was prepared for preludes."""
    logs_sql: bool
    slow_statement_s: float
    is_adrift: bool
    """Whether a prelude was sent whose statement is still running, or has failed."""
    last_heard_s: float
    is_trusted: bool
    """Whether the next ping may be left out: it has only just been seen to be alive."""

    def set_up(self, settings: Settings) -> None:
        """Make ready what the driver's own constructor has no room for."""
        self.logs_sql = settings.log_sql
        self.slow_statement_s = settings.slow_statement_s
        self.is_adrift = False
        self.is_trusted = False
        # It asks asyncio about it, which knows only the true one.
        self._loop = asyncio.get_running_loop()
        self._prepared: dict[str, PreparedStatement[Any]] = {}
        self.said = {""}
        self.answers_marks = None
        self.begin_unit(None)
        self.last_heard_s = time.monotonic()
        self._poll = select.poll()
        transport: Any = self._transport  # type: ignore[attr-defined]  # not in stubs
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._ahead, self._rows = _join_writes(transport)

    def begin_unit(self, ahead_of_write: Prelude | None) -> None:
        """Forget the unit before; this one sends ``ahead_of_write`` with its first write."""
        self.ahead_of_write = ahead_of_write
        self._row_ahead: RowAhead | None = None

    async def run_after(
        self, ahead: Prelude, fetch: Callable[..., Awaitable[T]], sql: str, values: list[Any]
    ) -> T:
        """Return what ``fetch``, a method of `PreparedStatement`, makes of ``sql``.

        It is sent together with what goes ahead of it, in one round trip; both have to be ready.
        An error of the server may be about either. After any error the connection has to `settle`.
        """
        if ahead.messages:
            self._put_ahead(ahead)
        started_s = time.monotonic()
        try:
            result = await fetch(self._prepared[sql], *values)
        except OUTDATED as error:
            self._forget_prepared(error)
            raise
        finally:
            self.log(sql, time.monotonic() - started_s, ahead)
        self.is_adrift = False
        return result

    def send_ahead(self, ahead: Prelude) -> None:
        """Send a prelude together with what is written next, whoever writes it."""
        self.log(ahead.sql, 0.0)
        self._put_ahead(ahead)

    def take_ahead_of_write(self) -> Prelude | None:
        """Return what is to go ahead of an INSERT, UPDATE or DELETE, if that is the first one."""
        ahead, self.ahead_of_write = self.ahead_of_write, None
        return ahead

    def send_ahead_of_write(self) -> None:
        """Send it, together with that statement."""
        if (ahead := self.take_ahead_of_write()) is not None:
            self.send_ahead(ahead)

    @property
    def takes_rows_ahead(self) -> bool:
        """Whether a prelude may return a row: not where it may go out before its statement."""
        return self._rows is not None

    @property
    def row_ahead(self) -> list[str] | None:
        """What a prelude of this unit has returned."""
        return None if self._row_ahead is None else self._row_ahead.values

    @property
    def was_refused_ahead(self) -> bool:
        """Whether a prelude of this unit was to return a row and has not."""
        return self._row_ahead is not None and self._row_ahead.values is None

    def _put_ahead(self, ahead: Prelude) -> None:
        self.is_adrift = True
        if ahead.has_row and self._rows is not None:
            self._row_ahead = RowAhead(self._transport, self._protocol)  # type: ignore[attr-defined]  # not in stubs
            self._rows.append(self._row_ahead)
        self._ahead(ahead.messages)

    def is_ready(self, ahead: Prelude, sql: str) -> bool:
        """Whether `run_after` may be called: mostly, but for the first time that ``sql`` is run."""
        is_settled = not (self.is_adrift and ahead.messages)
        return sql in self._prepared and ahead.prepare in self.said and is_settled

    async def make_ready(self, ahead: Prelude, sql: str) -> None:
        """Prepare what is not yet prepared, for `run_after`. Where `is_ready`, not needed."""
        if sql not in self._prepared:
            if len(self._prepared) >= MAX_PREPARED:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[sql] = await self.prepare(sql)
        if self.is_adrift and ahead.messages:
            await self.settle()
        if ahead.prepare not in self.said:
            # It is there already where whoever said it was cancelled before the answer came.
            with suppress(asyncpg.DuplicatePreparedStatementError):
                await self.execute(ahead.prepare)
            self.said.add(ahead.prepare)

    def tag_of(self, sql: str) -> str:
        """The tag with which the last run of ``sql`` ended, such as ``UPDATE 3``."""
        return self._prepared[sql].get_statusmsg() or ""

    async def timed(self, run: Callable[..., Awaitable[T]], sql: str, *values: Any) -> T:
        """Return what ``run(sql, *values)``, a method of the driver's own, returns."""
        started_s = time.monotonic()
        try:
            return await run(sql, *values)
        finally:
            self.log(sql, time.monotonic() - started_s)

    async def ping(self) -> None:
        """Ask whether the server is there. Raises the driver's errors."""
        await self.timed(partial(self.execute, timeout=PING_TIMEOUT_S), "SELECT 1")
        self.last_heard_s = time.monotonic()

    async def settle(self) -> None:
        """Let the server be done with a prelude whose statement has failed or was never sent."""
        if self.is_adrift:
            await self.execute("SELECT 1", timeout=SETTLE_TIMEOUT_S)
            self.is_adrift = False

    def is_quiet(self) -> bool:
        """Whether nothing has come in since the last command, and that was not long ago.

        What a server says unasked is that it is going away, and a socket with something to read
        after its last answer was read says that, or is at its end.
        """
        now = time.monotonic()
        if now - self.last_heard_s > PING_AFTER_IDLE_S or self._poll.poll(0):
            return False
        self.last_heard_s = now
        return True

    def _forget_prepared(self, error: Exception) -> None:
        """After a migration, or somebody's DEALLOCATE ALL, each is prepared anew."""
        self._prepared.clear()
        if isinstance(error, asyncpg.InvalidSQLStatementNameError):
            self.said = {""}  # else the server still knows it

    def log(self, sql: str, elapsed_s: float, ahead: Prelude = NONE) -> None:
        """Warn of a statement that took ``slow_statement_s`` or longer; 0 never does.

        The driver's own query loggers cost a statement as much as a fifth of its round trip.
        """
        if 0 < self.slow_statement_s <= elapsed_s:
            logger.warning("slow statement, %.3f s: %s", elapsed_s, sql)
        if self.logs_sql:
            logger.info("%.3f s: %s", elapsed_s, f"{ahead.sql}; {sql}" if ahead.sql else sql)


def _join_writes(transport: Any) -> tuple[Callable[[bytes], None], list[RowAhead] | None]:
    """Return a function whose argument goes out in one piece with what is written next.

    And a list for those who wait for a row of it, or None where it may go out sooner.

    asyncio sends each write at once. The second send of a statement would cost as much as all
    the rest of it, since the first has just woken the server up. Other event loops, as uvloop,
    send by themselves in one piece what is written in one turn, and do not let write be replaced.
    """
    write = transport.write
    ahead: list[bytes] = []
    rows: list[RowAhead] = []

    def write_joined(data: Any) -> None:
        if ahead:
            data = b"".join((*ahead, data))
            ahead.clear()
            while rows:
                rows.pop().begin()
        write(data)

    def write_lines_joined(parts: Any) -> None:
        write_joined(b"".join(parts))

    try:
        transport.write = write_joined
        transport.writelines = write_lines_joined
    except AttributeError:
        return write, None
    return ahead.append, rows
