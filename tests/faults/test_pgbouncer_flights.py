"""Through PgBouncer, a unit is one flight, and nothing is prepared for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.databases import hurdle, settings_of
from tests.faults.bouncer import PROGRAM, TRACKING, WHY_NOT, bouncer
from tests.faults.proxy import Direction, Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.faults.test_pgbouncer import wait_for_sleepers
from tests.faults.test_round_trips import HOT, PLAIN, Wire
from tests.units import settle_in

from faceplate import Database, Scope, Settings, Statement, encryption, was_committed
from faceplate._driver import shielding
from faceplate.services import conversations, messages, tasks

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


class Setting(NamedTuple):
    name: str
    setting: str


@pytest.fixture(scope="module", params=TRACKING, ids=("plain", "tracking"))
def pooled_url(steady_server: OwnServer, request: pytest.FixtureRequest) -> Iterator[str]:
    with bouncer(steady_server, tracks=request.param) as url:
        yield url


@pytest.fixture(params=[1])
async def wire(pooled_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """A database behind PgBouncer, and the wire between the two."""
    async with Proxy(pooled_url) as proxy:
        settings = Settings(
            database_url=proxy.url,
            encryption_keys=(SecretStr(encryption.generate_key()),),
            pgbouncer=True,
            pipelining=True,
            pool_size=request.param,
        )
        async with Database(settings) as db:
            yield Wire(db, proxy, await settle_in(db))


CARRYING = {"an append over the ORM"}
"""Behind a pooler an UPDATE of a flush takes a round trip of its own."""


@pytest.mark.parametrize("name", HOT)
async def test_a_unit_takes_as_many_round_trips_as_without_a_pooler(wire: Wire, name: str) -> None:
    """Else each request waits two or three times as long on the network."""
    call, cost = HOT[name]
    await call(wire.db, wire.own)
    wire.proxy.traffic = traffic = Traffic()
    await call(wire.db, wire.own)
    print(traffic, traffic.bytes[Direction.TO_SERVER])  # noqa: T201 - for who changes it
    assert traffic.round_trips == cost.round_trips + (name in CARRYING)
    assert traffic.connections == 0


@pytest.mark.parametrize("wire", [2], indirect=True)
async def test_a_statement_is_described_once_for_all_connections(wire: Wire) -> None:
    """Else each new connection asks again for what the pool knows."""
    db, own = wire.db, wire.own
    async with db.begin(own.user_id) as scope:
        await messages.get(scope, own.conversation_id, own.message_id)
        await db.run(own.user_id, conversations.get, own.conversation_id)  # by the other one
        await db.run(own.user_id, tasks.page)
    async with db.begin(own.user_id) as scope:
        await tasks.page(scope)
        wire.proxy.traffic = traffic = Traffic()
        await db.run(own.user_id, messages.get, own.conversation_id, own.message_id)
    assert (traffic.connections, traffic.round_trips) == (0, 1)


async def test_one_flight_has_the_role_and_the_limits(wire: Wire) -> None:
    """Else a read sees other users' rows, or runs for ever."""
    limits = {"TimeZone": "UTC", "lock_timeout": "10000", "statement_timeout": "30000"}
    shown = sa.table("pg_settings", sa.column("name", sa.Text), sa.column("setting", sa.Text))
    named = shown.c.name == sa.any_(sa.literal([*limits], sa.ARRAY(sa.Text)))
    settings = Statement(Setting, sa.select(shown.c.name, shown.c.setting).where(named))
    role = Statement(str, sa.select(sa.cast(sa.func.current_user(), sa.Text)))

    async def read() -> None:
        found = await wire.db.run(wire.own.user_id, lambda scope: scope.all(settings))
        assert dict(found) == limits
        found_role = await wire.db.run(wire.own.user_id, lambda scope: scope.one(role))
        assert found_role == "faceplate_app"

    await read()
    wire.proxy.traffic = traffic = Traffic()
    await read()
    assert traffic.round_trips == 2


@pytest.mark.parametrize("name", PLAIN)
async def test_without_pipelining_a_pooled_unit_uses_the_drivers_own_means(
    pooled_url: str, name: str
) -> None:
    """Else there is no way out when a driver's private parts have changed."""
    call, _ = HOT[name]
    keys = (SecretStr(encryption.generate_key()),)
    settings = settings_of(pooled_url, pgbouncer=True, pipelining=False, encryption_keys=keys)
    async with Database(settings) as db:
        own = await settle_in(db)
        await call(db, own)
        await call(db, own)


@pytest.mark.parametrize("closes", [False, True])
async def test_an_append_that_waits_for_a_lock_is_cancelled_on_the_server(
    steady_server: OwnServer, wire: Wire, *, closes: bool
) -> None:
    """Else the caller waits for as long as the lock is held, and keeps a server connection.

    PgBouncer 1.18 exits when the client of a cancel request ends it, instead of the pooler.
    """
    db, own, proxy = wire.db, wire.own, wire.proxy
    proxy.cancel_delay_s = 0.1
    append = partial(messages.append, role="user", content="lost")
    before = await db.run(own.user_id, messages.history, own.conversation_id)
    lock = f"SELECT FROM faceplate.conversations WHERE id = '{own.conversation_id}' FOR UPDATE"
    async with hurdle(settings_of(steady_server.url), lock) as is_met:
        appending = asyncio.create_task(db.run(own.user_id, append, own.conversation_id))
        await is_met()
        appending.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await asyncio.wait_for(appending, 5)
    assert not was_committed(cancelled.value)
    if closes:
        await db.dispose()
        assert not shielding._CANCELLING  # which the end of `asyncio.run` would end
    else:
        await asyncio.sleep(2 * proxy.cancel_delay_s)  # until the proxy has ended the request
        after = await db.run(own.user_id, messages.history, own.conversation_id)
        assert after == before
    assert proxy.hang_ups == 0


async def sleep_in_a_statement(scope: Scope) -> None:
    await scope.all(Statement(str, sa.select(sa.cast(sa.func.pg_sleep(60), sa.Text))))


async def sleep_in_a_session(scope: Scope) -> None:
    await scope.session.execute(sa.select(sa.func.pg_sleep(60)))


@pytest.mark.parametrize("sleep", [sleep_in_a_statement, sleep_in_a_session])
async def test_a_unit_that_is_cancelled_waits_for_the_end_of_its_cancel_request(
    steady_server: OwnServer, wire: Wire, sleep: Callable[[Scope], Awaitable[None]]
) -> None:
    """Else PgBouncer 1.18 exits at some of them, for all its clients."""
    wire.proxy.cancel_delay_s = 0.1
    sleeping = asyncio.create_task(wire.db.run(wire.own.user_id, sleep))
    await wait_for_sleepers(steady_server, 1)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(sleeping, 5)
    await asyncio.sleep(2 * wire.proxy.cancel_delay_s)  # until the proxy has ended the request
    assert wire.proxy.hang_ups == 0
    await wait_for_sleepers(steady_server, 0)
