"""The server's own figures: updates, dead rows, bytes, and the position of its log."""

from typing import NamedTuple

import asyncpg

from benchmarks.server import Target

SQL = """
SELECT pg_current_wal_insert_lsn() - '0/0' AS wal_bytes,
       (SELECT wal_fpi FROM pg_stat_wal) AS whole_pages,
       c.n_tup_upd AS updates,
       c.n_tup_hot_upd AS hot_updates,
       c.n_dead_tup AS dead_conversations,
       c.autovacuum_count + m.autovacuum_count AS vacuums,
       pg_table_size(c.relid) AS conversations,
       pg_indexes_size(c.relid) AS conversations_index,
       pg_table_size(m.relid) AS messages,
       pg_indexes_size(m.relid) AS messages_index
  FROM pg_stat_user_tables c, pg_stat_user_tables m
 WHERE (c.schemaname, c.relname) = ('faceplate', 'conversations')
   AND (m.schemaname, m.relname) = ('faceplate', 'messages')
"""


class Weighed(NamedTuple):
    """The two tables of an append, and the log, at one moment. Sizes are in bytes."""

    wal_bytes: int
    whole_pages: int
    """Written to the log, since the statistics began."""
    updates: int
    """How often conversations were updated, and how many of these updates changed no index."""
    hot_updates: int
    dead_conversations: int
    vacuums: int
    """By autovacuum, of both tables."""
    conversations: int
    conversations_index: int
    messages: int
    messages_index: int

    def hot_share_since(self, before: "Weighed") -> float | None:
        """Return the share of the updates since that changed no index, if there were any."""
        updates = self.updates - before.updates
        return (self.hot_updates - before.hot_updates) / updates if updates else None


async def weigh(target: Target) -> Weighed:
    """Return the figures of now; those of a session may be missing until it has ended."""
    connection = await asyncpg.connect(target.admin_url)
    try:
        row = await connection.fetchrow(SQL)
    finally:
        await connection.close()
    assert row is not None
    return Weighed(**{name: int(value) for name, value in row.items()})
