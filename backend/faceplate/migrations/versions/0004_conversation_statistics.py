"""Tell the planner that a conversation has one user.

Without it the two conditions on a message's conversation count as independent, by which a
conversation has less than one message, and a message that is asked for by its id may be looked
for in the index of positions: all messages of its conversation are read.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATISTICS = "faceplate.st_messages_conversation"


def upgrade() -> None:
    op.execute(
        f"CREATE STATISTICS IF NOT EXISTS {STATISTICS} (dependencies)"
        " ON user_id, conversation_id FROM faceplate.messages"
    )
    with op.get_context().autocommit_block():
        op.execute("ANALYZE faceplate.messages (user_id, conversation_id)")


def downgrade() -> None:
    op.execute(f"DROP STATISTICS IF EXISTS {STATISTICS}")
