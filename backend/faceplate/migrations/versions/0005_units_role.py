"""Take from the role of units what it does not need, and let it read the revision.

Temporary tables live as long as a connection, and a table of the schema pg_temp is found before any
other of its name: one user's unit could leave both to the next. PostgreSQL grants TEMPORARY on each
database to everybody. The owner of the database keeps it.

`faceplate check` reads the revision, also where units have a login of their own.

Revision ID: 0005
Revises: 0004
"""

from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

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
    revoke = "REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC, faceplate_app"
    op.execute(ON_DATABASE.format(command=revoke))
    op.execute("GRANT SELECT ON faceplate.alembic_version TO faceplate_app")


def downgrade() -> None:
    if not is_wanted():
        return
    op.execute("REVOKE SELECT ON faceplate.alembic_version FROM faceplate_app")
    op.execute(ON_DATABASE.format(command="GRANT TEMPORARY ON DATABASE %I TO PUBLIC"))
