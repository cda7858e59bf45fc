"""Random programs of units, on a server that refuses at random: see `unit_programs.program`."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import pytest
import uvloop
from tests.campaigns import Campaign
from tests.faults.bouncer import PROGRAM, WHY_NOT, bouncer
from tests.faults.servers import OwnServer
from tests.faults.unit_programs.generation import generate
from tests.faults.unit_programs.trial import Bench
from tests.faults.unit_programs.world import OWNER, UNITS_LOGIN, world

NewLoop = Callable[[], asyncio.AbstractEventLoop]

SHORT, LONG = 30, 1700
"""How many programs run in each world."""


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Log nothing: most programs are meant to fail."""
    caplog.set_level(logging.CRITICAL)


def open_route(way: str, server: OwnServer) -> AbstractContextManager[str]:
    """Open a way to the server: its own URL, or that of a pooler in front of it."""
    return bouncer(server) if way == "pgbouncer" else nullcontext(server.url)


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
@pytest.mark.parametrize("pool_size", [1, 3])
@pytest.mark.parametrize(
    "way",
    [
        "direct",
        "two logins",
        pytest.param("pgbouncer", marks=pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)),
    ],
)
def test_no_program_breaks_a_promise(
    steady_server: OwnServer, campaign: Campaign, way: str, pool_size: int, new_loop: NewLoop
) -> None:
    """Else some unit reads or changes another user's rows, loses what was acknowledged, or leaves
    a connection on which the next user is served wrong."""
    route = partial(open_route, way, steady_server)

    async def run() -> Counter[str]:
        ends: Counter[str] = Counter()
        async with world(
            route,
            steady_server.admin_url,
            login=UNITS_LOGIN if way == "two logins" else OWNER,
            pool_size=pool_size,
            pgbouncer=way == "pgbouncer",
        ) as place:
            bench = Bench(place)
            for number in range(campaign.size(SHORT, LONG)):
                seed = f"{campaign.seed} {pool_size} {way} {new_loop.__module__} {number}"
                program = generate(seed)
                if wrong := await bench.try_out(program):
                    report = await bench.report(program, wrong)
                    pytest.fail(f"seed {seed!r}\n{report}", pytrace=False)
                ends[bench.told] += 1
        return ends

    with asyncio.Runner(loop_factory=new_loop) as runner:
        ends = runner.run(run())
    print(dict(ends))  # noqa: T201 - that it had any strength
    assert ends["kept"] > 0 < ends["undone"]
