"""Notes, plans, and the numbers of tickets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_notes"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["faceplate.users.id"], name="fk_notes_users", ondelete="CASCADE"
        ),
    )
    op.enable_user_isolation("notes")  # type: ignore[attr-defined]  # registered by faceplate
    plans = op.create_table("plans", sa.Column("name", sa.String(), primary_key=True))
    op.bulk_insert(plans, [{"name": "free"}, {"name": "team"}])
    op.grant_to_units("plans", write=True)  # type: ignore[attr-defined]  # registered by faceplate
    op.execute("CREATE SEQUENCE ticket_numbers")
    op.execute("GRANT USAGE ON SEQUENCE ticket_numbers TO faceplate_app")


def downgrade() -> None:
    op.execute("DROP SEQUENCE ticket_numbers")
    op.drop_table("plans")
    op.drop_table("notes")
