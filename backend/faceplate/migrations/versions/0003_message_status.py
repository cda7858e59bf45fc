"""Whether a message is complete, or a draft that is still being streamed.

Written for tables in use: only the first transaction stops anybody, and it reads no row. What
follows takes its time beside reads and writes. Run again after it broke off, it starts over.

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = "faceplate.messages"
INDEX = "ix_messages_drafts"
CHECK = "ck_messages_status"
STATUSES = "'streaming', 'complete', 'interrupted', 'failed'"
# PostgreSQL keeps a new column's default for the rows that are there. As long as it keeps one, a
# plan under a policy copies every row of the table once more. A table without rows needs none.
ADD = f"""
DO $$
BEGIN
    LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT 1 FROM {TABLE}) THEN
        ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS status text DEFAULT 'complete' NOT NULL;
    ELSE
        ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS status text NOT NULL;
        ALTER TABLE {TABLE} ALTER COLUMN status SET DEFAULT 'complete';
    END IF;
END
$$
"""  # noqa: S608 - our own name
LOSES = (
    "which messages are drafts, were interrupted or failed",
    "SELECT 1 FROM faceplate.messages WHERE status <> 'complete'",
)


@contextmanager
def beside_traffic() -> Iterator[None]:
    """Outside a transaction, with a wait for older transactions, which is in nobody's way."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '60s'")
        try:
            yield
        finally:
            op.execute("RESET lock_timeout")


def upgrade() -> None:
    op.execute(ADD)
    # Only an earlier try can have left it.
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS {CHECK}"
    )
    op.execute(
        f"ALTER TABLE {TABLE} ADD CONSTRAINT {CHECK} CHECK (status IN ({STATUSES})) NOT VALID"
    )
    with beside_traffic():
        op.execute(f"ALTER TABLE {TABLE} VALIDATE CONSTRAINT {CHECK}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON {TABLE} (created_at)"
            " WHERE status = 'streaming'"
        )


def downgrade() -> None:
    with beside_traffic():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{INDEX}")
    op.execute(f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS status")
