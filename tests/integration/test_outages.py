"""A server that goes away or stops answering while units run: one of this file's own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from tests.faults.servers import OwnServer, own_server
from tests.unusable import frozen

from faceplate import Database, Settings, TimedOut, User
from faceplate.services import conversations, messages, tasks, users


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with own_server(fsync="off") as server:
        yield server


@asynccontextmanager
async def opened(own: OwnServer, **changes: Any) -> AsyncIterator[tuple[Database, User]]:
    async with Database(Settings(database_url=SecretStr(own.url), **changes)) as db:
        yield db, await db.run_system(users.create, subject_id=secrets.token_hex())


async def test_units_ride_out_a_restart_of_the_server(own: OwnServer) -> None:
    """Else an update of the server is an outage."""
    under_way, restarted = asyncio.Event(), asyncio.Event()

    async with opened(own, retry_delay_s=0.1) as (db, user):
        chat = await db.run(user.id, conversations.create)

        async def write(writer: int) -> list[str]:
            said: list[str] = []
            while not restarted.is_set() or len(said) < 20:
                words = f"{writer}.{len(said)}"
                await db.run(user.id, messages.append, chat.id, role="user", content=words)
                said.append(words)
                under_way.set()
            return said

        writers = [asyncio.create_task(write(writer)) for writer in range(4)]
        await under_way.wait()
        await asyncio.to_thread(own.stop)
        await asyncio.to_thread(own.start)
        restarted.set()
        written = await asyncio.gather(*writers)
        async with db.begin(user.id) as scope:
            kept = [message.content async for message in messages.walk(scope, chat.id)]
        assert sorted(kept) == sorted(words for each in written for words in each)


@pytest.mark.pipelined
async def test_a_frozen_server_is_given_up_and_used_again(own: OwnServer) -> None:
    """Else one machine that swaps takes every worker of the application with it."""
    limits = {"statement_timeout_s": 0.2, "command_timeout_s": 0.4, "connect_timeout_s": 0.5}
    async with opened(own, **limits) as (db, user):
        with frozen(own.pid):
            with pytest.raises(TimedOut, match="command_timeout_s"):
                await db.run(user.id, tasks.page)
            assert not (await db.check()).reachable
        assert (await db.run(user.id, tasks.page)).items == []
