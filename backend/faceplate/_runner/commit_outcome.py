"""What became of a COMMIT whose answer was lost: the server remembers, by the transaction's id."""

import asyncio
import time
from enum import Enum
from typing import Any, NamedTuple

from faceplate._driver import preamble
from faceplate._driver.connecting import open_connection
from faceplate._driver.connection import Connection, first_row
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.preamble import NONE, Preamble
from faceplate.config import Settings
from faceplate.errors import FaceplateError, Unauthorized

POLL_S = 0.1
IN_PROGRESS, NOT_GIVEN = "in progress", "not given"

# The timeline tells a server from the one that is promoted in its place: that one may use the
# same transaction ids again, for other transactions.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# When the server last came back from a crash; a restart in good order keeps it. A crash may give
# the id of a transaction that has left nothing in the log to another one.
_RECOVERED = "pg_stat_get_bgwriter_stat_reset_time()"
# When the server was last started: a copy of an older backup, put back while the server was
# stopped, has the same timeline and gives the same ids again.
_STARTED = "pg_postmaster_start_time()"
_LIFE = f"{_TIMELINE}, extract(epoch FROM {_RECOVERED})::text, extract(epoch FROM {_STARTED})::text"
_WHERE = f"pg_backend_pid()::text, {_LIFE}, pg_current_wal_insert_lsn()::text"
_MARK = f"SELECT pg_current_xact_id_if_assigned()::text, {_WHERE}"
MARK = preamble.ask("faceplate_mark", f"SELECT pg_current_xact_id()::text, {_WHERE}")
"""What asks for a transaction's mark ahead of the first statement in it that writes."""
_STATUS = f"SELECT pg_xact_status($1::text::xid8), {_LIFE}"
# What the last checkpoint says of a transaction: whether its id had been given, and its place in
# the log been passed. Only the checkpoint of the interruption proves something, which ends the log
# (so that its redo_lsn is its own place): a later one tells of ids that were given afterwards.
_REACHED = """
    SELECT split_part(next_xid, ':', 1)::bigint * 4294967296 + split_part(next_xid, ':', 2)::bigint
           > $1::text::bigint
           AND checkpoint_lsn >= $2::text::pg_lsn
      FROM pg_control_checkpoint()
     WHERE redo_lsn = checkpoint_lsn AND """
# In good order, it is taken before the next start.
_REACHED_BY_STOP = f"{_REACHED} checkpoint_time <= {_STARTED}"
# After a crash, it ends the recovery. The server keeps its time in whole seconds.
_REACHED_BY_CRASH = f"""{_REACHED} {_STARTED} < {_RECOVERED}
    AND checkpoint_time >= {_RECOVERED} - interval '2 s'"""
_END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE pid = $1 AND backend_xid = $2::text::xid8::xid"""

_UNDO = f"ROLLBACK TO SAVEPOINT {MARK.name}"


class Mark(NamedTuple):
    """How a transaction that has written something can be found again."""

    xid: str
    backend_pid: str
    timeline: str
    recovered_at: str
    started_at: str
    wal_position: str


UNMARKED = Mark("", "", "", "", "", "")
"""One that may have written something, on a server that does not let itself be asked."""

_IN_THE_FUTURE = "22023"
"""The SQLSTATE with which a server refuses an id that it has not given yet."""
# No privilege, no such function, not supported, not on a standby (which says it in two ways).
_REFUSED = {"42501", "42883", "0A000", "55000", "25006"}


class Outcome(Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


def mark_preamble(driver: Connection) -> Preamble | None:
    """Return what asks for a mark without a round trip of its own, once that is known to work."""
    return MARK if driver.supports_marks and driver.has_prepared(MARK) else None


def recheck_support(driver: Connection) -> None:
    """Let the next transaction on ``driver`` find out anew whether the server answers."""
    driver.supports_marks = None
    driver.discard_preamble(MARK)


async def mark(driver: Connection, *, may_prepare: bool) -> Mark | None:
    """Return the mark of the transaction on ``driver``, or None where it has written nothing.

    It is there already where it was asked for ahead. Else it is one round trip; more on a
    connection's first call, which finds out whether the server answers. Where it does not, this
    returns `UNMARKED`, and from then on without asking.
    """
    if (found := driver.preamble_row) is not None:
        return Mark(*found)
    if driver.supports_marks is None:
        return await _try_to_mark(driver, may_prepare=may_prepare)
    if not driver.supports_marks:
        return UNMARKED
    try:
        return await _mark(driver)
    except FaceplateError:
        recheck_support(driver)  # it did before
        raise


async def _mark(driver: Connection) -> Mark | None:
    if not driver.is_ready(NONE, _MARK):
        await driver.make_ready(NONE, _MARK)
    row: Any = await driver.run(NONE, first_row, _MARK, [])
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
        driver.supports_marks = False
        return UNMARKED
    driver.supports_marks = True
    return found


async def find_outcome(settings: Settings, transaction: Mark) -> Outcome:
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
        except (TimeoutError, FaceplateError, *DRIVER_ERRORS):
            await asyncio.sleep(POLL_S)
    return Outcome.UNKNOWN


KNOWN_AFTER_CRASH = {
    True: Outcome.COMMITTED,
    False: Outcome.ROLLED_BACK,
    None: Outcome.UNKNOWN,
}


class _Answer(NamedTuple):
    """What a server says of a transaction's id, and in which life of the server it says so."""

    status: str | None
    timeline: str
    recovered_at: str
    started_at: str

    def is_of_same_life(self, transaction: Mark) -> bool:
        """Whether the server has not been started anew or recovered since the mark."""
        then = transaction.timeline, transaction.recovered_at, transaction.started_at
        return self[1:] == then


async def _ask(connection: Connection, transaction: Mark, until_s: float) -> Outcome:
    while time.monotonic() < until_s:
        answer = await _status(connection, transaction)
        if answer.status != IN_PROGRESS:
            return await _judge(connection, transaction, answer)
        await asyncio.sleep(POLL_S)
        if answer.is_of_same_life(transaction):
            await connection.execute(_END, int(transaction.backend_pid), transaction.xid)
    return Outcome.UNKNOWN


async def _status(connection: Connection, transaction: Mark) -> _Answer:
    row: Any
    try:
        row = await connection.call(connection.fetchrow, _STATUS, transaction.xid)
    except FaceplateError as error:
        if error.sqlstate != _IN_THE_FUTURE:
            raise
        row = await connection.call(connection.fetchrow, f"SELECT '{NOT_GIVEN}', {_LIFE}")
    return _Answer(*row)


async def _judge(connection: Connection, transaction: Mark, answer: _Answer) -> Outcome:
    """Return what became of ``transaction``, if it is the one that ``answer`` is about."""
    is_older_copy = float(answer.recovered_at) < float(transaction.recovered_at)
    is_forgotten = answer.status is None
    if answer.timeline != transaction.timeline or is_older_copy or is_forgotten:
        return Outcome.UNKNOWN
    said = Outcome.COMMITTED if answer.status == "committed" else Outcome.ROLLED_BACK
    if answer.is_of_same_life(transaction):
        return said
    if answer.recovered_at == transaction.recovered_at:
        # A restart in good order loses no id: a server that had not come as far is an older copy.
        reached = await _reached(connection, _REACHED_BY_STOP, transaction)
        return said if reached else Outcome.UNKNOWN
    if said is Outcome.COMMITTED:
        # Unless the crash has lost it, and another transaction has its id.
        return KNOWN_AFTER_CRASH[await _reached(connection, _REACHED_BY_CRASH, transaction)]
    return said


async def _reached(connection: Connection, query: str, transaction: Mark) -> bool | None:
    """Whether the server had come as far as ``transaction``; None where that is not to be seen."""
    asked = transaction.xid, transaction.wal_position
    try:
        found: bool | None = await connection.call(connection.fetchval, query, *asked)
    except Unauthorized:
        return None
    return found
