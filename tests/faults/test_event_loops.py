"""Units on uvloop, which many web servers use: the same round trips."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from pydantic import SecretStr
from tests.faults.proxy import Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.faults.test_round_trips import HOT
from tests.units import settle_in

from faceplate import Database, Settings, encryption

LOOPS: dict[str, Callable[[], Any]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


async def costs(url: str) -> dict[str, tuple[int, int]]:
    """Return the round trips and the statements of each unit of the hot path."""
    found = {}
    async with Proxy(url) as proxy:
        settings = Settings(
            database_url=proxy.url,
            encryption_keys=(SecretStr(encryption.generate_key()),),
            pool_size=1,
        )
        async with Database(settings) as db:
            for name, (call, _) in HOT.items():
                own = await settle_in(db)
                await call(db, own)  # prepares its statements
                proxy.traffic = traffic = Traffic()
                await call(db, own)
                found[name] = traffic.round_trips, traffic.statements
    return found


@pytest.mark.pipelined
@pytest.mark.parametrize("loop", LOOPS)
def test_a_unit_costs_the_same_on_every_event_loop(steady_server: OwnServer, loop: str) -> None:
    """Else each request takes more round trips under a web server than in a benchmark."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(costs(steady_server.url)) == {
            name: cost[:2] for name, (_, cost) in HOT.items()
        }
