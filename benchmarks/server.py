"""The server that is measured against: an embedded PostgreSQL 18 of the run's own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
from sqlalchemy import make_url

from faceplate import Settings, embedded, migrate

# Every side keeps a full pool open at the same time. All else, fsync above all, is the default.
OPTIONS = {"max_connections": "500"}


@contextmanager
def running_server() -> Iterator[embedded.Server]:
    """Start a server on a Unix socket, in a directory that is gone afterwards.

    Meanwhile that is the current one, so that no ``.env`` of the caller's is read.
    """
    with tempfile.TemporaryDirectory(prefix="faceplate-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # a server that root starts runs as somebody else
        data = directory / "postgres"
        try:
            with chdir(directory):
                yield embedded.start(data, options=OPTIONS)
        finally:
            embedded.wipe(data)


def forget_environment() -> None:
    """Let neither the caller's database nor their settings into the figures."""
    for name in tuple(os.environ):
        if name == "DATABASE_URL" or name.startswith(("FACEPLATE_", "PG")):
            del os.environ[name]


class Target(NamedTuple):
    """A database: the URL of its owner, and that of the server's administrator."""

    url: str
    admin_url: str


async def make_database(server: embedded.Server, name: str) -> Target:
    """Create a migrated database."""
    url = make_url(server.url)
    admin = await asyncpg.connect(server.admin_url)
    try:
        await admin.execute(f"CREATE DATABASE {name} OWNER {url.username}")
    finally:
        await admin.close()
    urls = (url, make_url(server.admin_url))
    target = Target(*(u.set(database=name).render_as_string(hide_password=False) for u in urls))
    await migrate.upgrade(Settings(database_url=target.url))
    return target


async def make_schema(url: str, schema: str) -> None:
    """Create a schema for a side that brings tables of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    finally:
        await connection.close()


async def tidy(target: Target) -> None:
    """Leave nothing for autovacuum to do at a moment of its own choice."""
    await _administer(target, "VACUUM ANALYZE")
    await checkpoint(target)


async def checkpoint(target: Target) -> None:
    """Let the next checkpoint be minutes away."""
    await _administer(target, "CHECKPOINT")


async def _administer(target: Target, command: str) -> None:
    connection = await asyncpg.connect(target.admin_url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()


def sqlalchemy_url(url: str, driver: str = "asyncpg") -> str:
    """Return ``url`` as `create_async_engine` takes it."""
    return url.replace("postgresql://", f"postgresql+{driver}://", 1)
