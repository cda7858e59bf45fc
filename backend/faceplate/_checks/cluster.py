"""Checks of a Citus cluster, on each of its nodes."""

import json
from collections.abc import Iterator
from typing import Any

from faceplate._checks.findings import Flaw, warning
from faceplate._driver.connection import DriverConnection
from faceplate._driver.preamble import ROLE
from faceplate._schema import cluster
from faceplate._schema.cluster import Node
from faceplate._schema.distribution import FIRST
from faceplate.models import SCHEMA, Base

# Each node answers it. The policies of a shard are compared with those of its table, which the
# coordinator has. The sessions of Citus have names of its own.
OF_NODE = f"""
SELECT json_build_object(
    'is_coordinator', ({cluster.IS_COORDINATOR}),
    'powers', (SELECT array_remove(ARRAY[CASE WHEN rolsuper THEN 'SUPERUSER' END,
            CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL)
        FROM pg_roles WHERE rolname = '{ROLE}'),
    'has_limit', EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) AS c (setting)
        WHERE s.setrole = to_regrole('{ROLE}') AND c.setting ~ '^lock_timeout='
            AND c.setting !~ '=0[a-z]*$'
            AND s.setdatabase IN
                (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
    'synchronous_commit', current_setting('synchronous_commit'),
    'sessions', ARRAY(SELECT DISTINCT quote_ident(a.usename::text)
        FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND NOT r.rolsuper
            AND a.application_name
                !~ '^citus_(internal|rebalancer|run_command) gpid=' ORDER BY 1),
    'policies', (SELECT json_object_agg(kind.name, kind.policies) FROM (
        SELECT s.logicalrelid::text AS name, array_agg(DISTINCT concat_ws(' ', c.relrowsecurity,
            (SELECT string_agg(concat_ws(' ', p.polpermissive, p.polcmd, p.polroles::regrole[],
                    pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)),
                ', ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid))) AS policies
        FROM (SELECT logicalrelid, to_regclass(shard_name(logicalrelid, shardid)) AS place
                FROM pg_dist_shard
            UNION ALL SELECT logicalrelid, logicalrelid FROM pg_dist_partition) AS s
        JOIN pg_class c ON c.oid = s.place GROUP BY 1
    ) AS kind)
)
"""  # noqa: S608 - our own names
OF_COORDINATOR = f"""
SELECT json_build_object(
    'is_coordinator', ({cluster.IS_COORDINATOR}),
    'nodes', (SELECT json_agg(n) FROM ({cluster.NODES}) AS n),
    'local_tables', ARRAY(SELECT DISTINCT p.logicalrelid::regclass::text
        FROM pg_dist_partition p JOIN pg_dist_shard s USING (logicalrelid)
            JOIN pg_dist_placement x USING (shardid)
        WHERE p.partmethod = 'h' AND x.groupid = 0 ORDER BY 1),
    'distributed', ARRAY(SELECT logicalrelid::text FROM pg_dist_partition
        WHERE partmethod = 'h' OR repmodel = 't')
)::text
"""  # noqa: S608 - our own names
ANSWERS = """
SELECT n.nodename || ':' || n.nodeport AS name, a.success AS is_answer, a.result
FROM run_command_on_all_nodes($1) a JOIN pg_dist_node n USING (nodeid)
ORDER BY n.groupid
"""


async def ask(connection: DriverConnection, *, as_units: bool) -> dict[str, Any]:
    """Return what the coordinator and each node answer; only for a database with Citus.

    Citus connects to the nodes as the current role: with ``as_units`` that of units, since the
    login of units may be unknown there.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        if as_units:
            await connection.execute(f"SET LOCAL ROLE {ROLE}")
        found: dict[str, Any] = json.loads(await connection.fetchval(OF_COORDINATOR))
        is_used = found["is_coordinator"] and FIRST in found["distributed"]
        found["answers"] = await connection.fetch(ANSWERS, OF_NODE) if is_used else []
        return found
    finally:
        await transaction.rollback()  # which takes the role back, also in the doctor's transaction


def flaws(found: dict[str, Any], *, row_level_security: bool) -> Iterator[Flaw]:
    """Yield why users are not kept apart on a node, and what may be lost or wait there."""
    if not found["is_coordinator"]:
        yield Flaw(cluster.NOT_COORDINATOR)
        return
    if FIRST not in found["distributed"]:
        return  # the tables are as without Citus
    for problem in cluster.problems(Node(**node) for node in found["nodes"] or ()):
        yield Flaw(problem)
    for name in found["local_tables"]:
        yield Flaw(
            f"{name} has shards on the coordinator, where the policies do not keep users apart in"
            " what is written: SELECT citus_drain_node for the coordinator"
        )
    left = [t.fullname for t in Base.metadata.sorted_tables if t.schema == SCHEMA]
    for name in (name for name in left if name not in found["distributed"]):
        yield warning(f"{name} is not distributed: run `faceplate distribute`")
    expected = None
    for name, is_answer, result in found["answers"]:
        if not is_answer:
            yield Flaw(
                f"the node {name} of the Citus cluster cannot be asked: {result}: start it, and let"
                f" {ROLE} log in there",
                layer=None,
            )
            continue
        answer = json.loads(result)
        if not answer["is_coordinator"]:
            yield from _of_worker(name, answer)
        if row_level_security:
            yield from _of_units(name, answer)
            expected = expected or answer["policies"]  # the coordinator's, which is asked first
            yield from _of_shards(name, answer["policies"] or {}, expected or {})


def _of_worker(name: str, answer: dict[str, Any]) -> Iterator[Flaw]:
    if answer["sessions"]:
        yield Flaw(
            f"programs are connected to the worker {name} as {', '.join(answer['sessions'])}, where"
            " the policies do not keep users apart in what is written: let them connect to the"
            " coordinator, and let the worker's pg_hba.conf admit the nodes alone"
        )
    if answer["synchronous_commit"] == "off":
        yield warning(
            f"synchronous_commit is off on the worker {name}, so that its crash may lose the newest"
            " commits: ALTER DATABASE ... RESET synchronous_commit there, or postgresql.conf"
        )


def _of_units(name: str, answer: dict[str, Any]) -> Iterator[Flaw]:
    if powers := answer["powers"]:
        undo = " ".join(f"NO{power}" for power in powers)
        yield Flaw(
            f"the role {ROLE} has {', '.join(powers)} on the node {name}: ALTER ROLE {ROLE} {undo}"
        )
    if not answer["has_limit"]:
        yield warning(
            f"{ROLE} has no lock_timeout on the node {name}, so that a unit may wait there for a"
            " lock as long as its statement_timeout: run `faceplate distribute`"
        )


def _of_shards(name: str, found: dict[str, Any], expected: dict[str, Any]) -> Iterator[Flaw]:
    for table, policies in found.items():
        if policies != expected.get(table):
            yield Flaw(
                f"shards of {table} on the node {name} do not have the policies of their table:"
                f" compare pg_policies there, and create them as `faceplate migrate --sql` prints"
                " them"
            )
