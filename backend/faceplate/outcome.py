"""What became of a COMMIT whose answer was lost: the server remembers, by the transaction's id."""

import asyncio
import time
from enum import Enum
from typing import Any, NamedTuple

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from faceplate import prelude
from faceplate.config import Settings
from faceplate.connection import Connection
from faceplate.engine import open_connection
from faceplate.errors import FaceplateError
from faceplate.prelude import NONE, Prelude
from faceplate.translation import DRIVER_ERRORS

POLL_S = 0.1

# The timeline tells a server from the one that is promoted in its place: that one may use the
# same transaction ids again, for other transactions.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# When the server last came back from a crash; a restart in good order keeps it. A crash may give
# the id of a transaction that has left nothing in the log to another one.
_RECOVERED = "pg_stat_get_bgwriter_stat_reset_time()"
_RECOVERED_TEXT = f"extract(epoch FROM {_RECOVERED})::text"
_WHERE = f"pg_backend_pid()::text, {_TIMELINE}, {_RECOVERED_TEXT}"
_MARK = f"SELECT pg_current_xact_id_if_assigned()::text, {_WHERE}"
MARK = prelude.ask("faceplate_mark", f"SELECT pg_current_xact_id()::text, {_WHERE}")
"""What asks for a transaction's mark ahead of the first statement in it that writes."""
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

_UNDO = f"ROLLBACK TO SAVEPOINT {MARK.name}"


class Mark(NamedTuple):
    """How a transaction that has written something can be found again."""

    xid: str
    backend_pid: str
    timeline: str
    recovered_at: str


UNMARKED = Mark("", "", "", "")
"""One that may have written something, on a server that does not let itself be asked."""

# No privilege, no such function, not supported, not on a standby (which says it in two ways).
_REFUSED = {"42501", "42883", "0A000", "55000", "25006"}


class Outcome(Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


def mark_ahead(driver: Connection) -> Prelude | None:
    """Return what asks for a mark without a round trip of its own, once that is known to work."""
    return MARK if driver.answers_marks and driver.has_prepared(MARK) else None


def forget(driver: Connection) -> None:
    """Let the next transaction on ``driver`` find out anew whether the server answers."""
    driver.answers_marks = None
    driver.forget_prelude(MARK)


async def mark(driver: Connection, *, may_prepare: bool) -> Mark | None:
    """Return the mark of the transaction on ``driver``, or None where it has written nothing.

    It is there already where it was asked for ahead. Else it is one round trip; more on a
    connection's first call, which finds out whether the server answers. Where it does not, this
    returns `UNMARKED`, and from then on without asking.
    """
    if (found := driver.row_ahead) is not None:
        return Mark(*found)
    if driver.answers_marks is None:
        return await _try_to_mark(driver, may_prepare=may_prepare)
    if not driver.answers_marks:
        return UNMARKED
    try:
        return await _mark(driver)
    except FaceplateError:
        forget(driver)  # it did before
        raise


async def _mark(driver: Connection) -> Mark | None:
    if not driver.is_ready(NONE, _MARK):
        await driver.make_ready(NONE, _MARK)
    row: Any = await driver.run(NONE, PreparedStatement.fetchrow, _MARK, [])
    xid, *where = row
    return None if xid is None else Mark(xid, *where)


async def _try_to_mark(driver: Connection, *, may_prepare: bool) -> Mark | None:
    await driver.call(driver.execute, f"SAVEPOINT {MARK.name}")
    try:
        if may_prepare:
            await driver.make_ready(MARK, _MARK, undo=f"{_UNDO};")
            await driver.call(driver.execute, MARK.sql)
        found = await _mark(driver)
    except FaceplateError as error:
        if error.sqlstate not in _REFUSED:
            raise
        await driver.call(driver.execute, _UNDO)
        driver.answers_marks = False
        return UNMARKED
    driver.answers_marks = True
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
        await connection.execute(_END, int(transaction.backend_pid), transaction.xid)
    return Outcome.UNKNOWN


async def _identify(connection: Connection, transaction: Mark) -> Outcome:
    """Return what became of ``transaction``, where one that has its id was committed."""
    row: Any = await connection.fetchrow(f"SELECT {_RECOVERED}, {_RECOVERED_TEXT}")
    recovered_at, as_text = row
    if as_text == transaction.recovered_at:
        return Outcome.COMMITTED
    try:
        survived = await connection.fetchval(_SURVIVED, transaction.xid, recovered_at)
    except asyncpg.InsufficientPrivilegeError:
        return Outcome.UNKNOWN
    if survived is None:
        return Outcome.UNKNOWN
    return Outcome.COMMITTED if survived else Outcome.ROLLED_BACK
