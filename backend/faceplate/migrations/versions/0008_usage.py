"""An index of the messages that have a number of tokens, by which these are summed.

Written for tables in use: it is built beside reads and writes. Run again after it broke off, it
starts over.

Revision ID: 0008
Revises: 0007
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEX = "ix_messages_usage"


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
    with beside_traffic():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX}"
            " ON faceplate.messages (user_id, created_at)"
            " WHERE input_tokens IS NOT NULL OR output_tokens IS NOT NULL"
        )


def downgrade() -> None:
    with beside_traffic():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{INDEX}")
