"""What became of a COMMIT in doubt: asks the server by the transaction's mark."""

import asyncio
import time
from enum import Enum
from typing import Any, NamedTuple

from faceplate._driver.connecting import open_connection
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._runner.transaction_mark import RECOVERED, SERVER_RUN, STARTED, UNMARKED, Mark
from faceplate.config import Settings
from faceplate.errors import FaceplateError, Unauthorized

POLL_S = 0.1
IN_PROGRESS, NOT_GIVEN = "in progress", "not given"
_ID_IN_THE_FUTURE = "22023"
"""The SQLSTATE for an id that the server has not given to any transaction yet."""

_STATUS = f"SELECT pg_xact_status($1::text::xid8), {SERVER_RUN}"
# Whether the last checkpoint proves that the server had given this id and written up to this place
# in its log. Only the checkpoint that ended the server's run proves it: its redo_lsn is its own
# place, as nothing follows it. A later checkpoint counts ids that were given afterwards.
_REACHED = """
    SELECT split_part(next_xid, ':', 1)::bigint * 4294967296 + split_part(next_xid, ':', 2)::bigint
           > $1::text::bigint
           AND checkpoint_lsn >= $2::text::pg_lsn
      FROM pg_control_checkpoint()
     WHERE redo_lsn = checkpoint_lsn AND """
# A clean stop takes that checkpoint before the next start.
_REACHED_BY_STOP = f"{_REACHED} checkpoint_time <= {STARTED}"
# A crash recovery takes it at its end. The server keeps its time in whole seconds.
_REACHED_BY_CRASH = f"""{_REACHED} {STARTED} < {RECOVERED}
    AND checkpoint_time >= {RECOVERED} - interval '2 s'"""
_TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE pid = $1 AND backend_xid = $2::text::xid8::xid"""


class Outcome(Enum):
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


_AFTER_CRASH = {True: Outcome.COMMITTED, False: Outcome.ROLLED_BACK, None: Outcome.UNKNOWN}
"""The outcome, by whether the server's log had reached the mark when it crashed."""


class _Answer(NamedTuple):
    """The status of a transaction's id, and the run of the server that gave it."""

    status: str | None
    timeline: str
    recovered_at: str
    started_at: str

    def is_of_same_run(self, mark: Mark) -> bool:
        """Return whether the server has neither restarted nor recovered since the mark."""
        return self[1:] == (mark.timeline, mark.recovered_at, mark.started_at)


async def find_outcome(settings: Settings, mark: Mark) -> Outcome:
    """Return the marked transaction's outcome within ``reconnect_timeout_s``.

    A backend may still hold the transaction open, because it has not noticed that its client is
    gone. It is terminated, so that it cannot commit any more.
    """
    if mark is UNMARKED:
        return Outcome.UNKNOWN
    until_s = time.monotonic() + settings.reconnect_timeout_s
    while time.monotonic() < until_s:
        try:
            connection = await open_connection(settings)
            try:
                return await _poll_outcome(connection, mark, until_s)
            finally:
                connection.terminate()
        except (TimeoutError, FaceplateError, *DRIVER_ERRORS):
            await asyncio.sleep(POLL_S)  # the server may be restarting
    return Outcome.UNKNOWN


async def _poll_outcome(connection: Connection, mark: Mark, until_s: float) -> Outcome:
    while time.monotonic() < until_s:
        answer = await _ask_status(connection, mark)
        if answer.status != IN_PROGRESS:
            outcome = await _outcome_of(connection, mark, answer)
            # On Citus, a worker commits before its coordinator does, which may then have failed.
            is_open = connection.is_citus and outcome is Outcome.ROLLED_BACK
            return Outcome.UNKNOWN if is_open else outcome
        await asyncio.sleep(POLL_S)  # PostgreSQL tells nobody when a transaction ends
        if answer.is_of_same_run(mark):
            await connection.execute(_TERMINATE, int(mark.backend_pid), mark.xid)
    return Outcome.UNKNOWN


async def _ask_status(connection: Connection, mark: Mark) -> _Answer:
    row: Any
    try:
        row = await connection.call(connection.fetchrow, _STATUS, mark.xid)
    except FaceplateError as error:
        if error.sqlstate != _ID_IN_THE_FUTURE:
            raise
        row = await connection.call(connection.fetchrow, f"SELECT '{NOT_GIVEN}', {SERVER_RUN}")
    return _Answer(*row)


async def _outcome_of(connection: Connection, mark: Mark, answer: _Answer) -> Outcome:
    """Return the outcome, if ``answer`` is about the marked transaction."""
    is_older_backup = float(answer.recovered_at) < float(mark.recovered_at)
    is_too_old_to_know = answer.status is None
    if answer.timeline != mark.timeline or is_older_backup or is_too_old_to_know:
        return Outcome.UNKNOWN
    outcome = Outcome.COMMITTED if answer.status == "committed" else Outcome.ROLLED_BACK
    if answer.is_of_same_run(mark):
        return outcome
    if answer.recovered_at == mark.recovered_at:
        # A clean restart loses no id. A server that had not reached the mark is an older backup.
        reached = await _had_reached(connection, _REACHED_BY_STOP, mark)
        return outcome if reached else Outcome.UNKNOWN
    if outcome is Outcome.ROLLED_BACK:
        return outcome
    # Where the crash has lost the transaction, its id may belong to another one.
    return _AFTER_CRASH[await _had_reached(connection, _REACHED_BY_CRASH, mark)]


async def _had_reached(connection: Connection, query: str, mark: Mark) -> bool | None:
    """Return whether the server had reached the mark; None if it is unknown."""
    try:
        reached: bool | None = await connection.call(
            connection.fetchval, query, mark.xid, mark.wal_position
        )
    except Unauthorized:
        return None
    return reached
