"""Take from the role of units what it does not need or could destroy; let it read the revision.

Temporary tables live as long as a connection, and a table of the schema pg_temp is found before any
other of its name: one user's unit could leave both to the next. PostgreSQL grants TEMPORARY on each
database to everybody. The owner of the database keeps it.

A role may DROP OWNED BY itself, which also drops each policy that is for this role alone: a unit
could hide everybody's rows from everybody. So the policies are for all roles from now on. To other
roles they show what no policy would: nothing, unless a user is set.

`faceplate check` reads the revision, also where units have a login of their own.

Revision ID: 0005
Revises: 0004
"""

from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "faceplate"
TABLES = ("users", "mcp_configs", "tasks", "conversations", "messages")

# Those of an application's own tables, as `op.enable_user_isolation` made them until now.
OTHER_POLICIES = """
DO $$
DECLARE
    policy record;
BEGIN
    FOR policy IN
        SELECT p.polname AS name, p.polrelid::pg_catalog.regclass AS table_name
        FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
        WHERE p.polname = 'of_user' AND p.polroles = ARRAY[{before}]::oid[]
            AND pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE')
    LOOP
        EXECUTE pg_catalog.format('ALTER POLICY %I ON %s TO {after}',
            policy.name, policy.table_name);
    END LOOP;
END
$$
"""
PUBLIC, UNITS = "0", "'faceplate_app'::pg_catalog.regrole"

# Only the owner of a database may do either. Where a role migrates that is not, TEMPORARY stays as
# it is, and `faceplate check` says what to run.
ON_DATABASE = """
DO $$
BEGIN
    IF (
        SELECT pg_catalog.pg_has_role(current_user, datdba, 'USAGE')
        FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
    ) THEN
        EXECUTE pg_catalog.format('{command}', pg_catalog.current_database());
    END IF;
END
$$
"""


def is_wanted() -> bool:
    """Whether row_level_security is on, as in revision 0002. Without it there is no such role."""
    return bool(context.config.attributes.get("row_level_security", True))


def upgrade() -> None:
    if not is_wanted():
        return
    set_policies("PUBLIC")
    op.execute(OTHER_POLICIES.format(before=UNITS, after="PUBLIC"))
    revoke = "REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC, faceplate_app"
    op.execute(ON_DATABASE.format(command=revoke))
    op.execute("GRANT SELECT ON faceplate.alembic_version TO faceplate_app")


def downgrade() -> None:
    if not is_wanted():
        return
    op.execute("REVOKE SELECT ON faceplate.alembic_version FROM faceplate_app")
    op.execute(ON_DATABASE.format(command="GRANT TEMPORARY ON DATABASE %I TO PUBLIC"))
    set_policies("faceplate_app")
    op.execute(OTHER_POLICIES.format(before=PUBLIC, after="faceplate_app"))


def set_policies(role: str) -> None:
    # At once, as in revision 0002, so that it stands in the way of an append only briefly.
    op.execute("LOCK TABLE " + ", ".join(f"{SCHEMA}.{table}" for table in TABLES))
    for table in TABLES:
        name = "users_self" if table == "users" else f"{table}_of_user"
        op.execute(f"ALTER POLICY {name} ON {SCHEMA}.{table} TO {role}")
