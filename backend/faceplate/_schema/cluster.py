"""The Citus cluster that a database may be on: its nodes, and why it cannot be used.

Citus is an extension of PostgreSQL that spreads tables over several servers, the workers. Programs
connect to the coordinator.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

IS_CLUSTER = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
IS_COORDINATOR = "SELECT groupid = 0 FROM pg_dist_local_group"
NODES = """
SELECT nodename AS host, nodeport AS port, groupid = 0 AS is_coordinator, isactive AS is_active,
    shouldhaveshards AS has_shards
FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid
"""

NOT_COORDINATOR = (
    "this is a worker of a Citus cluster: connect to its coordinator, as the policies do not keep"
    " users apart in what is written through a node that has shards"
)
NO_WORKER = (
    "the Citus cluster has no worker, so that the tables would be distributed to the node that"
    " programs connect to, where the policies do not keep users apart in what is written: add"
    " workers with citus_add_node"
)


class Node(NamedTuple):
    """A row of `NODES`."""

    host: str
    port: int
    is_coordinator: bool
    is_active: bool
    has_shards: bool
    """Whether Citus may put shards there."""

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def problems(nodes: Iterable[Node]) -> Iterator[str]:
    """Yield why these nodes cannot keep users apart, or cannot be reached, a sentence each."""
    nodes = list(nodes)
    if not any(node.has_shards and not node.is_coordinator for node in nodes):
        yield NO_WORKER
    if not any(node.is_coordinator for node in nodes):
        yield "the coordinator is none of its cluster's nodes: SELECT citus_set_coordinator_host"
    for node in nodes:
        if node.is_coordinator and node.has_shards:
            yield (
                "Citus may put shards on the coordinator, where the policies do not keep users"
                " apart in what is written: SELECT citus_set_node_property("
                f"'{node.host}', {node.port}, 'shouldhaveshards', false); then move what is there"
                f" with SELECT citus_drain_node('{node.host}', {node.port})"
            )
        if not node.is_active:
            yield (
                f"the node {node.name} of the Citus cluster is not active:"
                f" SELECT citus_activate_node('{node.host}', {node.port})"
            )
