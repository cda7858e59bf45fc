"""Row-level security, and the role that units run as.

Revision ID: 0002
Revises: 0001
"""

from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "faceplate"
OWNED = ("conversations", "messages", "tasks", "mcp_configs")
LOCKED = ("users", "mcp_configs", "tasks", "conversations", "messages")

# Bare current_setting: the only form that Citus accepts, and as fast as a sub-select. Without
# `true` an unset user would be an error, and without nullif one that was reset would be.
USER = "nullif(current_setting('faceplate.user_id', true), '')::uuid"

# Roles belong to the whole server: another database's migration may have made it, even now.
# The maker of a role has to grant it to itself, to become it. From PostgreSQL 16 on, it may grant
# the role by having made it; before, only with the ADMIN OPTION, or as long as it has CREATEROLE.
CREATE_ROLE = """
DO $$
DECLARE
    advice text := format('Ask an administrator to run: CREATE ROLE faceplate_app NOLOGIN;'
        ' GRANT faceplate_app TO %I; then migrate again.', current_user);
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'faceplate_app') THEN
        BEGIN
            CREATE ROLE faceplate_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the role faceplate_app is missing and % may not create roles',
                    current_user USING HINT = advice, ERRCODE = 'insufficient_privilege';
        END;
    END IF;
    BEGIN
        SET LOCAL ROLE faceplate_app;
        RESET ROLE;
    EXCEPTION WHEN insufficient_privilege THEN
        BEGIN
            EXECUTE format('GRANT faceplate_app TO %I', current_user)
                || CASE WHEN current_setting('server_version_num')::int < 160000
                    THEN ' WITH ADMIN OPTION' ELSE '' END;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE EXCEPTION '% may not become the role faceplate_app', current_user
                USING HINT = advice, ERRCODE = 'insufficient_privilege';
        END;
    END;
END
$$
"""


def is_wanted() -> bool:
    """Whether row_level_security is on. Where it was off, this revision may be run by hand later:
    `faceplate migrate --sql --revision 0001:0002`.
    """
    return bool(context.config.attributes.get("row_level_security", True))


def upgrade() -> None:
    if is_wanted():
        enable()


def enable() -> None:
    op.execute(CREATE_ROLE)
    # At once and before anything else: what an append waits for comes last, and is held briefly.
    op.execute("LOCK TABLE " + ", ".join(f"{SCHEMA}.{table}" for table in LOCKED))
    op.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO faceplate_app")
    for table in OWNED:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {SCHEMA}.{table} TO faceplate_app")
        op.execute(f"ALTER TABLE {SCHEMA}.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_user ON {SCHEMA}.{table} TO faceplate_app"
            f" USING (user_id = {USER}) WITH CHECK (user_id = {USER})"
        )
    op.execute(f"GRANT SELECT ON {SCHEMA}.users TO faceplate_app")
    op.execute(f"ALTER TABLE {SCHEMA}.users ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY users_self ON {SCHEMA}.users FOR SELECT TO faceplate_app"
        f" USING (id = {USER})"
    )


def downgrade() -> None:
    """The role stays: other databases of the server may use it."""
    if not is_wanted():
        return
    op.execute(f"DROP POLICY users_self ON {SCHEMA}.users")
    op.execute(f"ALTER TABLE {SCHEMA}.users DISABLE ROW LEVEL SECURITY")
    op.execute(f"REVOKE ALL ON {SCHEMA}.users FROM faceplate_app")
    for table in OWNED:
        op.execute(f"DROP POLICY {table}_of_user ON {SCHEMA}.{table}")
        op.execute(f"ALTER TABLE {SCHEMA}.{table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {SCHEMA}.{table} FROM faceplate_app")
    op.execute(f"REVOKE USAGE ON SCHEMA {SCHEMA} FROM faceplate_app")
