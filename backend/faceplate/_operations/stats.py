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
from faceplate._operations import measures
from faceplate._operations.measures import Row
from faceplate.database import Database
from faceplate.errors import DatabaseError, InvalidInput
from faceplate.models import Base, project_tables
from faceplate.scope import SystemScope

SAMPLE_PAGES = 5_000
"""Pages of a table that growth is told from."""
FEW_CONVERSATIONS = 300_000
"""Up to so many, the busiest users are found by reading them all."""
MAX_BUSIEST = 100

# A message or a conversation from elsewhere may have been created before its row was stored.
TABLES = text(f"""
SELECT {measures.PREFIX} || c.relname AS name,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS quoted,
    (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
        AND (a.attname = 'created_at' OR n.nspname = 'faceplate'
            AND (a.attname = 'stored_at' OR a.attname = 'updated_at' AND c.relname = 'messages'))
        ORDER BY a.attname DESC LIMIT 1) AS stored_at,
    {measures.OF_TABLE}
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS own (schema, name)
        ON own.name = c.relname
        AND (own.schema = n.nspname OR own.schema IS NULL AND pg_table_is_visible(c.oid))
    {measures.ABOUT_TABLE}
WHERE c.relkind = 'r' AND (own.name IS NOT NULL
    OR n.nspname = 'faceplate' AND c.relname <> 'alembic_version')
ORDER BY pg_total_relation_size(c.oid) DESC, c.relname
""")  # noqa: S608 - our own text
INDEXES = text(f"""
SELECT {measures.PREFIX} || x.relname AS name, {measures.PREFIX} || t.relname AS "table",
    {measures.OF_INDEX}
FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    LEFT JOIN unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS own (schema, name)
        ON own.name = t.relname
        AND (own.schema = n.nspname OR own.schema IS NULL AND pg_table_is_visible(t.oid))
    {measures.ABOUT_INDEX}
WHERE own.name IS NOT NULL OR n.nspname = 'faceplate' AND t.relname <> 'alembic_version'
ORDER BY pg_relation_size(x.oid) DESC, x.relname
""")  # noqa: S608 - our own text
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
# Of users that the nodes found often. Citus joins no row of a reference table to shards laterally.
BUSIEST_OF_USERS = text("""
SELECT busy.user_id, u.email, busy.conversations, busy.messages
FROM (
    SELECT user_id, count(*) AS conversations, sum(message_count)::bigint AS messages
    FROM faceplate.conversations WHERE user_id = ANY (CAST(:user_ids AS uuid[]))
    GROUP BY user_id ORDER BY messages DESC, user_id LIMIT :number
) AS busy JOIN faceplate.users u ON u.id = busy.user_id
ORDER BY busy.messages DESC, busy.user_id
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
    tables = await _rows(scope, TABLES, schemas=schemas, names=names)
    indexes = await _rows(scope, INDEXES, schemas=schemas, names=names)
    if (nodes := await measures.ask_nodes(scope)) is not None:
        tables = _of_shards(tables, nodes["tables"], "heap_bytes")
        indexes = _of_shards(indexes, nodes["indexes"], "bytes")
    found = {row.pop("name"): row for row in tables}
    pages = {name: row.pop("pages") for name, row in found.items()}
    quoted = {name: row.pop("quoted") for name, row in found.items()}
    stored_at = {name: row.pop("stored_at") for name, row in found.items()}
    if not found.keys() >= {table.name for table in Base.metadata.tables.values()}:
        raise DatabaseError(UNMIGRATED)
    if exact:
        for name, row in found.items():
            row["rows"] = await _count(scope, quoted[name])
    all_users = exact or found["conversations"]["rows"] <= FEW_CONVERSATIONS
    return Stats(
        tables=[Table(name, rows_are_exact=exact, **_rated(row)) for name, row in found.items()],
        indexes=[_index(row) for row in indexes],
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
        busiest=await _busiest(scope, busiest, nodes, all_users=all_users),
        busiest_are_exact=all_users,
        since=(await scope.session.execute(SINCE)).scalar_one(),
    )


def _of_shards(rows: list[Row], shards: list[Row], size: str) -> list[Row]:
    """Return the rows with what their shards measure, the largest first."""
    measured = [row | measures.add_up(shards, row["name"]) for row in rows]
    return sorted(measured, key=lambda row: row[size], reverse=True)


def _rated(row: Row) -> Row:
    hits, lookups = row.pop("hits"), row.pop("lookups")
    return row | {"hit_ratio": hits / lookups if lookups else None}


def _index(row: Row) -> Index:
    is_unused = not row.pop("is_unique") and row["scans"] == 0
    ideal_bytes = row.pop("ideal_bytes")
    times_ideal = row["bytes"] / ideal_bytes if ideal_bytes else None
    return Index(is_unused=is_unused, times_ideal=times_ideal, **_rated(row))


async def _busiest(
    scope: SystemScope, number: int, nodes: dict[str, list[Any]] | None, *, all_users: bool
) -> list[BusyUser]:
    if all_users:
        rows = await _rows(scope, BUSIEST, number=number)
    elif nodes is None:
        rows = await _rows(scope, BUSIEST_OF_SAMPLE, number=number)
    else:
        rows = await _rows(scope, BUSIEST_OF_USERS, number=number, user_ids=nodes["users"])
    return [BusyUser(**row) for row in rows]


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


async def _rows(scope: SystemScope, query: TextClause, **values: Any) -> list[Row]:
    return [dict(row) for row in (await scope.session.execute(query, values)).mappings()]
