"""An event loop that puts an object between the driver and its transport, and raw messages.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

SYNC = b"S\x00\x00\x00\x04"
FLUSH = b"H\x00\x00\x00\x04"


class Seam:
    """Stands for a transport: notes what is written, and sends ``ahead`` with the next write."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.written: list[bytes] = []
        self.ahead = b""

    def write(self, data: Any) -> None:
        data, self.ahead = self.ahead + bytes(data), b""
        self.written.append(data)
        self.transport.write(data)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class Introduction(asyncio.Protocol):
    """Gives the driver's protocol a `Seam` for its transport, and steps aside."""

    seam: Seam

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def connection_made(self, transport: Any) -> None:
        self.seam = Seam(transport)
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.seam)


class SeamLoop:
    """Stands for an event loop, and keeps what the driver's connection is made of."""

    seam: Seam
    protocol: Any

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)

    async def create_connection(self, make: Callable[[], Any], *args: Any, **named: Any) -> Any:
        return await self._introduce(self.loop.create_connection, make, *args, **named)

    async def create_unix_connection(
        self, make: Callable[[], Any], *args: Any, **named: Any
    ) -> Any:
        return await self._introduce(self.loop.create_unix_connection, make, *args, **named)

    async def _introduce(self, connect: Any, make: Any, *args: Any, **named: Any) -> Any:
        _, introduction = await connect(lambda: Introduction(make()), *args, **named)
        self.seam, self.protocol = introduction.seam, introduction.protocol
        return self.seam, self.protocol


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A plain connection of the driver's."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def seamed(url: str, **options: Any) -> AsyncIterator[tuple[Any, SeamLoop]]:
    """A connection of the driver's over a `Seam`, and the loop that has made it."""
    loop: Any = SeamLoop()
    connection: Any = await asyncpg.connect(url, loop=loop, **options)
    connection._loop = loop.loop
    try:
        yield connection, loop
    finally:
        connection.terminate()


def run(sql: str) -> bytes:
    """Parse, Bind and Execute of a statement without a name."""
    return _parse(sql) + execute("")


def describe(sql: str) -> bytes:
    """Parse and Describe of a statement without a name."""
    return _parse(sql) + message(b"D", b"S\0")


def execute(name: str) -> bytes:
    """Bind and Execute of a prepared statement without values."""
    bind = message(b"B", b"\0" + name.encode() + b"\0" + struct.pack("!hhh", 0, 0, 0))
    return bind + message(b"E", b"\0" + struct.pack("!i", 0))


def kinds(data: bytes) -> str:
    """The letters of whole messages."""
    found = ""
    while data:
        (size,) = struct.unpack("!i", data[1:5])
        found, data = found + chr(data[0]), data[1 + size :]
    return found


def _parse(sql: str) -> bytes:
    return message(b"P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message of the protocol."""
    return kind + struct.pack("!i", len(body) + 4) + body
