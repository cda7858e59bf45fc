"""What an operator removes: all of a user, or all that was idle for long. In short transactions.

Each batch is a transaction of its own, of about a thousand rows. So nothing is locked for long, and
what was begun can be stopped at any point and begun again: what is removed stays removed, and the
rest is found.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import Conflict, FaceplateError, NotErased, NotFound, Unauthorized
from faceplate.scope import SystemScope
from faceplate.services import _user_tables, archives, retention, users
from faceplate.services._kinds import all_kinds
from faceplate.services.retention import Removed

OnProgress = Callable[[int], None]
"""Is told how many rows are gone."""


class Erased(NamedTuple):
    """What was removed in batches, whether there was a user to remove in the end, and the proof.

    What was stored meanwhile went with the user's own row, and is not counted.
    """

    rows: dict[str, int]
    """By table."""
    user: bool
    left: dict[str, int]
    """How many rows of the user each table still holds, as `remains` returns it."""
    unproven: dict[str, str]
    """The tables that may still hold some, with the reason, as `unproven` returns it."""


class Purge(NamedTuple):
    """What was idle since ``before``: of how many users, how many rows of each table."""

    before: datetime
    users: int
    rows: dict[str, int]


class _Tally:
    """Rows that are gone, by table."""

    def __init__(self, tables: Iterable[str], on_progress: OnProgress | None) -> None:
        self.rows = dict.fromkeys(tables, 0)
        self._on_progress = on_progress

    def add(self, **rows: int) -> None:
        for table, number in rows.items():
            self.rows[table] += number
        if self._on_progress:
            self._on_progress(sum(self.rows.values()))


async def erase(db: Database, user_id: UUID, *, on_progress: OnProgress | None = None) -> Erased:
    """Remove everything of a user, and the user last; return what there was.

    The application's `Owned` tables are emptied before what they refer to. Rows that cannot be
    removed so, because they refer to each other or units may not delete them, go with the user's
    row where their table cascades. What the user stores meanwhile goes with the user's row as well:
    the DELETE of that row waits for running writers and takes their rows along, and PostgreSQL
    refuses later writers with NotFound. A second call finds nothing.

    In the end it counts the user's rows in every table that may hold some, see `remains`, and
    raises NotErased where any is left. ``unproven`` of the result names the tables that it could
    not look into.

    Raises TimedOut where another transaction locks a row for longer than ``lock_timeout_s``,
    Conflict where a table that no model declares refers to the user, and Unauthorized, before
    anything is removed, where the connecting role may not see all users' rows.
    """
    with suppress(NotFound):  # refused before anything is removed, where it could not be finished
        await db.run_system(users.get, user_id)
    tables = await db.run(user_id, archives.tables)
    gone = _Tally((kind.table for kind in all_kinds() if kind.table in tables), on_progress)
    refused: dict[str, FaceplateError] = {}
    for table in reversed(tables):
        try:
            await _remove(db, user_id, table, gone)
        except (Conflict, Unauthorized) as error:
            refused[table] = error
    left = await remains(db, user_id) if refused else {}
    try:
        await db.run_system(users.delete, user_id)
    except NotFound:
        was_there = False
    else:
        was_there = True
    still_left = await remains(db, user_id)
    for table, refusal in refused.items():
        if still_left.get(table):
            raise refusal
        gone.add(**{table: left.get(table, 0)})
    erased = Erased(gone.rows, was_there, still_left, await unproven(db))
    if any(still_left.values()):
        raise NotErased(**erased._asdict())
    return erased


async def remains(db: Database, user_id: UUID) -> dict[str, int]:
    """Return how many rows of a user each table still holds, by the table's name.

    The tables come from PostgreSQL's catalog, with or without a model, and from any schema: those
    with the policy of `Owned` tables, those with a column that refers to a user, over other tables
    as well, and those with a column ``user_id`` that holds ids. A table that is not faceplate's
    own is called ``schema.name``. `unproven` names the tables that cannot be counted.

    Raises Unauthorized where the connecting role is under a policy of faceplate's tables, and so
    would not see what is there.
    """
    return await db.run_system(_count_rows, user_id)


async def unproven(db: Database) -> dict[str, str]:
    """Return the tables whose rows of users cannot be counted, with the reason.

    The connecting role may not read the table, or sees it through a policy, or no column of it
    holds a user's id as UUID or text.
    """
    tables = await db.run_system(_user_tables.find)
    return {table.title: table.problem for table in tables if table.problem is not None}


async def survey(db: Database, older_than: timedelta) -> Purge:
    """Return what `purge` would remove. The cost is a range of an index for each user.

    Raises InvalidInput for a time that is negative or longer than a hundred years.
    """
    before = await db.run_system(retention.idle_since, older_than)
    tables = await _purged_tables(db)
    found = _Tally(tables, None)
    user_count = 0
    async for _, rows in _idle_users(db, before, tables):
        user_count += 1
        found.add(**rows)
    return Purge(before, user_count, found.rows)


async def purge(db: Database, before: datetime, *, on_progress: OnProgress | None = None) -> Purge:
    """Remove every conversation without activity since ``before``, with its messages.

    Of a table whose model says ``is_purged``, every row that was not updated since. User by user.
    A conversation in which something happens meanwhile is left as it then is.
    Raises TimedOut where somebody holds a row for longer than ``lock_timeout_s``.
    """
    tables = await _purged_tables(db)
    gone = _Tally(tables, on_progress)
    user_count = 0
    async for user_id, _ in _idle_users(db, before, tables):
        already = sum(gone.rows.values())
        for table in reversed(tables):
            await _remove(db, user_id, table, gone, before)
        user_count += sum(gone.rows.values()) > already
    return Purge(before, user_count, gone.rows)


async def _remove(
    db: Database, user_id: UUID, table: str, gone: _Tally, before: datetime | None = None
) -> None:
    """Empty a table of what a user has in it, or of what was idle since ``before``."""
    if table == "messages":
        return  # they go with their conversations
    if table == "conversations":
        async for batch in _batches(db, user_id, before or retention.LATEST):
            gone.add(conversations=batch.conversations, messages=batch.messages)
        return
    keys = await db.run(user_id, retention.remove_rows, table, before=before)
    while keys:
        gone.add(**{table: len(keys)})
        keys = await db.run(user_id, retention.remove_rows, table, before=before, after=keys[-1])


async def _batches(db: Database, user_id: UUID, before: datetime) -> AsyncIterator[Removed]:
    removed = await db.run(user_id, retention.remove_conversations, before=before)
    while removed.after is not None:
        yield removed
        removed = await db.run(
            user_id, retention.remove_conversations, before=before, after=removed.after
        )


async def _purged_tables(db: Database) -> list[str]:
    """Return the tables that a purge goes through, each behind the tables it refers to."""
    purged = {kind.table for kind in all_kinds() if kind.is_chats or kind.is_purged}
    return [table for table in await db.run_system(archives.tables) if table in purged]


async def _idle_users(
    db: Database, before: datetime, tables: Sequence[str]
) -> AsyncIterator[tuple[UUID, dict[str, int]]]:
    """Yield all users who have something that was idle since ``before``, with how much by table."""
    after = retention.FIRST
    while page := await db.run_system(retention.idle_users, before, after=after):
        found = {
            idle.user_id: {"conversations": idle.conversations, "messages": idle.messages}
            for idle in page
        }
        for table in {*tables} - {"conversations", "messages"}:
            for more in await db.run_system(retention.idle_rows, table, before, after=after):
                found.get(more.user_id, {})[table] = more.rows
        for user_id, rows in found.items():
            if any(rows.values()):
                yield user_id, rows
        after = page[-1].user_id


async def _count_rows(scope: SystemScope, user_id: UUID) -> dict[str, int]:
    return {
        table.title: await _user_tables.count(scope, table, user_id)
        for table in await _user_tables.find(scope)
        if table.problem is None
    }
