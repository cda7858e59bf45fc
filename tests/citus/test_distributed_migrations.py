"""Migrations of distributed tables, faceplate's and a project's."""

from collections.abc import Callable

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from tests.citus.test_distribute import DISTRIBUTED, PLACES, SETTLE
from tests.databases import outside

from faceplate import Settings, distribution, migrate, own_tables

NOTES = """
CREATE TABLE public.notes (
    user_id uuid, id uuid, body text NOT NULL, conversation_id uuid NOT NULL,
    PRIMARY KEY (user_id, id),
    FOREIGN KEY (user_id) REFERENCES faceplate.users (id) ON DELETE CASCADE
)
"""
KEY = """
ALTER TABLE public.notes ADD CONSTRAINT fk_notes_conversations
    FOREIGN KEY (user_id, conversation_id) REFERENCES faceplate.conversations (user_id, id)
    ON DELETE CASCADE
"""
KEYS = """
SELECT array_agg(pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint
WHERE conrelid = 'public.notes'::regclass AND contype = 'f'
"""
WRITE = """
INSERT INTO public.notes (user_id, id, body, conversation_id)
SELECT user_id, gen_random_uuid(), 'hello', id FROM faceplate.conversations
"""
TO_USERS = "FOREIGN KEY (user_id) REFERENCES faceplate.users(id) ON DELETE CASCADE"
HOURS = """
SELECT count(*) FROM faceplate.conversations
WHERE active_hour IS DISTINCT FROM date_trunc('hour', updated_at, 'UTC') OR stored_at IS NULL
"""
BEFORE_HEAD = ["0008", "0007", "0006", "0005", "0004", "0003", "0002", "0001"]


def test_all_revisions_are_tried() -> None:
    assert int(migrate.head()) == len(BEFORE_HEAD) + 1


async def test_each_revision_runs_on_distributed_tables(cluster: Settings) -> None:
    """Else a cluster cannot be upgraded, or a release cannot be taken back."""
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
    await distribution.distribute(cluster)
    for revision in BEFORE_HEAD:
        await migrate.downgrade(cluster, revision, may_lose_data=True)
        await migrate.upgrade(cluster)
        assert await migrate.check(cluster) == [], revision
    async with outside(cluster) as owner:
        _, tables, left = await owner.fetchrow(PLACES) or (0, [], 1)
        assert (tables, left) == (DISTRIBUTED, 0), "a table that a revision creates is distributed"
        assert await owner.fetchval("SELECT count(*) FROM faceplate.messages") == 300
        assert await owner.fetchval(HOURS) == 0
    await migrate.downgrade(cluster, "base", may_lose_data=True)
    await migrate.upgrade(cluster)
    await distribution.distribute(cluster)


async def test_a_downgrade_that_loses_data_asks(cluster: Settings) -> None:
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
    await distribution.distribute(cluster)
    with pytest.raises(Exception, match="would lose"):
        await migrate.downgrade(cluster, "base")


async def run(settings: Settings, work: Callable[[Operations], None]) -> None:
    def in_transaction(connection: Connection) -> None:
        with connection.begin():
            work(Operations(MigrationContext.configure(connection)))

    await migrate.run_locked(settings, in_transaction)


async def test_a_table_of_a_project_is_distributed_and_copied_back(cluster: Settings) -> None:
    """Else its rows stay on the coordinator, where no cascade reaches them."""

    def create(op: Operations) -> None:
        op.execute(NOTES)
        op.invoke(own_tables.EnableUserIsolation("notes"))
        op.invoke(own_tables.DistributeTable("notes"))
        op.execute(KEY)

    def remove(op: Operations) -> None:
        op.drop_constraint("fk_notes_conversations", "notes", type_="foreignkey")
        op.invoke(own_tables.UndistributeTable("notes"))

    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
    await distribution.distribute(cluster)
    await run(cluster, create)
    async with outside(cluster) as owner:
        await owner.execute(WRITE)
        groups, tables, _ = await owner.fetchrow(PLACES) or (0, [], 0)
        assert groups == 1
        assert "notes h" in tables
        await owner.execute("DELETE FROM faceplate.users WHERE subject_id = '7'")
        assert await owner.fetchval("SELECT count(*) FROM notes") == 57
    await run(cluster, remove)
    async with outside(cluster) as owner:
        assert await owner.fetchval("SELECT count(*) FROM notes") == 57
        assert await owner.fetchval(KEYS) == [TO_USERS]
        _, tables, _ = await owner.fetchrow(PLACES) or (0, [], 0)
        assert set(DISTRIBUTED) <= set(tables)
        assert "notes h" not in tables


async def test_before_a_distribution_the_operation_does_nothing(cluster: Settings) -> None:
    def create(op: Operations) -> None:
        op.execute(NOTES)
        op.invoke(own_tables.DistributeTable("notes"))
        op.execute(KEY)
        op.invoke(own_tables.UndistributeTable("notes"))

    await run(cluster, create)
    async with outside(cluster) as owner:
        assert await owner.fetchval("SELECT count(*) FROM pg_dist_partition") == 0
        assert len(await owner.fetchval(KEYS)) == 2
