"""Which of the layers that keep users apart are in force, asked of the database itself."""

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import CheckConstraint, Table

from faceplate.config import Settings
from faceplate.models import SCHEMA, Base, owned_tables

if TYPE_CHECKING:
    import asyncpg

OWNER_CRITERION = "owner criterion"
COMPOSITE_KEYS = "composite keys"
ROW_LEVEL_SECURITY = "row-level security"

ROLES = f"""
SELECT me.rolname AS me, me.rolsuper AS superuser, me.rolbypassrls AS bypassrls,
    app.oid IS NOT NULL AS app_exists,
    app.rolsuper OR app.rolbypassrls AS app_is_exempt,
    pg_has_role(me.oid, app.oid, 'SET') AS may_become_app,
    EXISTS (
        SELECT FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
        WHERE n.nspname = '{SCHEMA}' AND (
            pg_has_role(app.oid, n.nspowner, 'MEMBER') OR pg_has_role(app.oid, c.relowner, 'MEMBER')
        )
    ) AS app_owns
FROM pg_roles me LEFT JOIN pg_roles app ON app.rolname = 'faceplate_app'
WHERE me.rolname = session_user
"""  # noqa: S608 - our own name
KEYS = f"""
SELECT conname FROM pg_constraint
WHERE connamespace = to_regnamespace('{SCHEMA}') AND convalidated
"""  # noqa: S608 - our own name
# Permissive policies are alternatives: a second one would let more rows through than the first.
GUARDED = """
SELECT c.relname AS name, n.nspname AS schema, c.relrowsecurity AND 1 = (
    SELECT count(*) FROM pg_policy p
    WHERE p.polrelid = c.oid AND p.polpermissive
        AND p.polroles && ARRAY[0, to_regrole('faceplate_app')]::oid[]
) AS guarded
FROM unnest($1::text[], $2::text[]) AS t (schema, name)
JOIN pg_class c ON c.relname = t.name
JOIN pg_namespace n ON n.oid = c.relnamespace
    AND (n.nspname = t.schema OR t.schema IS NULL AND pg_table_is_visible(c.oid))
"""


class Isolation(NamedTuple):
    layers: tuple[str, ...]
    """Those in force."""
    gaps: tuple[str, ...]
    """Why a layer that should be in force is not."""
    warnings: tuple[str, ...]
    """What holds as things are, and should still be changed."""


async def examine(connection: "asyncpg.Connection[Any]", settings: Settings) -> Isolation:
    """Return what ``connection`` finds. Raises the driver's errors."""
    roles = await connection.fetchrow(ROLES)
    keys = {row["conname"] for row in await connection.fetch(KEYS)}
    tables = _tables()
    found = await connection.fetch(
        GUARDED, [table.schema for table in tables], [table.name for table in tables]
    )

    layers, gaps = [OWNER_CRITERION], []
    if lost := _key_names() - keys:
        gaps.append(f"keys are missing: {', '.join(sorted(lost))}")
    else:
        layers.append(COMPOSITE_KEYS)
    if settings.row_level_security:
        if holes := [*_role_gaps(roles), *_policy_gaps(found)]:
            gaps += holes
        else:
            layers.append(ROW_LEVEL_SECURITY)
    return Isolation(tuple(layers), tuple(gaps), tuple(_warnings(roles, settings)))


def _tables() -> list[Table]:
    """The tables that a policy must guard: ours, and the owned ones of the application."""
    return list({*Base.metadata.tables.values(), *owned_tables()})


def _key_names() -> set[str]:
    """The primary, unique and foreign keys of our owned tables: each begins with the user."""
    return {
        str(constraint.name)
        for table in owned_tables()
        if table.schema == SCHEMA
        for constraint in table.constraints
        if not isinstance(constraint, CheckConstraint)
    }


def _role_gaps(roles: Any) -> list[str]:
    if not roles["app_exists"]:
        return ["the role faceplate_app is missing"]
    gaps = []
    if not roles["may_become_app"]:
        me = roles["me"]
        gaps.append(f"{me} may not become faceplate_app: GRANT faceplate_app TO {me}")
    if roles["app_is_exempt"]:
        gaps.append("the role faceplate_app is a superuser or has BYPASSRLS: no policy holds it")
    elif roles["app_owns"]:
        gaps.append("the role faceplate_app owns tables, or is a member of the role that does")
    return gaps


def _policy_gaps(found: list[Any]) -> list[str]:
    """Ours must be guarded; so must a table of the application, once it is there."""
    guarded = {row["name"] for row in found if row["schema"] == SCHEMA and row["guarded"]}
    bare = sorted({table.name for table in Base.metadata.tables.values()} - guarded)
    bare += sorted(
        f"{row['schema']}.{row['name']}"
        for row in found
        if row["schema"] != SCHEMA and not row["guarded"]
    )
    if bare:
        return [f"without row-level security, or under several policies: {', '.join(bare)}"]
    return []


def _warnings(roles: Any, settings: Settings) -> list[str]:
    warnings = []
    if roles["superuser"] or roles["bypassrls"]:
        what = "is a superuser" if roles["superuser"] else "has BYPASSRLS"
        warnings.append(
            f"the connecting role {roles['me']} {what}: use one that owns the schema and no more"
        )
    if not settings.row_level_security:
        warnings.append(
            "row_level_security is switched off: a unit's raw SQL reaches every user's rows"
        )
    return warnings
