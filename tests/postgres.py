"""The PostgreSQL server of a run: where it comes from, and the role that the tests work as."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL, make_url
from testcontainers.community.postgres import PostgresContainer

from faceplate import embedded
from faceplate.embedded import _cluster, _postgres
from tests import citus_cluster
from tests.citus_cluster import Cluster

TEST_URL = "FACEPLATE_TEST_DATABASE_URL"
ROLE = "faceplate_test"
# What would be lost in a crash of the machine does not matter here.
EMBEDDED_OPTIONS = {"fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Server:
    """``admin`` made ``owner``, the role that the databases of the tests belong to."""

    admin: URL
    owner: URL
    version: str
    cluster: Cluster | None = None
    """The Citus cluster whose coordinator it is."""

    def create(self, name: str, template: str) -> URL:
        """Create a database that belongs to ``owner``, and return its URL."""
        owner = self.owner.username
        if self.cluster is not None:
            self.cluster.create(name, str(owner), template)
        else:
            execute(self.admin, f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}")
        return self.owner.set(database=name)

    def drop(self, name: str) -> None:
        """Drop a database, and end the sessions on it."""
        if self.cluster is not None:
            self.cluster.drop(name)
        else:
            execute(self.admin, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: URL, statement: str) -> None:
    """Run a statement, in an event loop of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(dsn(url), timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close(timeout=5)

    # A loop of its own, so that a fixture can call this whatever loop its test has.
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(run())


def use_programs(folder: Path, environment: pytest.MonkeyPatch) -> None:
    """Let `embedded` start the PostgreSQL of ``folder`` in place of the wheel's."""
    account = _postgres.new_owner()
    if _postgres.run([folder / "postgres", "-V"], account).returncode:
        pytest.exit(f"{folder}/postgres cannot be run by uid {account.uid}", returncode=3)
    environment.setattr(_postgres, "programs", lambda: folder)
    environment.setattr(_postgres, "programs_for", lambda *_: folder)
    environment.setattr(_cluster, "LOCALE", ("--locale=C.UTF-8",))  # builtin came with 17


def start(config: pytest.Config, directory: Path) -> AbstractContextManager[str]:
    """Return a context in which the server runs, and which yields its administrator's URL."""
    match config.option.database:
        case "embedded":
            return _embedded(directory)
        case "container":
            return _container(config.option.postgres_image)
        case "citus":
            if not citus_cluster.NODES:
                raise pytest.UsageError(f"{citus_cluster.VARIABLE} is not set")
            return nullcontext(dsn(Cluster().coordinator))
    if not os.environ.get(TEST_URL):
        raise pytest.UsageError(f"{TEST_URL} is not set")
    return nullcontext(os.environ[TEST_URL])


@contextmanager
def _embedded(directory: Path) -> Iterator[str]:
    try:
        yield embedded.start(directory, options=EMBEDDED_OPTIONS).admin_url
    finally:
        embedded.wipe(directory)


@contextmanager
def _container(image: str) -> Iterator[str]:
    with PostgresContainer(image, driver=None, password=secrets.token_hex()) as container:
        yield container.get_connection_url()


def prepare(config: pytest.Config, url: str) -> Server:
    """Look who answers; a superuser makes the role that the tests shall work as."""
    with closing(asyncio.new_event_loop()) as loop:
        admin = make_url(url).set(drivername="postgresql")
        server = loop.run_until_complete(_prepare_role(admin))
    if config.option.database != "citus":
        return server
    cluster = Cluster()
    cluster.make_role(ROLE, str(server.owner.password))
    return replace(server, cluster=cluster)


async def _prepare_role(admin: URL) -> Server:
    connection = await asyncpg.connect(dsn(admin), timeout=5)
    try:
        server_version = await connection.fetchval("SHOW server_version")
        if await connection.fetchval("SHOW is_superuser") == "off":
            return Server(admin, admin, server_version)
        # Derived, so that several runs may share a server.
        password = hashlib.sha256(f"{ROLE} {dsn(admin)}".encode()).hexdigest()
        await connection.execute(citus_cluster.ONE_AT_A_TIME)
        known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE)
        await connection.execute(
            f"{'ALTER' if known else 'CREATE'} ROLE {ROLE} LOGIN NOSUPERUSER NOBYPASSRLS"
            f" CREATEDB CREATEROLE PASSWORD '{password}'"
        )
        if connection.get_server_version() < (16,):
            await _take_createrole(connection)
        return Server(admin, admin.set(username=ROLE, password=password), server_version)
    finally:
        await connection.close(timeout=5)


async def _take_createrole(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Leave the role what it needs of CREATEROLE, of which `check` warns before PostgreSQL 16."""
    with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):
        await connection.execute("CREATE ROLE faceplate_app NOLOGIN")
    await connection.execute(f"GRANT faceplate_app TO {ROLE} WITH ADMIN OPTION")
    await connection.execute(f"ALTER ROLE {ROLE} NOCREATEROLE")


def dsn(url: URL) -> str:
    return url.render_as_string(hide_password=False)
