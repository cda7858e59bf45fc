"""Servers that cannot be used: some that only seem to be one, and real ones that will not."""

import asyncio
import signal
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from faceplate import embedded
from tests import processes

PASSWORD = "correct-horse-battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def url_of(
    port: int,
    rest: str = "shop",
    *,
    host: str = "127.0.0.1",
    user: str = "app",
    password: str = PASSWORD,
) -> str:
    return f"postgresql://{user}:{password}@{host}:{port}/{rest}"


# Servers that are none.

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def fake(answer: Answer) -> AsyncIterator[int]:
    """A port of which each connection is answered by ``answer`` and then closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)


async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()


async def speak_garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await take_startup(reader, writer)
    writer.write(bytes(range(256)))
    await writer.drain()


async def refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, state: str, words: str
) -> None:
    await take_startup(reader, writer)
    writer.write(fatal(state, words))
    await writer.drain()


async def refuse_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the request for TLS with an error: what a server says that cannot fork."""
    await reader.readexactly(8)
    writer.write(b"Ecould not fork new process for connection\n\0")
    await writer.drain()


async def let_in_and_hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a pooler does whose PostgreSQL is gone."""
    await take_startup(reader, writer)
    writer.write(
        message(b"R", struct.pack("!i", 0))
        + message(b"S", b"server_version\x0018.6\0")
        + message(b"K", struct.pack("!ii", 1, 1))
        + message(b"Z", b"I")
    )
    await reader.read()


async def speak_tls(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    context: ssl.SSLContext,
    port: int,
) -> None:
    """TLS in front of the server at ``port``: the wheel's own PostgreSQL has none."""
    await reader.readexactly(8)
    writer.write(b"S")
    await writer.start_tls(context)
    behind, ahead = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.wait(
            [asyncio.create_task(copy(reader, ahead)), asyncio.create_task(copy(behind, writer))]
        )
    finally:
        ahead.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


async def take_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the startup message; say no to TLS where that is asked for first."""
    while True:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        if body != struct.pack("!i", 80877103):
            return
        writer.write(b"N")


def fatal(state: str, words: str, severity: str = "FATAL") -> bytes:
    """Return the last word of a server or a pooler to a client."""
    fields = (f"S{severity}", f"V{severity}", f"C{state}", f"M{words}")
    return message(b"E", b"".join(field.encode() + b"\0" for field in fields) + b"\0")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose queue of connections is full, so that the kernel answers no new one."""
    with socket.socket() as server, ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


# Servers that are real, and will not have the program.


@dataclass(frozen=True)
class Real:
    """A server on a port, with a role ``app`` and its database ``shop``."""

    port: int
    admin_url: str
    pid: int


async def start_real(directory: Path, port: int, **options: str) -> Real:
    options |= {"listen_addresses": "127.0.0.1", "port": str(port), "fsync": "off"}
    server = await asyncio.to_thread(embedded.start, directory, options=options)
    connection = await asyncpg.connect(server.admin_url)
    try:
        for statement in (
            f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'",
            "CREATE DATABASE shop OWNER app",
            "CREATE DATABASE closed",
            "REVOKE ALL ON DATABASE closed FROM public",
        ):
            await connection.execute(statement)
    finally:
        await connection.close()
    return Real(port, server.admin_url, server.pid)


def make_certificate(place: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for the host ``name`` that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = place / f"{name}.crt", place / f"{name}.key"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem, secret


@contextmanager
def frozen(postmaster: int) -> Iterator[None]:
    """Stop a server and its processes in their tracks, as a machine that swaps or migrates does."""
    children = processes.stop(postmaster)
    try:
        processes.send(signal.SIGSTOP, children)
        processes.wait_for("TZ", children)
        yield
    finally:
        processes.send(signal.SIGCONT, [postmaster, *children])
