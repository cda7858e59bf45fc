"""The tables that hold rows of users, as PostgreSQL's catalog has them, with or without a model."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text

from faceplate._driver.dialect import DIALECT
from faceplate._schema.policies import NAMES_USER, POLICY
from faceplate.models import SCHEMA, Base, project_tables
from faceplate.scope import SystemScope

# leads: the columns that refer to a user's id, over any number of foreign keys. policed: the
# columns that a policy of faceplate's compares; NULL where it compares none. known: these, the
# columns that models declare, and those of our own schema. A column that only has the name counts
# as well, where it holds ids. A partition is counted with the table that it is a part of, if that
# one is found.
COLUMNS = text(f"""
WITH RECURSIVE leads (oid, number) AS (
    SELECT attrelid, attnum FROM pg_attribute
    WHERE attrelid = to_regclass('{SCHEMA}.users') AND attname = 'id'
    UNION SELECT k.conrelid, x.number
    FROM leads l JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = l.oid
        CROSS JOIN LATERAL unnest(k.conkey, k.confkey) AS x (number, referred)
    WHERE x.referred = l.number
), policed (oid, number) AS (
    SELECT p.polrelid, d.refobjsubid FROM pg_policy p LEFT JOIN pg_depend d
        ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.polrelid AND d.refobjsubid > 0
    WHERE p.polname = '{POLICY}'
        OR pg_get_expr(p.polqual, p.polrelid) ~ {NAMES_USER}
        OR pg_get_expr(p.polwithcheck, p.polrelid) ~ {NAMES_USER}
), known (oid, number) AS (
    SELECT oid, number FROM leads UNION SELECT oid, number FROM policed
    UNION SELECT c.oid, a.attnum
    FROM unnest(CAST(:schemas AS text[]), CAST(:names AS text[]), CAST(:columns AS text[]))
            AS own (schema, name, user_column)
        JOIN pg_class c ON c.relname = own.name
        JOIN pg_namespace n ON n.oid = c.relnamespace
            AND (own.schema = n.nspname OR own.schema IS NULL AND pg_table_is_visible(c.oid))
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = own.user_column
    UNION SELECT a.attrelid, a.attnum FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = to_regnamespace('{SCHEMA}') AND a.attname = 'user_id'
), found (oid, number, is_known) AS (
    SELECT oid, number, true FROM known
    UNION ALL SELECT attrelid, attnum, false FROM pg_attribute
    WHERE attname = 'user_id' AND (attrelid, attnum) NOT IN
        (SELECT oid, number FROM known WHERE number IS NOT NULL)
)
SELECT n.nspname AS schema, c.relname AS name, a.attname AS column, f.is_known,
    CASE WHEN 'uuid'::regtype IN (
        WITH RECURSIVE based (on_type) AS (
            SELECT t.oid UNION SELECT b.typbasetype FROM based JOIN pg_type b ON b.oid = on_type
        ) SELECT on_type FROM based) THEN 'uuid' WHEN t.typcategory = 'S'
        THEN 'text' ELSE format_type(a.atttypid, a.atttypmod) END AS kind,
    has_schema_privilege(n.oid, 'USAGE') AND coalesce(has_column_privilege(c.oid, a.attnum,
        'SELECT'), true) AS may_read,
    row_security_active(c.oid) AS is_hidden, current_user AS role
FROM found f JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.number AND NOT a.attisdropped
    LEFT JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND NOT (c.relispartition AND EXISTS
        (SELECT FROM pg_partition_ancestors(c.oid) AS a JOIN found ON found.oid = a.relid
        WHERE a.relid <> c.oid))
    AND (c.relkind <> 'm' OR c.relispopulated) AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
ORDER BY n.nspname <> '{SCHEMA}', n.nspname, c.relname <> 'users', c.relname, a.attnum
""")  # noqa: S608 - our own name


class UserTable(NamedTuple):
    """A table, and the columns that name a user."""

    schema: str
    name: str
    columns: dict[str, bool]
    """By name, whether it is a UUID; else it is text that may have one in it."""
    is_known: bool
    """Whether its rows belong to users for more reason than the name of a column."""
    problem: str | None
    """Why its rows cannot be counted."""

    @property
    def title(self) -> str:
        """The name that the commands show: with the schema, unless it is a table of ours."""
        full_name = f"{self.schema}.{self.name}"
        is_ours = self.schema == SCHEMA and full_name in Base.metadata.tables
        return self.name if is_ours else full_name


async def find(scope: SystemScope) -> list[UserTable]:
    """Return the tables with rows of users: ours first, then by schema and name."""
    own = [(table.schema, table.name, column) for table, column in project_tables().items()]
    schemas, names, columns = zip(*own, strict=True) if own else ((), (), ())
    asked = {"schemas": [*schemas], "names": [*names], "columns": [*columns]}
    rows = (await scope.session.execute(COLUMNS, asked)).all()
    tables = (_table(*key, [*of]) for key, of in groupby(rows, lambda row: (row.schema, row.name)))
    return [table for table in tables if table.is_known or table.columns]


async def count(scope: SystemScope, table: UserTable, user_id: UUID) -> int:
    """Return how many rows of a table name the user."""
    of, name = _quoted(table.schema), _quoted(table.name)
    is_theirs = " OR ".join(
        _condition(_quoted(key), is_uuid) for key, is_uuid in table.columns.items()
    )
    query = text(f"SELECT count(*) FROM {of}.{name} WHERE {is_theirs}")  # noqa: S608 - quoted
    given: dict[str, Any] = {"user_id": user_id} if any(table.columns.values()) else {}
    if not all(table.columns.values()):
        given["digits"] = user_id.hex
    return int((await scope.session.execute(query, given)).scalar_one())


def _table(schema: str, name: str, rows: Iterable[Any]) -> UserTable:
    rows = [*rows]
    countable = {row.column: row.kind == "uuid" for row in rows if row.kind in {"uuid", "text"}}
    is_known = any(row.is_known for row in rows)
    return UserTable(schema, name, countable, is_known, _problem(schema, name, rows, countable))


def _problem(schema: str, name: str, rows: list[Any], countable: dict[str, bool]) -> str | None:
    role, quoted = rows[0].role, f"{_quoted(schema)}.{_quoted(name)}"
    if not all(row.may_read for row in rows if row.column in countable or not countable):
        return f"{role} may not read it: GRANT SELECT ON {quoted} TO {role}"
    if rows[0].is_hidden and schema != SCHEMA:  # of ours, the count raises Unauthorized
        return f"row-level security hides its rows from {role}: connect as the owner of the table"
    if not countable:
        named = [f"{row.column} is of type {row.kind}" for row in rows if row.column is not None]
        return f"no column of it holds a user's id: {', '.join(named) or 'its policy has none'}"
    return None


def _condition(column: str, is_uuid: bool) -> str:  # noqa: FBT001 - from `columns`
    if is_uuid:
        return f"{column} = :user_id"
    return f"strpos(replace(lower(CAST({column} AS text)), '-', ''), :digits) > 0"


def _quoted(name: str) -> str:
    return DIALECT.identifier_preparer.quote(name).replace(":", "\\:")
