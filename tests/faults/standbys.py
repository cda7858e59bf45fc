"""A streaming standby of a server of the fault suite's own, which can be promoted."""

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
from sqlalchemy import make_url
from tests import processes
from tests.faults.servers import OwnServer

from faceplate import embedded
from faceplate.embedded import _cluster, _postgres

TIMEOUT_S = 30


class Standby:
    """``admin_url`` and ``url`` stay the same when it is promoted."""

    def __init__(self, primary: OwnServer, directory: Path) -> None:
        account = _postgres.owner(primary.directory)
        programs = _postgres.programs_for(directory, account)
        directory.mkdir()
        account.own(directory, 0o700)
        place = make_url(primary.admin_url).query
        source = [f"--host={place['host']}", f"--port={place['port']}", "--username=postgres"]
        switches = ["--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf"]
        _run([programs / "pg_basebackup", *source, *switches, f"--pgdata={directory}"], account)
        (directory / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # the primary's, copied along
        _cluster.configure(directory, account, None)  # a socket of its own
        self.directory, self._account, self._programs = directory, account, programs
        self.start()
        sockets = quote(str(_postgres.socket_directory(directory, account)))
        self.host = sockets
        self.url = f"postgresql://faceplate@/faceplate?host={sockets}&port=5432"
        self.admin_url = f"postgresql://postgres@/postgres?host={sockets}&port=5432"

    def start(self) -> None:
        """Start it, again after `kill`, and return when it accepts connections."""
        log = self.directory / "standby.log"
        switches = ["start", "--silent", "--wait", f"--log={log}"]
        _run([self._programs / "pg_ctl", *switches], self._account, pgdata=self.directory)

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int((self.directory / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """End the postmaster and all its children with SIGKILL, and return when they are gone."""
        pid = self.pid
        family = [*processes.stop(pid), pid]
        processes.send(signal.SIGKILL, family)
        processes.wait_for("Z", family)
        for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):  # they name a process that is gone
            (self.directory / lock).unlink(missing_ok=True)

    async def delay(self, seconds: float) -> None:
        """Have it replay each commit so many seconds after the primary made it."""
        admin = await asyncpg.connect(self.admin_url)
        await admin.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{seconds * 1000:.0f}'")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()

    async def promote(self) -> None:
        """Make it a primary, and return when it is one."""
        admin = await asyncpg.connect(self.admin_url)
        assert await admin.fetchval("SELECT pg_promote(true, $1)", TIMEOUT_S)
        await admin.close()


def _run(
    command: Sequence[str | Path], account: _postgres.Account, pgdata: Path | None = None
) -> None:
    ran = _postgres.run(command, account, pgdata=pgdata, timeout_s=TIMEOUT_S)
    assert ran.returncode == 0, ran.stdout


@contextmanager
def standby_of(primary: OwnServer) -> Iterator[Standby]:
    """Yield a standby that streams from ``primary``; wipe it afterwards, promoted or not."""
    with tempfile.TemporaryDirectory(prefix="faceplate-standby-") as name:
        place = Path(name)
        place.chmod(0o755)  # a server that root starts runs as somebody else
        try:
            yield Standby(primary, place / "pg")
        finally:
            embedded.stop(place / "pg", mode="immediate")
            embedded.wipe(place / "pg")
