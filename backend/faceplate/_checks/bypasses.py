"""Ways round the policies: objects with another role's rights to the rows."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from faceplate._checks.findings import Flaw, warning
from faceplate._checks.policies import LETS_ROWS_THROUGH
from faceplate._schema.seal import IS_SEAL

# A view runs with its owner's rights, unless it is a plain view with security_invoker.
VIEWS = """
SELECT json_agg(json_build_object(
    'name', quote_ident(n.nspname) || '.' || quote_ident(v.relname), 'kind', v.relkind
) ORDER BY n.nspname, v.relname)
FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace
WHERE v.oid IN (SELECT oid FROM derived) AND v.relkind IN ('v', 'm')
    AND v.relowner NOT IN (SELECT oid FROM unit)
    AND NOT coalesce((SELECT option_value::bool FROM pg_options_to_table(v.reloptions)
        WHERE option_name = 'security_invoker'), false)
    AND EXISTS (SELECT FROM unit u WHERE has_table_privilege(u.oid, v.oid, 'DELETE')
        OR has_any_column_privilege(u.oid, v.oid, 'SELECT, INSERT, UPDATE'))
"""
# The catalog knows which tables a function reads only if its body is parsed SQL (BEGIN ATOMIC).
FUNCTIONS = f"""
SELECT json_agg(json_build_object(
    'name', quote_ident(n.nspname) || '.' || quote_ident(p.proname)
        || '(' || pg_get_function_identity_arguments(p.oid) || ')',
    'owner', quote_ident(o.rolname),
    'reads_ours', p.prosrc ~* 'faceplate' OR array_to_string(p.proconfig, ' ') ~* 'faceplate'
        OR p.prosrc ~* '\\mexecute\\M'
        OR EXISTS (SELECT FROM guarded g
            WHERE g.nspname <> 'faceplate' AND p.prosrc ~* ('\\m' || g.relname || '\\M'))
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
            AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid IN (SELECT oid FROM derived))
) ORDER BY n.nspname, p.proname, p.oid)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles o ON o.oid = p.proowner
WHERE p.prosecdef AND NOT {IS_SEAL}
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    AND o.oid NOT IN (SELECT oid FROM unit)
    AND (o.rolsuper OR EXISTS (SELECT FROM guarded g
        WHERE has_any_column_privilege(o.oid, g.oid, 'SELECT, INSERT, UPDATE')
            OR has_table_privilege(o.oid, g.oid, 'DELETE, TRUNCATE')))
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND d.objid = p.oid AND d.deptype = 'e')
    AND EXISTS (SELECT FROM unit u WHERE has_function_privilege(u.oid, p.oid, 'EXECUTE')
        AND has_schema_privilege(u.oid, n.oid, 'USAGE'))
"""  # noqa: S608 - our own text
HAS_SEAL = f"""
SELECT bool_or({IS_SEAL})
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'faceplate_seal'
"""  # noqa: S608 - our own text
# But for the one that the migrations create.
TRIGGERS = """
SELECT json_agg(json_build_object(
    'name', quote_ident(t.tgname), 'table', quote_ident(g.nspname) || '.' || quote_ident(g.relname),
    'function', t.tgfoid::regproc::text
) ORDER BY g.nspname, g.relname, t.tgname)
FROM pg_trigger t JOIN guarded g ON g.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgfoid IS DISTINCT FROM to_regproc('faceplate.set_active_hour')
    AND NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = t.tgfoid AND d.deptype = 'e')
"""
RULES = """
SELECT json_agg(json_build_object(
    'name', quote_ident(w.rulename),
    'table', quote_ident(g.nspname) || '.' || quote_ident(g.relname)
) ORDER BY g.nspname, g.relname, w.rulename)
FROM pg_rewrite w JOIN guarded g ON g.oid = w.ev_class
"""
# PostgreSQL applies the policies of the table that a query names: those of a child are not applied
# when its parent is read, nor the other way round. Both have all rows.
RELATIVES = f"""
SELECT json_agg(json_build_object(
    'name', quote_ident(n.nspname) || '.' || quote_ident(c.relname),
    'table', k.name, 'is_above', k.is_above
) ORDER BY n.nspname, c.relname)
FROM (
    WITH RECURSIVE kin AS (
        SELECT g.oid, quote_ident(g.nspname) || '.' || quote_ident(g.relname) AS name,
            way.is_above
        FROM guarded g CROSS JOIN (VALUES (true), (false)) AS way (is_above)
        UNION SELECT CASE WHEN k.is_above THEN i.inhparent ELSE i.inhrelid END, k.name, k.is_above
        FROM kin k JOIN pg_inherits i
            ON k.oid = CASE WHEN k.is_above THEN i.inhrelid ELSE i.inhparent END
    ) SELECT oid, min(name) AS name, is_above FROM kin GROUP BY oid, is_above
) AS k JOIN pg_class c ON c.oid = k.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid NOT IN (SELECT oid FROM guarded) AND {LETS_ROWS_THROUGH}
    AND EXISTS (SELECT FROM unit u WHERE has_table_privilege(u.oid, c.oid, 'DELETE, TRUNCATE')
        OR has_any_column_privilege(u.oid, c.oid, 'SELECT, INSERT, UPDATE'))
"""  # noqa: S608 - our own text
# PostgreSQL runs a LEAKPROOF function on rows before their policy: it trusts the mark that the
# function reveals nothing.
LEAKPROOF = """
SELECT json_agg(quote_ident(n.nspname) || '.' || quote_ident(p.proname)
    || '(' || pg_get_function_identity_arguments(p.oid) || ')' ORDER BY n.nspname, p.proname, p.oid)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proleakproof AND p.oid >= 16384
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND d.objid = p.oid AND d.deptype = 'e')
    AND EXISTS (SELECT FROM unit u WHERE has_function_privilege(u.oid, p.oid, 'EXECUTE'))
"""
# A foreign table may lead back to this database, with the role that its server logs in as.
FOREIGN_TABLES = """
SELECT json_agg(quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    ORDER BY n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' AND n.nspname <> 'faceplate'
    AND EXISTS (SELECT FROM unit u WHERE has_table_privilege(u.oid, c.oid, 'DELETE, TRUNCATE')
        OR has_any_column_privilege(u.oid, c.oid, 'SELECT, INSERT, UPDATE'))
"""
QUERY = f"""
SELECT json_build_object('views', ({VIEWS}), 'functions', ({FUNCTIONS}), 'triggers', ({TRIGGERS}),
    'rules', ({RULES}), 'relatives', ({RELATIVES}), 'leakproof', ({LEAKPROOF}),
    'foreign_tables', ({FOREIGN_TABLES}), 'has_seal', ({HAS_SEAL}))
"""


def flaws(found: dict[str, Any], *, sealed: bool) -> Iterator[Flaw]:
    """Yield each object by which rows get past the policies, to a unit or from one.

    ``sealed`` says whether the policies check the seal of the user id.
    """
    if sealed and found["has_seal"] is False:
        yield Flaw(
            "the function faceplate_seal.user_id() is not as the migrations create it, so that it"
            " may accept an id without a seal: run `faceplate migrate`"
        )
    for view in found["views"] or ():
        yield _view(view["name"], is_materialized=view["kind"] == "m")
    yield from _functions(found["functions"] or [])
    for relative in found["relatives"] or ():
        name, kind = relative["name"], "parent" if relative["is_above"] else "child"
        yield Flaw(
            f"units may read {name}, a {kind} of {relative['table']}, under no policy:"
            f" REVOKE ALL ON {name} FROM faceplate_app, PUBLIC"
        )
    for name in found["leakproof"] or ():
        yield Flaw(
            f"units may call the function {name}, which is LEAKPROOF, so that PostgreSQL runs it on"
            f" rows before it checks their policy: ALTER FUNCTION {name} NOT LEAKPROOF"
        )
    for name in found["foreign_tables"] or ():
        yield warning(
            f"units may read the foreign table {name}, under no policy: make sure that it does not"
            f" lead to users' rows, or REVOKE ALL ON {name} FROM faceplate_app, PUBLIC"
        )
    for rule in found["rules"] or ():
        yield Flaw(
            f"the rule {rule['name']} rewrites statements about {rule['table']}, with its owner's"
            f" rights: DROP RULE {rule['name']} ON {rule['table']}"
        )
    for trigger in found["triggers"] or ():
        yield warning(
            f"the trigger {trigger['name']} on {trigger['table']} runs {trigger['function']} for"
            " every row: make sure that units cannot read what it copies, or DROP TRIGGER"
            f" {trigger['name']} ON {trigger['table']}"
        )


def _view(name: str, *, is_materialized: bool) -> Flaw:
    if is_materialized:
        cure = f"REVOKE ALL ON {name} FROM faceplate_app, PUBLIC"
        return Flaw(f"units may read the materialized view {name}, a copy of all rows: {cure}")
    cure = f"ALTER VIEW {name} SET (security_invoker = true)"
    return Flaw(f"units may read the view {name}, which sees all rows as its owner does: {cure}")


def _functions(functions: list[dict[str, Any]]) -> Iterator[Flaw]:
    unclear: dict[str, list[str]] = defaultdict(list)
    for function in functions:
        name, owner = function["name"], function["owner"]
        if function["reads_ours"]:
            yield Flaw(
                f"units may call the function {name}, which works on the tables as {owner}, under"
                f" no policy: ALTER ROUTINE {name} SECURITY INVOKER, or REVOKE EXECUTE ON ROUTINE"
                f" {name} FROM faceplate_app, PUBLIC"
            )
        else:
            unclear[owner].append(name)
    for owner, names in unclear.items():
        yield warning(
            f"units may call functions that run as {owner}, under no policy: {', '.join(names)}:"
            " make sure that they read no user's rows, or REVOKE EXECUTE from faceplate_app and"
            " PUBLIC"
        )
