"""The five tables.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "faceplate"
LOSES = ("all users and everything of theirs", "SELECT 1 FROM faceplate.users")


def text(name: str, default: str | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=nullable)


def uuid(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=False)


def json(name: str, default: str | None = None, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), server_default=default, nullable=nullable)


def flag(name: str, default: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), server_default=default, nullable=False)


def times() -> tuple[sa.Column[object], ...]:
    moment = sa.DateTime(timezone=True)
    now = sa.text("now()")
    return (
        sa.Column("created_at", moment, server_default=now, nullable=False),
        sa.Column("updated_at", moment, server_default=now, nullable=False),
    )


def check(table: str, rule: str, sql: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(sql, name=op.f(f"ck_{table}_{rule}"))


def of_user(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(
            ["user_id"],
            [f"{SCHEMA}.users.id"],
            name=op.f(f"fk_{table}_users"),
            ondelete="CASCADE",
        ),
    )


def upgrade() -> None:
    op.create_table(
        "users",
        uuid("id"),
        text("subject_id"),
        text("email", nullable=True),
        *times(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("subject_id", name=op.f("uq_users_subject_id")),
        check("users", "subject_id", "char_length(subject_id) <= 255 AND btrim(subject_id) <> ''"),
        check("users", "email", "char_length(email) <= 320 AND btrim(email) <> ''"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_users_email", "users", [sa.text("lower(email)")], unique=True, schema=SCHEMA
    )
    op.create_table(
        "conversations",
        uuid("user_id"),
        uuid("id"),
        text("title", "New Chat"),
        sa.Column("message_count", sa.Integer(), server_default="0", nullable=False),
        json("metadata", "{}"),
        *times(),
        *of_user("conversations"),
        check("conversations", "title", "char_length(title) <= 255 AND btrim(title) <> ''"),
        check("conversations", "message_count", "message_count >= 0"),
        check("conversations", "metadata", "jsonb_typeof(metadata) = 'object'"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_conversations_activity",
        "conversations",
        ["user_id", sa.text("updated_at DESC"), sa.text("id DESC")],
        schema=SCHEMA,
    )
    op.create_table(
        "messages",
        uuid("user_id"),
        uuid("conversation_id"),
        uuid("id"),
        sa.Column("position", sa.Integer(), nullable=False),
        text("role"),
        text("content", ""),
        json("tool_calls", nullable=True),
        json("tool_results", nullable=True),
        json("metadata", "{}"),
        *times(),
        sa.PrimaryKeyConstraint("user_id", "conversation_id", "id", name=op.f("pk_messages")),
        sa.ForeignKeyConstraint(
            ["user_id", "conversation_id"],
            [f"{SCHEMA}.conversations.user_id", f"{SCHEMA}.conversations.id"],
            name=op.f("fk_messages_conversations"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "user_id",
            "conversation_id",
            "position",
            name=op.f("uq_messages_user_id_conversation_id_position"),
        ),
        check("messages", "position", "position >= 1"),
        check("messages", "role", "role IN ('user', 'assistant', 'system', 'tool')"),
        check("messages", "content", "char_length(content) <= 1000000"),
        check("messages", "tool_calls", "jsonb_typeof(tool_calls) = 'array'"),
        check("messages", "tool_results", "jsonb_typeof(tool_results) = 'array'"),
        check("messages", "metadata", "jsonb_typeof(metadata) = 'object'"),
        check("messages", "tool_calls_role", "tool_calls IS NULL OR role = 'assistant'"),
        check("messages", "tool_results_role", "(tool_results IS NOT NULL) = (role = 'tool')"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_messages_tools",
        "messages",
        ["user_id", "conversation_id", "position"],
        schema=SCHEMA,
        postgresql_where=sa.text("tool_calls IS NOT NULL OR tool_results IS NOT NULL"),
    )
    op.create_table(
        "tasks",
        uuid("user_id"),
        uuid("id"),
        text("title"),
        text("description", ""),
        flag("completed", "false"),
        *times(),
        *of_user("tasks"),
        check("tasks", "title", "char_length(title) <= 500 AND btrim(title) <> ''"),
        check("tasks", "description", "char_length(description) <= 5000"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_tasks_newest",
        "tasks",
        ["user_id", sa.text("created_at DESC"), sa.text("id DESC")],
        schema=SCHEMA,
    )
    op.create_table(
        "mcp_configs",
        uuid("user_id"),
        uuid("id"),
        text("name"),
        json("config"),
        sa.Column("secrets", sa.LargeBinary(), nullable=True),
        flag("enabled", "true"),
        *times(),
        *of_user("mcp_configs"),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_mcp_configs_user_id_name")),
        check("mcp_configs", "name", "char_length(name) <= 100 AND btrim(name) <> ''"),
        check("mcp_configs", "config", "jsonb_typeof(config) = 'object'"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("mcp_configs", "tasks", "messages", "conversations", "users"):
        op.drop_table(table, schema=SCHEMA)
