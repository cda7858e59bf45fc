"""Databases on a Citus cluster; without FACEPLATE_TEST_CITUS_NODES, nothing is collected."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from tests.citus_cluster import NODES, Cluster, url_of
from tests.databases import Operator, settings_of
from tests.postgres import dsn

from faceplate import Settings, migrate

OWNER = "faceplate_citus_test"

if not NODES:
    collect_ignore_glob = ["test_*.py"]


def url(node: str, database: str) -> str:
    """Return the URL of the owner of a database, on a node."""
    return dsn(url_of(node, database, OWNER).set(password=OWNER))


@asynccontextmanager
async def administrator(node: str, database: str = "postgres") -> AsyncIterator[Operator]:
    connection = await asyncpg.connect(dsn(url_of(node, database)))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def nodes() -> Cluster:
    """The nodes, on which the owner of the databases may log in."""
    made = Cluster()
    made.make_role(OWNER, OWNER)
    return made


@pytest.fixture
def empty_cluster(nodes: Cluster) -> Iterator[Settings]:
    """An empty database on all nodes, which belongs to a role that is no superuser."""
    name = f"faceplate_test_{secrets.token_hex(6)}"
    nodes.create(name, OWNER, "template0")
    try:
        yield settings_of(url(NODES[0], name))
    finally:
        nodes.drop(name)


@pytest.fixture
async def cluster(empty_cluster: Settings) -> Settings:
    """A migrated database on all nodes; no table is distributed."""
    await migrate.upgrade(empty_cluster)
    return empty_cluster


@pytest.fixture
async def admin(empty_cluster: Settings) -> AsyncIterator[Operator]:
    """An administrator on the coordinator's database."""
    async with administrator(NODES[0], name_of(empty_cluster)) as connection:
        yield connection


@asynccontextmanager
async def on_worker(settings: Settings) -> AsyncIterator[Operator]:
    """An administrator on the first worker, who sees the shards."""
    async with administrator(NODES[1], name_of(settings)) as connection:
        await connection.execute("SET citus.override_table_visibility = off")
        yield connection


def name_of(settings: Settings) -> str:
    return settings.target.rpartition("/")[2]
