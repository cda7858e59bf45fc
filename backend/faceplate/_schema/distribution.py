"""What turns the tables of users into distributed ones, as statements for one transaction.

The users become a reference table, which each node has whole. The other tables are distributed by
their user's column, so that all rows of a user are on one node, in shards that move together.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

USERS, FIRST = "faceplate.users", "faceplate.conversations"
REFERENCE, HASH = "reference", "hash"
# Citus lists the tables that it keeps on the coordinator as well: they are as without it.
KIND = """CASE WHEN d.partmethod = 'h' THEN 'hash' WHEN d.repmodel = 't' THEN 'reference'
    WHEN d.colocationid <> 0 THEN 'other' END"""

# Each table of users with what Citus made of it. A unique key without the user's column cannot be
# enforced over several nodes, so that its table stays where it is.
TABLES = f"""
SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
    own.user_column,
    {KIND} AS method,
    column_to_column_name(d.logicalrelid, d.partkey) AS distributed_by,
    d.colocationid AS colocation,
    greatest(CASE WHEN c.reltuples < 0 THEN s.n_live_tup ELSE c.reltuples END, 0)::bigint AS rows,
    pg_total_relation_size(c.oid) AS bytes,
    pg_relation_size(c.oid) AS heap_bytes,
    pg_has_role(c.relowner, 'USAGE') AS is_owned,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)
        AND NOT a.attnum = ANY (i.indkey)) AS is_unique_across_users,
    ARRAY(SELECT quote_ident(t.tgname) FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ORDER BY 1) AS triggers
FROM unnest(CAST(:schemas AS text[]), CAST(:names AS text[]), CAST(:columns AS text[]))
    WITH ORDINALITY AS own (schema, name, user_column, ordinal)
JOIN pg_class c ON c.relname = own.name AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace
    AND (n.nspname = own.schema OR own.schema IS NULL AND pg_table_is_visible(c.oid))
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = own.user_column
LEFT JOIN pg_dist_partition d ON d.logicalrelid = c.oid
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
ORDER BY own.ordinal
"""  # noqa: S608 - our own text
# Every foreign key from one of the tables, or to one. Arrays are of text: the driver would ask for
# the type of others, which takes longer than all else.
KEYS = f"""
SELECT quote_ident(k.conname) AS name, pg_get_constraintdef(k.oid) AS definition,
    k.conrelid AS of, k.confrelid AS to,
    quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS table_name,
    quote_ident(m.nspname) || '.' || quote_ident(r.relname) AS referred_name,
    {KIND} AS referred_method,
    ARRAY(SELECT a.attname::text FROM pg_attribute a
        WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS columns,
    k.confdeltype IN ('n', 'd') OR k.confupdtype IN ('n', 'd', 'c') AS sets_columns
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace m ON m.oid = r.relnamespace
LEFT JOIN pg_dist_partition d ON d.logicalrelid = r.oid
WHERE k.contype = 'f' AND k.conparentid = 0
    AND (k.conrelid = ANY (CAST(:tables AS text[])::oid[])
        OR k.confrelid = ANY (CAST(:tables AS text[])::oid[]))
    AND NOT relation_is_a_known_shard(c.oid)
ORDER BY c.oid, k.conname
"""  # noqa: S608 - our own text
# For a revision, on a cluster or not. The inner queries are parsed only where Citus has made its
# catalog.
DISTRIBUTE = """
DO $do$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
        IF EXISTS (SELECT FROM pg_dist_partition
                WHERE logicalrelid = 'faceplate.conversations'::regclass)
            AND NOT EXISTS (SELECT FROM pg_dist_partition
                WHERE logicalrelid = {name}::regclass AND partmethod = 'h')
        THEN
            PERFORM create_distributed_table({name}, {column},
                colocate_with => 'faceplate.conversations');
        END IF;
    END IF;
END
$do$
"""
# Citus would copy every table back that foreign keys connect with it.
UNDISTRIBUTE = """
DO $do$
DECLARE
    keys text[];
    key text;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
        IF EXISTS (SELECT FROM pg_dist_partition
            WHERE logicalrelid = {name}::regclass AND partmethod = 'h')
        THEN
            SELECT array_agg(format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)))
                INTO keys FROM pg_constraint WHERE conrelid = {name}::regclass AND contype = 'f';
            FOR key IN SELECT conname FROM pg_constraint
                WHERE conrelid = {name}::regclass AND contype = 'f'
            LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', {name}::regclass, key);
            END LOOP;
            PERFORM undistribute_table({name});
            FOREACH key IN ARRAY coalesce(keys, '{{}}') LOOP
                EXECUTE format('ALTER TABLE %s %s', {name}::regclass, key);
            END LOOP;
        END IF;
    END IF;
END
$do$
"""
OUR_TRIGGER = "active_hour"


class Table(NamedTuple):
    """A row of `TABLES`."""

    oid: int
    name: str
    user_column: str
    method: str | None
    distributed_by: str | None
    colocation: int | None
    rows: int
    bytes: int
    heap_bytes: int
    is_owned: bool
    is_unique_across_users: bool
    triggers: list[str]

    @property
    def is_reference(self) -> bool:
        """Whether each node has, or will have, all of its rows."""
        return self.name == USERS

    @property
    def is_done(self) -> bool:
        return self.method == (REFERENCE if self.is_reference else HASH)

    @property
    def foreign_triggers(self) -> list[str]:
        return [name for name in self.triggers if (self.name, name) != (FIRST, OUR_TRIGGER)]


class Key(NamedTuple):
    """A row of `KEYS`."""

    name: str
    definition: str
    of: int
    to: int
    table_name: str
    referred_name: str
    referred_method: str | None
    columns: list[str]
    sets_columns: bool
    """Whether it changes the row that refers, when the other one goes or changes."""


def split(tables: Iterable[Table]) -> tuple[list[Table], list[Table]]:
    """Return the tables that can be distributed, and those that stay on the coordinator."""
    kept = [t for t in tables if t.is_unique_across_users and not t.is_reference]
    return [t for t in tables if t not in kept], kept


def refusals(tables: list[Table], keys: list[Key]) -> Iterator[str]:
    """Yield why the tables cannot be distributed, a sentence each."""
    mine = {table.oid: table for table in tables}
    first = next(table for table in tables if table.name == FIRST)
    for table in tables:
        if not table.is_owned:
            yield f"{table.name} belongs to another role: connect as its owner"
        if table.method is not None and not table.is_done:
            yield f"{table.name} is distributed in another way: {_undo(table)}"
        elif table.is_done and not table.is_reference and not _is_beside(table, first):
            yield f"{table.name} is not colocated with {FIRST} by its user: {_undo(table)}"
        elif not table.is_done and table.foreign_triggers:
            yield (
                f"{table.name} has triggers ({', '.join(table.foreign_triggers)}), which Citus"
                " refuses on a distributed table: DROP TRIGGER"
            )
    for key in keys:
        if key.of not in mine and not mine[key.to].is_reference:
            yield (
                f"{key.table_name} refers to {key.referred_name} by {key.name} and would stay on"
                " the coordinator, where nothing cascades to it: name the module of its model in"
                " FACEPLATE_MODELS, give all its unique keys the user's column, or drop the key"
            )
        if key.of in mine and key.sets_columns and mine[key.of].user_column in key.columns:
            yield (
                f"{key.name} of {key.table_name} has an action that sets columns, which Citus"
                " refuses in a key with the user's column: give it CASCADE, RESTRICT or NO ACTION"
            )
        if key.to not in mine and key.of in mine and key.referred_method != REFERENCE:
            yield (
                f"{key.table_name} refers to {key.referred_name} by {key.name}, which is not on"
                f" every node: SELECT create_reference_table('{key.referred_name}'), or drop the"
                " key"
            )


def statements(tables: list[Table], keys: list[Key], missing_keys: list[str]) -> Iterator[str]:
    """Yield the statements that do what is missing, in their order.

    ``missing_keys`` adds the keys that the models declare and the database lacks. PostgreSQL
    refuses a key from a table that is not distributed yet, so that keys are dropped and added.
    """
    pending = {table.oid for table in tables if not table.is_done}
    dropped = [key for key in keys if {key.of, key.to} & pending]
    for table in tables:
        if not table.is_done and OUR_TRIGGER in table.triggers:
            yield f"DROP TRIGGER {OUR_TRIGGER} ON {table.name}"
    for key in dropped:
        yield f"ALTER TABLE {key.table_name} DROP CONSTRAINT {key.name}"
    beside = "none"
    for table in sorted(tables, key=lambda t: (not t.is_reference, t.name != FIRST)):
        if not table.is_done and table.is_reference:
            yield f"SELECT create_reference_table({_literal(table.name)})"
        elif not table.is_done:
            yield (
                f"SELECT create_distributed_table({_literal(table.name)},"
                f" {_literal(table.user_column)}, colocate_with => {_literal(beside)})"
            )
        # Citus copies the rows, and leaves the first ones on the coordinator's disk.
        if not table.is_done or table.heap_bytes:
            yield f"SELECT truncate_local_data_after_distributing_table({_literal(table.name)})"
        if not table.is_reference:
            beside = FIRST
    for key in dropped:
        yield f"ALTER TABLE {key.table_name} ADD CONSTRAINT {key.name} {key.definition}"
    yield from missing_keys


def facts(rows: Iterable[Any], kind: Any) -> list[Any]:
    """Return rows of `TABLES` or `KEYS` as ``kind``."""
    return [kind(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy documents it, with an underscore so that no column hides it


def _is_beside(table: Table, first: Table) -> bool:
    return (
        first.is_done
        and table.colocation == first.colocation
        and table.distributed_by == table.user_column
    )


def _undo(table: Table) -> str:
    name = _literal(table.name)
    return f"SELECT undistribute_table({name}, cascade_via_foreign_keys => true); run it again"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
