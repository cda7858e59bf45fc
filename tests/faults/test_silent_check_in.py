"""A server that goes silent when a unit has its answer already, or before it has prepared."""

import asyncio
import secrets
from functools import partial
from typing import Any

import pytest
from tests.databases import opened, settings_of
from tests.faults.proxy import Proxy
from tests.faults.servers import OwnServer

from faceplate import Scope, TimedOut, Unavailable
from faceplate.services import tasks, users

LIMITS = {"statement_timeout_s": 0.3, "command_timeout_s": 0.5, "reconnect_timeout_s": 0.5}


async def test_a_surplus_connection_is_closed_without_the_server(
    steady_server: OwnServer,
) -> None:
    """Else a caller whose work is done waits for a server that has died since."""
    async with (
        Proxy(steady_server.url) as proxy,
        opened(settings_of(proxy.url), pool_size=1, max_overflow=1, **LIMITS) as db,
    ):
        user = await db.run_system(users.ensure, secrets.token_hex())
        has_read, may_end = asyncio.Semaphore(0), asyncio.Event()

        async def read(scope: Scope) -> None:
            await tasks.page(scope)
            has_read.release()
            await may_end.wait()

        units = [asyncio.create_task(db.run(user.id, read)) for _ in range(2)]
        for _ in units:
            await has_read.acquire()
        proxy.is_black_hole = True
        may_end.set()
        async with asyncio.timeout(5):
            await asyncio.gather(*units)
        proxy.is_black_hole = False
        proxy.drop_all()


@pytest.mark.parametrize("writes", [False, True], ids=["a read", "a write"])
async def test_a_statement_that_cannot_be_prepared_is_given_up(
    steady_server: OwnServer, *, writes: bool
) -> None:
    """Else a unit waits for ever for the cancellation of what it has sent."""
    async with Proxy(steady_server.url) as proxy, opened(settings_of(proxy.url), **LIMITS) as db:
        user = await db.run_system(users.ensure, secrets.token_hex())
        proxy.is_black_hole = True
        unit: Any = partial(tasks.create, title="late") if writes else tasks.page
        async with asyncio.timeout(10):
            with pytest.raises((TimedOut, Unavailable)):
                await db.run(user.id, unit)
        proxy.is_black_hole = False
        proxy.drop_all()
