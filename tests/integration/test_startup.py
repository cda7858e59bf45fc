"""Servers that cannot be used: what a program that opens a Database says, and how soon it ends.

Each case is a process of its own, because what holds one up may be its end: a thread that still
resolves a name, a connection that closes politely.
"""

import asyncio
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from tests.unusable import (
    PASSWORD,
    Answer,
    Real,
    fake,
    free_port,
    frozen,
    full_backlog,
    hang_up,
    let_in_and_hang,
    make_certificate,
    refuse,
    refuse_tls,
    say_nothing,
    speak_garbage,
    speak_http,
    speak_tls,
    start_real,
    url_of,
)

from faceplate import embedded

# Without the start of Python, which takes as long as the machine is busy. With nothing else to do
# it is under a second, and what waits longest then ends after 3.1 s.
GONE_WITHIN_S = 5.0
WRONG_PASSWORD = "hunter2-is-not-it"

# Imports once and forks a process for each case, so that many can run at a time and still be
# measured; each then runs its program and ends by itself, as a Python that was started afresh does.
LAUNCHER = """
import asyncio, gc, json, os, socket, sys, time
from faceplate import Database

async def main():
    async with Database():
        print("usable")

def reap(flags):
    while started and (child := os.waitpid(-1, flags))[0]:
        number, began = started.pop(child[0])
        endings[number] = os.waitstatus_to_exitcode(child[1]), time.monotonic() - began

gc.freeze()
started, endings = {}, {}
for number, (url, output, names_are_answered) in enumerate(json.load(sys.stdin)):
    pid = os.fork()
    if not pid:
        os.environ["DATABASE_URL"] = url
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(1, 2)
        if not names_are_answered:
            socket.getaddrinfo = lambda *_, **__: time.sleep(60)
        asyncio.run(main())
        sys.exit()
    started[pid] = number, time.monotonic()
    for _ in range(20):  # a pause, so that they do not all end in the same moment
        time.sleep(0.01)
        reap(os.WNOHANG)
reap(0)
json.dump([endings[number] for number in sorted(endings)], sys.stdout)
"""


REFUSALS = [
    ("Unavailable", "57P03", "the database system is starting up"),
    ("Unavailable", "57P01", "terminating connection due to administrator command"),
    ("Unavailable", "57P05", "terminating connection due to idle-session timeout"),
    ("Unavailable", "57014", "canceling authentication due to timeout"),
    ("Unavailable", "53300", "sorry, too many clients already"),
    ("Unavailable", "53400", "Too many database connection attempts"),
    ("Unavailable", "58000", "backend unavailable"),
    ("Unavailable", "XX000", "Max client connections reached"),
    ("Unavailable", "08P01", "no more connections allowed (max_client_conn)"),
    ("Unavailable", "08P01", "query_wait_timeout"),
    ("CannotConnect", "08P01", "unsupported startup parameter: lock_timeout"),
    ("CannotConnect", "28000", "role is not permitted to log in"),
    ("CannotConnect", "3D000", "no such database"),
    ("CannotConnect", "42501", "permission denied for database"),
    ("CannotConnect", "22023", "role does not exist"),
]
"""What a server or a pooler refuses a connection with, and whether it is worth waiting for."""


@dataclass(frozen=True)
class Case:
    """``error`` and ``cause`` are what the last line that the program writes must name.

    No ``error``: the server can be used.
    """

    what: str
    url: str
    error: str
    cause: str
    names_are_answered: bool = True


@dataclass(frozen=True)
class Ending:
    returned: int
    elapsed_s: float
    written: str

    @property
    def last_line(self) -> str:
        return self.written.rstrip().rpartition("\n")[2]


async def run(cases: list[Case], directory: Path) -> list[Ending]:
    outputs = [directory / case.what for case in cases]
    jobs = [
        (case.url, str(output), case.names_are_answered)
        for case, output in zip(cases, outputs, strict=True)
    ]
    launcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "default", "-c", LAUNCHER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await launcher.communicate(json.dumps(jobs).encode())
    return [
        Ending(returned, elapsed_s, output.read_text())
        for (returned, elapsed_s), output in zip(json.loads(printed), outputs, strict=True)
    ]


def problems(case: Case, ending: Ending) -> Iterator[str]:
    """What is wrong with how the program ended."""
    if ending.returned != bool(case.error):
        yield f"it returned {ending.returned}"
    if ending.elapsed_s >= GONE_WITHIN_S:
        yield f"it took {ending.elapsed_s:.1f} s"
    if PASSWORD in ending.written or WRONG_PASSWORD in ending.written:
        yield "it wrote the password"
    if any(sign in ending.written for sign in ("never", "Exception ignored", "Warning")):
        yield "it left something behind"
    named = f"faceplate.errors.{case.error}: {target_of(case.url)}: "
    if case.error and not ending.last_line.startswith(named):
        yield f"expected {case.error} of {target_of(case.url)}"
    if case.cause not in ending.last_line:
        yield f"expected {case.cause!r}"


def target_of(url: str) -> str:
    """``host:port/database``, of a URL as this file writes them."""
    place = url.rpartition("@")[2]
    if "host=" in place:
        database, _, parameters = place.partition("?")
        host, port = (part.partition("=")[2] for part in parameters.split("&")[:2])
        return f"{host}:{port}{database}"
    return place.partition("?")[0]


def report(endings: list[tuple[Case, Ending]]) -> str:
    """Every case with its time and message, and below it what is wrong with it."""
    lines = []
    for case, ending in endings:
        said = ending.last_line.removeprefix("faceplate.errors.")
        lines.append(f"{ending.elapsed_s:5.2f} s  {case.what}: {said}")
        lines += [f"    !!!  {problem}" for problem in problems(case, ending)]
    return "\n".join(lines)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's account can reach, which pytest's own is not for root."""
    with tempfile.TemporaryDirectory(prefix="faceplate-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def plain(place: Path) -> AsyncIterator[Real]:
    """A server without TLS."""
    try:
        yield await start_real(place / "plain", free_port())
    finally:
        embedded.wipe(place / "plain")


@pytest.fixture
async def full(place: Path) -> AsyncIterator[Real]:
    """A server whose slots are all taken."""
    try:
        async with AsyncExitStack() as stack:
            options = {"max_connections": "4", "superuser_reserved_connections": "0"}
            real = await start_real(place / "full", free_port(), **options)
            with suppress(asyncpg.TooManyConnectionsError):
                while True:
                    connection = await asyncpg.connect(real.admin_url)
                    stack.push_async_callback(connection.close)
            yield real
    finally:
        embedded.wipe(place / "full")


async def test_a_server_that_cannot_be_used_is_named_and_the_process_ends(
    place: Path, plain: Real, full: Real, tmp_path: Path
) -> None:
    """Else a deploy hangs, or an operator at night learns no more than that it timed out."""
    stranger, _ = make_certificate(place, "stranger.example.com")
    authority, key = make_certificate(place, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, key)
    async with AsyncExitStack() as stack:

        async def port_of(answer: Answer) -> int:
            return await stack.enter_async_context(fake(answer))

        tls = await port_of(partial(speak_tls, context=context, port=plain.port))
        vouched = f"shop?sslmode=verify-full&sslrootcert={authority}"
        answering = [
            Case("right certificate", url_of(tls, vouched, host="localhost"), "", "usable"),
            Case(
                "certificate of another host",
                url_of(tls, vouched),
                "CannotConnect",
                "not valid for '127.0.0.1'",
            ),
            Case(
                "certificate of an unknown authority",
                url_of(tls, f"shop?sslmode=verify-full&sslrootcert={stranger}", host="localhost"),
                "CannotConnect",
                "self-signed certificate",
            ),
            Case(
                "TLS required of a server without it",
                url_of(plain.port, "shop?sslmode=require"),
                "CannotConnect",
                "rejected SSL upgrade",
            ),
            Case(
                "wrong password",
                url_of(plain.port, password=WRONG_PASSWORD),
                "CannotConnect",
                "28P01",
            ),
            Case("unknown role", url_of(plain.port, user="nobody"), "CannotConnect", "28P01"),
            Case("unknown database", url_of(plain.port, "shed"), "CannotConnect", "3D000"),
            Case("no CONNECT privilege", url_of(plain.port, "closed"), "CannotConnect", "42501"),
        ]
        backlogged = stack.enter_context(full_backlog())
        others = [
            Case(
                "port that nobody listens on",
                url_of(free_port()),
                "Unavailable",
                "Connection refused",
            ),
            Case(
                "socket that is not there",
                f"postgresql://app:{PASSWORD}@/shop?host={place}&port=5432",
                "Unavailable",
                "No such file or directory",
            ),
            Case(
                "name that is nobody's",
                url_of(5432, host="nowhere.invalid"),
                "CannotConnect",
                "Name or service not known",
            ),
            Case(
                "name that is none",
                url_of(5432, host="db..example.com"),
                "CannotConnect",
                "not a valid host name",
            ),
            Case(
                "name server that does not answer",
                url_of(5432, host="db.example.com"),
                "Unavailable",
                "no answer",
                names_are_answered=False,
            ),
            Case("frozen server", url_of(plain.port), "Unavailable", "no answer"),
            Case("all slots taken", url_of(full.port), "Unavailable", "53300"),
            *[
                Case(
                    f"{words} ({state})",
                    url_of(await port_of(partial(refuse, state=state, words=words))),
                    kind,
                    f"{words} [SQLSTATE {state}]" if kind == "Unavailable" else state,
                )
                for kind, state, words in REFUSALS
            ],
            Case(
                "server that cannot fork",
                url_of(await port_of(refuse_tls)),
                "Unavailable",
                "error response during SSL exchange",
            ),
            Case(
                "server that cannot fork, TLS required",
                url_of(await port_of(refuse_tls), "shop?sslmode=require"),
                "Unavailable",
                "error response during SSL exchange",
            ),
            Case("black hole", url_of(await port_of(say_nothing)), "Unavailable", "no answer"),
            Case("black hole without a way in", url_of(backlogged), "Unavailable", "no answer"),
            Case(
                "pooler without its server",
                url_of(await port_of(let_in_and_hang)),
                "Unavailable",
                "no answer",
            ),
            Case(
                "server that hangs up",
                url_of(await port_of(hang_up)),
                "Unavailable",
                "closed the connection",
            ),
            Case(
                "web server",
                url_of(await port_of(speak_http)),
                "CannotConnect",
                "rejected SSL upgrade",
            ),
            Case(
                "server of another protocol",
                url_of(await port_of(speak_garbage)),
                "Unavailable",
                "08003",
            ),
        ]
        endings = await run(answering, tmp_path)
        stack.enter_context(frozen(plain.pid))
        endings += await run(others, tmp_path)
    cases = list(zip(answering + others, endings, strict=True))
    print(report(cases))  # noqa: T201 - for pytest -s, and shown where it fails
    assert not [case.what for case, ending in cases if list(problems(case, ending))]
