"""Reminders.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op


revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reminders",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "char_length(text) <= 1000 AND btrim(text) <> ''", name=op.f("ck_reminders_text")
        ),
        sa.ForeignKeyConstraint(
            ["user_id", "conversation_id"],
            ["faceplate.conversations.user_id", "faceplate.conversations.id"],
            name=op.f("fk_reminders_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_reminders")),
    )
    op.create_index(
        "ix_reminders_due_at",
        "reminders",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.enable_user_isolation("reminders")


def downgrade() -> None:
    op.disable_user_isolation("reminders")
    op.drop_index(
        "ix_reminders_due_at", table_name="reminders", postgresql_where=sa.text("sent_at IS NULL")
    )
    op.drop_table("reminders")
