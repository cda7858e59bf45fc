"""The directory that the processes of a test run share, for as long as the run lives."""

from __future__ import annotations

import fcntl  # not on Windows, where PostgreSQL is not embedded
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

DIRECTORY = pytest.StashKey[Path]()
PREFIX = "faceplate-test-"
ALIVE_FILE = "alive"  # locked as long as the process of the run lives
WORKER_INPUT = "faceplate_directory"


def of_run(config: pytest.Config) -> Path:
    """Return the directory of this run, made when it is first asked for.

    The process that makes it stops the server and removes the directory when its run ends.
    """
    if (worker_input := getattr(config, "workerinput", None)) is not None:
        return Path(worker_input[WORKER_INPUT])
    if DIRECTORY not in config.stash:
        _stop_what_killed_runs_left()
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        directory.chmod(0o755)  # a server that root starts runs as a service account
        config.stash[DIRECTORY] = directory
        lock = (directory / "new").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        (directory / "new").rename(directory / ALIVE_FILE)  # no other run sees it unlocked
        config.add_cleanup(lock.close)
        config.add_cleanup(lambda: _stop(directory))  # before the lock is released
    return config.stash[DIRECTORY]


def _stop_what_killed_runs_left() -> None:
    """Stop the servers of this user's runs whose process holds its lock no more."""
    for alive in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{ALIVE_FILE}"):
        with suppress(FileNotFoundError, BlockingIOError):  # another run removes it, or it is alive
            if any(path.lstat().st_uid != os.geteuid() for path in (alive, alive.parent)):
                continue  # anybody may write into the directory for temporary files
            with alive.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if alive.exists():  # it was not removed before it was locked
                    _stop_killed(alive.parent)


def _stop_killed(directory: Path) -> None:
    from faceplate.errors import FaceplateError

    with suppress(FaceplateError):  # a server of somebody's own may be gone; this run needs it not
        _stop(directory)


def _stop(directory: Path) -> None:
    if {path.name for path in directory.iterdir()} == {ALIVE_FILE}:  # no fixture was used
        shutil.rmtree(directory)
        return
    from faceplate.testing import _server

    _server.stop(directory)
