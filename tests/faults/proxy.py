"""A wire proxy in front of PostgreSQL. It sees every protocol message, and breaks things at one.

::

    async with Proxy(server.url) as proxy, Database(proxy.url) as db:
        proxy.plan(Fault(Action.DROP_AFTER, at=is_commit))
        await db.run(...)
        assert proxy.struck

It listens on a Unix socket or on loopback TCP, and speaks to either. It declines TLS.
"""

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import quote

from sqlalchemy import URL, make_url
from tests.unusable import fatal
from tests.unusable import message as encode

LAST_WORDS = "terminating connection"
VERSION = b"server_version\0"
CHUNK_BYTES = 65_536
CANCEL_REQUEST, SSL_REQUEST, GSSENC_REQUEST = 80_877_102, 80_877_103, 80_877_104


class Direction(Enum):
    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


class Message(NamedTuple):
    """``type`` is the protocol's letter, and empty for the packet that starts a connection."""

    direction: Direction
    type: str
    payload: bytes
    connection: int
    is_final: bool
    """Whether it ends a transaction that wrote, without a COMMIT, or says that this took effect."""

    def __repr__(self) -> str:
        return f"<{self.type or 'startup'} {self.direction.value}, {len(self.payload)} bytes>"


class Action(Enum):
    """What happens at a message. What is dropped or cut ends the connection on both sides."""

    DROP_BEFORE = "drop before"
    DROP_AFTER = "drop after"
    CUT = "cut"
    """Half of the message arrives."""
    HANG = "hang"
    """Neither this message nor anything after it arrives, in either direction. The sockets stay
    open, and when one side closes its own, the other side does not hear of it."""
    DELAY = "delay"
    ANSWER_BEFORE = "answer before"
    """The message does not arrive; the client is told FATAL, as by a pooler without a server."""
    ANSWER_AFTER = "answer after"
    """The message arrives; nothing after it does, but for a FATAL to the client."""


class Fault(NamedTuple):
    """``at`` is the number of the message at which it strikes, from 1, or says which it is.

    Each strikes once, in their order; the count for the next begins when the last has struck.
    """

    action: Action
    at: int | Callable[[Message], bool]
    delay_s: float = 0.0
    state: str = ""
    """The SQLSTATE of a FATAL."""
    stays_open: bool = False
    """Whether the client's connection is said to be ready, and left open, after a FATAL."""
    severity: str = "FATAL"
    """What is said in its place."""

    def __repr__(self) -> str:
        at = self.at if isinstance(self.at, int) else getattr(self.at, "__name__", "?")
        said = f"{self.severity} {self.state}" if self.state else ""
        return f"{self.action.value} {at} {said}{' and stay' if self.stays_open else ''}"


def is_commit(message: Message) -> bool:
    """Whether this makes a transaction take effect: COMMIT, or the Sync after a write by itself."""
    if message.type == "S" and message.direction is Direction.TO_SERVER:
        return message.is_final
    return message.type == "Q" and message.payload.endswith(b"COMMIT\0")


def is_committed(message: Message) -> bool:
    """Whether this is the server's word that a transaction has taken effect."""
    if message.type == "Z":
        return message.is_final
    return message.type == "C" and message.payload == b"COMMIT\0"


@dataclass
class Traffic:
    """``round_trips`` counts how often the server began to answer, ``statements`` what it ran."""

    connections: int = 0
    round_trips: int = 0
    statements: int = 0
    notices: int = 0
    messages: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))
    bytes: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(Direction, 0))


class _Side(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Link:
    """One client, and the server's end that was opened for it."""

    def __init__(self, number: int, client: _Side, server: _Side) -> None:
        self.number = number
        self.client = client
        self.server = server
        self.is_started = self.is_cancel_request = False
        self.hangs = False
        self.last: Direction | None = None
        self._writing: set[bytes] = set()
        self._is_in_transaction = self._has_written = self._is_final = False

    def is_final(self, direction: Direction, kind: str, payload: bytes) -> bool:
        """Follow the extended protocol; see `Message.is_final`."""
        was_final = False
        match direction, kind:
            case Direction.TO_SERVER, "P":
                name, sql, _ = payload.split(b"\0", 2)
                self._is_in_transaction |= sql.startswith(b"BEGIN")
                self._is_in_transaction &= sql != b"COMMIT"
                self._writing.discard(name)  # the unnamed statement is parsed again and again
                if re.search(rb"\b(INSERT INTO|UPDATE|DELETE FROM) ", sql):
                    self._writing.add(name)
            case Direction.TO_SERVER, "B":
                self._has_written |= payload.split(b"\0", 2)[1] in self._writing
            case Direction.TO_SERVER, "S":
                was_final = self._is_final = self._has_written and not self._is_in_transaction
                self._has_written = False
            case Direction.TO_CLIENT, "Z":
                was_final, self._is_final = self._is_final, False
                self._is_in_transaction = payload != b"I"
        return was_final

    def answer(self, fault: Fault) -> None:
        """Tell the client that its connection is at its end, and end the server's."""
        self.client.writer.write(fatal(fault.state, LAST_WORDS, fault.severity))
        if not fault.stays_open:
            self.close()
            return
        self.hangs = True
        self.client.writer.write(encode(b"Z", b"I"))
        self.server.writer.close()

    def close(self) -> None:
        """Both ends read what was written to them, and then the end of the stream."""
        self.client.writer.close()
        self.server.writer.close()


class Proxy:
    """``async with`` it. ``url`` leads through it to the server of ``target``, a URL as well.

    ``delay_s`` holds back whatever has arrived at once, in each direction: a round trip takes
    twice as long. asyncio rounds it up to whole milliseconds, except on a loop that was made with
    ``selectors.SelectSelector``. Set ``traffic`` to a new `Traffic` to count from there.
    """

    def __init__(self, target: str | URL, *, tcp: bool = False, delay_s: float = 0.0) -> None:
        self._target = make_url(target)
        self._tcp = tcp
        self.delay_s = delay_s
        self.server_version: str | None = None
        """What the server is said to be, where that is set, to a client that logs in."""
        self.is_black_hole = False
        """While True, every connection that has something to say hangs, as of a HANG."""
        self.cancel_delay_s = 0.0
        """For how long the end of a cancel request is held back, which only the server may end."""
        self.hang_ups = 0
        """How many clients have ended their cancel request before."""
        self.traffic = Traffic()
        self.struck: list[Message] = []
        self.has_struck = asyncio.Event()
        self._faults: list[Fault] = []
        self._count = 0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = contextlib.ExitStack()

    async def __aenter__(self) -> Self:
        if self._tcp:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            host, port = self._listener.sockets[0].getsockname()
        else:
            host = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="faceplate-proxy-"))
            port = 5432
            path = Path(host) / f".s.PGSQL.{port}"
            self._listener = await asyncio.start_unix_server(self._accept, path)
        user, database = self._target.username, self._target.database
        if self._target.password is not None:
            user = f"{user}:{quote(self._target.password)}"
        self.url = f"postgresql://{user}@/{database}?host={quote(host)}&port={port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()
        self._stack.close()

    def plan(self, *faults: Fault) -> None:
        """Let ``faults`` strike from here on, in place of the planned ones."""
        self._faults = list(faults)
        self._count = 0
        self.struck = []
        self.has_struck.clear()

    def drop_all(self) -> None:
        """Close every connection that is open, hanging ones too."""
        for link in self._links:
            link.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        client = _Side(reader, writer)
        try:
            server = _Side(*await self._connect())
        except OSError:  # no server there: the client is turned away
            writer.close()
            return
        self.traffic.connections += 1
        link = _Link(self.traffic.connections, client, server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, Direction.TO_SERVER), self._pump(link, Direction.TO_CLIENT)
            )
        except asyncio.CancelledError:  # `__aexit__`; asyncio would log it
            pass
        finally:
            self._links.discard(link)
            for side in (client, link.server):
                side.writer.transport.abort()
                with contextlib.suppress(OSError):
                    await side.writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.host is not None:
            return await asyncio.open_connection(self._target.host, self._target.port)
        query = self._target.query
        return await asyncio.open_unix_connection(
            f"{query['host']}/.s.PGSQL.{query.get('port', 5432)}"
        )

    async def _pump(self, link: _Link, direction: Direction) -> None:
        """Carry messages in one direction until its end, or until the connection is dropped."""
        source, sink = link.client, link.server
        if direction is Direction.TO_CLIENT:
            source, sink = sink, source
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while chunk := await source.reader.read(CHUNK_BYTES):
                buffer += chunk
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                for message, raw in self._split(link, direction, buffer):
                    await self._pass(link, message, self._retold(message, raw), sink.writer)
                    if sink.writer.is_closing():
                        return
                await sink.writer.drain()
        if link.is_cancel_request and direction is Direction.TO_CLIENT:
            await asyncio.sleep(self.cancel_delay_s)  # the client may hang up meanwhile
            self.hang_ups += link.client.reader.at_eof()
        if link.hangs:
            return  # the other side does not hear that this one is gone
        sink.writer.close()

    def _split(
        self, link: _Link, direction: Direction, buffer: bytearray
    ) -> Iterator[tuple[Message, bytes]]:
        """Take the whole messages out of ``buffer``."""
        while True:
            typed = direction is Direction.TO_CLIENT or link.is_started
            size = int(typed) + int.from_bytes(buffer[int(typed) : int(typed) + 4])
            if len(buffer) < int(typed) + 4 or len(buffer) < size:
                return
            raw = bytes(buffer[:size])
            del buffer[:size]
            if not typed:
                if int.from_bytes(raw[4:8]) in (SSL_REQUEST, GSSENC_REQUEST):
                    link.client.writer.write(b"N")
                    continue
                link.is_started = True
                link.is_cancel_request = int.from_bytes(raw[4:8]) == CANCEL_REQUEST
            kind = chr(raw[0]) if typed else ""
            payload = raw[int(typed) + 4 :]
            is_final = link.is_final(direction, kind, payload)
            yield Message(direction, kind, payload, link.number, is_final), raw

    async def _pass(
        self, link: _Link, message: Message, raw: bytes, writer: asyncio.StreamWriter
    ) -> None:
        self._tally(link, message, len(raw))
        link.hangs |= self.is_black_hole
        if link.hangs:
            return
        fault = self._strike(message)
        match fault and fault.action:
            case None:
                writer.write(raw)
            case Action.DELAY:
                await asyncio.sleep(fault.delay_s if fault else 0)
                writer.write(raw)
            case Action.HANG:
                link.hangs = True
            case Action.DROP_BEFORE:
                link.close()
            case Action.DROP_AFTER:
                writer.write(raw)
                link.close()
            case Action.CUT:
                writer.write(raw[: len(raw) // 2])
                link.close()
            case Action.ANSWER_BEFORE | Action.ANSWER_AFTER:
                assert fault is not None
                if fault.action is Action.ANSWER_AFTER:
                    writer.write(raw)
                link.answer(fault)

    def _retold(self, message: Message, raw: bytes) -> bytes:
        """Return the message as it is passed on, with the version that the server is to have."""
        if self.server_version is None or message.direction is Direction.TO_SERVER:
            return raw
        if message.type != "S" or not message.payload.startswith(VERSION):
            return raw
        return encode(b"S", VERSION + self.server_version.encode() + b"\0")

    def _tally(self, link: _Link, message: Message, size: int) -> None:
        answers = message.direction is Direction.TO_CLIENT and link.last is Direction.TO_SERVER
        self.traffic.round_trips += answers
        if message.direction is Direction.TO_SERVER:
            self.traffic.statements += message.type in {"E", "Q"}
        else:
            self.traffic.notices += message.type == "N"
        self.traffic.messages[message.direction] += 1
        self.traffic.bytes[message.direction] += size
        link.last = message.direction

    def _strike(self, message: Message) -> Fault | None:
        """Return the fault that is due at ``message``, if one is."""
        self._count += 1
        if not self._faults:
            return None
        at = self._faults[0].at
        if not (at == self._count if isinstance(at, int) else at(message)):
            return None
        self._count = 0
        self.struck.append(message)
        self.has_struck.set()
        return self._faults.pop(0)
