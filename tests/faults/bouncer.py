"""PgBouncer in transaction mode, in front of a server of the fault suite's own."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import make_url
from tests.faults.servers import OwnServer

PROGRAM = os.environ.get("FACEPLATE_TEST_PGBOUNCER") or shutil.which(
    "pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
)
"""That of the option --pgbouncer, or the one on PATH."""
WHY_NOT = "pgbouncer is not installed: apt-get install pgbouncer"
POOL_SIZE = 3
DEADLINE_S = 10.0
LIMITS = "statement_timeout, lock_timeout, idle_in_transaction_session_timeout, search_path"


def _can_track() -> bool:
    """Whether this version can give prepared statements names of its own."""
    if not PROGRAM:
        return False
    printed = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"(\d+)\.(\d+)", printed.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= (1, 21)


CAN_TRACK = _can_track()
NOT_TRACKING = "no PgBouncer that tracks prepared statements, of 1.21 or later: see --pgbouncer"
IF_TRACKING = pytest.mark.skipif(not CAN_TRACK, reason=NOT_TRACKING)
TRACKING = (False, pytest.param(True, marks=IF_TRACKING))
"""A fixture's parameters: a pooler that tracks no prepared statements, and one that does."""


@contextmanager
def bouncer(
    server: OwnServer,
    *,
    ignores_limits: bool = False,
    pool_size: int = POOL_SIZE,
    tracks: bool = False,
) -> Iterator[str]:
    """Yield the URL of a pooler in which few connections to ``server`` serve many clients.

    ``ignores_limits`` lets it take a client's time limits at the start, and forget them. One that
    ``tracks`` gives prepared statements names of its own.
    """
    assert PROGRAM
    url = make_url(server.url)
    socket_directory, port = str(url.query["host"]), str(url.query["port"])
    account = Path(socket_directory).stat()  # whom the server lets in
    with tempfile.TemporaryDirectory(prefix="faceplate-bouncer-") as name:
        place = Path(name)
        (place / "users").write_text('"faceplate" ""\n')
        (place / "ini").write_text(
            f"[databases]\n* = host={socket_directory} port={port}\n"
            f"[pgbouncer]\npool_mode = transaction\ndefault_pool_size = {pool_size}\n"
            f"max_client_conn = 500\nlisten_port = 6432\nunix_socket_dir = {place}\n"
            f"auth_type = trust\nauth_file = {place}/users\n"
            + (f"ignore_startup_parameters = {LIMITS}\n" if ignores_limits else "")
            + (f"max_prepared_statements = {200 if tracks else 0}\n" if CAN_TRACK else "")
        )
        for path in (place, *place.iterdir()):
            os.chown(path, account.st_uid, account.st_gid)
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(
                [PROGRAM, "--quiet", place / "ini"],
                stdout=log,
                stderr=log,
                user=account.st_uid if os.geteuid() == 0 else None,
                group=account.st_gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
            )
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not (place / ".s.PGSQL.6432").exists():
                assert process.poll() is None, (place / "log").read_text()
                assert time.monotonic() < deadline, (place / "log").read_text()
                time.sleep(0.01)
            yield f"postgresql://faceplate@/{url.database}?host={quote(name)}&port=6432"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)
