"""A relay between a client and the server: it delays what passes, or counts it.

Run as a process of its own (``python -m benchmarks.relay``) it takes none of the client's
processor time; counting happens in the client's process, where nothing is timed.
"""

import argparse
import asyncio
import contextlib
import select
import selectors
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from benchmarks import child_environment

PORT = 5432
COMPLETED = (ord("C"), ord("s"))
"""CommandComplete, and PortalSuspended, which it is where a client asks for one row only."""


@dataclass
class Traffic:
    """What has passed. A round trip is counted when the server begins to answer."""

    round_trips: int = 0
    statements: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class _Link:
    """The two ends of one connection, and what has passed between them."""

    def __init__(self, delay_s: float, traffic: Traffic | None) -> None:
        self.delay_s = delay_s
        self.traffic = traffic
        self._buffer = bytearray()
        self._client_spoke = False

    def to_server(self, data: bytes) -> None:
        if self.traffic is not None:
            self.traffic.bytes_sent += len(data)
            self._client_spoke = True

    def to_client(self, data: bytes) -> None:
        if self.traffic is None:
            return
        self.traffic.bytes_received += len(data)
        self.traffic.round_trips += self._client_spoke
        self._client_spoke = False
        self._buffer += data
        # A message is its letter, the length of the rest in four bytes, and the rest.
        while len(self._buffer) >= 5:
            size = 1 + int.from_bytes(self._buffer[1:5])
            if len(self._buffer) < size:
                break
            self.traffic.statements += self._buffer[0] in COMPLETED
            del self._buffer[:size]


class _End(asyncio.Protocol):
    """One end of a link; what it hears goes to the other one."""

    transport: asyncio.Transport

    def __init__(self, link: _Link, heard: Callable[[bytes], None]) -> None:
        self.other: _End | None = None
        self._link = link
        self._heard = heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.other is not None
        self._heard(data)
        if self._link.delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(self._link.delay_s, self.other.transport.write, data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class _Client(_End):
    """The end at which a client came in. It is read once there is a server to speak to."""

    def __init__(self, link: _Link, target: str) -> None:
        super().__init__(link, link.to_server)
        self._target = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        server = _End(self._link, self._link.to_client)
        server.other = self
        await loop.create_unix_connection(lambda: server, self._target)
        self.other = server
        self.transport.resume_reading()


@asynccontextmanager
async def _listening(
    target_url: str, directory: str, *, delay_s: float = 0.0, traffic: Traffic | None = None
) -> AsyncIterator[str]:
    """Relay between a socket in ``directory`` and the server; yield the URL that leads here."""
    url = urlsplit(target_url)
    query = parse_qs(url.query)
    target = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    loop = asyncio.get_running_loop()
    listener = await loop.create_unix_server(
        lambda: _Client(_Link(delay_s, traffic), target), Path(directory) / f".s.PGSQL.{PORT}"
    )
    try:
        yield f"postgresql://{url.username}@{url.path}?host={quote(directory)}&port={PORT}"
    finally:
        listener.close()


@asynccontextmanager
async def counting(target_url: str) -> AsyncIterator[tuple[str, Traffic]]:
    """Yield a URL that leads through a relay in this process, and what has passed so far."""
    traffic = Traffic()
    with tempfile.TemporaryDirectory(prefix="faceplate-relay-") as directory:
        async with _listening(target_url, directory, traffic=traffic) as url:
            yield url, traffic


@contextmanager
def delaying(target_url: str, delay_s: float) -> Iterator[str]:
    """Yield a URL that leads through a relay in a process of its own.

    It holds back everything by ``delay_s``, each way.
    """
    with tempfile.TemporaryDirectory(prefix="faceplate-relay-") as directory:
        command = [sys.executable, "-m", "benchmarks.relay", target_url, directory, str(delay_s)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # at whose end it ends, however this process does
            stdout=subprocess.PIPE,
            text=True,
            env=child_environment(),
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError("the relay did not start")
            try:
                yield url
            finally:
                process.stdin.close()


class _FineSelector(selectors.DefaultSelector):
    """Where epoll counts in milliseconds, select waits for it to the microsecond."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0 and hasattr(self, "fileno"):
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


async def _relay(target_url: str, directory: str, delay_s: float) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stopped.set)
    async with _listening(target_url, directory, delay_s=delay_s) as url:
        print(url, flush=True)
        await stopped.wait()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("target_url")
    parser.add_argument("directory")
    parser.add_argument("delay_s", type=float)
    arguments = parser.parse_args()
    loop = asyncio.SelectorEventLoop(_FineSelector())
    with contextlib.closing(loop):
        loop.run_until_complete(_relay(**vars(arguments)))


if __name__ == "__main__":
    _main()
