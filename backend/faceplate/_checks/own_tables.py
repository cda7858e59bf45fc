"""Checks of a project's own tables: declared by a model, and emptied with their user."""

from collections.abc import Iterator

from faceplate._checks.findings import Flaw, warning
from faceplate._checks.policies import LETS_ROWS_THROUGH
from faceplate._schema.policies import NAMES_USER, POLICY

# Tables with the policy of owned tables, or a foreign key to a table of users, without a model that
# was imported. Where units read all rows of one, policies.py has the finding.
UNDECLARED_QUERY = f"""
SELECT json_agg(quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    ORDER BY n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname <> 'faceplate'
    AND c.oid NOT IN (SELECT oid FROM guarded)
    AND (EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND (p.polname = '{POLICY}'
            OR pg_get_expr(p.polqual, c.oid) ~ {NAMES_USER}))
        OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f'
            AND k.confrelid IN (SELECT oid FROM guarded)))
    AND NOT ({LETS_ROWS_THROUGH} AND EXISTS
        (SELECT FROM unit u WHERE has_any_column_privilege(u.oid, c.oid, 'SELECT')))
"""  # noqa: S608 - our own text
# tied: the tables whose rows go with a user's row. A key with a NULL in it refers to nothing.
# PostgreSQL 18 added conenforced. It is read by way of JSON: older servers refuse the name.
UNTIED_QUERY = """
SELECT json_agg(quote_ident(g.nspname) || '.' || quote_ident(g.relname)
    ORDER BY g.nspname, g.relname)
FROM guarded g WHERE g.nspname <> 'faceplate' AND g.oid NOT IN (
    WITH RECURSIVE tied (oid) AS (
        SELECT oid FROM guarded WHERE nspname = 'faceplate' AND relname = 'users'
        UNION SELECT k.conrelid FROM tied t
            JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = t.oid
        WHERE k.confdeltype = 'c' AND coalesce((to_jsonb(k) ->> 'conenforced')::bool, true)
            AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid
                AND a.attnum = ANY (k.conkey) AND NOT a.attnotnull)
    ) SELECT oid FROM tied
)
"""


def flaws(undeclared: list[str], untied: list[str]) -> Iterator[Flaw]:
    """Yield the tables that an export leaves out, and those that outlive their user."""
    for name in undeclared:
        yield warning(
            f"{name} has rows of users, and no model that was imported declares it, so that export"
            " leaves it out: name the module of its model in FACEPLATE_MODELS"
        )
    for name in untied:
        yield warning(
            f"no foreign key of {name} cascades from faceplate.users, so that its rows stay when"
            " their user is deleted: give the key that its model declares ON DELETE CASCADE, or"
            " none, and `alembic revision --autogenerate` writes it, once rows without a user are"
            " removed"
        )
