"""Documents: what programs keep beside chats, by kind and key.

Revision ID: 0007
Revises: 0006
"""

from alembic import context, op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LOSES = ("all documents", "SELECT 1 FROM faceplate.documents")
USER = "nullif(current_setting('faceplate.user_id', true), '')::uuid"

# The foreign key locks users: a change or removal of a user waits for this transaction.
TABLE = """
CREATE TABLE faceplate.documents (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    key text COLLATE "C" NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    body json NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT pk_documents PRIMARY KEY (user_id, id),
    CONSTRAINT fk_documents_users FOREIGN KEY (user_id)
        REFERENCES faceplate.users (id) ON DELETE CASCADE,
    CONSTRAINT uq_documents_user_id_kind_key UNIQUE (user_id, kind, key),
    CONSTRAINT ck_documents_kind CHECK (char_length(kind) <= 100 AND btrim(kind) <> ''),
    CONSTRAINT ck_documents_key CHECK (octet_length(key) <= 2000),
    CONSTRAINT ck_documents_version CHECK (version >= 1)
)
"""
# Where Citus has distributed the other tables. The inner query is parsed only where Citus has made
# its catalog.
DISTRIBUTE = """
DO $$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
        IF EXISTS (SELECT FROM pg_dist_partition
            WHERE logicalrelid = 'faceplate.conversations'::regclass)
        THEN
            PERFORM create_distributed_table('faceplate.documents', 'user_id',
                colocate_with => 'faceplate.conversations');
        END IF;
    END IF;
END
$$
"""


def is_wanted() -> bool:
    """Whether row_level_security is on, as in revision 0002. Without it there is no such role."""
    return bool(context.config.attributes.get("row_level_security", True))


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(DISTRIBUTE)
    if is_wanted():
        op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON faceplate.documents TO faceplate_app")
        op.execute("ALTER TABLE faceplate.documents ENABLE ROW LEVEL SECURITY")
        op.execute(
            "CREATE POLICY documents_of_user ON faceplate.documents"
            f" USING (user_id = {USER}) WITH CHECK (user_id = {USER})"
        )


def downgrade() -> None:
    op.execute("DROP TABLE faceplate.documents")
