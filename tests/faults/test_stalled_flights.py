"""Flights that hang, while the rest of the pool is free."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from tests.databases import opened, outside, settings_of
from tests.faults.proxy import Proxy
from tests.faults.servers import OwnServer, own_server
from tests.integration.test_flight_neighbours import chats_of_their_own
from tests.integration.test_shared_flights import say

from faceplate._runner import shared_flights
from faceplate.services import conversations

pytestmark = pytest.mark.pipelined


@pytest.fixture
def server() -> Iterator[OwnServer]:
    with own_server() as one:
        yield one


@pytest.mark.parametrize("share_flights", [False, True], ids=["alone", "shared"])
async def test_commits_that_hang_hold_up_no_reads(
    server: OwnServer, *, share_flights: bool
) -> None:
    """Else a standby that is gone takes the lists of conversations with it."""
    limits = {"pool_size": 35, "max_overflow": 0, "pool_timeout_s": 1}
    async with (
        outside(settings_of(server.admin_url)) as admin,
        opened(settings_of(server.url), share_flights=share_flights, **limits) as db,
    ):
        chats = await chats_of_their_own(db)
        await asyncio.gather(*(say(db, chat, "stored") for chat in chats))
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'gone'")
        await admin.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.3)  # until every backend has read it
        appending = []
        for chat in chats[:25]:
            appending.append(asyncio.create_task(say(db, chat, "hangs")))
            await asyncio.sleep(0.01)  # in flights of their own
        looking = [asyncio.create_task(db.run(chat.user_id, conversations.page)) for chat in chats]
        _, waiting = await asyncio.wait(looking, timeout=2)
        await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await admin.execute("SELECT pg_reload_conf()")
        await asyncio.gather(*appending, *looking, return_exceptions=True)
    assert not waiting, f"{len(waiting)} of {len(looking)} lists"


@pytest.mark.parametrize("share_flights", [False, True], ids=["alone", "shared"])
async def test_reads_that_hang_end_with_their_event_loop(
    server: OwnServer, monkeypatch: pytest.MonkeyPatch, *, share_flights: bool
) -> None:
    """Else a program whose callers all have gone hangs until command_timeout_s at its end."""
    monkeypatch.setattr(shared_flights, "SLOW_S", 1.0)
    limits = {"statement_timeout_s": 2, "command_timeout_s": 3, "shutdown_timeout_s": 0.1}
    async with (
        Proxy(server.url) as proxy,
        opened(settings_of(proxy.url), share_flights=share_flights, pool_size=40, **limits) as db,
    ):
        chats = await chats_of_their_own(db)

        async def look() -> None:
            await asyncio.gather(*(db.run(chat.user_id, conversations.page) for chat in chats))

        for _ in range(3):
            await look()
        before = asyncio.all_tasks()
        proxy.is_black_hole = True
        looking = asyncio.create_task(look())
        await asyncio.sleep(0.1)  # until they are in flight
        begun = asyncio.all_tasks() - before
        began_s = time.monotonic()
        for task in begun:
            task.cancel()
        await asyncio.gather(looking, *begun, return_exceptions=True)
        assert time.monotonic() - began_s < 1
