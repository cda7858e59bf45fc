"""Ways round the policies: what reads, copies or changes our rows with somebody else's rights."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from faceplate.isolation.findings import Flaw, warning

OUR_FUNCTIONS = frozenset({"faceplate_seal.user_id()"})
"""The SECURITY DEFINER functions that are ours, as ``schema.name(types)``."""

# A view runs with its owner's rights unless it is a security_invoker; a materialized one always.
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
# Which tables a function reads is not in the catalog, unless its body is SQL that was parsed.
FUNCTIONS = """
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
WHERE p.prosecdef AND p.oid >= 16384
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    AND o.oid NOT IN (SELECT oid FROM unit)
    AND (o.rolsuper OR EXISTS (SELECT FROM guarded g
        WHERE has_any_column_privilege(o.oid, g.oid, 'SELECT, INSERT, UPDATE')
            OR has_table_privilege(o.oid, g.oid, 'DELETE, TRUNCATE')))
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
        AND d.objid = p.oid AND d.deptype = 'e')
    AND EXISTS (SELECT FROM unit u WHERE has_function_privilege(u.oid, p.oid, 'EXECUTE')
        AND has_schema_privilege(u.oid, n.oid, 'USAGE'))
"""
TRIGGERS = """
SELECT json_agg(json_build_object(
    'name', quote_ident(t.tgname), 'table', quote_ident(g.nspname) || '.' || quote_ident(g.relname),
    'function', t.tgfoid::regproc::text
) ORDER BY g.nspname, g.relname, t.tgname)
FROM pg_trigger t JOIN guarded g ON g.oid = t.tgrelid
WHERE NOT t.tgisinternal AND NOT EXISTS (SELECT FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.objid = t.tgfoid AND d.deptype = 'e')
"""
RULES = """
SELECT json_agg(json_build_object(
    'name', quote_ident(w.rulename),
    'table', quote_ident(g.nspname) || '.' || quote_ident(g.relname)
) ORDER BY g.nspname, g.relname, w.rulename)
FROM pg_rewrite w JOIN guarded g ON g.oid = w.ev_class
"""
# A parent's policies hold for what is read by way of the parent, and not for the child by itself.
CHILDREN = """
SELECT json_agg(json_build_object(
    'name', quote_ident(n.nspname) || '.' || quote_ident(c.relname),
    'table', quote_ident(g.nspname) || '.' || quote_ident(g.relname)
) ORDER BY n.nspname, c.relname)
FROM pg_inherits i JOIN guarded g ON g.oid = i.inhparent
    JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT c.relrowsecurity
    AND EXISTS (SELECT FROM unit u WHERE has_table_privilege(u.oid, c.oid, 'DELETE, TRUNCATE')
        OR has_any_column_privilege(u.oid, c.oid, 'SELECT, INSERT, UPDATE'))
"""
QUERY = f"""
SELECT json_build_object('views', ({VIEWS}), 'functions', ({FUNCTIONS}), 'triggers', ({TRIGGERS}),
    'rules', ({RULES}), 'children', ({CHILDREN}))
"""


def flaws(found: dict[str, Any]) -> Iterator[Flaw]:
    """Yield each object by which a unit gets, or gives away, what no policy lets through."""
    for view in found["views"] or ():
        yield _view(view["name"], is_materialized=view["kind"] == "m")
    yield from _functions(found["functions"] or [])
    for child in found["children"] or ():
        yield Flaw(
            f"units may read {child['name']}, a child of {child['table']}, under no policy:"
            f" REVOKE ALL ON {child['name']} FROM faceplate_app, PUBLIC"
        )
    for rule in found["rules"] or ():
        yield Flaw(
            f"the rule {rule['name']} rewrites statements about {rule['table']}, with its owner's"
            f" rights: DROP RULE {rule['name']} ON {rule['table']}"
        )
    for trigger in found["triggers"] or ():
        yield warning(
            f"the trigger {trigger['name']} on {trigger['table']} runs {trigger['function']} for"
            " every row: see that what it copies is out of units' reach, or DROP TRIGGER"
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
        if name in OUR_FUNCTIONS:
            continue
        if function["reads_ours"]:
            yield Flaw(
                f"units may call the function {name}, which works on the tables as {owner}, under"
                f" no policy: ALTER FUNCTION {name} SECURITY INVOKER, or REVOKE EXECUTE ON FUNCTION"
                f" {name} FROM faceplate_app, PUBLIC"
            )
        else:
            unclear[owner].append(name)
    for owner, names in unclear.items():
        yield warning(
            f"units may call what runs as {owner}, under no policy: {', '.join(names)}: see that it"
            " reads no user's rows, or REVOKE EXECUTE from faceplate_app and PUBLIC"
        )
