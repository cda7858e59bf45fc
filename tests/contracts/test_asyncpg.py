"""What faceplate relies on in asyncpg: docs/private-parts.md, A1 to A9, A12, A14, A23."""

import asyncio
import gc
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from asyncpg.protocol.protocol import NO_TIMEOUT
from tests.contracts.loops import on_each_loop
from tests.contracts.seams import (
    FLUSH,
    SYNC,
    SeamLoop,
    connected,
    execute,
    kinds,
    message,
    run,
    seamed,
)

SETTING = "SELECT current_setting('contract.who', true)"

UPDATED_ONE = message(b"2") + message(b"C", b"UPDATE 1\0") + message(b"Z", b"T")
ENTER = "SELECT WHERE pg_catalog.set_config('contract.who', 'ada', true) IS NULL"


@on_each_loop
async def test_asyncpg_lets_a_bind_complete_pass_ahead_of_a_statements_own(url: str) -> None:
    """Else no user travels with a statement: each unit fails."""
    async with connected(url) as connection:
        ahead = await connection.prepare(ENTER, name="contract_enter")
        own = await connection.prepare(SETTING)
        await connection.execute("SELECT 1")
        connection._transport.write(execute(ahead.get_name()))
        assert [tuple(row) for row in await own.fetch()] == [("ada",)]
        assert own.get_statusmsg() == "SELECT 1"
        assert await own.fetchval() in (None, "")  # the transaction has ended with the statement


@on_each_loop
async def test_asyncpg_lets_a_begin_pass_ahead_and_keeps_the_statements_own_tag(url: str) -> None:
    """Else BEGIN takes a round trip of its own, and a unit counts the wrong rows."""
    async with connected(url) as connection:
        await connection.execute("CREATE TEMP TABLE contract AS SELECT generate_series(1, 3) AS n")
        own = await connection.prepare("UPDATE contract SET n = n + 1")
        await connection.execute("SELECT 1")
        connection._transport.write(run("BEGIN") + run("SET LOCAL contract.who = 'ada'"))
        await own.fetch()
        assert own.get_statusmsg() == "UPDATE 3"
        assert connection.is_in_transaction()
        assert await connection.fetchval(SETTING) == "ada"


@on_each_loop
async def test_asyncpg_skips_what_goes_ahead_of_a_prepare(url: str) -> None:
    """Else the first statement of a session fails with an error of the protocol."""
    async with connected(url) as connection:
        connection._transport.write(run("BEGIN") + run("SET LOCAL contract.who = 'ada'"))
        own = await connection.prepare(SETTING)
        assert await own.fetchval() == "ada"
        assert connection.is_in_transaction()


@on_each_loop
async def test_asyncpg_sends_bind_execute_and_sync_in_one_write(url: str) -> None:
    """Else what goes ahead of a statement is sent late, or ahead of a part of it."""
    async with seamed(url) as (connection, loop):
        own = await connection.prepare("SELECT $1::text")
        await connection.execute("SELECT 1")
        for fetch in (own.fetch, own.fetchrow):
            loop.seam.written.clear()
            await fetch("x" * 100_000)
            assert list(map(kinds, loop.seam.written)) == ["BES"]


@on_each_loop
async def test_asyncpg_connects_by_an_object_that_stands_for_the_loop(url: str) -> None:
    """Else no connection can send anything ahead of a statement."""
    async with seamed(url) as (connection, loop):
        assert loop.seam.written
        loop.seam.written.clear()
        assert await connection.fetchval("SELECT 1") == 1
        assert "".join(map(kinds, loop.seam.written)).endswith("BES")


@on_each_loop
async def test_asyncpg_finds_the_task_of_a_cancellation_by_its_loop(url: str) -> None:
    """Else a connection over a loop of ours keeps every cancellation that it has ended."""
    async with seamed(url) as (connection, loop):
        assert connection._loop is loop.loop
        for _ in range(2):
            await _cancel_a_statement(connection)
            assert await connection.fetchval("SELECT 1") == 1
        assert connection._cancellations == set()


@on_each_loop
async def test_asyncpg_keeps_its_transport_and_the_transport_its_socket(url: str) -> None:
    """Else each check-out costs a ping, and a forked process is not told."""
    async with connected(url) as connection:
        socket = connection._transport.get_extra_info("socket")
        assert socket.fileno() >= 0


class Splitter(asyncio.Protocol):
    """Passes answers on in pieces, and gives way after the first ``pieces``."""

    def __init__(self, transport: Any, protocol: Any, pieces: int) -> None:
        self.transport, self.protocol, self.pieces = transport, protocol, pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)

    def data_received(self, data: bytes) -> None:
        while data and self.pieces:
            self.pieces -= 1
            self.protocol.data_received(data[:1])
            data = data[1:]
        if not self.pieces:
            self.transport.set_protocol(self.protocol)
        if data:
            self.protocol.data_received(data)


@on_each_loop
async def test_asyncpg_reads_an_answer_in_any_pieces_and_behind_another_protocol(url: str) -> None:
    """Else the mark of a transaction cannot be taken out, and its outcome not be found."""
    async with seamed(url) as (connection, loop):
        assert not isinstance(loop.protocol, asyncio.BufferedProtocol)
        own = await connection.prepare("SELECT n, repeat('x', n) FROM generate_series(1, 9) AS n")
        whole = await own.fetch()
        transport = loop.seam.transport
        for pieces in (1, 7, 40, 10_000):
            transport.set_protocol(Splitter(transport, loop.protocol, pieces))
            assert await own.fetch() == whole
        transport.set_protocol(loop.protocol)
        assert await own.fetch() == whole


@on_each_loop
async def test_asyncpg_takes_a_row_that_goes_ahead_for_one_of_its_statement(url: str) -> None:
    """Else the mark of a transaction is not where it is looked for."""
    async with connected(url) as connection:
        own = await connection.prepare("SELECT 'own'")
        await connection.execute("SELECT 1")
        connection._transport.write(run("SELECT 'mark'"))
        assert [row[0] for row in await own.fetch()] == ["mark", "own"]


@on_each_loop
async def test_asyncpg_prepares_without_a_sync(url: str) -> None:
    """Else `end_preparing` is a round trip for nothing."""
    open_since = "SELECT xact_start FROM pg_stat_activity WHERE pid = $1"
    async with seamed(url) as (connection, loop), connected(url) as observer:
        pid = connection.get_server_pid()
        loop.seam.written.clear()
        await connection.prepare("SELECT 1")
        assert loop.seam.written[-1].endswith(FLUSH)
        assert SYNC not in b"".join(loop.seam.written)
        assert await observer.fetchval(open_since, pid) is not None
        assert not connection.is_in_transaction()  # it does not know
        await connection.execute("SELECT 1")
        assert await observer.fetchval(open_since, pid) is None


@on_each_loop
async def test_asyncpg_closes_a_collected_statement_by_its_name(url: str) -> None:
    """Else nothing is lost: then `_discarded` can go."""
    is_there = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'contract_kept'"
    async with connected(url) as connection:
        old = await connection.prepare("SELECT 1", name="contract_kept")
        await connection.execute("DEALLOCATE contract_kept")
        new = await connection.prepare("SELECT 2", name="contract_kept")
        assert await new.fetchval() == 2
        del old
        gc.collect()
        await connection.prepare("SELECT 3")  # closes what was collected
        assert await connection.fetchval(is_there) == 0


@on_each_loop
async def test_asyncpg_draws_the_arguments_of_many_as_it_sends_them(url: str) -> None:
    """Else an import holds all of a file in memory, and waits for the server."""
    drawn = 0
    at_write: list[int] = []

    def arguments() -> Any:
        nonlocal drawn
        for drawn in range(1, 10_001):
            yield (drawn, "x" * 100)

    async with seamed(url) as (connection, loop):
        await connection.execute("CREATE TEMP TABLE contract (n int, words text)")
        own = "INSERT INTO contract VALUES ($1, $2)"
        await connection.prepare(own)
        send = loop.seam.write

        def write(data: Any) -> None:
            at_write.append(drawn)
            send(data)

        loop.seam.write = write  # type: ignore[method-assign]  # to look at each write
        loop.seam.written.clear()
        await connection.executemany(own, arguments())
        del loop.seam.write
        assert await connection.fetchval("SELECT count(*) FROM contract") == 10_000
    sent = [data for data in loop.seam.written if b"x" * 100 in data]
    assert len(sent) > 5
    assert max(map(len, sent)) < 200_000
    assert at_write[len(at_write) // 2] < 10_000


@on_each_loop
async def test_asyncpg_runs_a_prepared_statement_by_its_protocol(url: str) -> None:
    """Else no statement of a unit runs."""
    async with connected(url) as connection:
        prepared = await connection.prepare("SELECT n FROM generate_series(1, $1::int) AS n")
        run, state = connection._protocol.bind_execute, prepared._state
        rows, tag, is_all = await run(state, [2], "", 0, return_extra=True, timeout=None)
        assert (rows, tag, is_all) == (await prepared.fetch(2), b"SELECT 2", True)
        rows, _, is_all = await run(state, [2], "", 1, return_extra=True, timeout=None)
        assert (rows, is_all) == ([await prepared.fetchrow(2)], False)
        assert not connection._protocol.is_in_transaction()
        await connection.close()
        assert state._get_attributes()[0].name == "n"
        assert [each.name for each in state._get_parameters()] == ["int4"]


@on_each_loop
async def test_asyncpg_has_one_time_limit_at_a_time(url: str) -> None:
    """Else two commands share a timer, and one of them has no limit."""
    loop: Any = TimedLoop()
    connection: Any = await asyncpg.connect(url, loop=loop, command_timeout=5)
    connection._loop = loop.loop
    assert not loop.limits
    prepared = await connection.prepare("SELECT 1")
    await prepared.fetch()
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")
    assert [limit.is_cancelled for limit in loop.limits] == [True] * 3
    with pytest.raises(TimeoutError):
        await connection.fetch("SELECT pg_sleep(60)", timeout=0.2)
    assert await connection.fetchval("SELECT 1") == 1
    assert not loop.were_two
    connection.terminate()


@on_each_loop
async def test_asyncpg_returns_ids_of_a_class_of_its_own(url: str) -> None:
    """Else the user of a unit is copied for each run, or is of a class that nobody has seen."""
    async with connected(url) as connection:
        found = await connection.fetchval("SELECT gen_random_uuid()")
    assert type(found) is asyncpg.pgproto.pgproto.UUID
    assert isinstance(found, UUID)
    assert (UUID(str(found)), hash(UUID(str(found)))) == (found, hash(found))


class TimedLoop(SeamLoop):
    """Notes the time limits that the driver's protocol asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[TimeLimit] = []
        self.were_two = False

    def call_later(self, delay: float, callback: Any, *args: Any) -> Any:
        if callback.__self__ is not self.protocol:
            return self.loop.call_later(delay, callback, *args)
        self.were_two |= any(limit.is_pending() for limit in self.limits)
        limit = TimeLimit(self.loop.call_later(delay, self._end, callback, args))
        self.limits.append(limit)
        return limit

    def _end(self, callback: Any, args: Any) -> None:
        self.limits[-1].has_ended = True
        callback(*args)


class TimeLimit:
    """The handle of a timer. The driver may call its `cancel`, and no other method."""

    is_cancelled = has_ended = False

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self._timer = timer

    def cancel(self) -> None:
        self.is_cancelled = True
        self._timer.cancel()

    def is_pending(self) -> bool:
        return not (self.is_cancelled or self.has_ended)


@on_each_loop
async def test_asyncpg_sends_nothing_before_a_cancelled_command_is_answered(url: str) -> None:
    """Else rows of a cancelled statement are taken for the mark of the next unit's transaction."""
    async with seamed(url) as (connection, loop):
        seen = Watch(loop)
        await _cancel_a_statement(connection)
        assert await connection.fetchval("SELECT 1") == 1
        loop.seam.transport.set_protocol(loop.protocol)
        cancelled = seen.events.index("answered")
        assert seen.events[cancelled + 1] == "written"
        assert "written" not in seen.events[1:cancelled]


class Watch(asyncio.Protocol):
    """Notes what is written, and each answer that ends with ReadyForQuery."""

    def __init__(self, loop: SeamLoop) -> None:
        self.events: list[str] = []
        self.protocol = loop.protocol
        send = loop.seam.write

        def write(data: Any) -> None:
            self.events.append("written")
            send(data)

        loop.seam.write = write  # type: ignore[method-assign]  # to look at each write
        loop.seam.transport.set_protocol(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)

    def data_received(self, data: bytes) -> None:
        if data[-6:-1] == b"Z\x00\x00\x00\x05":
            self.events.append("answered")
        self.protocol.data_received(data)


async def _cancel_a_statement(connection: Any) -> None:
    """Cancel the task of a statement that is in flight."""
    is_running = asyncio.Event()
    connection.add_log_listener(lambda *_: is_running.set())
    sleeping = "DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(60); END $$"
    task = asyncio.ensure_future(connection.execute(sleeping))
    await is_running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@on_each_loop
async def test_asyncpg_encodes_a_statement_whose_write_is_kept_from_the_server(url: str) -> None:
    """Else an UPDATE of a flush costs a round trip, or the next statement has no time limit."""
    async with seamed(url, command_timeout=0.2) as (connection, loop):
        await connection.execute("CREATE TEMP TABLE contract AS SELECT 1 AS n")
        own = await connection.prepare("UPDATE contract SET n = $1")
        after = await connection.prepare("SELECT n FROM contract")
        slow = await connection.prepare("SELECT pg_sleep(60)")
        await connection.execute("BEGIN")
        loop.seam.ahead = encoded(loop, own, 2)
        assert [tuple(row) for row in await after.fetch()] == [(2,)]
        encoded(loop, own, 3)
        with pytest.raises(TimeoutError):
            await slow.fetch()


def encoded(loop: SeamLoop, statement: Any, value: int) -> bytes:
    """Return the messages of an UPDATE, which the driver takes for sent and answered."""
    seam, held = loop.seam, list[bytes]()
    send, seam.write = seam.write, held.append  # type: ignore[method-assign,assignment]  # keeps what is written
    running = loop.protocol.bind_execute(
        statement._state, [value], "", 0, return_extra=True, timeout=NO_TIMEOUT
    )
    waiter = running.send(None)
    seam.write = send  # type: ignore[method-assign]  # the transport's own again
    assert [kinds(bytes(data)) for data in held] == ["BES"]
    waiter.remove_done_callback(loop.protocol._on_waiter_completed)
    loop.protocol.data_received(UPDATED_ONE)
    with pytest.raises(StopIteration) as ended:
        running.send(None)
    assert ended.value.value == ([], b"UPDATE 1", True)
    return bytes(held[0]).removesuffix(SYNC)
