"""What an operator wants to know of the tables: size, growth, the busiest users, the indexes.

Nothing here reads a whole table unless that is asked for: sizes come from the catalog, rows from
the planner's estimate, growth from a sample of the pages, and the busiest users of a large database
from the users that the last ANALYZE found often.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TextClause, text

from faceplate._driver.error_mapping import UNMIGRATED
from faceplate.database import Database
from faceplate.errors import DatabaseError, InvalidInput
from faceplate.models import Base, project_tables
from faceplate.scope import SystemScope

SAMPLE_PAGES = 5_000
"""Pages of a table that growth is told from."""
FEW_CONVERSATIONS = 300_000
"""Up to so many, the busiest users are found by reading them all."""
MAX_BUSIEST = 100

# As the planner estimates them: the density that VACUUM or ANALYZE has found, times today's pages.
# A message or a conversation from elsewhere may have been created before its row was stored.
TABLES = text("""
SELECT CASE WHEN n.nspname = 'faceplate' THEN '' ELSE n.nspname || '.' END || c.relname AS name,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted,
    CASE WHEN c.reltuples < 0 OR c.relpages = 0 THEN coalesce(s.n_live_tup, 0)
        ELSE c.reltuples / c.relpages * (pg_relation_size(c.oid) / block.size) END::bigint AS rows,
    pg_relation_size(c.oid) / block.size AS pages,
    (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
        AND (a.attname = 'created_at' OR n.nspname = 'faceplate'
            AND (a.attname = 'stored_at' OR a.attname = 'updated_at' AND c.relname = 'messages'))
        ORDER BY a.attname DESC LIMIT 1) AS stored_at,
    pg_table_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0)
        AS heap_bytes,
    pg_indexes_size(c.oid) AS index_bytes,
    coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
    coalesce(s.n_dead_tup, 0) AS dead_rows,
    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at,
    greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at,
    io.heap_blks_hit::float8 / nullif(io.heap_blks_hit + io.heap_blks_read, 0) AS hit_ratio
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
    LEFT JOIN pg_statio_user_tables io ON io.relid = c.oid
    LEFT JOIN unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS own (schema, name)
        ON own.name = c.relname
        AND (own.schema = n.nspname OR own.schema IS NULL AND pg_table_is_visible(c.oid))
    CROSS JOIN (SELECT current_setting('block_size')::int) AS block (size)
WHERE c.relkind = 'r' AND (own.name IS NOT NULL
    OR n.nspname = 'faceplate' AND c.relname <> 'alembic_version')
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname
""")
# last_idx_scan came with PostgreSQL 16: by way of JSON, since naming it would fail before.
# An entry of a B-tree takes its columns, a header and a pointer, and pages are filled to 90 %.
INDEXES = text("""
SELECT schema.prefix || x.relname AS name, schema.prefix || t.relname AS "table",
    pg_relation_size(x.oid) AS bytes,
    coalesce(s.idx_scan, 0) AS scans,
    (to_jsonb(s) ->> 'last_idx_scan')::timestamptz AS used_at, i.indisvalid AS is_valid,
    NOT i.indisunique AND coalesce(s.idx_scan, 0) = 0 AS is_unused,
    CASE WHEN pg_relation_size(x.oid) >= 1048576 AND x.reltuples > 0
        THEN pg_relation_size(x.oid) / (x.reltuples * (12 + 8 * ceil(width.bytes / 8.0)) / 0.9)
    END::float8 AS times_ideal,
    io.idx_blks_hit::float8 / nullif(io.idx_blks_hit + io.idx_blks_read, 0) AS hit_ratio
FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    LEFT JOIN unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS own (schema, name)
        ON own.name = t.relname
        AND (own.schema = n.nspname OR own.schema IS NULL AND pg_table_is_visible(t.oid))
    CROSS JOIN LATERAL (
        SELECT CASE WHEN n.nspname = 'faceplate' THEN '' ELSE n.nspname || '.' END
    ) AS schema (prefix)
    LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = x.oid
    LEFT JOIN pg_statio_user_indexes io ON io.indexrelid = x.oid
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(coalesce(w.avg_width, nullif(a.attlen, -1), 16)), 0) AS bytes
        FROM pg_attribute a
            LEFT JOIN pg_stats w ON w.schemaname = n.nspname AND w.attname = a.attname
                AND w.tablename IN (t.relname, x.relname)
        WHERE a.attrelid = x.oid
    ) AS width
WHERE own.name IS NOT NULL OR n.nspname = 'faceplate' AND t.relname <> 'alembic_version'
ORDER BY pg_relation_size(x.oid) DESC, x.relname
""")
BUSIEST = text("""
SELECT busy.user_id, u.email, busy.conversations, busy.messages
FROM (
    SELECT user_id, count(*) AS conversations, sum(message_count)::bigint AS messages
    FROM faceplate.conversations GROUP BY user_id ORDER BY messages DESC, user_id LIMIT :number
) AS busy JOIN faceplate.users u ON u.id = busy.user_id
ORDER BY busy.messages DESC, busy.user_id
""")
BUSIEST_OF_SAMPLE = text("""
SELECT u.id AS user_id, u.email, busy.conversations, busy.messages
FROM faceplate.users u CROSS JOIN LATERAL (
    SELECT count(*) AS conversations, coalesce(sum(message_count), 0)::bigint AS messages
    FROM faceplate.conversations c WHERE c.user_id = u.id
) AS busy
WHERE u.id = ANY (ARRAY(
    SELECT unnest(most_common_vals::text::uuid[]) FROM pg_stats
    WHERE schemaname = 'faceplate' AND tablename = 'messages' AND attname = 'user_id'
))
ORDER BY busy.messages DESC, u.id LIMIT :number
""")
NEW_ROWS = """
SELECT count(*) AS seen,
    count(*) FILTER (WHERE {stored_at} > now() - interval '1 day') AS day,
    count(*) FILTER (WHERE {stored_at} > now() - interval '7 days') AS week,
    count(*) FILTER (WHERE {stored_at} > now() - interval '30 days') AS month
FROM {quoted} {sample}
"""
SINCE = text("SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()")


class Table(NamedTuple):
    name: str
    """With its schema, where it is a table of the application's own."""
    rows: int
    rows_are_exact: bool
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    """What is too long for a page: long messages, mostly."""
    dead_rows: int
    """Removed or replaced, and not yet vacuumed; an estimate."""
    vacuumed_at: datetime | None
    analyzed_at: datetime | None
    hit_ratio: float | None
    """The part of the page reads that PostgreSQL's cache answered."""


class Index(NamedTuple):
    name: str
    table: str
    bytes: int
    scans: int
    used_at: datetime | None
    """When it was last read, where PostgreSQL says so: from 16 on."""
    is_valid: bool
    is_unused: bool
    """Never read since statistics began, and no key."""
    times_ideal: float | None
    """Its size, by what its rows would take when packed; None below 1 MB or before an ANALYZE."""
    hit_ratio: float | None


class Growth(NamedTuple):
    """How many of a table's rows were stored in the last day, 7 and 30 days.

    A message counts anew when it is changed.
    """

    table: str
    day: int
    week: int
    month: int
    sampled: float
    """The part of the table that was read: 1 for all of it, else the numbers are estimates."""


class BusyUser(NamedTuple):
    user_id: UUID
    email: str | None
    conversations: int
    messages: int


class Stats(NamedTuple):
    tables: list[Table]
    indexes: list[Index]
    growth: list[Growth]
    busiest: list[BusyUser]
    busiest_are_exact: bool
    """Whether all users were compared, or only the users that the last ANALYZE found often."""
    since: datetime | None
    """When the server began to count scans and hits, where it was told to begin anew."""


async def collect(db: Database, *, exact: bool = False, busiest: int = 10) -> Stats:
    """Return how the tables stand, the largest first.

    ``exact`` counts the rows, and reads all conversations for the ``busiest`` users (1 to 100): it
    takes as long as reading the tables does. Raises InvalidInput, and TimedOut where that is
    longer than ``statement_timeout_s``.
    """
    if not 1 <= busiest <= MAX_BUSIEST:
        raise InvalidInput("busiest", f"must be a whole number between 1 and {MAX_BUSIEST}")
    return await db.run_system(_collect, exact, busiest)


async def _collect(scope: SystemScope, exact: bool, busiest: int) -> Stats:  # noqa: FBT001 - from `collect`
    own = project_tables()
    schemas, names = [table.schema for table in own], [table.name for table in own]
    rows = await _rows(scope, TABLES, schemas=schemas, names=names)
    found = {row.pop("name"): row for row in rows}
    pages = {name: row.pop("pages") for name, row in found.items()}
    quoted = {name: row.pop("quoted") for name, row in found.items()}
    stored_at = {name: row.pop("stored_at") for name, row in found.items()}
    if not found.keys() >= {table.name for table in Base.metadata.tables.values()}:
        raise DatabaseError(UNMIGRATED)
    if exact:
        for name, row in found.items():
            row["rows"] = await _count(scope, quoted[name])
    all_users = exact or found["conversations"]["rows"] <= FEW_CONVERSATIONS
    query = BUSIEST if all_users else BUSIEST_OF_SAMPLE
    return Stats(
        tables=[Table(name, rows_are_exact=exact, **row) for name, row in found.items()],
        indexes=[Index(**row) for row in await _rows(scope, INDEXES, schemas=schemas, names=names)],
        growth=[
            Growth(
                name,
                *await _growth(
                    scope,
                    quoted[name],
                    column,
                    found[name]["rows"],
                    1 if exact else _part(pages[name]),
                ),
            )
            for name, column in stored_at.items()
            if column is not None
        ],
        busiest=[BusyUser(**row) for row in await _rows(scope, query, number=busiest)],
        busiest_are_exact=all_users,
        since=(await scope.session.execute(SINCE)).scalar_one(),
    )


def _part(pages: int) -> float:
    return min(1.0, SAMPLE_PAGES / max(pages, 1))


async def _growth(
    scope: SystemScope, quoted: str, stored_at: str, rows: int, part: float
) -> tuple[int, int, int, float]:
    sample = "" if part == 1 else f"TABLESAMPLE SYSTEM ({100 * part})"
    query = NEW_ROWS.format(quoted=_escaped(quoted), stored_at=stored_at, sample=sample)
    [seen] = await _rows(scope, text(query))
    # By the rows that were seen: how many pages a sample has is a matter of chance.
    scale = 1 if part == 1 else rows / max(seen["seen"], 1)
    day, week, month = (round(seen[span] * scale) for span in ("day", "week", "month"))
    return day, week, month, part


async def _count(scope: SystemScope, quoted: str) -> int:
    count = text(f"SELECT count(*) FROM {_escaped(quoted)}")  # noqa: S608 - quoted by the server
    return int((await scope.session.execute(count)).scalar_one())


def _escaped(quoted: str) -> str:
    return quoted.replace(":", "\\:")


async def _rows(scope: SystemScope, query: TextClause, **values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in (await scope.session.execute(query, values)).mappings()]
