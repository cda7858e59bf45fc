"""PgBouncer in transaction mode, between the sides and the server."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WHY_NOT = "pgbouncer is not installed: apt-get install pgbouncer"
PORT = 6432
START_S = 10.0
# Everything else, its limit for prepared statements above all, is this version's default.
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
listen_port = {own_port}
unix_socket_dir = {place}
auth_type = trust
auth_file = {place}/users
"""


def version() -> str:
    """Return the name and the version of the program, as it prints them."""
    assert PROGRAM
    printed = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    return printed.stdout.splitlines()[0]


@contextmanager
def pooling(target_url: str, connections: int) -> Iterator[str]:
    """Yield the URL of a pooler with so many ``connections`` to the server of ``target_url``."""
    assert PROGRAM
    url = urlsplit(target_url)
    query = parse_qs(url.query)
    host, port = query["host"][0], query["port"][0]
    account = Path(host).stat()  # PgBouncer refuses to run as root, as the server does
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="faceplate-pooler-") as name:
        place = Path(name)
        (place / "users").write_text(f'"{url.username}" ""\n')
        (place / "ini").write_text(
            CONFIGURATION.format(
                host=host, port=port, connections=connections, own_port=PORT, place=place
            )
        )
        if is_root:
            for path in (place, *place.iterdir()):
                os.chown(path, account.st_uid, account.st_gid)
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, "--quiet", place / "ini"],
                stdout=log,
                stderr=log,
                user=account.st_uid if is_root else None,
                group=account.st_gid if is_root else None,
                extra_groups=[] if is_root else None,
            )
        try:
            _wait_for(place / f".s.PGSQL.{PORT}", process, place / "log")
            yield f"postgresql://{url.username}@{url.path}?host={quote(name)}&port={PORT}"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _wait_for(socket: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PgBouncer did not start: {log.read_text()}")
        time.sleep(0.01)
