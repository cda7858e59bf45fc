"""`faceplate distribute` on a cluster: what becomes of the tables, and when it is refused."""

import asyncio
import re
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.citus.conftest import OWNER, administrator, name_of, on_worker, url
from tests.citus_cluster import NODES
from tests.databases import Operator, outside, settings_of
from typer.testing import CliRunner

from faceplate import (
    CommitOutcomeUnknown,
    Contention,
    Database,
    DatabaseError,
    FaceplateError,
    Settings,
    TimedOut,
    Unavailable,
    UsageError,
    distribution,
    migrate,
)
from faceplate.cli.app import app
from faceplate.services import conversations, messages, users

SETTLE = """
INSERT INTO faceplate.users (id, subject_id)
    SELECT gen_random_uuid(), n::text FROM generate_series(1, 20) n;
INSERT INTO faceplate.conversations (user_id, id, message_count)
    SELECT id, gen_random_uuid(), 5 FROM faceplate.users, generate_series(1, 3);
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, parent_position, role)
    SELECT user_id, id, gen_random_uuid(), n, nullif(n - 1, 0), 'user'
    FROM faceplate.conversations, generate_series(1, 5) n;
INSERT INTO faceplate.tasks (user_id, id, title)
    SELECT id, gen_random_uuid(), 'pack' FROM faceplate.users;
"""
STORE = "INSERT INTO faceplate.tasks (user_id, id, title) VALUES ($1, $2, '-')"
PASSING = (Unavailable, TimedOut, Contention, CommitOutcomeUnknown)
LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
COUNTS = """
SELECT (SELECT count(*) FROM faceplate.users), (SELECT count(*) FROM faceplate.conversations),
    (SELECT count(*) FROM faceplate.messages), (SELECT count(*) FROM faceplate.tasks)
"""
# What a table is made of, beside its rows. The names of NOT NULL constraints are made anew.
CATALOG = """
SELECT 'constraint' AS kind, conrelid::regclass::text AS of, conname AS name,
    pg_get_constraintdef(oid) || convalidated AS definition
FROM pg_constraint WHERE conrelid = ANY ($1::oid[]) AND contype <> 'n'
UNION ALL SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text,
    pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indrelid = ANY ($1::oid[])
UNION ALL SELECT 'policy', polrelid::regclass::text, polname, concat_ws(' ', polcmd, polpermissive,
    polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
FROM pg_policy WHERE polrelid = ANY ($1::oid[])
UNION ALL SELECT 'table', oid::regclass::text, relname,
    concat_ws(' ', relacl, reloptions, relrowsecurity, relowner::regrole)
FROM pg_class WHERE oid = ANY ($1::oid[])
UNION ALL SELECT 'column', attrelid::regclass::text, attname, concat_ws(' ', attnum,
    format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation, attstorage,
    pg_get_expr(adbin, adrelid))
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'statistics', stxrelid::regclass::text, stxname, pg_get_statisticsobjdef(oid)
FROM pg_statistic_ext WHERE stxrelid = ANY ($1::oid[])
ORDER BY 1, 2, 3
"""
TABLES = """
SELECT array_agg(oid) FROM pg_class
WHERE relnamespace = 'faceplate'::regnamespace AND relkind = 'r'
"""
SHARDS = """
SELECT array_agg(to_regclass(shard_name(logicalrelid, shardid))::oid) FROM pg_dist_shard
WHERE to_regclass(shard_name(logicalrelid, shardid)) IS NOT NULL
"""
PLACES = """
SELECT count(DISTINCT colocationid) FILTER (WHERE partmethod = 'h') AS groups,
    array_agg(concat_ws(' ', logicalrelid, partmethod) ORDER BY logicalrelid::text) AS tables,
    sum(pg_relation_size(logicalrelid)) AS left
FROM pg_dist_partition
"""
SPREAD = """
SELECT count(DISTINCT n.groupid) FROM pg_dist_shard s JOIN pg_dist_placement n USING (shardid)
WHERE s.logicalrelid = 'faceplate.messages'::regclass
"""
DISTRIBUTED = [
    "faceplate.conversations h",
    "faceplate.documents h",
    "faceplate.mcp_configs h",
    "faceplate.messages h",
    "faceplate.tasks h",
    "faceplate.users n",
]
Catalog = set[tuple[str, str, str, str]]


async def until_more(stored: list[UUID], count: int) -> None:
    """Return when the writers have stored ``count`` more."""
    enough = len(stored) + count
    while len(stored) < enough:  # noqa: ASYNC110 - the writers tell nobody
        await asyncio.sleep(0.01)  # they go on meanwhile


async def catalog(operator: Operator, relations: str) -> Catalog:
    rows = await operator.fetch(CATALOG, await operator.fetchval(relations))
    return {tuple(row) for row in rows}


def as_table(of_shards: Catalog) -> Catalog:
    """What shards are made of, with the names of their table."""
    return {tuple(re.sub(r"_\d{6,}\b", "", each) for each in row) for row in of_shards}  # type: ignore[misc]  # a generator keeps no length


async def test_everything_is_kept_but_the_trigger(cluster: Settings) -> None:
    """Else users lose rows, or what keeps them apart."""
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
        before = await catalog(owner, TABLES)
        counts = await owner.fetchrow(COUNTS)

    plan = await distribution.plan(cluster)
    assert [table.name for table in plan.tables if table.is_reference] == ["faceplate.users"]
    assert len(plan.tables) == len(DISTRIBUTED)
    async with outside(cluster) as owner:
        assert await catalog(owner, TABLES) == before, "a plan changes nothing"

    done = await distribution.distribute(cluster)
    assert done.statements == plan.statements

    async with outside(cluster) as owner:
        assert await owner.fetchrow(COUNTS) == counts
        assert await catalog(owner, TABLES) == before
        groups, tables, left = await owner.fetchrow(PLACES) or (0, [], 1)
        assert (groups, tables) == (1, DISTRIBUTED)
        assert left == 0, "the first rows are still on the coordinator's disk"
        assert await owner.fetchval(SPREAD) == len(NODES) - 1
    async with on_worker(cluster) as worker:
        shards = as_table(await catalog(worker, SHARDS))
    mine = {row for row in before if row[1] != "faceplate.alembic_version"}
    assert shards == mine
    assert (await distribution.plan(cluster)).is_done
    assert (await distribution.distribute(cluster)).statements == ()


async def test_the_role_of_units_reaches_the_workers_with_its_time_limit(
    cluster: Settings,
) -> None:
    """Else each unit fails, or waits for a lock on a worker for ever."""
    changed = cluster.model_copy(update={"lock_timeout_s": 7})
    await distribution.distribute(changed)
    async with outside(cluster) as owner, owner.transaction():
        await owner.execute("SET LOCAL ROLE faceplate_app")
        limits = "SELECT result FROM run_command_on_workers('SHOW lock_timeout')"
        assert {row["result"] for row in await owner.fetch(limits)} == {"7s"}


async def test_what_is_acknowledged_meanwhile_is_kept(cluster: Settings) -> None:
    """Else a message is lost that its user has seen stored."""
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
        user_id = await owner.fetchval("SELECT min(id::text)::uuid FROM faceplate.users")
    stored: list[UUID] = []
    is_over = asyncio.Event()

    async def store() -> None:
        while not is_over.is_set():
            with suppress(*LOST):
                async with outside(cluster) as owner:
                    while not is_over.is_set():
                        id_ = uuid4()
                        insert = (
                            "INSERT INTO faceplate.tasks (user_id, id, title) VALUES ($1, $2, '-')"
                        )
                        await owner.execute(insert, user_id, id_)
                        stored.append(id_)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(store())
        await until_more(stored, 100)
        await distribution.distribute(cluster)
        await until_more(stored, 100)
        is_over.set()
    async with outside(cluster) as owner:
        found = await owner.fetch("SELECT id FROM faceplate.tasks WHERE title = '-'")
    assert set(stored) <= {row["id"] for row in found}


async def test_sessions_from_before_are_ended(cluster: Settings) -> None:
    """Else a program goes on with connections that pass no user on, and its users see nothing."""
    session = await asyncpg.connect(cluster.dsn)
    await session.fetchval("SELECT 1")
    await distribution.distribute(cluster)
    with pytest.raises(LOST):
        await session.fetchval("SELECT 1")


async def test_a_table_that_must_stay_loses_its_rows_with_their_user(cluster: Settings) -> None:
    """Else what a project keeps of a user outlives them."""
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
        await owner.execute(
            "CREATE TABLE public.names (name text PRIMARY KEY, user_id uuid NOT NULL"
            " REFERENCES faceplate.users (id) ON DELETE CASCADE)"
        )
        await owner.execute("INSERT INTO public.names SELECT subject_id, id FROM faceplate.users")
    await distribution.distribute(cluster)
    async with outside(cluster) as owner:
        await owner.execute("DELETE FROM faceplate.users WHERE subject_id = '7'")
        assert await owner.fetchval("SELECT count(*) FROM public.names") == 19
    assert (await distribution.plan(cluster)).is_done


async def test_the_command_says_what_it_does(
    cluster: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url(NODES[0], name_of(cluster)))
    planned = await asyncio.to_thread(CliRunner().invoke, app, ["distribute", "--dry-run"])
    assert planned.exit_code == 0, planned.output
    assert "a copy on each node" in planned.output
    assert "SELECT create_reference_table('faceplate.users');" in planned.output
    refused = await asyncio.to_thread(CliRunner().invoke, app, ["distribute"])
    assert isinstance(refused.exception, UsageError)
    assert len((await distribution.plan(cluster)).tables) == len(DISTRIBUTED)
    for words in ("6 tables distributed over", "distributed already"):
        done = await asyncio.to_thread(CliRunner().invoke, app, ["distribute", "--yes"])
        assert done.exit_code == 0, done.output
        assert words in done.output


async def test_it_waits_for_a_transaction_without_holding_up_others(
    cluster: Settings, admin: Operator
) -> None:
    async with admin.transaction():
        await admin.execute("LOCK TABLE faceplate.messages IN ROW EXCLUSIVE MODE")
        running = asyncio.create_task(distribution.distribute(cluster))
        async with administrator(NODES[0], name_of(cluster)) as other:
            for _ in range(20):
                await other.execute("SELECT 1 FROM faceplate.messages LIMIT 1")
                await asyncio.sleep(0.05)
        assert not running.done()
    await running
    assert (await distribution.plan(cluster)).is_done


async def test_what_was_begun_by_hand_is_finished(cluster: Settings) -> None:
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
        before = await catalog(owner, TABLES)
        await owner.execute("SELECT create_reference_table('faceplate.users')")
        await owner.execute(
            "ALTER TABLE faceplate.messages DROP CONSTRAINT fk_messages_conversations"
        )
        await owner.execute("DROP TRIGGER active_hour ON faceplate.conversations")
        await owner.execute("SELECT create_distributed_table('faceplate.conversations', 'user_id')")
    plan = await distribution.distribute(cluster)
    names = {
        "faceplate.messages",
        "faceplate.tasks",
        "faceplate.mcp_configs",
        "faceplate.documents",
    }
    assert {table.name for table in plan.tables} == names
    async with outside(cluster) as owner:
        assert await catalog(owner, TABLES) == before
        _, tables, kept = await owner.fetchrow(PLACES) or (0, [], 1)
        assert (tables, kept) == (DISTRIBUTED, 0)


WORKERS = "FROM pg_dist_node WHERE groupid"
REFUSED = {
    "SELECT citus_set_node_property('{0}', {1}, 'shouldhaveshards', true)": "on the coordinator",
    f"SELECT citus_remove_node(nodename, nodeport) {WORKERS} <> 0": "no worker",
    f"SELECT citus_disable_node(nodename, nodeport) {WORKERS} = 2": "not active",
    "DROP EXTENSION citus": "CREATE EXTENSION citus",
    "CREATE SCHEMA faceplate_seal": "sealed",
    "CREATE TABLE notes (user_id uuid, id uuid, FOREIGN KEY (user_id, id)"
    " REFERENCES faceplate.conversations (user_id, id))": "public.notes refers to",
    "CREATE TRIGGER mine BEFORE INSERT ON faceplate.tasks FOR EACH ROW"
    " EXECUTE FUNCTION faceplate.set_active_hour()": "triggers (mine)",
    "SELECT create_reference_table('faceplate.tasks')": "in another way",
    "SELECT create_distributed_table('faceplate.documents', 'id')": "not colocated",
}


@pytest.mark.parametrize(("sql", "words"), REFUSED.items(), ids=list(REFUSED.values()))
async def test_it_is_refused_before_anything_is_done(
    cluster: Settings, admin: Operator, sql: str, words: str
) -> None:
    if "documents" in sql:  # its other keys could not be distributed so
        await admin.execute("ALTER TABLE faceplate.documents DROP CONSTRAINT fk_documents_users")
        await admin.execute(
            "ALTER TABLE faceplate.documents DROP CONSTRAINT uq_documents_user_id_kind_key"
        )
    if "faceplate.tasks" in sql and "TRIGGER" not in sql:
        await admin.execute("ALTER TABLE faceplate.tasks DROP CONSTRAINT fk_tasks_users")
    await admin.execute(sql.format(*NODES[0].rsplit(":", 1)))
    async with outside(cluster) as owner:
        before = await catalog(owner, TABLES)
        with pytest.raises(UsageError, match=re.escape(words)):
            await distribution.distribute(cluster)
        assert await catalog(owner, TABLES) == before  # and the session was not ended


async def test_a_worker_refuses(cluster: Settings) -> None:
    await distribution.distribute(cluster)
    async with administrator(NODES[1], name_of(cluster)) as worker:
        await worker.execute(
            "SET citus.enable_ddl_propagation = off;"
            "CREATE TABLE faceplate.alembic_version (version_num text);"
            f"GRANT SELECT ON faceplate.alembic_version TO {OWNER};"
            f"INSERT INTO faceplate.alembic_version VALUES ('{migrate.head()}')"
        )
    with pytest.raises(UsageError, match="this is a worker"):
        await distribution.plan(settings_of(url(NODES[1], name_of(cluster))))


async def test_an_older_schema_is_refused(empty_cluster: Settings) -> None:
    await migrate.upgrade(empty_cluster, "0008")
    with pytest.raises(DatabaseError, match="faceplate migrate"):
        await distribution.plan(empty_cluster)


async def test_units_go_on_while_it_distributes(cluster: Settings) -> None:
    """Else an operator has to stop the programs first."""
    is_over = asyncio.Event()
    stored: list[UUID] = []
    raised: list[FaceplateError] = []
    async with Database(cluster) as db:
        ada = await db.run_system(users.ensure, "ada")
        chat = await db.run(ada.id, conversations.create)

        async def append() -> None:
            while not is_over.is_set():
                try:
                    message = await db.run(
                        ada.id, messages.append, chat.id, role="user", content="hello"
                    )
                except FaceplateError as error:
                    raised.append(error)
                else:
                    stored.append(message.id)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(append())
            await until_more(stored, 50)
            await distribution.distribute(cluster)
            await until_more(stored, 50)
            is_over.set()
    async with outside(cluster) as owner:
        found = await owner.fetch("SELECT id, position FROM faceplate.messages ORDER BY position")
    ids = [row["id"] for row in found]
    assert set(stored) <= set(ids)
    assert [row["position"] for row in found] == [*range(1, len(ids) + 1)]
    assert all(isinstance(error, PASSING) for error in raised), raised
    unknown = [error for error in raised if isinstance(error, CommitOutcomeUnknown)]
    assert len(ids) <= len(stored) + len(unknown)
