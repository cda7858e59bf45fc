"""Databases on a Citus cluster, whose nodes FACEPLATE_TEST_CITUS_NODES names, coordinator first.

The nodes let the role postgres in without a password. Without the variable, nothing is collected.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from tests.databases import Operator, settings_of

from faceplate import Settings, migrate

NODES = os.environ.get("FACEPLATE_TEST_CITUS_NODES", "").split(",")
OWNER = "faceplate_citus_test"
MAKE_OWNER = f"""
DO $$ BEGIN
    CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{OWNER}';
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE faceplate_app LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT faceplate_app TO {OWNER} WITH ADMIN OPTION;
"""

if NODES == [""]:
    collect_ignore_glob = ["test_*.py"]


def url(node: str, database: str, role: str = OWNER) -> str:
    return f"postgresql://{role}:{OWNER}@{node}/{database}"


@asynccontextmanager
async def administrator(node: str, database: str = "postgres") -> AsyncIterator[Operator]:
    connection = await asyncpg.connect(url(node, database, "postgres"))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def empty_cluster() -> AsyncIterator[Settings]:
    """An empty database on all nodes, which belongs to a role that is no superuser."""
    name = f"faceplate_test_{secrets.token_hex(6)}"
    for node in NODES:
        async with administrator(node) as admin:
            await admin.execute(MAKE_OWNER)
            await admin.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
        async with administrator(node, name) as admin:
            await admin.execute("CREATE EXTENSION citus")
    coordinator, *workers = NODES
    async with administrator(coordinator, name) as admin:
        await admin.execute(
            "SELECT citus_set_coordinator_host('{}', {})".format(*split(coordinator))
        )
        for node in workers:
            await admin.execute("SELECT citus_add_node('{}', {})".format(*split(node)))
    try:
        yield settings_of(url(coordinator, name))
    finally:
        for node in NODES:
            async with administrator(node) as admin:
                await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


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


def split(node: str) -> tuple[str, int]:
    host, _, port = node.rpartition(":")
    return host, int(port)
