"""The PostgreSQL server of a test run, shared by its workers.

The workers of one run share a directory. The first worker that needs the server starts it and
writes down how to reach it; the process that began the run stops it.
"""

import fcntl
import hashlib
import importlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import make_url

from faceplate import embedded
from faceplate._driver.connecting import open_pooled_connection
from faceplate._driver.connection import DriverConnection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.error_mapping import map_connect_error
from faceplate.config import Settings
from faceplate.errors import ConfigurationError
from faceplate.testing._background import Background

TEST_URL: Final = "FACEPLATE_TEST_DATABASE_URL"
PREFIX: Final = "faceplate_test"
# What a crash of the machine would lose does not matter to a test.
OPTIONS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(frozen=True)
class Server:
    """The server of the test run.

    ``admin_url`` may create databases. ``owner_url`` owns those of the tests, and is no superuser.
    Neither names a database that tests use.
    """

    source: str
    """Where it comes from: ``embedded``, ``url`` or ``container``."""
    admin_url: str = field(repr=False)  # both have a password
    owner_url: str = field(repr=False)
    version: str
    container: str = ""
    """The id of the container, if there is one."""

    def url_of(self, database: str) -> str:
        """Return the owner's URL of a database."""
        return with_database(self.owner_url, database)


def with_database(url: str, database: str) -> str:
    """Return ``url`` with another database."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def settings_of(url: str) -> Settings:
    """Return settings for a login of the plugin's own, whatever the environment says."""
    return Settings(
        database_url=SecretStr(url),
        password=None,
        owner_url=None,
        owner_password=None,
        migration_url=None,
        read_urls=(),
        seal_key=None,
        pgbouncer=False,
        row_level_security=True,
        command_timeout_s=0,
        statement_timeout_s=0,
        connect_timeout_s=10,
        application_name="faceplate-testing",
    )


async def open_connection(url: str) -> DriverConnection:
    """Return a connection as the login of ``url``.

    Raises CannotConnect, or another error of faceplate's, that names the server.
    """
    settings = settings_of(url)
    try:
        return await open_pooled_connection(settings, units_role=False)
    except DRIVER_ERRORS as error:
        limit_s = settings.connect_timeout_s
        raise map_connect_error(error, target=settings.target, limit_s=limit_s) from error


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep the other workers of the run out during the block."""
    with (directory / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start(directory: Path, image: str, background: Background) -> Server:
    """Return the server of the run, started by the first worker that asks."""
    with locked(directory):
        state = directory / "server.json"
        if state.exists():
            return Server(**json.loads(state.read_text()))
        server = background.run(_prepared(_started(directory, image)))
        state.touch(0o600)
        state.write_text(json.dumps(asdict(server)))
        return server


def stop(directory: Path) -> None:
    """Stop the server of the run, or drop the run's databases on a server of somebody's own."""
    state = directory / "server.json"
    try:
        if state.exists():
            server = Server(**json.loads(state.read_text()))
            if server.source == "url":
                background = Background()
                try:
                    background.run(_drop_databases(server, token_of(directory)))
                finally:
                    background.close()
            elif server.source == "container":
                _remove_container(server.container)
    finally:
        embedded.wipe(directory / "postgres")
        shutil.rmtree(directory)


def token_of(directory: Path) -> str:
    """Return what the names of this run's databases have in common."""
    return f"{PREFIX}_{hashlib.sha256(str(directory).encode()).hexdigest()[:10]}"


def _started(directory: Path, image: str) -> Server:
    if url := os.environ.get(TEST_URL):
        return Server("url", url, "", "")
    if image:
        return _start_container(image)
    started = embedded.start(directory / "postgres", options=OPTIONS)
    return Server("embedded", started.admin_url, started.url, "")


async def _prepared(server: Server) -> Server:
    """Ask for the version; make the owner of the databases where the login is a superuser."""
    connection = await open_connection(server.admin_url)
    try:
        version = await connection.fetchval("SHOW server_version")
        owner_url = server.owner_url
        if not owner_url:
            is_superuser = await connection.fetchval("SHOW is_superuser") == "on"
            owner_url = server.admin_url
            if is_superuser:
                owner_url = await _make_owner(connection, server.admin_url)
        return Server(server.source, server.admin_url, owner_url, version, server.container)
    finally:
        await connection.close()


async def _make_owner(connection: DriverConnection, admin_url: str) -> str:
    # Derived, so that runs at the same time agree about it.
    password = hashlib.sha256(f"{PREFIX} {admin_url}".encode()).hexdigest()
    await connection.execute(f"SELECT pg_advisory_lock(hashtext('{PREFIX}'))")
    for role, login in (("faceplate_app", "NOLOGIN"), (PREFIX, "LOGIN NOSUPERUSER CREATEDB")):
        known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
        if not known:
            await connection.execute(f"CREATE ROLE {role} {login}")
    await connection.execute(f"ALTER ROLE {PREFIX} PASSWORD '{password}'")
    await connection.execute(f"GRANT faceplate_app TO {PREFIX} WITH ADMIN OPTION")
    url = make_url(admin_url).set(username=PREFIX, password=password)
    return url.render_as_string(hide_password=False)


async def _drop_databases(server: Server, token: str) -> None:
    connection = await open_connection(server.admin_url)
    try:
        found = await connection.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{token}_"
        )
        for row in found:
            await connection.execute(f'DROP DATABASE IF EXISTS "{row["datname"]}" WITH (FORCE)')
    finally:
        await connection.close()


def _start_container(image: str) -> Server:
    # The worker that starts it may end first, and testcontainers' reaper would then remove it.
    os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    postgres = _module("testcontainers.community.postgres")
    container = postgres.PostgresContainer(image, driver=None, password=secrets.token_hex())
    container.start()
    container_id = container.get_wrapped_container().id
    return Server("container", container.get_connection_url(), "", "", container_id)


def _remove_container(container_id: str) -> None:
    docker = _module("docker")
    with suppress(docker.errors.NotFound):
        docker.from_env().containers.get(container_id).remove(force=True, v=True)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            "faceplate_postgres_image needs a package: pip install 'testcontainers>=4.13'"
        ) from missing
