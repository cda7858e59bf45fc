"""Every command with every kind of bad input: what it answers, its exit code, no traceback.

A command that is not in `TABLE` fails `test_every_command_is_in_the_table`.
"""

import asyncio
import os
import pty
import re
import signal
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.commands import COMMAND, TRIP, Result, Run, write

from faceplate import encryption
from faceplate.cli.app import COMMANDS
from faceplate.cli.server import app as server_app

NO_ID = "00000000-0000-0000-0000-000000000000"
ME = "me@example.com"
SERVER = tuple(
    f"server {info.name or info.callback.__name__}"
    for info in server_app.registered_commands
    if info.callback is not None
)
ALONE = {"init", "generate-key", *SERVER}
"""Commands that use no database, or only the local server."""


class Bad(NamedTuple):
    """Arguments that cannot work, and what the command says of them."""

    arguments: str
    code: int
    says: str


FILES = (
    Bad("{file}/missing.json", 2, "does not exist"),
    Bad("{file}/empty.json", 1, "empty.json: the file is empty"),
    Bad("{file}/blank.json", 1, "blank.json: the file is empty"),
    Bad("{file}/binary.png", 1, "binary.png: is of no format that can be read"),
    Bad("{file}/text.txt", 1, "text.txt: is of no format that can be read"),
    Bad("{file}/unknown.json", 1, "unknown.json: is of no format that can be read"),
    Bad("{file}/empty.zip", 1, "empty.zip"),
    Bad("/proc/self/mem", 1, "/proc/self/mem: "),
)
FILES_OF_DEMO = (
    Bad("{file}", 2, "is a directory"),
    Bad("/dev/null", 2, "/dev/null is a pipe or a device"),
    Bad("{file}/pipe", 2, "pipe is a pipe or a device"),
)
UNKNOWN_USER = Bad("--user nobody@example.com", 1, "user not found")
NO_CITUS = "the database has no Citus"
UNKNOWN_ID = Bad(f"--user {NO_ID}", 1, "user not found")
NO_USER = Bad("", 2, "Missing option '--user'")

TABLE: dict[str, Sequence[Bad]] = {
    "demo": FILES + FILES_OF_DEMO,
    "init": (
        Bad("{file}/text.txt", 2, "is a file"),
        Bad("/proc/nowhere", 1, "/proc/nowhere"),
        Bad("{file}/taken", 2, "alembic.ini"),
    ),
    "import": (
        Bad("", 2, "Missing argument 'FILE'"),
        Bad("{file}/trip.jsonl", 2, "Missing option '--user'"),
        *(bad._replace(arguments=f"{bad.arguments} --user {ME}") for bad in FILES),
        Bad(f"/dev/null --user {ME}", 1, "/dev/null: the file is empty"),
        Bad(f"{{file}}/taken --user {ME}", 1, "taken: a folder without a file of chats"),
        Bad(f"{{file}} --user {ME}", 1, "blank.json: not read: the file is empty"),
        Bad(f"{{file}}/trip.jsonl {{file}}/empty.json --user {ME}", 1, "empty.json: the file is"),
        Bad(f"{{file}}/trip.jsonl --user {NO_ID}", 1, "user not found"),
        Bad("{file}/trip.jsonl --user nobody", 2, "e-mail"),
        Bad(f"{{file}}/trip.jsonl --user {ME} --format gopher", 2, "must be one of claude-code"),
        Bad(f"{{file}}/cut.jsonl --user {ME}", 1, "line 1: not JSON"),
    ),
    "conversations": (
        NO_USER,
        UNKNOWN_USER,
        UNKNOWN_ID,
        Bad(f"--user {ME} --limit 0", 2, "limit"),
        Bad(f"--user {ME} --limit many", 2, "Invalid value for '--limit'"),
        Bad(f"--user {ME} --cursor x", 2, "cursor"),
        Bad(f"--user {ME} --search  --limit 5", 2, ""),
    ),
    "show": (
        Bad(f"--user {ME}", 2, "Missing argument 'ID'"),
        Bad(f"no-id --user {ME}", 2, "Invalid value for 'ID'"),
        Bad(f"{NO_ID} --user {ME}", 1, "conversation not found"),
        Bad(f"{NO_ID} --user nobody@example.com", 1, "user not found"),
    ),
    "mcp": (NO_USER, UNKNOWN_USER, UNKNOWN_ID, Bad("--user nobody", 1, "user not found")),
    "users": (
        Bad("nobody@example.com", 1, "user not found"),
        Bad(NO_ID, 1, "user not found"),
        Bad("no-subject", 1, "user not found"),
        Bad("--limit 0", 2, "limit"),
        Bad("--cursor x", 2, "cursor: is not a cursor of this list"),
    ),
    "check": (Bad("extra", 2, "unexpected extra argument"),),
    "doctor": (Bad("extra", 2, "unexpected extra argument"),),
    "migrate": (Bad("--revision nowhere", 2, "'nowhere'"),),
    "stats": (Bad("--busiest 0", 2, "Invalid value for '--busiest'"),),
    "export": (
        NO_USER,
        UNKNOWN_USER,
        UNKNOWN_ID,
        Bad(f"--user {ME} --output {{file}}", 2, "is a directory"),
        Bad(f"--user {ME} --output {{file}}/text.txt", 2, "exists already"),
        Bad(f"--user {ME} --output {{file}}/pipe --force", 2, "is no regular file"),
        Bad(f"--user {ME} --output /dev/null --force", 2, "is no regular file"),
        Bad(f"--user {ME} --output {{file}}/no/folder.jsonl", 1, "No such file or directory"),
        Bad(f"--user {ME} --output /proc/new.jsonl", 1, "/proc/new.jsonl"),
        Bad(f"--user {ME} --format docx", 2, "--format must be one of"),
        Bad(f"--user {ME} --format html", 2, "--format html needs --conversation"),
        Bad(f"--user {ME} --conversation {NO_ID}", 2, "--conversation needs --format"),
        Bad(f"--user {ME} --format html --conversation x", 2, "Invalid value for '--conversation'"),
        Bad(f"--user {ME} --format html --conversation {NO_ID}", 1, "conversation not found"),
        Bad("--user nobody@example.com --format openai", 1, "user not found"),
        Bad(f"--user {ME} --format openai --output {{file}}/no/x", 1, "No such file or directory"),
    ),
    "erase": (
        Bad("--yes", 2, "Missing option '--user'"),
        Bad(f"--user {ME}", 2, "--yes is needed"),
        Bad("--user nobody@example.com --yes", 1, "user not found"),
        Bad(f"--user {ME} --yes --export-to {{file}}/text.txt", 2, "there already"),
        Bad(f"--user {ME} --yes --export-to {{file}}/no/folder", 1, "No such file or directory"),
    ),
    "purge": (
        Bad("--yes", 2, "Missing option '--older-than'"),
        Bad("--older-than 90d", 2, "--yes is needed"),
        Bad("--older-than soon --yes", 2, "a whole number and s, m, h or d"),
        Bad("--older-than 1h --yes", 2, "one day at least"),
    ),
    "distribute": (
        Bad("", 2, "--yes is needed"),
        Bad("--dry-run", 2, NO_CITUS),
        Bad("--yes", 2, NO_CITUS),
    ),
    "sweep": (Bad("--older-than soon", 2, "a whole number and s, m, h or d"),),
    "seed": (
        Bad("--users 0", 2, "Invalid value for '--users'"),
        Bad("--messages many", 2, "Invalid value for '--messages'"),
    ),
    "generate-key": (Bad("extra", 2, "unexpected extra argument"),),
    "rotate-keys": (Bad("", 2, "set FACEPLATE_ENCRYPTION_KEYS"),),
    "server start": (Bad("extra", 2, "unexpected extra argument"),),
    "server status": (Bad("extra", 2, "unexpected extra argument"),),
    "server stop": (Bad("extra", 2, "unexpected extra argument"),),
    "server drop": (
        Bad("", 2, "Missing argument 'DATABASE'"),
        Bad("nowhere --yes", 2, "there is no local database nowhere"),
    ),
    "server wipe": (Bad("", 2, "--yes is needed"),),
}

WORKS = {
    "import": f"{{file}}/trip.jsonl --user {ME}",
    "conversations": f"--user {ME}",
    "show": f"{NO_ID} --user {ME}",
    "export": f"--user {ME}",
    "mcp": f"--user {ME}",
    "erase": f"--user {ME} --yes",
    "purge": "--older-than 90d --yes",
    "distribute": "--yes",
}
"""Arguments with which a command gets as far as the server; of the others, none."""

ON_A_DATABASE = sorted(TABLE.keys() - ALONE)
KEY = encryption.generate_key()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with files that are no chats, and one that is."""
    folder = tmp_path / "files"
    (folder / "taken").mkdir(parents=True)
    (folder / "taken" / "alembic.ini").touch()
    (folder / "empty.json").touch()
    os.mkfifo(folder / "pipe")
    (folder / "blank.json").write_text(" \n\n")
    (folder / "binary.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    (folder / "text.txt").write_text("Dear diary,\ntoday I wrote no JSON.\n")
    (folder / "unknown.json").write_text('{"recipes": [{"name": "soup"}]}')
    (folder / "empty.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    (folder / "cut.jsonl").write_text('{"messages": [{"role": "user", "content": "Hel')
    write(folder / "trip.jsonl", TRIP)
    return folder


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """The URL of a server that refuses every password."""
    fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
    answer = b"E" + struct.pack("!i", 4 + len(fields)) + fields

    class Refusal(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusal) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.server_address[1]
        yield f"postgresql://app:hunter2@127.0.0.1:{port}/shop?sslmode=disable"
        server.shutdown()
        thread.join()


@pytest.fixture
def call(files: Path, faceplate: Run) -> Callable[..., Result]:
    """Run a command, without a traceback, whatever comes of it."""

    def call(command: str, arguments: str = "", **variables: str) -> Result:
        words = [word.format(file=files) for word in arguments.split(" ") if word]
        variables = {"FACEPLATE_ENCRYPTION_KEYS": "", **variables}
        result = faceplate(*command.split(), *words, **variables)
        said = result.stdout + result.stderr
        assert "Traceback" not in said
        assert "[Errno" not in said
        return result

    return call


def test_every_command_is_in_the_table() -> None:
    """Else a new command answers bad input with a traceback, and nobody sees it."""
    assert TABLE.keys() == COMMANDS.keys() - {"server"} | {*SERVER}


@pytest.mark.parametrize(
    ("command", "bad"),
    [
        pytest.param(
            command,
            bad,
            id=f"{command} {bad.arguments}",
            marks=[pytest.mark.not_on_citus("it is there")] * (bad.says == NO_CITUS),
        )
        for command, table in TABLE.items()
        for bad in table
    ],
)
def test_bad_input_is_told_in_words(call: Callable[..., Result], command: str, bad: Bad) -> None:
    call("import", f"{{file}}/trip.jsonl --user {ME}")
    result = call(command, bad.arguments)
    said = " ".join((result.stdout + result.stderr).split())
    assert bad.says in said
    assert result.returncode == bad.code, said


@pytest.mark.parametrize("command", TABLE)
def test_an_unknown_option_is_wrong_usage(call: Callable[..., Result], command: str) -> None:
    result = call(command, "--nonsense")
    assert result.returncode == 2
    assert re.search("No such option.*--nonsense", result.stderr)
    assert result.stdout == ""


@pytest.mark.parametrize("command", TABLE)
def test_help_shows_no_type_beside_a_flag(call: Callable[..., Result], command: str) -> None:
    for option in ("-h", "--help"):
        result = call(command, option)
        assert result.returncode == 0
        assert result.stdout.startswith(f"Usage: faceplate {command}")
        assert "bool" not in result.stdout
        assert re.search(r"\n  --json +Print JSON, for scripts\.\n", result.stdout) or (
            command in {"demo", "mcp"}
        )


@pytest.mark.parametrize("command", ON_A_DATABASE)
class TestUnusableServers:
    def test_no_server(self, call: Callable[..., Result], command: str) -> None:
        with closing(socket.socket()) as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            result = call(
                command,
                WORKS.get(command, ""),
                DATABASE_URL=f"postgresql://app:hunter2@127.0.0.1:{port}/shop",
                FACEPLATE_STARTUP_TIMEOUT_S="0.1",
                FACEPLATE_ENCRYPTION_KEYS=KEY,
            )
        said = result.stdout + result.stderr
        assert result.returncode == 1, said
        assert f"127.0.0.1:{port}" in said
        assert "hunter2" not in said

    def test_a_wrong_password(
        self, call: Callable[..., Result], command: str, refusing: str
    ) -> None:
        result = call(
            command,
            WORKS.get(command, ""),
            DATABASE_URL=refusing,
            FACEPLATE_ENCRYPTION_KEYS=KEY,
        )
        said = result.stdout + result.stderr
        assert result.returncode == 1, said
        assert "hunter2" not in said
        assert "28P01" in said or "password" in said

    def test_a_database_without_the_schema(
        self, call: Callable[..., Result], command: str, empty_database_url: str
    ) -> None:
        if command in {"demo", "migrate"}:
            return  # they make it
        result = call(
            command,
            WORKS.get(command, ""),
            DATABASE_URL=empty_database_url,
            FACEPLATE_ENCRYPTION_KEYS=KEY,
        )
        said = result.stdout + result.stderr
        assert result.returncode == 1, said
        assert "`faceplate migrate`" in " ".join(said.split())

    def test_a_malformed_url(self, call: Callable[..., Result], command: str) -> None:
        result = call(
            command, WORKS.get(command, ""), DATABASE_URL="mysql://u:hunter2@localhost/db"
        )
        assert result.returncode == 2
        assert "DATABASE_URL" in result.stderr
        assert "hunter2" not in result.stderr

    async def test_an_interrupt(
        self, environment: dict[str, str], files: Path, command: str
    ) -> None:
        """A server that accepts and never answers holds the command where it is interrupted."""
        asked = asyncio.Event()

        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(8)
            asked.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            variables = environment | {
                "DATABASE_URL": f"postgresql://app:hunter2@127.0.0.1:{port}/shop",
                "FACEPLATE_CONNECT_TIMEOUT_S": "60",
                "FACEPLATE_STARTUP_TIMEOUT_S": "60",
                "FACEPLATE_ENCRYPTION_KEYS": KEY,
            }
            arguments = WORKS.get(command, "").format(file=files).split()
            process = await asyncio.create_subprocess_exec(
                *COMMAND, command, *arguments, env=variables,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            async with asyncio.timeout(60):
                await asked.wait()
                process.send_signal(signal.SIGINT)
                stdout, stderr = await process.communicate()
        said = (stdout + stderr).decode()
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert "interrupted" in said


async def test_an_interrupt_at_a_question_changes_nothing(
    environment: dict[str, str], files: Path
) -> None:
    """Else Ctrl-C at a question ends in a traceback, or is taken for a no."""
    ours, its = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "export", "--user", ME, "--output", str(files / "text.txt"),
        env=environment, stdin=its, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    os.close(its)
    assert process.stderr is not None
    async with asyncio.timeout(60):
        asked = await process.stderr.readuntil(b"[y/N]: ")
        process.send_signal(signal.SIGINT)
        rest = await process.stderr.read()
        await process.wait()
    os.close(ours)
    assert b"text.txt exists already. Replace it?" in asked
    assert rest == b"interrupted\n"
    assert process.returncode == 130
    assert (files / "text.txt").read_text().startswith("Dear diary")
