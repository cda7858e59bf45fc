"""The check of a Citus cluster in `faceplate doctor`: its nodes, and what is on them."""

from faceplate._operations.findings import Finding, Level, Subject
from faceplate._schema import cluster

SHARDS = """
SELECT count(DISTINCT p.logicalrelid), count(*) FROM pg_dist_partition p
JOIN pg_dist_shard s USING (logicalrelid) JOIN pg_namespace n ON n.nspname = 'faceplate'
JOIN pg_class c ON c.oid = p.logicalrelid AND c.relnamespace = n.oid WHERE p.partmethod = 'h'
"""
UNSAFE = """
SELECT nodename || ':' || nodeport AS name, result FROM run_command_on_workers($$
    SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'
$$) WHERE success AND result <> ''
"""


async def check_cluster(subject: Subject) -> list[Finding]:
    """Return the size of the cluster, and which worker a crash may empty.

    Whatever else is wrong with a node is a finding of the isolation.
    """
    if not await subject.owner.fetchval(cluster.IS_CLUSTER):
        return [Finding(Level.SKIPPED, "the database has no Citus")]
    nodes = [cluster.Node(*row) for row in await subject.owner.fetch(cluster.NODES)]
    workers = sum(node.has_shards for node in nodes)
    tables, shards = await subject.owner.fetchrow(SHARDS) or (0, 0)
    found = f"nodes that take shards: {workers}; distributed tables: {tables}, in {shards} shards"
    if not tables:
        advice = "Run `faceplate distribute`, or DROP EXTENSION citus."
        return [Finding(Level.WARNING, found, advice)]
    return [
        Finding(
            Level.PROBLEM,
            f"{setting} is off on the worker {name}: a crash of it may lose everything",
            f"Set {setting} = on there.",
        )
        for name, settings in await subject.owner.fetch(UNSAFE)
        for setting in settings.split()
    ] or [Finding(Level.OK, found)]
