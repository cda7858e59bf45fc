"""What faceplate relies on in event loops: docs/private-parts.md, L1 to L5."""

import asyncio
import select
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from tests.contracts.loops import on_each_loop
from tests.contracts.seams import Introduction, connected
from tests.unusable import make_certificate


class Shell:
    """What a task waits for in place of a future: it cannot be cancelled."""

    def __init__(self, future: Any, cancellations: list[Any]) -> None:
        self._asyncio_future_blocking = True
        self.future, self.cancellations = future, cancellations

    def get_loop(self) -> Any:
        return self.future.get_loop()

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        self.future.add_done_callback(callback, context=context)

    def cancel(self, msg: Any = None) -> bool:
        self.cancellations.append(msg)
        return True


class Driven:
    """Drives a coroutine by ``send``, with shells in place of what it awaits."""

    def __init__(self, coroutine: Coroutine[Any, Any, str]) -> None:
        self.coroutine = coroutine
        self.cancellations: list[Any] = []

    def __await__(self) -> Generator[Any, None, str]:
        while True:
            try:
                awaited = self.coroutine.send(None)
            except StopIteration as end:
                result: str = end.value
                return result
            assert awaited._asyncio_future_blocking is True
            awaited._asyncio_future_blocking = False
            while not awaited.done():
                try:
                    yield Shell(awaited, self.cancellations)
                except ValueError:
                    assert awaited.done()


@on_each_loop
async def test_a_task_awaits_a_shell_in_place_of_a_future() -> None:
    """Else a COMMIT is cut off by a cancellation, and its outcome is in doubt."""
    first, second = (asyncio.get_running_loop().create_future() for _ in range(2))

    async def commit() -> str:
        return f"{await first}{await second}"

    driven = Driven(commit())

    async def caller() -> str:
        return await driven

    task = asyncio.ensure_future(caller())
    await asyncio.sleep(0)
    task.cancel("one")
    await asyncio.sleep(0)
    first.set_result("com")
    await asyncio.sleep(0)
    task.cancel()
    second.set_result("mitted")
    assert await task == "committed"
    assert driven.cancellations == ["one", None]


@on_each_loop
async def test_a_task_hands_on_the_error_of_a_future_in_a_shell() -> None:
    """Else a refused COMMIT fails in the event loop and not in the unit."""
    future = asyncio.get_running_loop().create_future()

    async def commit() -> str:
        try:
            await future
        except ValueError as error:
            return str(error)
        return "committed"

    driven = Driven(commit())

    async def caller() -> str:
        return await driven

    task = asyncio.ensure_future(caller())
    await asyncio.sleep(0)
    future.set_exception(ValueError("refused"))
    assert await task == "refused"


class Listener(asyncio.Protocol):
    def __init__(self, expected: bytes) -> None:
        self.expected = expected
        self.received = b""
        self.transport: Any = None
        self.has_all = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) >= len(self.expected):
            self.has_all.set()


@asynccontextmanager
async def echoing(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that answers one connection with what it is sent."""
    has_ended = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()
            has_ended.set()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
        await has_ended.wait()
    finally:
        server.close()


@on_each_loop
async def test_a_transport_may_be_replaced_and_its_protocol_exchanged() -> None:
    """Else nothing goes ahead of a statement."""
    loop = asyncio.get_running_loop()
    listener = Listener(b"preamble, statement")
    async with echoing() as port:
        _, introduction = await loop.create_connection(
            lambda: Introduction(listener), "127.0.0.1", port
        )
        seam = introduction.seam
        assert listener.transport is seam
        assert seam.transport.get_protocol() is listener
        assert seam.get_extra_info("socket").fileno() >= 0
        seam.ahead = b"preamble, "
        seam.writelines([b"state", memoryview(b"ment")])
        await listener.has_all.wait()
        seam.close()
    assert listener.received == b"preamble, statement"


@on_each_loop
async def test_a_replaced_transport_begins_tls(tmp_path: Path) -> None:
    """Else nothing goes ahead of a statement where the connection is encrypted."""
    loop = asyncio.get_running_loop()
    authority, key = make_certificate(tmp_path, "localhost")
    of_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    of_server.load_cert_chain(authority, key)
    of_client = ssl.create_default_context(cafile=str(authority))
    listener = Listener(b"statement")
    async with echoing(of_server) as port:
        _, introduction = await loop.create_connection(
            lambda: Introduction(listener), "127.0.0.1", port
        )
        transport = await loop.start_tls(
            introduction.seam.transport, listener, of_client, server_hostname="localhost"
        )
        assert transport is not None
        transport.write(b"statement")
        await listener.has_all.wait()
        transport.close()
    assert listener.received == b"statement"


@on_each_loop
async def test_a_transport_has_read_all_that_arrived_when_the_task_runs_again(url: str) -> None:
    """Else a connection that is alive is taken for one that ends: a ping for each unit."""
    async with connected(url) as connection:
        poll = _poll_of(connection)
        for size in (1, 1_000, 100_000, 1_000_000):
            await connection.fetchval(f"SELECT repeat('x', {size})")
            assert poll.poll(0) == []


@on_each_loop
async def test_a_transport_leaves_what_is_said_unasked_in_the_socket(url: str) -> None:
    """Else a unit is begun on a connection that the server has ended."""
    async with connected(url) as connection:
        pid = connection.get_server_pid()
        poll = _poll_of(connection)
        assert poll.poll(0) == []
        operator = threading.Thread(target=lambda: asyncio.run(_end(url, pid)))
        operator.start()
        operator.join()
        assert [event & select.POLLIN for _, event in poll.poll(60_000)] == [select.POLLIN]


def _poll_of(connection: Any) -> select.poll:
    poll = select.poll()
    poll.register(connection._transport.get_extra_info("socket").fileno(), select.POLLIN)
    return poll


async def _end(url: str, pid: int) -> None:
    operator = await asyncpg.connect(url)
    await operator.execute(f"SELECT pg_terminate_backend({pid}, 60000)")
    operator.terminate()
