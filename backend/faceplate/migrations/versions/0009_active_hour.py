"""The hour of a conversation's last activity, for its index, and when its row was stored.

Every append moves updated_at, and moved the conversation in the index of the list with it. The hour
stands still until the next one, so that PostgreSQL changes no index. The trigger corrects the hour
after a statement that sets updated_at alone, such as those of the program before. It is an AFTER
trigger, since a BEFORE trigger would lock each row once more, and log it, also where the hour is
right.

Written for tables in use: each transaction stops appends only for as long as it takes to note
something, and reads no row. What follows takes its time beside reads and writes; rows that others
have locked are filled in later. Run again after it broke off, it starts over.

Revision ID: 0009
Revises: 0008
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = "faceplate.conversations"
# Only a conversation whose date was given began before its row was stored.
LOSES = (
    "when conversations with a date of their own were stored",
    f"SELECT 1 FROM {TABLE} WHERE stored_at > created_at",  # noqa: S608 - our own name
)
HOUR = "date_trunc('hour', {}, 'UTC')"
DEFAULTS = {"stored_at": "now()", "active_hour": HOUR.format("now()")}
# Where Citus has distributed the table, it refuses triggers and addresses of rows. No program of
# before runs there. The inner query is parsed only where Citus has made its catalog.
WHERE_DISTRIBUTED = """
    IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
        IF EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = '{table}'::regclass) THEN
            {statements}
            RETURN;
        END IF;
    END IF;
"""
FUNCTION = f"""
CREATE OR REPLACE FUNCTION faceplate.set_active_hour() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE {TABLE} SET active_hour = {HOUR.format("updated_at")}
    WHERE user_id = NEW.user_id AND id = NEW.id;
    RETURN NULL;
END
$$
"""  # noqa: S608 - our own names
TRIGGER = f"""
CREATE OR REPLACE TRIGGER active_hour AFTER INSERT OR UPDATE ON {TABLE} FOR EACH ROW
WHEN (NEW.active_hour IS DISTINCT FROM {HOUR.format("NEW.updated_at")})
EXECUTE FUNCTION faceplate.set_active_hour()
"""
# A batch is then what one user has.
FILL_USERS = f"""
            FOR owner IN SELECT id FROM faceplate.users LOOP
                UPDATE {TABLE} SET stored_at = coalesce(stored_at, created_at),
                    active_hour = {HOUR.format("updated_at")}
                WHERE user_id = owner AND (stored_at IS NULL OR active_hour IS NULL);
                COMMIT;
            END LOOP;
"""  # noqa: S608 - our own names
# A batch is what is on some pages, but for the rows that others have locked: they are in the next
# pass.
FILL = f"""
DO $$
DECLARE
    batch CONSTANT bigint := 16;
    pages bigint;
    owner uuid;
BEGIN
    {WHERE_DISTRIBUTED.format(table=TABLE, statements=FILL_USERS)}
    FOR pass IN 1 .. 600 LOOP
        IF NOT EXISTS (
            SELECT 1 FROM {TABLE} WHERE stored_at IS NULL OR active_hour IS NULL
        ) THEN
            RETURN;
        END IF;
        pages := pg_relation_size('{TABLE}') / current_setting('block_size')::bigint;
        FOR page IN 0 .. pages BY batch LOOP
            UPDATE {TABLE} SET stored_at = coalesce(stored_at, created_at),
                active_hour = {HOUR.format("updated_at")}
            WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM {TABLE}
                WHERE ctid >= format('(%s,0)', page)::tid
                    AND ctid < format('(%s,0)', page + batch)::tid
                    AND (stored_at IS NULL OR active_hour IS NULL)
                FOR NO KEY UPDATE SKIP LOCKED
            ));
            COMMIT;
        END LOOP;
        PERFORM pg_sleep(0.1);
    END LOOP;
    RAISE lock_not_available USING MESSAGE = 'some conversations stayed locked for a minute';
END
$$
"""  # noqa: S608 - our own names
INDEXES = {
    "ix_conversations_active_hour": "(user_id, active_hour DESC)",
    "ix_conversations_source": "(user_id, source, active_hour DESC) WHERE source IS NOT NULL",
}
INDEX_BEFORE = {"ix_conversations_activity": "(user_id, updated_at DESC, id DESC)"}


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
    for name, default in DEFAULTS.items():
        op.execute(f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS {name} timestamptz")
        op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN {name} SET DEFAULT {default}")
    op.execute(f"ALTER TABLE {TABLE} SET (fillfactor = 80)")
    op.execute(FUNCTION)
    unless_distributed(TRIGGER)
    with beside_traffic():
        op.execute(FILL)
    for name in DEFAULTS:
        drop_check(name)
        op.execute(
            f"ALTER TABLE {TABLE} ADD CONSTRAINT {check(name)} CHECK ({name} IS NOT NULL) NOT VALID"
        )
    with beside_traffic():
        for name in DEFAULTS:
            op.execute(f"ALTER TABLE {TABLE} VALIDATE CONSTRAINT {check(name)}")
    for name in DEFAULTS:
        op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN {name} SET NOT NULL")
        drop_check(name)
    with beside_traffic():
        create(INDEXES)
        drop(INDEX_BEFORE)


def downgrade() -> None:
    unless_distributed(f"DROP TRIGGER IF EXISTS active_hour ON {TABLE}")
    op.execute("DROP FUNCTION IF EXISTS faceplate.set_active_hour()")
    for name in DEFAULTS:  # and with active_hour its indexes
        op.execute(f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS {name}")
    op.execute(f"ALTER TABLE {TABLE} RESET (fillfactor)")
    with beside_traffic():
        create(INDEX_BEFORE)


def unless_distributed(statement: str) -> None:
    returns = WHERE_DISTRIBUTED.format(table=TABLE, statements="")
    op.execute(f"DO $do$ BEGIN {returns} {statement}; END $do$")


def check(name: str) -> str:
    return f"ck_conversations_{name}"


def drop_check(name: str) -> None:
    op.execute(
        "-- squawk-ignore ban-drop-constraint\n"
        f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS {check(name)}"
    )


def create(indexes: dict[str, str]) -> None:
    drop(indexes)  # an earlier try may have left an invalid one
    for name, indexed in indexes.items():
        op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {TABLE} {indexed}")


def drop(indexes: dict[str, str]) -> None:
    for name in indexes:
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS faceplate.{name}")
