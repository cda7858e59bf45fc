"""What became of a COMMIT whose answer was lost: the server remembers, by the transaction's id."""

import asyncio
import time
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from faceplate.config import Settings
from faceplate.connection import Connection
from faceplate.engine import open_connection
from faceplate.prelude import NONE
from faceplate.translation import DRIVER_ERRORS

POLL_S = 0.1

# The timeline tells a server from the one that is promoted in its place: that one may use the
# same transaction ids again, for other transactions.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# When the server last came back from a crash; a restart in good order keeps it. A crash may give
# the id of a transaction that has left nothing in the log to another one.
_RECOVERED = "pg_stat_get_bgwriter_stat_reset_time()"
_MARK = f"""SELECT pg_current_xact_id_if_assigned()::text, pg_backend_pid(),
                   {_TIMELINE}, {_RECOVERED}"""
_STATUS = "SELECT pg_xact_status($1::text::xid8)"
# Recovery ends with a checkpoint, which says what the next id was. One of a running server, whose
# redo_lsn lies before it, and one of a restart since then come too late for that.
_SURVIVED = """
    SELECT split_part(next_xid, ':', 1)::bigint * 4294967296 + split_part(next_xid, ':', 2)::bigint
           > $1::text::bigint
      FROM pg_control_checkpoint()
     WHERE redo_lsn = checkpoint_lsn AND pg_postmaster_start_time() < $2"""
_END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE pid = $1 AND backend_xid = $2::text::xid8::xid"""


class Mark(NamedTuple):
    """How a transaction that has written something can be found again."""

    xid: str
    backend_pid: int
    timeline: str
    recovered_at: datetime


UNMARKED = Mark("", 0, "", datetime.min.replace(tzinfo=UTC))
"""One that may have written something, on a server that does not let itself be asked."""

# No privilege, no such function, not supported, not on a standby.
_REFUSED = {"42501", "42883", "0A000", "55000"}
_answers: "WeakKeyDictionary[Any, bool]" = WeakKeyDictionary()
"""Whether a connection's server answers to `_MARK`."""


class Outcome(Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


async def mark(driver: Connection) -> Mark | None:
    """Return the mark of the transaction on ``driver``, or None where it has written nothing.

    One round trip; more on a connection's first call, which finds out whether the server answers.
    Where it does not, this returns `UNMARKED`, and from then on without asking.
    """
    answers = _answers.get(driver)
    if answers is None:
        return await _try_to_mark(driver)
    if not answers:
        return UNMARKED
    try:
        return await _mark(driver)
    except asyncpg.PostgresError:
        del _answers[driver]  # it did before, so it is tried anew
        raise


async def _mark(driver: Connection) -> Mark | None:
    if not driver.is_ready(NONE, _MARK):
        await driver.make_ready(NONE, _MARK)
    row: Any = await driver.run_after(NONE, PreparedStatement.fetchrow, _MARK, [])
    xid, *where = row
    return None if xid is None else Mark(xid, *where)


async def _try_to_mark(driver: Connection) -> Mark | None:
    await driver.execute("SAVEPOINT faceplate_mark")
    try:
        found = await _mark(driver)
    except asyncpg.PostgresError as error:
        if error.sqlstate not in _REFUSED:
            raise
        await driver.execute("ROLLBACK TO SAVEPOINT faceplate_mark")
        _answers[driver] = False
        return UNMARKED
    _answers[driver] = True
    return found


async def find_out(settings: Settings, transaction: Mark) -> Outcome:
    """Return what became of ``transaction``, asking for up to ``reconnect_timeout_s``.

    A backend that still holds the transaction open, because it has not heard that its client is
    gone, is ended: what it has not committed by then, it never will.
    """
    if transaction is UNMARKED:
        return Outcome.UNKNOWN
    until_s = time.monotonic() + settings.reconnect_timeout_s
    while time.monotonic() < until_s:
        try:
            connection = await open_connection(settings)
            try:
                return await _ask(connection, transaction, until_s)
            finally:
                connection.terminate()
        except (TimeoutError, *DRIVER_ERRORS):
            await asyncio.sleep(POLL_S)
    return Outcome.UNKNOWN


async def _ask(connection: Connection, transaction: Mark, until_s: float) -> Outcome:
    timeline = await connection.fetchval(f"SELECT {_TIMELINE}")
    if timeline != transaction.timeline:
        return Outcome.UNKNOWN
    while time.monotonic() < until_s:
        try:
            status = await connection.fetchval(_STATUS, transaction.xid)
        except asyncpg.InvalidParameterValueError:
            return Outcome.ROLLED_BACK  # the id is still to be given: a crash has left no trace
        if status == "committed":
            return await _identify(connection, transaction)
        if status == "aborted":
            return Outcome.ROLLED_BACK
        if status is None:
            return Outcome.UNKNOWN  # so old that the server has forgotten
        await asyncio.sleep(POLL_S)
        await connection.execute(_END, transaction.backend_pid, transaction.xid)
    return Outcome.UNKNOWN


async def _identify(connection: Connection, transaction: Mark) -> Outcome:
    """Return what became of ``transaction``, where one that has its id was committed."""
    recovered_at = await connection.fetchval(f"SELECT {_RECOVERED}")
    if recovered_at == transaction.recovered_at:
        return Outcome.COMMITTED
    try:
        survived = await connection.fetchval(_SURVIVED, transaction.xid, recovered_at)
    except asyncpg.InsufficientPrivilegeError:
        return Outcome.UNKNOWN
    if survived is None:
        return Outcome.UNKNOWN
    return Outcome.COMMITTED if survived else Outcome.ROLLED_BACK
