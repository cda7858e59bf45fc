"""A server, a network, a name server or a pool that does not answer: given up in time, and used
again as soon as it does, by the same program.
"""

import asyncio
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from typing import Any, TypeAlias

import pytest
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.faults.proxy import Proxy
from tests.faults.servers import OwnServer
from tests.faults.writers import Writer
from tests.unusable import frozen

from faceplate import (
    CommitOutcomeUnknown,
    Database,
    PoolExhausted,
    Settings,
    ShuttingDown,
    TimedOut,
    Unavailable,
    User,
)
from faceplate._runner.attempt import ROLLBACK_TIMEOUT_S
from faceplate._runner.shutdown import CLOSE_S, CUT_OFF_S
from faceplate.services import conversations, tasks, users

LIMITS = {
    "statement_timeout_s": 0.3,
    "command_timeout_s": 0.6,
    "connect_timeout_s": 0.5,
    "reconnect_timeout_s": 1.0,
    "retry_delay_s": 0.1,
}
PATIENT = {"statement_timeout_s": 0, "command_timeout_s": 0, "shutdown_timeout_s": 0.5}
"""The settings of a database whose commands may take longer than it has for its end."""
# The longest way: COMMIT is silent, then nobody can be asked about it, in a last attempt neither.
BOUND_S = LIMITS["command_timeout_s"] + LIMITS["reconnect_timeout_s"] + LIMITS["connect_timeout_s"]
GENEROUS_S = 2 * (BOUND_S + ROLLBACK_TIMEOUT_S)
GIVEN_UP = (TimedOut, Unavailable, CommitOutcomeUnknown)
WRITERS = 12

Silence: TypeAlias = Callable[[OwnServer, Proxy], AbstractContextManager[None]]


async def a_user(db: Database) -> User:
    return await db.run_system(users.create, subject_id=secrets.token_hex())


def freeze(server: OwnServer, _: Proxy) -> AbstractContextManager[None]:
    return frozen(server.pid)


@contextmanager
def swallow(_: OwnServer, proxy: Proxy) -> Iterator[None]:
    proxy.is_black_hole = True
    try:
        yield
    finally:
        proxy.is_black_hole = False


@pytest.mark.parametrize("share_flights", [False, True], ids=["alone", "shared"])
@pytest.mark.parametrize("silence", [freeze, swallow], ids=["frozen", "black hole"])
async def test_what_goes_silent_is_given_up_in_time_and_used_again(
    steady_server: OwnServer, campaign: Campaign, silence: Silence, *, share_flights: bool
) -> None:
    """Else one machine that swaps, or one cable, takes every worker of the application with it."""
    ends: Counter[str] = Counter()
    async with (
        Proxy(steady_server.url) as proxy,
        opened(proxy.url, share_flights=share_flights) as db,
    ):
        user = await a_user(db)
        chats = [await db.run(user.id, conversations.create) for _ in range(WRITERS)]
        writers = [Writer(str(n), user.id, chat.id) for n, chat in enumerate(chats)]
        for _ in range(campaign.size(1, 20)):
            writing = [asyncio.create_task(writer.say_until_it_fails(db)) for writer in writers]
            await asyncio.sleep(campaign.dice.uniform(0, 0.1))  # at any moment, none is waited for
            with silence(steady_server, proxy):
                async with asyncio.timeout(GENEROUS_S):  # or one of them is still answered
                    first = await asyncio.gather(*writing)
                errors = [*first, await writers[0].say(db)]
            assert all(isinstance(error, GIVEN_UP) for error in errors)
            ends.update(type(error).__name__ for error in errors)
            proxy.drop_all()
            assert await asyncio.gather(*(each.say(db) for each in writers)) == [None] * WRITERS
            assert (await db.check()).pool.checked_out == 0
        slowest_s = max(writer.slowest_s for writer in writers)
        print(dict(ends), f"the slowest took {slowest_s:.2f} s")  # noqa: T201 - for the report
        assert slowest_s < GENEROUS_S
        for writer in writers:
            await writer.check(db)


@pytest.mark.parametrize("silence", [freeze, swallow], ids=["frozen", "black hole"])
async def test_a_database_is_closed_in_time_although_the_server_is_silent(
    steady_server: OwnServer, silence: Silence
) -> None:
    """Else a server that hangs keeps every program that uses it from ending, too."""
    async with Proxy(steady_server.url) as proxy:
        db = await opened(proxy.url, **PATIENT).__aenter__()
        user = await a_user(db)
        await asyncio.gather(*(db.run(user.id, tasks.page) for _ in range(WRITERS)))
        with silence(steady_server, proxy):
            running = [asyncio.create_task(db.run(user.id, tasks.page)) for _ in range(WRITERS)]
            await asyncio.sleep(0)  # they have begun
            started_s = time.monotonic()
            assert await db.dispose() == WRITERS
            elapsed_s = time.monotonic() - started_s
            proxy.drop_all()
            ends = await asyncio.gather(*running, return_exceptions=True)
        print(f"{elapsed_s:.2f} s")  # noqa: T201 - for the report
        assert elapsed_s < 2 * (0.5 + CUT_OFF_S + CLOSE_S)
        assert {type(end) for end in ends} == {ShuttingDown}


@pytest.mark.parametrize("silence", [freeze, swallow], ids=["frozen", "black hole"])
async def test_a_database_with_shared_flights_is_closed_in_time(
    steady_server: OwnServer, silence: Silence
) -> None:
    """Else the messages of a flight keep the program from ending, since none can be cancelled."""
    async with Proxy(steady_server.url) as proxy:
        db = await opened(proxy.url, **PATIENT).__aenter__()
        user = await a_user(db)
        chats = [await db.run(user.id, conversations.create) for _ in range(WRITERS)]
        writers = [Writer(str(n), user.id, chat.id) for n, chat in enumerate(chats)]
        await asyncio.gather(*(writer.say(db) for writer in writers))
        with silence(steady_server, proxy):
            running = [asyncio.create_task(writer.say(db)) for writer in writers]
            await asyncio.sleep(0.01)  # some fly, some wait
            started_s = time.monotonic()
            await db.dispose()
            elapsed_s = time.monotonic() - started_s
            proxy.drop_all()
            await asyncio.gather(*running, return_exceptions=True)
        assert elapsed_s < 2 * (0.5 + CUT_OFF_S + CLOSE_S)
    async with opened(steady_server.url) as db:
        for writer in writers:
            await writer.check(db)


def opened(url: str, **changes: Any) -> Database:
    return Database(Settings(database_url=SecretStr(url), **(LIMITS | changes)))


class Names:
    """A name server for one name, which can be slow or silent."""

    NAME = "db.example.com"

    def __init__(self) -> None:
        self._look_up = socket.getaddrinfo
        self.answers = threading.Event()
        self.answers.set()
        self.delay_s = 0.0

    def getaddrinfo(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == self.NAME:
            host = "127.0.0.1"
            self.answers.wait()
            time.sleep(self.delay_s)
        return self._look_up(host, *args, **kwargs)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.answers.set()


async def test_a_name_server_that_is_silent_is_given_up_in_time(
    steady_server: OwnServer, names: Names
) -> None:
    """Else every request hangs in a look-up, and the process cannot even be ended."""
    async with Proxy(steady_server.url, tcp=True) as proxy:
        url = proxy.url.replace("127.0.0.1", Names.NAME)
        async with opened(url) as db:
            user = await a_user(db)
            names.answers.clear()
            proxy.drop_all()
            started_s = time.monotonic()
            with pytest.raises(Unavailable, match=r"db\.example\.com:\d+/faceplate: no answer"):
                await db.run(user.id, tasks.page)
            elapsed_s = time.monotonic() - started_s
            print(f"{elapsed_s:.2f} s")  # noqa: T201 - for the report
            assert elapsed_s < GENEROUS_S
            names.answers.set()
            await asyncio.gather(*(db.run(user.id, tasks.page) for _ in range(WRITERS)))
            names.delay_s = 0.1
            proxy.drop_all()
            await asyncio.gather(*(db.run(user.id, tasks.page) for _ in range(WRITERS)))


async def test_a_pool_that_is_exhausted_says_so_in_time_and_recovers(
    steady_server: OwnServer, campaign: Campaign
) -> None:
    """Else requests pile up behind a few that hold on, and the process never serves again."""
    timeout_s = 0.5
    pool = {"pool_size": 3, "max_overflow": 2, "pool_timeout_s": timeout_s}
    async with opened(steady_server.url, **pool) as db, opened(steady_server.url) as other:
        user = await a_user(other)
        for _ in range(campaign.size(2, 20)):
            async with AsyncExitStack() as holders:
                for _ in range(5):
                    await holders.enter_async_context(db.begin(user.id))
                started_s = time.monotonic()
                crowd = (db.run(user.id, tasks.page) for _ in range(40))
                ends = await asyncio.gather(*crowd, return_exceptions=True)
                elapsed_s = time.monotonic() - started_s
                assert {type(end) for end in ends} == {PoolExhausted}
                assert timeout_s <= elapsed_s < GENEROUS_S
                waiting = [asyncio.create_task(db.run(user.id, tasks.page)) for _ in range(5)]
                await asyncio.sleep(0)  # they have asked, and are served when the holders are gone
            await asyncio.gather(*waiting)
            await asyncio.gather(*(db.run(user.id, tasks.page) for _ in range(10)))
            assert (await db.check()).pool.checked_out == 0
