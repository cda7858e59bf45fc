"""Through PgBouncer, a unit is one flight, as it is without a pooler."""

from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr
from tests.faults.bouncer import PROGRAM, WHY_NOT, bouncer
from tests.faults.proxy import Direction, Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.faults.test_round_trips import HOT, Wire
from tests.units import settle_in

from faceplate import Database, Settings, encryption

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)

OVER_THE_ORM = {"a unit over the ORM": 5}
"""SQLAlchemy prepares each statement in a round trip of its own. BEGIN travels with the first."""


@pytest.fixture(scope="module")
def pooled_url(steady_server: OwnServer) -> Iterator[str]:
    with bouncer(steady_server) as url:
        yield url


@pytest.fixture
async def wire(pooled_url: str) -> AsyncIterator[Wire]:
    """A database behind PgBouncer, and the wire between the two."""
    async with Proxy(pooled_url) as proxy:
        settings = Settings(
            database_url=proxy.url,
            encryption_keys=(SecretStr(encryption.generate_key()),),
            pgbouncer=True,
            pool_size=1,
        )
        async with Database(settings) as db:
            yield Wire(db, proxy, await settle_in(db))


@pytest.mark.parametrize("name", HOT)
async def test_a_unit_takes_as_many_round_trips_as_without_a_pooler(wire: Wire, name: str) -> None:
    """Else each request waits two or three times as long on the network."""
    call, cost = HOT[name]
    await call(wire.db, wire.own)
    wire.proxy.traffic = traffic = Traffic()
    await call(wire.db, wire.own)
    print(traffic, traffic.bytes[Direction.TO_SERVER])  # noqa: T201 - for who changes it
    assert traffic.round_trips == OVER_THE_ORM.get(name, cost.round_trips)
    assert traffic.connections == 0
