"""PostgreSQL servers of the fault suite's own, which it may kill."""

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
from pydantic import SecretStr
from tests import processes

from faceplate import Settings, embedded, migrate


class OwnServer:
    """A migrated server with a data directory of its own. ``url`` stays the same for good."""

    def __init__(self, directory: Path, options: Mapping[str, str]) -> None:
        self.directory = directory
        self._options = options
        self.start()

    def start(self) -> None:
        """Start it, again after `stop` or `kill`, and return when it accepts connections."""
        server = embedded.start(self.directory, options=self._options)
        self.pid, self.url, self.admin_url = server.pid, server.url, server.admin_url

    def stop(self) -> None:
        """Shut it down in good order, with every connection that is open."""
        embedded.stop(self.directory)

    def copy(self) -> None:
        """Copy the data directory as it is now, in place of an earlier copy. It must not run."""
        self._copy_over(self.directory, self._backup)

    def put_back(self) -> None:
        """Put the copy in place of the data directory. The server must not run."""
        self._copy_over(self._backup, self.directory)

    @property
    def _backup(self) -> Path:
        return self.directory.with_name("backup")

    def _copy_over(self, source: Path, target: Path) -> None:
        subprocess.run(["rm", "-rf", target], check=True)
        subprocess.run(["cp", "-a", source, target], check=True)  # with its owner

    def kill(self) -> None:
        """End the postmaster and all its children with SIGKILL, and return when they are gone."""
        family = [*processes.stop(self.pid), self.pid]
        processes.send(signal.SIGKILL, family)
        processes.wait_for("Z", family)


@contextmanager
def own_server(script: str = "", **options: str) -> Iterator[OwnServer]:
    """Yield a server that was started with ``options`` of postgresql.conf; wipe it afterwards.

    ``script`` is SQL that its administrator runs once, in the migrated database.
    """
    with tempfile.TemporaryDirectory(prefix="faceplate-faults-") as name:
        place = Path(name)
        place.chmod(0o755)  # a server that root starts runs as somebody else
        try:
            server = OwnServer(place / "pg", options)
            # A loop of its own, so that a fixture can call this whatever loop its test has.
            with closing(asyncio.new_event_loop()) as loop:
                loop.run_until_complete(_prepare(server, script))
            yield server
        finally:
            embedded.wipe(place / "pg")


async def _prepare(server: OwnServer, script: str) -> None:
    await migrate.upgrade(Settings(database_url=SecretStr(server.url)))
    admin = await asyncpg.connect(server.admin_url, database="faceplate")
    try:
        await admin.execute(script or "SELECT 1")  # asyncpg fails over an empty one
        if admin.get_server_version() < (16,):  # as `check` asks for there
            await admin.execute("ALTER ROLE faceplate NOCREATEROLE")
    finally:
        await admin.close()
