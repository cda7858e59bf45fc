"""What is measured of a table and of an index, also where they are divided into shards.

On a Citus cluster the coordinator's table has no rows. Each node answers for its shards, and their
measures are added up.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from faceplate._schema import cluster
from faceplate._schema.distribution import FIRST
from faceplate.scope import SystemScope

# As the planner estimates them: the density that VACUUM or ANALYZE has found, times today's pages.
OF_TABLE = """
    CASE WHEN c.reltuples < 0 OR c.relpages = 0 THEN coalesce(s.n_live_tup, 0)
        ELSE c.reltuples / c.relpages * (pg_relation_size(c.oid) / block.size) END::bigint AS rows,
    pg_relation_size(c.oid) / block.size AS pages,
    pg_table_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0)
        AS heap_bytes,
    pg_indexes_size(c.oid) AS index_bytes,
    coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
    coalesce(s.n_dead_tup, 0) AS dead_rows,
    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at,
    greatest(s.last_analyze, s.last_autoanalyze) AS analyzed_at,
    io.heap_blks_hit AS hits, io.heap_blks_hit + io.heap_blks_read AS lookups
"""
ABOUT_TABLE = """
    LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
    LEFT JOIN pg_statio_user_tables io ON io.relid = c.oid
    CROSS JOIN (SELECT current_setting('block_size')::int) AS block (size)
"""
# last_idx_scan came with PostgreSQL 16: by way of JSON, since naming it would fail before.
# An entry of a B-tree takes its columns, a header and a pointer, and pages are filled to 90 %.
OF_INDEX = """
    pg_relation_size(x.oid) AS bytes,
    coalesce(s.idx_scan, 0) AS scans,
    (to_jsonb(s) ->> 'last_idx_scan')::timestamptz AS used_at, i.indisvalid AS is_valid,
    i.indisunique AS is_unique,
    CASE WHEN pg_relation_size(x.oid) >= 1048576 AND x.reltuples > 0
        THEN x.reltuples * (12 + 8 * ceil(width.bytes / 8.0)) / 0.9 END::float8 AS ideal_bytes,
    io.idx_blks_hit AS hits, io.idx_blks_hit + io.idx_blks_read AS lookups
"""
ABOUT_INDEX = """
    LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = x.oid
    LEFT JOIN pg_statio_user_indexes io ON io.indexrelid = x.oid
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(coalesce(w.avg_width, nullif(a.attlen, -1), 16)), 0) AS bytes
        FROM pg_attribute a
            LEFT JOIN pg_stats w ON w.schemaname = n.nspname AND w.attname = a.attname
                AND w.tablename IN (t.relname, x.relname)
        WHERE a.attrelid = x.oid
    ) AS width
"""
PREFIX = "CASE WHEN n.nspname = 'faceplate' THEN '' ELSE n.nspname || '.' END"
# The copy of a reference table counts on the coordinator alone. A shard's relations are named like
# its table's, with its number.
SHARDS = """
WITH shards AS (
    SELECT d.logicalrelid AS of, s.shardid, to_regclass(shard_name(d.logicalrelid, s.shardid)) AS at
    FROM pg_dist_partition d JOIN pg_dist_shard s USING (logicalrelid)
    WHERE d.partmethod = 'h' OR (SELECT groupid = 0 FROM pg_dist_local_group)
)
"""
OF_NODE = f"""
{SHARDS}
SELECT json_build_object(
    'tables', (SELECT json_agg(measured) FROM (
        SELECT {PREFIX} || o.relname AS name, {OF_TABLE}
        FROM shards JOIN pg_class c ON c.oid = shards.at JOIN pg_class o ON o.oid = shards.of
            JOIN pg_namespace n ON n.oid = o.relnamespace {ABOUT_TABLE}
    ) AS measured),
    'indexes', (SELECT json_agg(measured) FROM (
        SELECT {PREFIX} || left(x.relname, -1 - length(shards.shardid::text)) AS name,
            {PREFIX} || o.relname AS "table", {OF_INDEX}
        FROM shards JOIN pg_class t ON t.oid = shards.at JOIN pg_class o ON o.oid = shards.of
            JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
            JOIN pg_namespace n ON n.oid = t.relnamespace {ABOUT_INDEX}
    ) AS measured),
    'users', (SELECT json_agg(DISTINCT often.id)
        FROM shards JOIN pg_class c ON c.oid = shards.at
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_stats w ON w.schemaname = n.nspname AND w.tablename = c.relname
            CROSS JOIN LATERAL unnest(w.most_common_vals::text::text[]) AS often (id)
        WHERE w.attname = 'user_id' AND shards.of = to_regclass('faceplate.messages'))
)
"""  # noqa: S608 - our own text
IS_DISTRIBUTED = text(f"""
SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = '{FIRST}'::regclass)
""")  # noqa: S608 - our own name
ASK_NODES = text("SELECT result FROM run_command_on_all_nodes(:command) WHERE success")

Row = dict[str, Any]


async def ask_nodes(scope: SystemScope) -> dict[str, list[Any]] | None:
    """Return what the nodes answer of their shards; None where the tables are not distributed."""
    session = scope.session
    if not (await session.execute(text(cluster.IS_CLUSTER))).scalar_one():
        return None
    if not (await session.execute(IS_DISTRIBUTED)).scalar_one():
        return None
    answers = (await session.execute(ASK_NODES, {"command": OF_NODE})).scalars()
    decoded = [json.loads(answer) for answer in answers]
    return {
        part: [row for answer in decoded for row in answer[part] or ()]
        for part in ("tables", "indexes", "users")
    }


def add_up(shards: Iterable[Row], name: str) -> Row:
    """Return the measures of all shards of the table or index ``name``."""
    rows = [row for row in shards if row["name"] == name]
    return {key: _added([row[key] for row in rows], key) for key in rows[0]} if rows else {}


def _added(values: Sequence[Any], key: str) -> Any:
    known = [value for value in values if value is not None]
    if key in {"name", "table"}:
        return values[0]
    if key == "is_valid":
        return all(known)
    if key == "is_unique":
        return any(known)
    if key.endswith("_at"):
        times = [datetime.fromisoformat(value) for value in known]
        if key == "used_at":
            return max(times, default=None)
        return min(times) if len(known) == len(values) else None  # for when each shard was
    return sum(known) if known else None
