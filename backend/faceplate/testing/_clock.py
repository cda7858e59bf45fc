"""`Clock`: the times that a test can set, of new ids and of stored rows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import uuid6

from faceplate.errors import UsageError
from faceplate.testing._background import Background
from faceplate.testing._databases import WorkerDatabase

COLUMNS: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS table, array_agg(quote_ident(a.attname)) AS columns
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = '' AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype)
    AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
GROUP BY 1
"""
# It is the hour of another column, not a time by itself.
ACTIVE_HOUR: Final = "active_hour"


class Clock:
    """The two clocks of a service that a test can set.

    ``set`` is for the ids that the process makes. ``advance`` is for the times in rows: those come
    from PostgreSQL, whose clock cannot be set, so the rows are made older instead.
    """

    def __init__(self, database: WorkerDatabase, background: Background) -> None:
        self._database = database
        self._background = background
        self._moment: datetime | None = None

    def set(self, moment: datetime) -> None:
        """Let new ids (UUIDv7) tell ``moment`` as their time, instead of the time of day.

        Ids that follow each other still ascend, a millisecond apart. Times in rows do not change:
        `created_at` may be given where a unit has that parameter.
        """
        if moment.tzinfo is None:
            raise UsageError("a time needs a time zone: datetime(2026, 1, 31, tzinfo=UTC)")
        self._moment = moment
        _forget_last_id()

    def advance(self, by: timedelta) -> None:
        """Make every stored row older by ``by``, as if that time had passed since.

        It changes each column of a date with time, of the project's tables as well. Open
        transactions of the test must have ended.
        """
        if by < timedelta(0):
            raise UsageError("time passes in one direction: `by` must not be negative")
        self._background.run(self._age(by))

    async def _age(self, by: timedelta) -> None:
        connection = self._database.connection
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL row_security = off")
            for table, columns in await connection.fetch(COLUMNS):
                plain = [f"{c} = {c} - $1::interval" for c in columns if c != ACTIVE_HOUR]
                if ACTIVE_HOUR in columns:
                    hour = "date_trunc('hour', updated_at - $1::interval, 'UTC')"
                    plain.append(f"{ACTIVE_HOUR} = {hour}")
                await connection.execute(f"UPDATE {table} SET {', '.join(plain)}", by)  # noqa: S608 - names that PostgreSQL has quoted

    def time_ns(self) -> int:
        """Return the nanoseconds since 1970 that ids are made of."""
        return time.time_ns() if self._moment is None else int(self._moment.timestamp() * 1e9)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let ids be made by this clock during the block."""
        ids: Any = uuid6
        ids.time = self
        try:
            yield
        finally:
            ids.time = time
            _forget_last_id()


def _forget_last_id() -> None:
    """Let the next id have an earlier time than the last one."""
    ids: Any = uuid6
    ids._last_v7_timestamp = None  # noqa: SLF001 - the package has no function for it
