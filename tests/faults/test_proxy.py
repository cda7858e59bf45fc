"""The proxy's faults happen, and where they do not, it changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from tests.faults.proxy import (
    Action,
    Direction,
    Fault,
    Message,
    Proxy,
    Traffic,
    is_commit,
    is_committed,
)
from tests.faults.servers import OwnServer

DEADLINE_S = 10.0


@pytest.fixture(params=["unix", "tcp"])
async def proxy(request: pytest.FixtureRequest, steady_server: OwnServer) -> AsyncIterator[Proxy]:
    async with Proxy(steady_server.url, tcp=request.param == "tcp") as proxy:
        yield proxy


@pytest.fixture
async def direct(steady_server: OwnServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(steady_server.url)
    await connection.execute("CREATE TABLE seen (x int)")
    yield connection
    await connection.execute("DROP TABLE seen")
    await connection.close()


async def write(connection: asyncpg.Connection) -> None:
    """One row, in a transaction of three messages to the server."""
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO seen VALUES (1)")
    await connection.execute("COMMIT")


async def wait_until(direct: asyncpg.Connection, query: str, expected: Any) -> None:
    """The server takes its time to notice that a client is gone."""
    async with asyncio.timeout(DEADLINE_S):
        while await direct.fetchval(query) != expected:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)


OTHERS = """SELECT count(*) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
STORED = "SELECT count(*) FROM seen"


async def test_without_a_fault_it_changes_nothing_and_counts(
    proxy: Proxy, direct: asyncpg.Connection
) -> None:
    """Else the campaigns break what they should only watch, and benchmarks count wrongly."""
    connection = await asyncpg.connect(proxy.url)
    big = "x" * 1_000_000
    proxy.traffic = Traffic()
    assert await connection.fetchval("SELECT $1::text", big) == big
    assert proxy.traffic.round_trips == 2  # Parse and Describe; Bind and Execute
    assert proxy.traffic.messages[Direction.TO_SERVER] == 6
    assert min(proxy.traffic.bytes.values()) > 1_000_000
    await write(connection)
    assert proxy.traffic.round_trips == 5
    await connection.close()
    assert await direct.fetchval(STORED) == 1


@pytest.mark.parametrize(
    ("action", "at", "stored"),
    [
        (Action.DROP_BEFORE, is_commit, 0),
        (Action.CUT, is_commit, 0),
        (Action.DROP_AFTER, is_commit, 1),
        (Action.DROP_BEFORE, is_committed, 1),
        (Action.CUT, is_committed, 1),
        (Action.DROP_AFTER, is_committed, 1),
    ],
)
async def test_a_drop_ends_the_connection_on_both_sides(
    proxy: Proxy,
    direct: asyncpg.Connection,
    action: Action,
    at: Callable[[Message], bool],
    stored: int,
) -> None:
    """Else a campaign of drops before and after COMMIT tests one of the two, or none."""
    connection = await asyncpg.connect(proxy.url)
    proxy.plan(Fault(action, at))
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await write(connection)
    assert [at(message) for message in proxy.struck] == [True]
    await wait_until(direct, OTHERS, 0)
    assert await direct.fetchval(STORED) == stored
    await write(again := await asyncpg.connect(proxy.url))
    await again.close()
    assert await direct.fetchval(STORED) == stored + 1


@pytest.mark.parametrize("stays_open", [False, True])
@pytest.mark.parametrize(
    ("fault", "stored"),
    [
        (Fault(Action.ANSWER_BEFORE, is_commit, state="58000"), 0),
        (Fault(Action.ANSWER_AFTER, is_commit, state="58000"), 1),
        (Fault(Action.ANSWER_BEFORE, is_committed, state="58000"), 1),
    ],
)
async def test_a_last_word_reaches_the_client_and_ends_the_servers_side(
    proxy: Proxy,
    direct: asyncpg.Connection,
    fault: Fault,
    stored: int,
    stays_open: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Else a campaign of FATALs is one of drops, or all of them strike before the COMMIT."""
    connection = await asyncpg.connect(proxy.url)
    proxy.plan(fault._replace(stays_open=stays_open))
    with pytest.raises(asyncpg.PostgresError) as told:
        await write(connection)
    said = told.value if stays_open else told.value.__cause__
    assert isinstance(said, asyncpg.PostgresError)
    assert (said.sqlstate, vars(said)["severity_en"]) == ("58000", "FATAL")
    assert connection.is_closed() is not stays_open
    connection.terminate()
    await wait_until(direct, OTHERS, 0)
    assert await direct.fetchval(STORED) == stored


@pytest.mark.parametrize(("at", "stored"), [(is_commit, 0), (is_committed, 1)])
async def test_a_hang_swallows_everything_and_closes_nothing(
    proxy: Proxy, direct: asyncpg.Connection, at: Callable[[Message], bool], stored: int
) -> None:
    """Else a campaign of hangs tests a closed connection, which is the easy case."""
    connection = await asyncpg.connect(proxy.url)
    proxy.plan(Fault(Action.HANG, at))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(write(connection), 0.2)
    connection.terminate()
    assert await direct.fetchval(OTHERS) == 1  # it does not know
    assert await direct.fetchval(STORED) == stored
    proxy.drop_all()
    await wait_until(direct, OTHERS, 0)


async def test_a_black_hole_takes_new_connections_and_answers_none(proxy: Proxy) -> None:
    """Else the time limit on connecting is tested against a server that refuses."""
    proxy.is_black_hole = True
    with pytest.raises(TimeoutError):
        await asyncpg.connect(proxy.url, timeout=0.2)
    proxy.is_black_hole = False
    await (await asyncpg.connect(proxy.url)).close()


async def test_delays_hold_messages_back(proxy: Proxy) -> None:
    """Else a benchmark over a slow link measures a fast one."""
    loop = asyncio.get_running_loop()
    connection = await asyncpg.connect(proxy.url)
    proxy.plan(Fault(Action.DELAY, lambda message: message.type == "Q", delay_s=0.1))
    started_s = loop.time()
    await connection.execute("SELECT 1")
    assert loop.time() - started_s >= 0.1  # no upper limit: it cannot fail on a slow machine
    proxy.delay_s = 0.05
    started_s = loop.time()
    await connection.execute("SELECT 1")
    assert loop.time() - started_s >= 0.1
    await connection.close()


async def test_faults_strike_one_after_another(proxy: Proxy) -> None:
    """Else double faults are single ones."""
    proxy.plan(Fault(Action.DROP_BEFORE, 3), Fault(Action.DROP_BEFORE, 2))
    struck = []
    for _ in range(2):
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await asyncpg.connect(proxy.url)
        struck.append(len(proxy.struck))
    assert struck == [1, 2]
    assert [message.connection for message in proxy.struck] == [1, 2]
    await (await asyncpg.connect(proxy.url)).close()
