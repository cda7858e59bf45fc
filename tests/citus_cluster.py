"""Databases on every node of a Citus cluster, for the tests that run there.

``FACEPLATE_TEST_CITUS_NODES`` names the nodes of the cluster as ``host:port``, the coordinator
first. The administrator of each is ``postgres``, who needs no password.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL

T = TypeVar("T")

VARIABLE = "FACEPLATE_TEST_CITUS_NODES"
NODES = [node for node in os.environ.get(VARIABLE, "").split(",") if node]
EMPTY = "faceplate_test_citus"
"""The database from which the empty ones are copied: it has the extension and the workers."""
END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
IN_USE_S = 20.0
ONE_AT_A_TIME = "SELECT pg_advisory_lock(hashtext('the roles of the tests'))"
"""What a connection runs before it alters roles, until it closes: the workers of a run share them,
and PostgreSQL refuses two at a time."""


def url_of(node: str, database: str = "postgres", role: str = "postgres") -> URL:
    """Return the URL of a database on a node, by default that of its administrator."""
    host, _, port = node.rpartition(":")
    return URL.create("postgresql", role, host=host, port=int(port), database=database)


class Cluster:
    """The nodes of a cluster, each by the URL of its administrator."""

    def __init__(self) -> None:
        self.nodes = [url_of(node) for node in NODES]
        self.coordinator, *self.workers = self.nodes

    def make_role(self, role: str, password: str) -> None:
        """Make the role that the tests work as, on each node."""
        options = f"LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE PASSWORD '{password}'"
        for node in self.nodes:
            _run(node, lambda connection: _make_role(connection, role, options))

    def create(self, name: str, owner: str, template: str) -> None:
        """Create a database on each node, as a copy; ``template0`` has the extension as well."""
        if template == "template0":
            template = self._empty()
        for node in self.nodes:
            _run(node, lambda connection: _copy(connection, name, owner, template))

    def drop(self, name: str) -> None:
        for node in self.nodes:
            _run(node, lambda connection: _drop(connection, name))

    def _empty(self) -> str:
        if _run(
            self.coordinator,
            lambda c: c.fetchval(f"SELECT oid FROM pg_database WHERE datname = '{EMPTY}'"),
        ):
            return EMPTY
        for node in self.nodes:
            _run(node, lambda c: c.execute(f"CREATE DATABASE {EMPTY}"))
            _run(node.set(database=EMPTY), lambda c: c.execute("CREATE EXTENSION citus"))
        _run(self.coordinator.set(database=EMPTY), self._add_nodes)
        return EMPTY

    async def _add_nodes(self, connection: "asyncpg.Connection[Any]") -> None:
        at = self.coordinator
        await connection.execute("SELECT citus_set_coordinator_host($1, $2)", at.host, at.port)
        for worker in self.workers:
            await connection.execute("SELECT citus_add_node($1, $2)", worker.host, worker.port)


async def _make_role(connection: "asyncpg.Connection[Any]", role: str, options: str) -> None:
    await connection.execute(ONE_AT_A_TIME)
    known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    await connection.execute(f"{'ALTER' if known else 'CREATE'} ROLE {role} {options}")
    with suppress(asyncpg.DuplicateObjectError):  # another owner has made it
        await connection.execute("CREATE ROLE faceplate_app NOLOGIN")
    await connection.execute(f"GRANT faceplate_app TO {role} WITH ADMIN OPTION")


async def _drop(connection: "asyncpg.Connection[Any]", name: str) -> None:
    """Drop a database. Citus's own daemon may be connected to it once more meanwhile."""
    async with asyncio.timeout(IN_USE_S):
        while True:
            with suppress(asyncpg.ObjectInUseError):
                await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
                return


async def _copy(
    connection: "asyncpg.Connection[Any]", name: str, owner: str, template: str
) -> None:
    """Copy a database. Citus's own daemon, which is connected to it, has to go for a moment."""
    async with asyncio.timeout(IN_USE_S):
        while True:
            await connection.execute(END_SESSIONS, template)
            try:
                await connection.execute(
                    f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}"
                )
            except asyncpg.ObjectInUseError:
                await asyncio.sleep(0.05)  # until the daemon has ended
            else:
                return


def _run(node: URL, work: Callable[["asyncpg.Connection[Any]"], Awaitable[T]]) -> T:
    async def run() -> T:
        connection = await asyncpg.connect(node.render_as_string(hide_password=False), timeout=5)
        try:
            return await work(connection)
        finally:
            await connection.close(timeout=5)

    # A loop of its own, so that a fixture can call this whatever loop its test has.
    with closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(run())
