"""A relay in front of a server that fails as a pooler does: FATAL XX000 in place of an answer."""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

from sqlalchemy import make_url

CHUNK_BYTES = 65_536
GONE = (ConnectionError, RuntimeError)
"""What a write to a closed transport raises; the second on uvloop."""
READY = b"Z\0\0\0\5"


def _fatal(code: str) -> bytes:
    if code not in MESSAGES:
        return b""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{MESSAGES[code]}\0\0".encode()
    return b"E" + (len(fields) + 4).to_bytes(4) + fields


MESSAGES = {
    "XX000": "(EDBHANDLEREXITED) connection to database closed",
    "58000": "could not get a connection",
    "57P05": "terminating connection due to idle-session timeout",
    "57P01": "terminating connection due to administrator command",
    "08P01": "server conn crashed?",
    "53300": "no more connections allowed",
    "53400": "too many clients",
}
"""What poolers say; any other code ends the connection without a word."""


class Relay:
    """``async with`` it. ``url`` leads to the server of ``target``, which has a Unix socket.

    ``is_cut_off`` says whether that server was ever not there.
    """

    def __init__(self, target: str) -> None:
        self.lead_to(target)
        self._strike_in = 0
        self._passes_on = False
        self._code = ""
        self._refuses = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        host = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="faceplate-relay-"))
        self._listener = await asyncio.start_unix_server(self._accept, Path(host) / ".s.PGSQL.5432")
        self.url = f"postgresql://faceplate@/faceplate?host={quote(host)}&port=5432"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stack.close()

    def lead_to(self, target: str) -> None:
        """Lead new connections to another server."""
        self._target = make_url(target)
        self.is_cut_off = False

    def strike(self, round_trip: int, code: str, *, passes_on: bool) -> None:
        """Lose the backend in a later round trip; 1 is the next one.

        ``passes_on`` says whether the server still gets its messages.
        """
        self._strike_in, self._code, self._passes_on = round_trip, code, passes_on

    def refuse(self, code: str) -> None:
        """Refuse the next connection."""
        self._refuses = code

    def calm_down(self) -> None:
        """Do nothing of that any more."""
        self._strike_in, self._refuses = 0, ""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refuses:
            code, self._refuses = self._refuses, ""
            with contextlib.suppress(*GONE):
                await reader.read(CHUNK_BYTES)  # what the client begins with
                writer.write(_fatal(code))
            writer.close()
            return
        query = self._target.query
        path = f"{query['host']}/.s.PGSQL.{query.get('port', 5432)}"
        link = _Link()
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(path)
        except OSError:
            self.is_cut_off = True
            writer.close()
            return
        try:
            await asyncio.gather(
                self._carry_up(link, reader, server_writer, writer),
                self._carry_down(link, server_reader, writer, server_writer),
            )
        except asyncio.CancelledError:  # `__aexit__`; asyncio would log it
            pass
        finally:
            for each in (writer, server_writer):
                each.transport.abort()

    async def _carry_up(
        self,
        link: "_Link",
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(*GONE):
            while data := await reader.read(CHUNK_BYTES):
                if link.is_ready and self._strike_in and not link.is_struck:
                    self._strike_in -= 1
                    if not self._strike_in:
                        link.is_struck = True
                        if not self._passes_on:
                            client.write(_fatal(self._code))
                            client.close()
                            break
                server.write(data)
                await server.drain()
        server.close()

    async def _carry_down(
        self,
        link: "_Link",
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(*GONE):
            while data := await reader.read(CHUNK_BYTES):
                if link.is_struck:  # the server has run what was sent, or is about to
                    client.write(_fatal(self._code))
                    server.close()
                    break
                link.is_ready = link.is_ready or READY in data
                client.write(data)
                await client.drain()
        client.close()


class _Link:
    """``is_ready`` once the server has let the client in."""

    is_ready = False
    is_struck = False
