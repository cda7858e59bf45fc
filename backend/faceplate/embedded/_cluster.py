"""The database cluster of the local server: creating, starting, stopping.

:mod:`faceplate.embedded` calls these functions with the directory locked.
"""

import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal
from urllib.parse import quote

from faceplate.embedded import _databases, _postgres
from faceplate.embedded._postgres import Account, Postmaster
from faceplate.errors import Unavailable, UsageError

START_TIMEOUT_S: Final = 30
STOP_TIMEOUT_S: Final = 30
INITDB_TIMEOUT_S: Final = 60
POLL_S: Final = 0.05

# The builtin provider gives the same C.UTF-8 on every platform; macOS's libc has none.
LOCALE: Final = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
# fsync, full_page_writes and synchronous_commit stay on: a commit survives a crash.
DEFAULTS: Final = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_error_verbosity": "terse",  # DETAIL would quote the content of rows
}
# Files in the data directory. DEFAULTS_FILE marks a directory that faceplate created, and
# PREPARED_FILE one in which PREPARE succeeded.
DEFAULTS_FILE: Final = "faceplate.conf"
OPTIONS_FILE: Final = "faceplate.options.conf"
LOG_FILE: Final = "faceplate.log"
PREPARED_FILE: Final = "faceplate.prepared-3"  # the number grows with PREPARE

# A role has the schema of its own name first, and psql would create the project's tables there.
PREPARE: Final = """
SELECT 'CREATE ROLE faceplate LOGIN NOSUPERUSER NOBYPASSRLS CREATEDB CREATEROLE'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'faceplate') \\gexec
SELECT 'CREATE ROLE faceplate_unit LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'faceplate_unit') \\gexec
ALTER ROLE faceplate SET search_path = public;
SELECT 'CREATE DATABASE "{database}" OWNER faceplate'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
"""


@dataclass(frozen=True)
class Server:
    """A running server, with the URLs of one of its databases; ``psql`` is a shell command.

    ``url`` logs in as the owner of ``database``, which migrates. ``unit_url`` logs in as a role
    that owns nothing, for units. A program with two logins sets DATABASE_URL to ``unit_url`` and
    FACEPLATE_OWNER_URL to ``url``; a program with one login uses ``url``.
    """

    directory: Path
    database: str
    url: str
    unit_url: str
    admin_url: str
    pid: int
    psql: str


def is_ours(directory: Path) -> bool:
    """Return whether `start` created the data directory."""
    return (directory / "PG_VERSION").exists() and (directory / DEFAULTS_FILE).exists()


def is_ready(directory: Path, postmaster: Postmaster) -> bool:
    """Return whether the server is ready, and its roles exist."""
    return postmaster.status == "ready" and (directory / PREPARED_FILE).exists()


def start(
    directory: Path,
    options: Mapping[str, str] | None,
    choose: Callable[[_databases.Databases], str],
    folder: Path | None,
) -> Server:
    """Start the server unless it runs, and return it with the database that ``choose`` names.

    A new database is recorded as that of the project in ``folder``.
    """
    ours = is_ours(directory)
    account = _postgres.owner(directory) if ours else _postgres.new_owner()
    _postgres.check_reachable(directory.parent, account)
    programs = _postgres.programs_for(directory, account)
    if not ours:
        _create(directory, programs, account)
    deadline = time.monotonic() + START_TIMEOUT_S
    postmaster = _wait_settled(directory, deadline)
    if postmaster is None:
        configure(directory, account, options)
        postmaster = _launch(directory, programs, account, deadline)
    elif options is not None and _render(options) != (directory / OPTIONS_FILE).read_text():
        raise UsageError(f"{directory}: the server runs with other options; stop it first")
    databases = _databases.read(directory)
    server = server_of(directory, postmaster, choose(databases))
    _run_sql(server, PREPARE.format(database=server.database))
    _postgres.write(directory / PREPARED_FILE, "", account)
    if server.database not in databases:
        _databases.write(directory, databases | {server.database: folder}, account)
    return server


def drop(directory: Path, database: str) -> None:
    """Drop a database; start the server for it if it does not run."""
    databases = _databases.read(directory)
    was_running = _postgres.read_postmaster(directory) is not None
    server = start(directory, None, lambda _: database, databases[database])
    _run_sql(server, f'DROP DATABASE "{database}" WITH (FORCE);')
    del databases[database]
    _databases.write(directory, databases, _postgres.owner(directory))
    if not was_running:
        stop(directory, "fast")


def _create(directory: Path, programs: Path, account: Account) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty, and faceplate did not create it")
    _postgres.remove_leftovers(directory)
    scratch = _postgres.scratch_beside(directory)
    account.own(scratch, 0o700)
    auth = ["--auth-local=trust", "--auth-host=scram-sha-256"]
    switches = ["--encoding=UTF8", *LOCALE, *auth, "--username=postgres", f"--pgdata={scratch}"]
    result = _postgres.run([programs / "initdb", *switches], account, timeout_s=INITDB_TIMEOUT_S)
    if result.returncode:
        shutil.rmtree(scratch)
        raise Unavailable(f"{directory}: initdb failed:\n{_postgres.tail(result.stdout)}")
    with (scratch / "postgresql.conf").open("a") as conf:
        conf.write(f"\ninclude '{DEFAULTS_FILE}'\ninclude '{OPTIONS_FILE}'\n")
    _postgres.write(scratch / OPTIONS_FILE, "", account)
    _databases.write(scratch, {}, account)
    _postgres.write(scratch / DEFAULTS_FILE, "", account)
    scratch.rename(directory)


def configure(directory: Path, account: Account, options: Mapping[str, str] | None) -> None:
    """Write the settings of the server, and ``options`` unless they are None."""
    sockets = str(_postgres.socket_directory(directory, account)).replace('"', '""')
    settings = DEFAULTS | {"unix_socket_directories": f'"{sockets}"'}
    _postgres.write(directory / DEFAULTS_FILE, _render(settings), account)
    if options is not None:
        _postgres.write(directory / OPTIONS_FILE, _render(options), account)


def _render(settings: Mapping[str, str]) -> str:
    escapes = str.maketrans({"\\": r"\\", "'": "''", "\n": r"\n"})
    return "".join(f"{name} = '{settings[name].translate(escapes)}'\n" for name in sorted(settings))


def _launch(directory: Path, programs: Path, account: Account, deadline: float) -> Postmaster:
    """Start the server and wait until it is ready.

    After a crash the first attempts may fail, until the last session of the dead server has ended.
    """
    log = directory / LOG_FILE
    crashed = _postgres.release_stale_locks(directory)
    while True:
        with _open_log(log, account) as output:
            seen = output.tell()
            limit_s = max(1, round(deadline - time.monotonic()))
            switches = ["start", "--silent", "--wait", f"--timeout={limit_s}"]
            # pg_ctl passes its arguments to a shell, which might interpret a path. So the log is
            # passed as a descriptor, and the directory as PGDATA.
            _postgres.run(
                [programs / "pg_ctl", *switches],
                account,
                output=output.fileno(),
                pgdata=directory,
            )
        postmaster = _postgres.read_postmaster(directory)
        if postmaster is not None and postmaster.status == "ready":
            return postmaster
        if not crashed or time.monotonic() >= deadline:
            with log.open("rb") as written:
                written.seek(seen)
                end = _postgres.tail(written.read().decode(errors="replace"))
            raise Unavailable(f"{directory}: the server did not start:\n{end}")
        time.sleep(POLL_S * 5)


def _open_log(log: Path, account: Account) -> IO[bytes]:
    # The account owns the directory, and could place a link for root to follow.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(log, flags, 0o600)
    account.own(log, 0o600)
    output = os.fdopen(descriptor, "ab")
    output.seek(0, os.SEEK_END)
    return output


def _wait_settled(directory: Path, deadline: float) -> Postmaster | None:
    """Wait for a start or a stop in progress; return the server if it runs."""
    while True:
        postmaster = _postgres.read_postmaster(directory)
        if postmaster is None or (postmaster.status == "ready" and _is_answering(postmaster)):
            return postmaster
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"{directory}: its server, process {postmaster.pid}, is {postmaster.status!r} "
                f"and has not accepted a connection for {START_TIMEOUT_S} s"
            )
        time.sleep(POLL_S)


def _is_answering(postmaster: Postmaster) -> bool:
    # A server that was just killed may still have its process and its files.
    place = [f"--host={postmaster.socket_directory}", f"--port={postmaster.port}"]
    return _postgres.run([_postgres.programs() / "pg_isready", "--quiet", *place]).returncode == 0


def stop(directory: Path, mode: Literal["smart", "fast", "immediate"]) -> bool:
    """Stop the server and return True, or return False if it does not run."""
    postmaster = _postgres.read_postmaster(directory)
    if postmaster is None:
        return False
    signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
    deadline = time.monotonic() + STOP_TIMEOUT_S
    with suppress(ProcessLookupError):
        os.kill(postmaster.pid, signals[mode])
    while _postgres.read_postmaster(directory) is not None:
        if time.monotonic() >= deadline:
            raise Unavailable(f"{directory}: the server still runs {STOP_TIMEOUT_S} s after stop")
        time.sleep(POLL_S)
    _postgres.remove_short_socket_directory(directory)
    return True


def wipe(directory: Path) -> None:
    """Stop the server and remove its data directory."""
    _postgres.remove_leftovers(directory)
    if not directory.exists():
        return
    if not is_ours(directory):
        raise UsageError(f"{directory} is not a data directory that faceplate created")
    stop(directory, "fast")
    # Renamed first, so that an interrupted wipe leaves no incomplete data directory.
    renamed = directory.rename(_postgres.scratch_beside(directory))
    shutil.rmtree(renamed)
    _postgres.remove_short_socket_directory(directory)


def server_of(directory: Path, postmaster: Postmaster, database: str) -> Server:
    """Return the URLs of a running server."""
    sockets = quote(postmaster.socket_directory)
    url = f"postgresql://{{}}@/{{}}?host={sockets}&port={postmaster.port}"
    owner_url = url.format("faceplate", database)
    return Server(
        directory=directory,
        database=database,
        url=owner_url,
        unit_url=url.format("faceplate_unit", database),
        admin_url=url.format("postgres", "postgres"),
        pid=postmaster.pid,
        psql=shlex.join([str(_postgres.programs() / "psql"), owner_url]),
    )


def _run_sql(server: Server, sql: str) -> None:
    """Run statements as the server's administrator."""
    switches = ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
    psql: list[str | Path] = [_postgres.programs() / "psql", *switches, server.admin_url]
    result = _postgres.run(psql, text=sql)
    if result.returncode:
        raise Unavailable(
            f"{server.directory}: the roles and databases could not be changed:\n"
            f"{_postgres.tail(result.stdout)}"
        )
