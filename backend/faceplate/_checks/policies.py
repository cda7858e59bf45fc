"""Checks of row-level security: on, and with only the migrations' policies."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from faceplate._checks.findings import Flaw, warning
from faceplate._schema.policies import NAMES_USER, stored_expression
from faceplate.models import SCHEMA, Base, private_tables

# Permissive policies are joined with OR: each one that applies to units lets its rows through.
QUERY = """
SELECT json_agg(json_build_object(
    'schema', t.nspname, 'name', t.relname,
    'quoted', quote_ident(t.nspname) || '.' || quote_ident(t.relname),
    'is_on', t.relrowsecurity, 'is_logged', t.relpersistence = 'p',
    'policies', (
        SELECT coalesce(json_agg(json_build_object(
            'name', quote_ident(p.polname), 'command', p.polcmd,
            'using', pg_get_expr(p.polqual, p.polrelid),
            'check', pg_get_expr(p.polwithcheck, p.polrelid)
        ) ORDER BY p.polname), '[]')
        FROM pg_policy p WHERE p.polrelid = t.oid AND p.polpermissive
            AND p.polroles && (SELECT array_agg(oid) || 0::oid FROM held)
    )
) ORDER BY t.nspname, t.relname)
FROM guarded t
"""
# For a table c without a model: whether no policy applies to units, or one that names no user.
LETS_ROWS_THROUGH = f"""(NOT c.relrowsecurity OR EXISTS (SELECT FROM pg_policy p
        WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')
            AND p.polroles && (SELECT array_agg(oid) || 0::oid FROM held)
            AND pg_get_expr(p.polqual, c.oid) !~ {NAMES_USER}))"""  # noqa: S608 - our own text
# Tables of a project whose models were not imported: they have a user_id, or refer to users.
UNKNOWN_QUERY = f"""
SELECT json_agg(quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    ORDER BY n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
    AND n.nspname NOT IN ('information_schema', 'faceplate')
    AND c.oid NOT IN (SELECT oid FROM guarded)
    AND (EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id'
            AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped)
        OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid
            AND k.confrelid IN (SELECT g.oid FROM guarded g WHERE g.nspname = 'faceplate')))
    AND EXISTS (SELECT FROM unit u WHERE has_any_column_privilege(u.oid, c.oid, 'SELECT'))
    AND {LETS_ROWS_THROUGH}
"""  # noqa: S608 - our own text
UNSEALED = (
    "FACEPLATE_SEAL_KEY is set, and the policies do not check the seal: run `faceplate migrate`"
)
SEALED = (
    "the policies check a seal, so that units see no row without FACEPLATE_SEAL_KEY: set it, or"
    " run faceplate.migrate.unseal_user_ids"
)
EVERY_COMMAND, SELECT, INSERT = "*", "r", "a"


class Policy(NamedTuple):
    """The command and the expressions of a policy."""

    command: str
    """As in pg_policy.polcmd."""
    using: str | None
    check: str | None


def flaws(tables: list[dict[str, Any]], *, sealed: bool) -> Iterator[Flaw]:
    """Yield each table that lacks its policy, and each additional policy.

    ``sealed`` says whether the policies must check the seal of the user id.
    """
    there = {(table["schema"], table["name"]) for table in tables}
    missing = [t.name for t in Base.metadata.tables.values() if (SCHEMA, t.name) not in there]
    if missing:
        names = ", ".join(f"{SCHEMA}.{name}" for name in sorted(missing))
        yield Flaw(f"tables are missing: {names}: restore them from a backup")
    columns = _user_columns()
    for table in tables:
        is_ours = table["schema"] == SCHEMA
        column = columns.get((table["schema"], table["name"])) or columns[None, table["name"]]
        mine, other = (stored_expression(column, sealed=state) for state in (sealed, not sealed))
        if any(other == _policy(p).using for p in table["policies"]):
            yield _flaw(UNSEALED if sealed else SEALED, is_ours=True)
            return
        yield from _of_table(table, mine, is_ours=is_ours)


def _user_columns() -> Mapping[tuple[str | None, str], str]:
    return {(table.schema, table.name): column for table, column in private_tables().items()}


def _of_table(table: dict[str, Any], mine: str, *, is_ours: bool) -> Iterator[Flaw]:
    name = table["quoted"]
    if not table["is_logged"]:
        cure = f"ALTER TABLE {name} SET LOGGED"
        yield Flaw(f"{name} is UNLOGGED, so that a crash empties it: {cure}", layer=None)
    if not table["is_on"]:
        yield _flaw(
            f"{name} is without row-level security: ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
            is_ours=is_ours,
        )
    found = {p["name"]: _policy(p) for p in table["policies"]}
    for policy, what in found.items():
        if not _keeps_apart(what, mine):
            yield _flaw(
                f"the policy {policy} on {name} lets units reach rows that are not their user's:"
                f" DROP POLICY {policy} ON {name}",
                is_ours=is_ours,
            )
    expected = _expected(table, mine, is_ours=is_ours)
    if expected not in found.values() and (is_ours or not found):
        cure = _create(name, table["name"], expected, is_ours=is_ours)
        yield _flaw(f"{name} lacks the policy of the migrations: {cure}", is_ours=is_ours)


def unknown_flaws(names: list[str]) -> Iterator[Flaw]:
    """Yield the tables that seem to belong to users and have no model."""
    for name in names:
        yield warning(
            f"units may read all rows of {name}, which refers to users and has no policy: name the"
            " module of its model in FACEPLATE_MODELS and create its policy with"
            " op.enable_user_isolation, or REVOKE ALL"
        )


def _policy(row: dict[str, Any]) -> Policy:
    """Return the policy without quotes around names, whose use depends on the server."""
    using, check = (row[part] and row[part].replace('"', "") for part in ("using", "check"))
    return Policy(row["command"], using, check)


def _expected(table: dict[str, Any], mine: str, *, is_ours: bool) -> Policy:
    if is_ours and table["name"] == "users":
        return Policy(SELECT, mine, None)
    return Policy(EVERY_COMMAND, mine, mine)


def _keeps_apart(policy: Policy, mine: str) -> bool:
    if policy.command == INSERT:
        return policy.check == mine
    return policy.using == mine and policy.check in {None, mine}


def _create(quoted: str, name: str, policy: Policy, *, is_ours: bool) -> str:
    """Return the statement by which a migration creates the policy."""
    if policy.command == SELECT:
        return f"CREATE POLICY {name}_self ON {quoted} FOR SELECT USING {policy.using}"
    title = f"{name}_of_user" if is_ours else "of_user"
    return f"CREATE POLICY {title} ON {quoted} USING {policy.using} WITH CHECK {policy.check}"


def _flaw(text: str, *, is_ours: bool) -> Flaw:
    return Flaw(text, depends_on_revision=is_ours)
