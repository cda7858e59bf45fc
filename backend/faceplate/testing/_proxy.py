"""A proxy in front of PostgreSQL that breaks a connection, or has a statement refused.

It reads the messages of the protocol in both directions, and changes nothing until a fault is
planned. It listens on a Unix socket, in the event loop of `Background`, and speaks to the server
without TLS.
"""

import asyncio
import contextlib
import re
import struct
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import URL, make_url

CHUNK_BYTES: Final = 65_536
SSL_REQUEST, GSSENC_REQUEST = 80_877_103, 80_877_104
WRITES: Final = re.compile(rb"\b(INSERT INTO|UPDATE|DELETE FROM|MERGE INTO) ")
# What the runner, SQLAlchemy and the driver send by themselves is no statement of a unit.
STATEMENT: Final = re.compile(
    rb"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE)\b", re.IGNORECASE
)
INTERNAL: Final = re.compile(
    rb"set_config\(|pg_current_xact_id|pg_xact_status|pg_backend_pid|typeinfo"
    rb"|^(SELECT 1|select pg_catalog\.version\(\)|select current_schema\(\))$"
)
MARK: Final = b"pg_current_xact_id"
STATUS: Final = b"pg_xact_status($1::text::xid8)"
UNKNOWN_STATUS: Final = b"nullif(%b, %b)" % (STATUS, STATUS)


@dataclass(frozen=True)
class Point:
    """A place in the traffic of one connection at which a fault may strike."""

    is_statement: bool = False
    """A statement of the application is about to be run."""
    is_commit: bool = False
    """A transaction that wrote is about to take effect."""
    is_question: bool = False
    """The runner is about to ask what became of a COMMIT."""


@dataclass
class Fault:
    """What happens at the next ``at``. Faults strike once each, in their order."""

    at: Callable[[Point], bool]
    is_lost: bool = False
    """Whether the connection is closed before the message arrives."""
    is_lost_after: bool = False
    """Whether it is closed when the server has answered, before the client hears of it."""
    refusal: str = ""
    """The SQL that the server runs in place of the statement: it raises an error."""
    is_forgotten: bool = False
    """Whether the server does not know the outcome any more, as of a very old transaction."""
    delay_s: float = 0.0
    then: "tuple[Fault, Fault] | None" = None
    """The fault that follows a transaction with a mark, and the one that follows without."""


@dataclass
class _Link:
    """One connection of a client, and the one to the server that was opened for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_started: bool = False
    is_cut_off: bool = False
    """Whether the client hears nothing any more: it is closed when the server is ready."""
    sql: dict[bytes, bytes] = field(default_factory=dict)
    bound: bytes = b""
    in_transaction: bool = False
    has_written: bool = False
    is_marked: bool = False
    """Whether the runner has asked for the transaction's mark, to find out what became of it."""
    acknowledged: deque[bool] = field(default_factory=deque)
    """For each Parse and Bind that was sent, whether the client expects its answer."""

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Proxy:
    """``async with`` it. ``url`` leads through it to the server of ``target``."""

    def __init__(self, target: str) -> None:
        self._target = make_url(target)
        self.faults: deque[Fault] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen during the block; yield the URL that leads through the proxy."""
        with tempfile.TemporaryDirectory(prefix="faceplate-proxy-") as directory:
            listener = await asyncio.start_unix_server(self._accept, f"{directory}/.s.PGSQL.5432")
            target = self._target
            url = URL.create(
                target.drivername,
                target.username,
                target.password,
                database=target.database,
                query={"host": directory, "port": "5432"},
            )
            try:
                yield url.render_as_string(hide_password=False)
            finally:
                listener.close()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await listener.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            answers, server = await self._connect()
        except OSError:  # no server: the client is turned away
            writer.close()
            return
        link = _Link(writer, server)
        try:
            await asyncio.gather(self._forth(link, reader), self._back(link, answers))
        except asyncio.CancelledError:
            pass  # the listener is closed; asyncio would log it
        finally:
            for side in (writer, server):
                side.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = self._target.query
        host = str(query.get("host") or self._target.host or "localhost")
        port = int(str(query.get("port") or self._target.port or 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _forth(self, link: _Link, reader: asyncio.StreamReader) -> None:
        """Carry the client's messages to the server."""
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK_BYTES):
                buffer += chunk
                for kind, raw in _client_messages(link, buffer):
                    await self._send(link, kind, raw)
                    if link.server.is_closing():
                        return
                await link.server.drain()
        link.server.close()

    async def _send(self, link: _Link, kind: bytes, raw: bytes) -> None:
        point = _point(link, kind, raw[5:])
        fault = self._strike(link, point)
        if fault is None:
            link.server.write(raw)
        elif fault.is_lost:
            link.close()
        elif fault.is_forgotten:
            link.server.write(_message(kind, raw[5:].replace(STATUS, UNKNOWN_STATUS)))
        elif fault.refusal:
            link.server.write(_refused(link, kind, fault.refusal))
        else:
            await asyncio.sleep(fault.delay_s)
            link.is_cut_off = fault.is_lost_after
            link.server.write(raw)

    def _strike(self, link: _Link, point: Point) -> Fault | None:
        if not self.faults or not self.faults[0].at(point):
            return None
        fault = self.faults.popleft()
        if fault.then is not None:
            self.faults.appendleft(fault.then[not link.is_marked])
        return fault

    async def _back(self, link: _Link, answers: asyncio.StreamReader) -> None:
        """Carry the server's messages to the client."""
        buffer = bytearray()
        with contextlib.suppress(ConnectionError):
            while chunk := await answers.read(CHUNK_BYTES):
                buffer += chunk
                for kind, raw in _messages(buffer):
                    is_expected = _note_answer(link, kind, raw[5:])
                    if link.is_cut_off:
                        if kind == b"Z":
                            link.close()
                            return
                    elif is_expected:
                        link.client.write(raw)
                await link.client.drain()
        link.client.close()


def _messages(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take the whole messages out of ``buffer``."""
    while len(buffer) >= 5 and len(buffer) > (size := int.from_bytes(buffer[1:5])):
        raw = bytes(buffer[: size + 1])
        del buffer[: size + 1]
        yield raw[:1], raw


def _client_messages(link: _Link, buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take the whole messages out of ``buffer``; those that start a connection have no kind."""
    while not link.is_started:
        if len(buffer) < 8 or len(buffer) < (size := int.from_bytes(buffer[:4])):
            return
        raw = bytes(buffer[:size])
        del buffer[:size]
        if int.from_bytes(raw[4:8]) in (SSL_REQUEST, GSSENC_REQUEST):
            link.client.write(b"N")
            continue
        link.is_started = True
        yield b"", raw
    yield from _messages(buffer)


def _point(link: _Link, kind: bytes, payload: bytes) -> Point:
    """Note what the client sends; return what it is."""
    match kind:
        case b"P":
            name, sql, _ = payload.split(b"\0", 2)
            link.sql[name] = sql
            link.acknowledged.append(True)
            return Point(is_question=STATUS in sql)
        case b"B":
            name = payload.split(b"\0", 2)[1]
            link.bound = link.sql.get(name, b"")
            link.acknowledged.append(True)
        case b"E":
            _note_statement(link, link.bound)
            return Point(is_statement=_is_statement(link.bound))
        case b"Q":
            sql = payload.rstrip(b"\0")
            is_commit = sql.rstrip(b"; ").endswith(b"COMMIT") and link.has_written
            _note_statement(link, sql)
            return Point(is_statement=_is_statement(sql), is_commit=is_commit)
        case b"S":
            return Point(is_commit=link.has_written and not link.in_transaction)
    return Point()


def _note_statement(link: _Link, sql: bytes) -> None:
    link.in_transaction |= sql.lstrip().startswith(b"BEGIN")
    link.has_written |= WRITES.search(sql) is not None
    link.is_marked |= MARK in sql


def _is_statement(sql: bytes) -> bool:
    return STATEMENT.match(sql) is not None and INTERNAL.search(sql) is None


def _note_answer(link: _Link, kind: bytes, payload: bytes) -> bool:
    """Note what the server answers; return whether the client expects it."""
    match kind:
        case b"1" | b"2" if link.acknowledged:
            return link.acknowledged.popleft()
        case b"Z":
            link.acknowledged.clear()
            link.in_transaction = payload != b"I"
            if not link.in_transaction:
                link.has_written = link.is_marked = False
    return True


def _refused(link: _Link, kind: bytes, sql: str) -> bytes:
    """Return the messages that run ``sql`` in place of one that runs a statement."""
    text = sql.encode() + b"\0"
    if kind == b"Q":
        return _message(b"Q", text)
    link.acknowledged += (False, False)
    parse = _message(b"P", b"\0", text, b"\0\0")
    bind = _message(b"B", b"\0\0", struct.pack("!hhh", 0, 0, 0))
    return parse + bind + _message(b"E", b"\0", struct.pack("!i", 0))


def _message(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind + struct.pack("!i", len(body) + 4) + body
