"""What a conversation from elsewhere has: bodies, a name there, branches, models and tokens.

Written for tables in use: the first transaction stops appends only for as long as it takes to note
the new columns and rules, and it reads no row. What follows takes its time beside reads and writes.
Run again after it broke off, it starts over.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CONVERSATIONS, MESSAGES = "faceplate.conversations", "faceplate.messages"
LOSES = (
    "bodies, branches, models and tokens of messages, and the sources and bodies of conversations",
    """
    SELECT 1 FROM faceplate.messages WHERE body IS NOT NULL OR parent_position IS NOT NULL
        OR model IS NOT NULL OR input_tokens IS NOT NULL OR output_tokens IS NOT NULL
        OR role = 'developer'
    UNION ALL SELECT 1 FROM faceplate.conversations
        WHERE source IS NOT NULL OR body IS NOT NULL OR head IS NOT NULL
    """,
)

# As in revision 0003, a table without rows keeps no default for the rows that are there.
ADD_REMOVED_COUNT = f"""
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM {CONVERSATIONS}) THEN
        ALTER TABLE {CONVERSATIONS}
            ADD COLUMN IF NOT EXISTS removed_count integer DEFAULT 0 NOT NULL;
    ELSE
        ALTER TABLE {CONVERSATIONS} ADD COLUMN IF NOT EXISTS removed_count integer NOT NULL;
        ALTER TABLE {CONVERSATIONS} ALTER COLUMN removed_count SET DEFAULT 0;
    END IF;
END
$$
"""  # noqa: S608 - our own name
COLUMNS = {
    CONVERSATIONS: {
        "head": "integer",
        "source": "text",
        "key": "text",
        "body": "json",
    },
    MESSAGES: {
        "parent_position": "integer",
        "body": "json",
        "model": "text",
        "input_tokens": "integer",
        "output_tokens": "integer",
    },
}
CHECKS = {
    CONVERSATIONS: {
        "ck_conversations_removed_count": "removed_count >= 0",
        "ck_conversations_head": "head >= 1",
        "ck_conversations_source": "char_length(source) <= 100 AND btrim(source) <> ''",
        "ck_conversations_key": "char_length(key) <= 2000",
        "ck_conversations_source_and_key": "(source IS NULL) = (key IS NULL)",
    },
    MESSAGES: {
        "ck_messages_parent_position": "parent_position >= 1",
        "ck_messages_parent_before": "parent_position <= position",
        "ck_messages_role": "role IN ('user', 'assistant', 'system', 'developer', 'tool')",
        "ck_messages_role_or_body": "role IS NOT NULL OR body IS NOT NULL",
        "ck_messages_tool_calls_role": (
            "tool_calls IS NULL OR role IS NOT DISTINCT FROM 'assistant'"
        ),
        "ck_messages_tool_results_role": (
            "CASE WHEN tool_results IS NULL THEN body IS NOT NULL OR role <> 'tool'"
            " ELSE role IS NOT DISTINCT FROM 'tool' END"
        ),
        "ck_messages_model": "char_length(model) <= 255 AND btrim(model) <> ''",
        "ck_messages_input_tokens": "input_tokens >= 0",
        "ck_messages_output_tokens": "output_tokens >= 0",
    },
}
CHECKS_BEFORE = {
    "ck_messages_role": "role IN ('user', 'assistant', 'system', 'tool')",
    "ck_messages_tool_calls_role": "tool_calls IS NULL OR role = 'assistant'",
    "ck_messages_tool_results_role": "(tool_results IS NOT NULL) = (role = 'tool')",
}
COUNT_POSITIONS = """
UPDATE faceplate.conversations SET message_count = message_count + removed_count
WHERE removed_count > 0
"""
PARENT = "fk_messages_messages"
INDEXES = {
    "ix_messages_branches": "(user_id, conversation_id, position) INCLUDE (parent_position)",
    "ix_messages_children": "(user_id, conversation_id, parent_position)",
}
# Until it is set again, a row without a role is kept out by a rule that is checked beside traffic.
HAS_ROLE = "ck_messages_has_role"


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
    lock_tables()
    op.execute(ADD_REMOVED_COUNT)
    for table, columns in COLUMNS.items():
        for name, type_ in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {type_}")
    # A program of before reads no message without a role until a new one has written it.
    op.execute(
        "-- squawk-ignore ban-drop-not-null\n"
        f"ALTER TABLE {MESSAGES} ALTER COLUMN role DROP NOT NULL"
    )
    for table, checks in CHECKS.items():
        for name, rule in checks.items():
            replace_constraint(table, name, f"CHECK ({rule})")
    replace_constraint(
        MESSAGES,
        PARENT,
        "FOREIGN KEY (user_id, conversation_id, parent_position)"
        f" REFERENCES {MESSAGES} (user_id, conversation_id, position) ON DELETE RESTRICT",
    )
    with beside_traffic():
        for table, checks in CHECKS.items():
            for name in checks:
                op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        op.execute(f"ALTER TABLE {MESSAGES} VALIDATE CONSTRAINT {PARENT}")
        for name, indexed in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{name}")
            op.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {MESSAGES} {indexed}"
                " WHERE parent_position IS NOT NULL"
            )


def downgrade() -> None:
    lock_tables()
    drop_constraint(MESSAGES, PARENT)
    for name, rule in CHECKS_BEFORE.items():
        replace_constraint(MESSAGES, name, f"CHECK ({rule})")
    replace_constraint(MESSAGES, HAS_ROLE, "CHECK (role IS NOT NULL)")
    with beside_traffic():
        for name in (*CHECKS_BEFORE, HAS_ROLE):
            op.execute(f"ALTER TABLE {MESSAGES} VALIDATE CONSTRAINT {name}")
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{name}")
    lock_tables()
    # The program before counts positions by message_count.
    op.execute(COUNT_POSITIONS)
    op.execute(f"ALTER TABLE {MESSAGES} ALTER COLUMN role SET NOT NULL")
    drop_constraint(MESSAGES, HAS_ROLE)
    op.execute(f"ALTER TABLE {CONVERSATIONS} DROP COLUMN IF EXISTS removed_count")
    for table, columns in COLUMNS.items():
        for name in columns:  # and with each column its checks
            op.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {name}")


def lock_tables() -> None:
    """Lock both tables in the order of an append, so that there is no deadlock with one."""
    op.execute(f"LOCK TABLE {CONVERSATIONS}, {MESSAGES} IN ACCESS EXCLUSIVE MODE")


def replace_constraint(table: str, name: str, rule: str) -> None:
    """Have PostgreSQL keep a rule from now on; VALIDATE CONSTRAINT looks at the rows before."""
    drop_constraint(table, name)
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {rule} NOT VALID")


def drop_constraint(table: str, name: str) -> None:
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
    )
