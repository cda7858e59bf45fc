"""Sends a preamble in the same write as the driver's next message.

asyncio sends each write at once, and each wakes the server. So a connection's transport is wrapped
when it is made, on every event loop. The wrapper joins queued messages with the driver's next
write, and knows afterwards whether they were sent.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from faceplate._driver.preamble_row import PreambleRow
from faceplate._driver.shared_flight import SharedFlight
from faceplate._driver.timers import CommandTimer

PARSE = b"P"
SYNC = b"S\0\0\0\4"


class Wire:
    """A transport that sends queued messages together with the next write.

    Everything else goes to the event loop's own transport.
    """

    __slots__ = ("_parses", "_queued", "_row", "_write", "flight", "protocol", "transport")

    transport: asyncio.Transport
    """The event loop's own."""
    protocol: Any
    """The driver's, which reads the answers."""
    flight: SharedFlight | None
    """What changes the next `writelines`."""

    def __init__(self, transport: asyncio.Transport, protocol: Any) -> None:
        self.transport = transport
        self.protocol = protocol
        self._write = transport.write
        self._queued = b""
        self._parses = False
        self._row: PreambleRow | None = None
        self.flight = None

    def queue(
        self, messages: bytes, row: PreambleRow | None = None, *, parses: bool = False
    ) -> None:
        """Send ``messages`` with the next write, and have ``row`` intercept the answers.

        ``parses`` says that they parse the unnamed statement of that write. The driver's own Parse,
        a write of its own ahead of the Bind, is then left out.
        """
        self._queued = messages
        self._parses = parses
        self._row = row

    def drop_queued(self) -> bool:
        """Drop the queued messages. Return whether there were any, which were not sent."""
        is_unsent = bool(self._queued)
        self._queued = b""
        self._row = None
        return is_unsent

    def write(self, data: Any) -> None:
        """Send ``data`` behind what is queued."""
        if self._queued:
            if self._parses and data[:1] == PARSE:
                return
            data = self._queued + bytes(data)
            self._queued = b""
            if self._row is not None:
                self._row.begin()
                self._row = None
        self._write(data)

    def writelines(self, parts: Iterable[Any]) -> None:
        """Send ``parts`` in one piece behind what is queued."""
        data = b"".join(parts)
        self.write(data if self.flight is None else self.flight.interleave(data))

    @contextmanager
    def answering(self, answer: bytes) -> Iterator[None]:
        """Give ``answer`` to the driver's next write, in place of the server."""
        call_soon = asyncio.get_running_loop().call_soon

        def write(data: Any) -> None:  # noqa: ARG001 - a transport's signature
            self._write = self.transport.write
            call_soon(self.protocol.data_received, answer)

        self._write = write
        try:
            yield
        finally:
            self._write = self.transport.write

    @contextmanager
    def ending_with(self, messages: bytes) -> Iterator[None]:
        """Send ``messages`` behind the driver's next statement, ahead of its Sync."""

        def write(data: Any) -> None:
            self._write = self.transport.write
            self.transport.write(bytes(data).removesuffix(SYNC) + messages + SYNC)

        self._write = write
        try:
            yield
        finally:
            self._write = self.transport.write

    @contextmanager
    def holding(self) -> Iterator[list[bytes]]:
        """Keep what the driver writes, in place of sending it."""
        held: list[bytes] = []
        self._write = lambda data: held.append(bytes(data))
        try:
            yield held
        finally:
            self._write = self.transport.write

    def set_protocol(self, protocol: Any) -> None:
        """Hand the answers to ``protocol``, as the driver asks once TLS is set up."""
        self.protocol = protocol
        self.transport.set_protocol(protocol)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class _Introduction(asyncio.Protocol):
    """Puts a `Wire` between a new transport and the driver's protocol."""

    wire: Wire

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def connection_made(self, transport: Any) -> None:
        self.wire = Wire(transport, self.protocol)
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.wire)


class DriverLoop:
    """Stands for the event loop when the driver connects, and wraps its transport."""

    wire: Wire | None = None
    """The connection's, once it is made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer = CommandTimer(loop)
        self.create_future = loop.create_future  # the driver asks for one with each command

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> Any:
        """Return the handle of a timer. The protocol has one at a time, for its command."""
        protocol = None if self.wire is None else self.wire.protocol
        if self._timer.is_set or getattr(callback, "__self__", None) is not protocol:
            return self._loop.call_later(delay_s, callback, *args)
        return self._timer.set(delay_s, callback, *args)

    async def create_connection(
        self, make_protocol: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        return await self._introduce(self._loop.create_connection, make_protocol, *args, **kwargs)

    async def create_unix_connection(
        self, make_protocol: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        connect = self._loop.create_unix_connection
        return await self._introduce(connect, make_protocol, *args, **kwargs)

    async def start_tls(self, wire: Any, protocol: Any, *args: Any, **kwargs: Any) -> Any:
        transport = await self._loop.start_tls(wire.transport, protocol, *args, **kwargs)
        if transport is None:
            return None
        self.wire = Wire(transport, protocol)
        return self.wire

    async def _introduce(
        self,
        connect: Callable[..., Any],
        make_protocol: Callable[[], Any],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Wire, Any]:
        _, introduction = await connect(lambda: _Introduction(make_protocol()), *args, **kwargs)
        self.wire = introduction.wire
        return introduction.wire, introduction.protocol
