"""The check of a Citus cluster in `faceplate doctor`: its nodes, and what is on them."""

from faceplate._operations.findings import Finding, Level, Subject
from faceplate._schema import cluster

SHARDS = """
SELECT count(DISTINCT p.logicalrelid), count(*) FROM pg_dist_partition p
JOIN pg_dist_shard s USING (logicalrelid) JOIN pg_namespace n ON n.nspname = 'faceplate'
JOIN pg_class c ON c.oid = p.logicalrelid AND c.relnamespace = n.oid WHERE p.partmethod = 'h'
"""


async def check_cluster(subject: Subject) -> list[Finding]:
    """Return the size of the cluster; what is wrong with it is a finding of the isolation."""
    if not await subject.owner.fetchval(cluster.IS_CLUSTER):
        return [Finding(Level.SKIPPED, "the database has no Citus")]
    nodes = [cluster.Node(*row) for row in await subject.owner.fetch(cluster.NODES)]
    workers = sum(node.has_shards for node in nodes)
    tables, shards = await subject.owner.fetchrow(SHARDS) or (0, 0)
    found = f"nodes that take shards: {workers}; distributed tables: {tables}, in {shards} shards"
    if not tables:
        advice = "Run `faceplate distribute`, or DROP EXTENSION citus."
        return [Finding(Level.WARNING, found, advice)]
    return [Finding(Level.OK, found)]
