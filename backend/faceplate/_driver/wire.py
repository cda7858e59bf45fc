"""The driver's way to the socket: what goes ahead of a statement leaves in the same write.

asyncio sends each write at once, and a statement's second send costs as much as all the rest of it.
So a transport is wrapped when its connection is made, whatever event loop made it, and what is
queued here leaves in one piece with what the driver writes next.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from faceplate._driver.row_ahead import RowAhead
from faceplate._driver.timers import LoopWithCheapTimers


class Wire:
    """A transport that sends queued messages together with the next write.

    Everything else goes to the event loop's own transport.
    """

    __slots__ = ("_queued", "_row", "_transport", "_write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._queued = b""
        self._row: RowAhead | None = None

    def queue(self, messages: bytes, row: RowAhead | None = None) -> None:
        """Send ``messages`` with the next write. ``row`` begins to listen when they are sent."""
        self._queued = messages
        self._row = row

    def drop_queued(self) -> bool:
        """Drop what is queued. Return whether there was something, which then was not sent."""
        is_unsent = bool(self._queued)
        self._queued = b""
        self._row = None
        return is_unsent

    def write(self, data: Any) -> None:
        """Send ``data``, with what is queued ahead of it."""
        if self._queued:
            data = self._queued + bytes(data)
            self._queued = b""
            if self._row is not None:
                self._row.begin()
                self._row = None
        self._write(data)

    def writelines(self, parts: Iterable[Any]) -> None:
        """Send ``parts`` in one piece, with what is queued ahead of them."""
        self.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Introduction(asyncio.Protocol):
    """Makes the driver's protocol and a `Wire` known to each other, and steps aside."""

    wire: Wire

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol

    def connection_made(self, transport: Any) -> None:
        self.wire = Wire(transport)
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.wire)


class DriverLoop(LoopWithCheapTimers):
    """The event loop as the driver sees it: cheap timers, and a `Wire` around each transport."""

    async def create_connection(
        self, make_protocol: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        return await self._introduce(self._loop.create_connection, make_protocol, *args, **kwargs)

    async def create_unix_connection(
        self, make_protocol: Callable[[], Any], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        connect = self._loop.create_unix_connection
        return await self._introduce(connect, make_protocol, *args, **kwargs)

    async def start_tls(self, wire: Any, *args: Any, **kwargs: Any) -> Any:
        transport = await self._loop.start_tls(wire._transport, *args, **kwargs)  # noqa: SLF001 - a Wire of this module
        return None if transport is None else Wire(transport)

    async def _introduce(
        self,
        connect: Callable[..., Any],
        make_protocol: Callable[[], Any],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Wire, Any]:
        _, introduction = await connect(lambda: _Introduction(make_protocol()), *args, **kwargs)
        return introduction.wire, introduction.protocol
