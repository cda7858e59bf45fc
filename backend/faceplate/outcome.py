"""What became of a COMMIT whose answer was lost: the server remembers, by the transaction's id."""

import asyncio
import time
from enum import Enum
from typing import Any, NamedTuple

from faceplate.config import Settings
from faceplate.engine import Connection, open_connection
from faceplate.translation import DRIVER_ERRORS

POLL_S = 0.1

# The timeline tells a server from the one that is promoted in its place: that one may use the
# same transaction ids again, for other transactions.
_TIMELINE = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
_MARK = f"SELECT pg_current_xact_id_if_assigned()::text, pg_backend_pid(), {_TIMELINE}"
_STATUS = f"SELECT pg_xact_status($1::text::xid8), {_TIMELINE}"
_END = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE pid = $1 AND backend_xid = $2::text::xid8::xid"""


class Mark(NamedTuple):
    """How a transaction that has written something can be found again."""

    xid: str
    backend_pid: int
    timeline: str


class Outcome(Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


async def mark(driver: Any) -> Mark | None:
    """Return the mark of the transaction on ``driver``, or None where it has written nothing.

    One round trip.
    """
    xid, backend_pid, timeline = await driver.fetchrow(_MARK)
    return None if xid is None else Mark(xid, backend_pid, timeline)


async def find_out(settings: Settings, transaction: Mark) -> Outcome:
    """Return what became of ``transaction``, asking for up to ``reconnect_timeout_s``.

    A backend that still holds the transaction open, because it has not heard that its client is
    gone, is ended: what it has not committed by then, it never will.
    """
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
    while time.monotonic() < until_s:
        row: Any = await connection.fetchrow(_STATUS, transaction.xid)
        status, timeline = row
        if timeline != transaction.timeline:
            return Outcome.UNKNOWN
        match status:
            case "committed":
                return Outcome.COMMITTED
            case "aborted":
                return Outcome.ROLLED_BACK
            case None:
                return Outcome.UNKNOWN  # so old that the server has forgotten
        await asyncio.sleep(POLL_S)
        await connection.execute(_END, transaction.backend_pid, transaction.xid)
    return Outcome.UNKNOWN
