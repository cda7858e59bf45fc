"""What check, doctor and stats say of the nodes of a cluster."""

import pytest
from sqlalchemy import text
from tests.citus.conftest import OWNER, administrator, name_of, on_worker, url
from tests.citus.test_distribute import SETTLE
from tests.citus_cluster import NODES
from tests.databases import outside, settings_of

from faceplate import Database, Settings, distribution
from faceplate._operations import doctor, stats
from faceplate._operations.findings import Level
from faceplate.health import Health

ONE_SHARD = """
SELECT shard_name(logicalrelid, shardid) FROM pg_dist_shard JOIN pg_dist_placement USING (shardid)
WHERE logicalrelid = 'faceplate.messages'::regclass AND groupid =
    (SELECT groupid FROM pg_dist_local_group) LIMIT 1
"""


@pytest.fixture
async def distributed(cluster: Settings) -> Settings:
    async with outside(cluster) as owner:
        await owner.execute(SETTLE)
    await distribution.distribute(cluster)
    return cluster


async def check(settings: Settings) -> Health:
    async with Database(settings) as db:
        return await db.check()


async def test_a_distributed_schema_is_well(distributed: Settings) -> None:
    health = await check(distributed)
    assert (health.gaps, health.warnings) == ((), ())
    assert health.isolation is not None
    assert "row-level security" in health.isolation
    findings = await doctor.diagnose(distributed)
    of_crashes = {"durability", "cluster"}  # a server of the tests may be set to survive none
    assert doctor.is_well([each for each in findings if each.check not in of_crashes])


async def test_the_doctor_knows_the_workers(distributed: Settings) -> None:
    """Else nobody hears that a worker survives no crash."""
    found = [each for each in await doctor.diagnose(distributed) if each.check == "cluster"]
    async with on_worker(distributed) as worker:
        is_safe = await worker.fetchval("SHOW fsync") == "on"
    if is_safe:
        assert [each.level for each in found] == [Level.OK]
        assert found[0].found.startswith(f"nodes that take shards: {len(NODES) - 1}")
    else:
        assert {each.level for each in found} == {Level.PROBLEM}
        assert any(f"fsync is off on the worker {NODES[1]}" in each.found for each in found)


@pytest.mark.parametrize(
    "change",
    ["DISABLE ROW LEVEL SECURITY", "POLICY"],
)
async def test_a_shard_without_its_policy_is_a_gap(distributed: Settings, change: str) -> None:
    """Else nobody sees that a unit reaches every user's rows of a shard."""
    async with on_worker(distributed) as worker:
        await worker.execute("SET citus.enable_ddl_propagation = off")
        await worker.execute("SET citus.enable_manual_changes_to_shards = on")
        shard = await worker.fetchval(ONE_SHARD)
        if change == "POLICY":
            await worker.execute(f"CREATE POLICY open ON {shard} USING (true)")
        else:
            await worker.execute(f"ALTER TABLE {shard} {change}")
    health = await check(distributed)
    assert any("shards of faceplate.messages on the node" in gap for gap in health.gaps)
    assert health.isolation is not None
    assert "row-level security" not in health.isolation


async def test_a_program_on_a_worker_is_a_gap(distributed: Settings) -> None:
    async with outside(settings_of(url(NODES[1], name_of(distributed)))):
        health = await check(distributed)
    assert any(f"the worker {NODES[1]} as {OWNER}" in gap for gap in health.gaps)


async def test_a_check_on_a_worker_is_a_gap(distributed: Settings) -> None:
    health = await check(settings_of(url(NODES[1], name_of(distributed))))
    assert any("this is a worker" in gap for gap in health.gaps)


async def test_a_coordinator_with_shards_is_a_gap(distributed: Settings) -> None:
    async with administrator(NODES[0], name_of(distributed)) as admin:
        await admin.execute(
            "SELECT citus_set_node_property(nodename, nodeport, 'shouldhaveshards', true)"
            " FROM pg_dist_node WHERE groupid = 0"
        )
    health = await check(distributed)
    assert any("on the coordinator" in gap for gap in health.gaps)


async def test_a_worker_that_may_lose_commits_is_named(distributed: Settings) -> None:
    async with administrator(NODES[1]) as admin:
        name = name_of(distributed)
        await admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with on_worker(distributed) as worker:  # Citus keeps its connections
        await worker.execute(
            "SELECT pg_terminate_backend(pid::integer) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name ~ '^citus_internal'"
        )
    warnings = (await check(distributed)).warnings
    assert any(f"synchronous_commit is off on the worker {NODES[1]}" in each for each in warnings)


async def test_a_role_without_a_limit_is_named(distributed: Settings) -> None:
    async with administrator(NODES[0], name_of(distributed)) as admin:
        name = name_of(distributed)
        await admin.execute(f"ALTER ROLE faceplate_app IN DATABASE {name} RESET lock_timeout")
    warnings = (await check(distributed)).warnings
    assert sum("has no lock_timeout on the node" in each for each in warnings) == len(NODES)


async def test_a_table_that_is_left_is_named(distributed: Settings) -> None:
    async with outside(distributed) as owner:
        await owner.execute("ALTER TABLE faceplate.documents DROP CONSTRAINT fk_documents_users")
        await owner.execute("SELECT undistribute_table('faceplate.documents')")
    warnings = (await check(distributed)).warnings
    assert "faceplate.documents is not distributed: run `faceplate distribute`" in warnings


async def test_stats_count_the_shards(distributed: Settings) -> None:
    """Else a full cluster looks empty."""
    async with Database(distributed) as db:
        found = {table.name: table for table in (await stats.collect(db)).tables}
        exact = {table.name: table for table in (await stats.collect(db, exact=True)).tables}
        size = text("SELECT citus_total_relation_size('faceplate.messages')")
        async with db.sessions() as session:
            total = (await session.execute(size)).scalar_one()
        indexes = {index.name: index for index in (await stats.collect(db)).indexes}
    assert (found["messages"].rows, found["users"].rows) == (300, 20)
    assert (exact["messages"].rows, exact["conversations"].rows) == (300, 60)
    messages = found["messages"]
    assert messages.heap_bytes + messages.index_bytes + messages.toast_bytes == total
    assert indexes["pk_messages"].bytes > 0
