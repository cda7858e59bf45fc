"""A transaction's mark: its id and place in the server's log.

If its COMMIT is in doubt, `commit_outcome` asks the server by the mark what became of it.
"""

from typing import NamedTuple

from faceplate._driver import preamble
from faceplate._driver.connection import Connection
from faceplate._driver.preamble import NONE, Preamble
from faceplate.errors import FaceplateError

# The timeline tells a server from a standby that was promoted in its place, which may give the same
# transaction ids to other transactions.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
RECOVERED = "pg_stat_get_bgwriter_stat_reset_time()"
"""When the server last recovered from a crash. A clean restart keeps this time.

After a crash, the server may give the id of a transaction that has left nothing in the log to
another transaction.
"""
STARTED = "pg_postmaster_start_time()"
"""When the server was last started.

An older backup, restored while the server was stopped, has the same timeline and gives the same ids
again.
"""
SERVER_RUN = (
    f"{_TIMELINE}, extract(epoch FROM {RECOVERED})::text, extract(epoch FROM {STARTED})::text"
)
"""What identifies one run of the server, from its start to its end or crash."""
_PLACE = f"pg_backend_pid()::text, {SERVER_RUN}, pg_current_wal_insert_lsn()::text"
_MARK_IF_WRITTEN = f"SELECT pg_current_xact_id_if_assigned()::text, {_PLACE}"
_MARK = f"SELECT pg_current_xact_id()::text, {_PLACE}"
MARK = preamble.select("faceplate_mark", _MARK)
"""The preamble that fetches the mark with the transaction's first INSERT, UPDATE or DELETE."""
UNPREPARED_MARK = preamble.select_unprepared(_MARK)
"""The same behind a pooler."""

_ROLL_BACK = f"ROLLBACK TO SAVEPOINT {MARK.name}"
# No privilege, no such function, not supported, and two states of a standby.
_NOT_SUPPORTED = {"42501", "42883", "0A000", "55000", "25006"}


class Mark(NamedTuple):
    """A transaction's id, its backend, the server's run, and the place in the log."""

    xid: str
    backend_pid: str
    timeline: str
    recovered_at: str
    started_at: str
    wal_position: str


UNMARKED = Mark("", "", "", "", "", "")
"""The mark of a transaction on a server that supports no marks."""


def mark_preamble(driver: Connection) -> Preamble | None:
    """Return the preamble that fetches the mark, or None if it cannot be sent yet."""
    if not (driver.supports_marks and driver.has_prepared(MARK)):
        return None
    return UNPREPARED_MARK if driver.limits else MARK


def recheck_support(driver: Connection) -> None:
    """Have the next transaction check again whether the server supports marks."""
    driver.supports_marks = None
    driver.discard_preamble(MARK)


async def take_mark(driver: Connection, *, may_prepare: bool) -> Mark | None:
    """Return the transaction's mark, or None if it has written nothing.

    A preamble has fetched the mark already if it travelled with an earlier statement. Otherwise
    this takes one round trip. The first call on a connection takes some more and finds out whether
    the server supports marks. If it does not, the result is `UNMARKED`, later without a round trip.
    """
    if (row := driver.preamble_row) is not None:
        return Mark(*row)
    if driver.supports_marks is None:
        return await _take_first_mark(driver, may_prepare=may_prepare)
    if not driver.supports_marks:
        return UNMARKED
    try:
        return await _fetch_mark(driver)
    except FaceplateError:
        recheck_support(driver)
        raise


async def _fetch_mark(driver: Connection) -> Mark | None:
    # Where workers alone have written, the coordinator has assigned no id yet.
    sql = _MARK if driver.is_citus else _MARK_IF_WRITTEN
    if not driver.is_ready(NONE, sql):
        await driver.make_ready(NONE, sql)
    [(xid, *place)], _ = await driver.run(NONE, sql, [])
    return None if xid is None else Mark(xid, *place)


async def _take_first_mark(driver: Connection, *, may_prepare: bool) -> Mark | None:
    await driver.call(driver.execute, f"SAVEPOINT {MARK.name}")
    try:
        if may_prepare:
            await driver.make_ready(MARK, _MARK_IF_WRITTEN, undo=f"{_ROLL_BACK};")
            await driver.call(driver.execute, _MARK)
        mark = await _fetch_mark(driver)
    except FaceplateError as error:
        if error.sqlstate not in _NOT_SUPPORTED:
            raise
        await driver.call(driver.execute, _ROLL_BACK)
        driver.supports_marks = False
        return UNMARKED
    driver.supports_marks = True
    return mark
