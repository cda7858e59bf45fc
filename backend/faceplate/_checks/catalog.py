"""The query of PostgreSQL's catalog for everything that isolation depends on.

Probes call `Database.check` often, so it is one statement, which answers in JSON. It runs on
every supported version of PostgreSQL.
"""

import json
from typing import Any

from sqlalchemy import Table

from faceplate._checks import (
    bypasses,
    columns,
    grants,
    keys,
    logins,
    own_tables,
    policies,
    roles,
)
from faceplate._driver.connection import DriverConnection
from faceplate._schema.cluster import IS_CLUSTER
from faceplate.models import SCHEMA, Base, private_tables

Facts = dict[str, Any]

# unit: the roles that units run as. held: these and every role that they are members of.
# guarded: the tables that need a policy. derived: these and the views that read them.
COMMON = """
WITH RECURSIVE unit AS (
    SELECT oid, rolname FROM pg_roles
    WHERE rolname = 'faceplate_app' OR ($1 AND rolname = session_user)
), held (oid) AS (
    SELECT oid FROM unit
    UNION SELECT m.roleid FROM pg_auth_members m JOIN held h ON m.member = h.oid
), guarded AS (
    SELECT c.oid, n.nspname, c.relname, c.relowner, c.relrowsecurity, c.relpersistence
    FROM unnest($2::text[], $3::text[]) AS t (schema, name)
    JOIN pg_class c ON c.relname = t.name AND c.relkind IN ('r', 'p')
    JOIN pg_namespace n ON n.oid = c.relnamespace
        AND (n.nspname = t.schema OR t.schema IS NULL AND pg_table_is_visible(c.oid))
), derived (oid) AS (
    SELECT oid FROM guarded
    UNION SELECT v.oid FROM derived d
        JOIN pg_depend p ON p.refclassid = 'pg_class'::regclass AND p.refobjid = d.oid
            AND p.classid = 'pg_rewrite'::regclass
        JOIN pg_rewrite w ON w.oid = p.objid
        JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
)
"""
# ts_stat runs a query that it gets as text. A statement that names the table fails if the table is
# missing.
REVISION = f"""
SELECT json_build_object('is_readable', is_readable, 'number', (
    SELECT string_agg(word, ', ' ORDER BY word) FROM ts_stat(CASE WHEN is_readable THEN
        'SELECT array_to_tsvector(ARRAY[version_num::text]) FROM {SCHEMA}.alembic_version
            WHERE version_num <> ''''' END)
))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT has_schema_privilege(n.oid, 'USAGE')
    AND has_table_privilege(c.oid, 'SELECT') AS is_readable) AS may
WHERE n.nspname = '{SCHEMA}' AND c.relname = 'alembic_version'
"""  # noqa: S608 - our own name
PARTS = {
    "bypasses": bypasses.QUERY,
    "columns": columns.QUERY,
    "is_cluster": IS_CLUSTER,
    "grants": grants.QUERY,
    "keys": keys.QUERY,
    "policies": policies.QUERY,
    "roles": roles.QUERY,
    "undeclared_tables": own_tables.UNDECLARED_QUERY,
    "unknown_tables": policies.UNKNOWN_QUERY,
    "untied_tables": own_tables.UNTIED_QUERY,
}
ABOUT_LOGIN = {"login": logins.QUERY, "revision": REVISION}


def _select(parts: dict[str, str]) -> str:
    objects = ", ".join(f"'{name}', ({query})" for name, query in parts.items())
    return f"SELECT json_build_object({objects})::text"


QUERY = COMMON + _select(ABOUT_LOGIN | PARTS)
LOGIN_QUERY = _select(ABOUT_LOGIN)


async def ask(connection: DriverConnection, *, has_own_login: bool) -> Facts:
    """Return the facts about the schema and the login.

    ``has_own_login`` says whether units log in as another role than the owner.
    """
    tables = guarded_tables()
    schemas, names = [table.schema for table in tables], [table.name for table in tables]
    return _decoded(await connection.fetchval(QUERY, has_own_login, schemas, names))


async def ask_login(connection: DriverConnection) -> Facts:
    """Return only the facts about this connection's login, and its revision."""
    return _decoded(await connection.fetchval(LOGIN_QUERY))


def guarded_tables() -> list[Table]:
    """Return the tables that need a policy: faceplate's and private ones."""
    return list(dict.fromkeys([*Base.metadata.tables.values(), *private_tables()]))


def _decoded(answer: str) -> Facts:
    facts: Facts = json.loads(answer)
    return {name: part or {} for name, part in facts.items()}
