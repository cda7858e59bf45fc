"""Checks of the logins: roles, visible rows and preset settings."""

from collections.abc import Iterator
from typing import Any

from faceplate._checks.findings import Flaw, warning
from faceplate._schema import server_requirements

FOLDS_CASE = f"SELECT folds_case FROM ({server_requirements.QUERY}) AS server"  # noqa: S608 - ours
IS_BEFORE_16 = "current_setting('server_version_num')::int < 160000"
# From PostgreSQL 16 on, a membership may forbid SET ROLE.
MAY_SET = f"CASE WHEN {IS_BEFORE_16} THEN 'MEMBER' ELSE 'SET' END"
# About the login, whichever role its session has. blind_to is computed as PostgreSQL's own
# row_security_active does it, which only knows the current role.
LOGIN = f"""
SELECT json_build_object(
    'name', quote_ident(me.rolname),
    'is_superuser', me.rolsuper, 'bypasses', me.rolbypassrls,
    'may_become_units', (SELECT pg_has_role(me.oid, r.oid, {MAY_SET}) FROM pg_roles r
        WHERE r.rolname = 'faceplate_app'),
    'may_become', ARRAY(
        SELECT quote_ident(r.rolname) FROM pg_roles r
        WHERE r.oid <> me.oid AND r.rolname NOT IN ('faceplate_app', 'pg_database_owner')
            AND NOT me.rolsuper
            AND pg_has_role(me.oid, r.oid, {MAY_SET}) ORDER BY 1
    ),
    'may_join_any_role', me.rolcreaterole AND NOT me.rolsuper AND {IS_BEFORE_16},
    'owners', (SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(o.relowner)), ', ')
        FROM ours o),
    'is_owner', (SELECT bool_and(pg_has_role(me.oid, o.relowner, 'USAGE')) FROM ours o),
    'has_grants', EXISTS (SELECT FROM ours o CROSS JOIN LATERAL aclexplode(o.relacl) a
        WHERE a.grantee = me.oid AND o.relowner <> me.oid AND me.rolname <> 'faceplate_app'),
    'blind_to', ARRAY(SELECT quote_ident(o.relname) FROM ours o
        WHERE o.relrowsecurity AND NOT (me.rolsuper OR me.rolbypassrls)
            AND (o.relforcerowsecurity OR NOT pg_has_role(me.oid, o.relowner, 'USAGE'))
        ORDER BY 1),
    'forced', ARRAY(SELECT quote_ident(o.relname) FROM ours o
        WHERE o.relforcerowsecurity ORDER BY 1),
    'lacks', (SELECT array_agg(lacking ORDER BY lacking) FROM (
        SELECT 'USAGE ON SCHEMA faceplate' AS lacking FROM pg_namespace n
        WHERE n.nspname = 'faceplate' AND NOT has_schema_privilege(me.oid, n.oid, 'USAGE')
        UNION ALL SELECT p || ' ON faceplate.' || quote_ident(o.relname)
        FROM ours o CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
        WHERE NOT has_table_privilege(me.oid, o.oid, p)
    ) AS missing),
    'row_security', current_setting('row_security'),
    'read_only', current_setting('default_transaction_read_only'),
    'is_standby', pg_is_in_recovery(),
    'replication_role', current_setting('session_replication_role'),
    'user_id', current_setting('faceplate.user_id', true),
    'schemas', current_schemas(true),
    'encoding', (SELECT pg_encoding_to_char(encoding) FROM pg_database
        WHERE datname = current_database()),
    'folds_case', ({FOLDS_CASE}),
    'synchronous_commit', current_setting('synchronous_commit')
) FROM pg_roles me WHERE me.rolname = session_user
"""  # noqa: S608 - our own text
OURS = """
WITH ours AS (
    SELECT c.oid, c.relname, c.relowner, c.relacl, c.relrowsecurity,
        c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'faceplate' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
)
"""
QUERY = OURS + LOGIN


def flaws(login: dict[str, Any], *, row_level_security: bool) -> Iterator[Flaw]:
    """Yield the presets of the units' login by which units, or their isolation, fail."""
    name = login["name"]
    if row_level_security and login["may_become_units"] is False:
        yield Flaw(f"{name} may not become faceplate_app: GRANT faceplate_app TO {name}")
    if row_level_security and login["row_security"] == "off":
        yield Flaw(
            f"row_security is off for {name}, so that every unit is refused:"
            f" {_reset(name, 'row_security')}"
        )
    if login["user_id"]:
        yield Flaw(
            f"faceplate.user_id is preset for {name}, so that a connection without a user sees that"
            f" user's rows: {_reset(name, 'faceplate.user_id')}"
        )
    yield from _of_session(login)


def owner_flaws(login: dict[str, Any], *, is_own_login: bool) -> Iterator[Flaw]:
    """Yield why the owner's login can do too little or too much."""
    name = login["name"]
    if login["is_superuser"] or login["bypasses"]:
        what = "is a superuser" if login["is_superuser"] else "has BYPASSRLS"
        yield warning(
            f"the connecting role {name} {what}: use a role that owns the schema and nothing else"
        )
    is_migrated = login["may_become_units"] is not None
    if login["may_join_any_role"] and is_migrated:
        yield warning(
            f"{name} has CREATEROLE, which before PostgreSQL 16 is the right to join every role but"
            " a superuser's, even one that reads the server's files or runs programs there:"
            f" ALTER ROLE {name} NOCREATEROLE; only the first migration needs it"
        )
    if login["blind_to"]:
        yield _blindness(login, is_own_login=is_own_login)
    elif lacking := login["lacks"]:
        grants = "; ".join(f"GRANT {privilege} TO {name}" for privilege in lacking)
        yield Flaw(
            f"{name} may not use tables that it owns, so that work across users fails: {grants}",
            layer=None,
        )
    if is_own_login:
        yield from _of_session(login)


def database_flaws(login: dict[str, Any]) -> Iterator[Flaw]:
    """Yield the flaws of the database itself, which every login meets."""
    if problem := server_requirements.encoding_problem(login["encoding"]):
        yield Flaw(problem, layer=None)
    elif problem := server_requirements.case_problem(folds_case=login["folds_case"]):
        yield warning(problem)
    if login["is_standby"]:
        yield Flaw(
            "this is a standby, which takes no writes: name the primary in the URL, or all hosts"
            " and target_session_attrs=primary",
            layer=None,
        )


def durability_warnings(login: dict[str, Any]) -> Iterator[str]:
    """Yield why a crash may lose what was acknowledged to this login."""
    if login["synchronous_commit"] == "off":
        yield (
            f"synchronous_commit is off for {login['name']}, so that a crash of the server may lose"
            f" the newest commits: {_reset(login['name'], 'synchronous_commit')}"
        )


def _of_session(login: dict[str, Any]) -> Iterator[Flaw]:
    name = login["name"]
    if login["read_only"] == "on":
        yield Flaw(
            f"default_transaction_read_only is on for {name}, so that every write is refused;"
            " hosting providers set it when a disk is full:"
            f" {_reset(name, 'default_transaction_read_only')}",
            layer=None,
        )
    if login["replication_role"] != "origin":
        yield Flaw(
            f"session_replication_role is {login['replication_role']} for {name}, so that no"
            f" foreign key holds: {_reset(name, 'session_replication_role')}"
        )
    schemas = [schema for schema in login["schemas"] if not schema.startswith("pg_temp")]
    if schemas[:1] != ["pg_catalog"]:
        yield warning(
            f"the search_path of {name} has {schemas[0]} before pg_catalog, so that functions there"
            f" take the place of PostgreSQL's own: {_reset(name, 'search_path')}"
        )


def _reset(name: str, setting: str) -> str:
    return (
        f"ALTER ROLE {name} RESET {setting}, ALTER DATABASE ... RESET {setting}, or postgresql.conf"
    )


def _blindness(login: dict[str, Any], *, is_own_login: bool) -> Flaw:
    name, owners = login["name"], login["owners"]
    if login["is_owner"]:
        tables = ", ".join(f"faceplate.{table}" for table in login["forced"])
        return Flaw(
            f"FORCE ROW LEVEL SECURITY hides all rows of {tables} from their owner {name}, so that"
            " work across users is refused: ALTER TABLE ... NO FORCE ROW LEVEL SECURITY",
            layer=None,
        )
    text = (
        f"{name} does not own faceplate's tables ({owners} does) and cannot see the rows of all"
        " users: run_system, sessions and commands such as rotate-keys are refused: set"
        f" FACEPLATE_OWNER_URL to a login of {owners}, or connect as it"
    )
    owns_some = name in owners.split(", ")
    if is_own_login or owns_some or login["has_grants"] or login["may_become"]:
        return Flaw(text, layer=None)
    return warning(text)
