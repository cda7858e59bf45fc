"""Checks of the grants to the role of units against the migrations'."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from faceplate._checks.findings import Flaw, warning
from faceplate._schema.policies import SEAL_SCHEMA
from faceplate.models import SCHEMA, Base

# Grants to the role, to PUBLIC, or to a role that it is a member of; on tables and on columns.
QUERY = """
SELECT json_build_object(
    'relations', (
        SELECT json_agg(json_build_object(
            'schema', n.nspname, 'name', c.relname,
            'quoted', quote_ident(n.nspname) || '.' || quote_ident(c.relname),
            'privilege', x.privilege_type || coalesce(' (' || quote_ident(x.attname) || ')', ''),
            'is_grantable', x.is_grantable,
            'to', CASE WHEN x.grantee = 0 THEN 'PUBLIC'
                ELSE quote_ident(pg_get_userbyid(x.grantee)) END
        ) ORDER BY n.nspname, c.relname, x.privilege_type, x.attname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (
            SELECT NULL::name AS attname, a.grantee, a.privilege_type, a.is_grantable
            FROM aclexplode(c.relacl) a
            UNION SELECT t.attname, a.grantee, a.privilege_type, a.is_grantable
            FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) a WHERE t.attrelid = c.oid
        ) x
        WHERE (n.nspname IN ('faceplate', 'faceplate_seal') OR c.oid IN (SELECT oid FROM guarded))
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND x.grantee <> c.relowner
            AND (x.grantee = 0 OR x.grantee IN (SELECT oid FROM held))
    ),
    'owned', ARRAY(
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'faceplate' AND c.relowner IN (SELECT oid FROM held)
    ),
    'is_there', (SELECT true FROM pg_namespace WHERE nspname = 'faceplate'),
    'may_use_schema', (
        SELECT bool_and(has_schema_privilege(u.oid, n.oid, 'USAGE'))
        FROM unit u CROSS JOIN pg_namespace n WHERE n.nspname = 'faceplate'
    ),
    'creates_in', ARRAY(
        SELECT quote_ident(n.nspname) FROM pg_namespace n
        WHERE n.nspname !~ '^pg_(toast|temp)' AND EXISTS
            (SELECT FROM unit u WHERE has_schema_privilege(u.oid, n.oid, 'CREATE'))
        ORDER BY 1
    ),
    'in_database', ARRAY(
        SELECT privilege FROM unnest(ARRAY['CREATE', 'TEMPORARY']) AS privilege
        WHERE EXISTS (SELECT FROM unit u
            WHERE has_database_privilege(u.oid, current_database(), privilege))
    ),
    'database', quote_ident(current_database()),
    'defaults', (
        SELECT json_agg(DISTINCT quote_ident(pg_get_userbyid(d.defaclrole)))
        FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
            CROSS JOIN LATERAL aclexplode(d.defaclacl) a
        WHERE d.defaclobjtype = 'r' AND (d.defaclnamespace = 0 OR n.nspname = 'faceplate')
            AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM held))
    ),
    'parameters', (
        SELECT json_agg(DISTINCT p.parname) FROM pg_parameter_acl p
            CROSS JOIN LATERAL aclexplode(p.paracl) a
        WHERE a.grantee = 0 OR a.grantee IN (SELECT oid FROM held)
    ),
    'system', (
        SELECT json_agg(kept.name ORDER BY kept.name) FROM (
            SELECT p.oid::regprocedure::text AS name, p.proacl AS now, i.initprivs AS first
            FROM pg_init_privs i
                JOIN pg_proc p ON i.classoid = 'pg_proc'::regclass AND p.oid = i.objoid
            UNION ALL SELECT c.oid::regclass::text, c.relacl, i.initprivs FROM pg_init_privs i
                JOIN pg_class c ON i.classoid = 'pg_class'::regclass AND c.oid = i.objoid
            WHERE i.objsubid = 0
            UNION ALL SELECT quote_ident(t.attname) || ' of ' || c.oid::regclass, t.attacl,
                i.initprivs
            FROM pg_init_privs i
                JOIN pg_class c ON i.classoid = 'pg_class'::regclass AND c.oid = i.objoid
                JOIN pg_attribute t ON t.attrelid = c.oid
            WHERE i.objsubid = 0 AND NOT EXISTS (SELECT FROM pg_init_privs p
                WHERE p.classoid = i.classoid AND p.objoid = i.objoid AND p.objsubid = t.attnum)
        ) AS kept
        WHERE NOT EXISTS (SELECT FROM aclexplode(kept.first) a WHERE a.grantee = 0)
            AND EXISTS (SELECT FROM aclexplode(kept.now) a WHERE a.grantee = 0
                OR a.grantee IN (SELECT oid FROM held WHERE oid >= 16384))
    )
)
"""
READ_AND_WRITE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
TEMPORARY_REVOKED = "0005"
"""The revision that revokes TEMPORARY; every database grants it to PUBLIC by default."""


def flaws(grants: dict[str, Any], *, revision: str | None) -> Iterator[Flaw]:
    """Yield each privilege beyond the migrations', and each missing one."""
    if not grants["is_there"]:
        return
    relations = grants["relations"] or []
    yield from _surplus(relations)
    yield from _grantable(relations)
    yield from _missing(relations, _our_tables() - set(grants["owned"]))
    if grants["may_use_schema"] is False:
        yield Flaw(
            f"faceplate_app may not use the schema {SCHEMA}, so that every unit fails:"
            f" GRANT USAGE ON SCHEMA {SCHEMA} TO faceplate_app"
        )
    yield from _creations(grants, revision)
    yield from _of_server(grants)


def _allowed(schema: str, name: str) -> frozenset[str]:
    if schema == SEAL_SCHEMA:
        return frozenset()
    if schema != SCHEMA:
        return READ_AND_WRITE
    if name in {"users", "alembic_version"}:
        return frozenset({"SELECT"})
    return READ_AND_WRITE if name in _our_tables() else frozenset()


def _our_tables() -> set[str]:
    return {table.name for table in Base.metadata.tables.values()}


def _surplus(relations: Iterable[dict[str, Any]]) -> Iterator[Flaw]:
    held: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in relations:
        if row["privilege"] not in _allowed(row["schema"], row["name"]):
            held[row["to"], row["quoted"]].append(row["privilege"])
    merged: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (grantee, relation), privileges in held.items():
        merged[grantee, ", ".join(privileges)].append(relation)
    for (grantee, surplus), names in merged.items():
        on = ", ".join(names)
        units = "units run as it" if grantee == "faceplate_app" else "units have it as well"
        yield Flaw(
            f"{grantee} has {surplus} on {on}, which the migrations do not grant, and {units}:"
            f" REVOKE {surplus} ON {on} FROM {grantee}",
            depends_on_revision=True,
        )


def _grantable(relations: Iterable[dict[str, Any]]) -> Iterator[Flaw]:
    passed = {(row["to"], row["quoted"]) for row in relations if row["is_grantable"]}
    for grantee, name in sorted(passed):
        yield warning(
            f"{grantee} may grant its privileges on {name} to others, which outlives a unit:"
            f" REVOKE GRANT OPTION FOR ALL ON {name} FROM {grantee}"
        )


def _missing(relations: Iterable[dict[str, Any]], tables: set[str]) -> Iterator[Flaw]:
    lacking: dict[str, list[str]] = defaultdict(list)
    granted = {(row["name"], row["privilege"]) for row in relations if row["schema"] == SCHEMA}
    for name in sorted(tables):
        privileges = [p for p in sorted(_allowed(SCHEMA, name)) if (name, p) not in granted]
        if privileges:
            lacking[", ".join(privileges)].append(f"{SCHEMA}.{name}")
    for missing, names in lacking.items():
        on = ", ".join(names)
        yield Flaw(
            f"faceplate_app lacks {missing} on {on}, so that units fail:"
            f" GRANT {missing} ON {on} TO faceplate_app",
            depends_on_revision=True,
        )


def _of_server(grants: dict[str, Any]) -> Iterator[Flaw]:
    """Yield privileges of units on PostgreSQL's own objects and on future tables."""
    if restricted := grants["system"]:
        yield Flaw(
            f"units may use {', '.join(restricted)}, which PostgreSQL grants to nobody: REVOKE ALL"
            " ON each of them FROM faceplate_app, PUBLIC"
        )
    for name in grants["parameters"] or ():
        yield Flaw(
            f"units may set the parameter {name}, which PostgreSQL reserves for superusers:"
            f" REVOKE ALL ON PARAMETER {name} FROM faceplate_app, PUBLIC"
        )
    for owner in grants["defaults"] or ():
        yield warning(
            f"tables that {owner} creates are granted to units by default: ALTER DEFAULT PRIVILEGES"
            f" FOR ROLE {owner} IN SCHEMA {SCHEMA} REVOKE ALL ON TABLES FROM faceplate_app, PUBLIC"
        )


def _creations(grants: dict[str, Any], revision: str | None) -> Iterator[Flaw]:
    for schema in grants["creates_in"]:
        text = (
            f"units may create objects in the schema {schema}, which outlive them:"
            f" REVOKE CREATE ON SCHEMA {schema} FROM faceplate_app, PUBLIC"
        )
        is_trusted = schema in {SCHEMA, SEAL_SCHEMA, "pg_catalog", "information_schema"}
        yield Flaw(text) if is_trusted else warning(text)
    database = grants["database"]
    for privilege in grants["in_database"]:
        cure = f"REVOKE {privilege} ON DATABASE {database} FROM faceplate_app, PUBLIC"
        if privilege == "CREATE":
            yield Flaw(f"units may create schemas in the database {database}: {cure}")
        elif revision is not None and revision >= TEMPORARY_REVOKED:
            yield warning(f"units may create temporary tables, which outlive them: {cure}")
