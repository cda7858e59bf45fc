"""Through PgBouncer, a unit is one flight, and nothing is prepared for it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import asyncpg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.databases import settings_of
from tests.faults.bouncer import PROGRAM, TRACKING, WHY_NOT, bouncer
from tests.faults.proxy import Direction, Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.faults.test_round_trips import HOT, PLAIN, Wire
from tests.units import settle_in

from faceplate import Database, Settings, Statement, encryption, was_committed
from faceplate.services import conversations, messages, tasks, users

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


async def test_an_append_that_waits_for_a_lock_is_cancelled_on_the_server(
    steady_server: OwnServer, pooled_url: str
) -> None:
    """Else the caller waits for as long as the lock is held, and keeps a server connection."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    unlimited = {"lock_timeout_s": 0, "statement_timeout_s": 0}
    settings = settings_of(pooled_url, pgbouncer=True, pipelining=True, **unlimited)
    watcher = await asyncpg.connect(steady_server.url)

    async with Database(settings) as db:
        user = await db.run_system(users.create, subject_id=secrets.token_hex(8))
        chat = await db.run(user.id, conversations.create)
        await db.run(user.id, messages.append, chat.id, role="user", content="kept")
        async with watcher.transaction():
            lock = "SELECT FROM faceplate.conversations WHERE id = $1 FOR UPDATE"
            await watcher.execute(lock, chat.id)
            appending = asyncio.create_task(
                db.run(user.id, messages.append, chat.id, role="user", content="lost")
            )
            async with asyncio.timeout(30):
                while not await watcher.fetchval(waiting):
                    pass
                appending.cancel()
                with pytest.raises(asyncio.CancelledError) as cancelled:
                    await appending
            assert not was_committed(cancelled.value)
            assert await watcher.fetchval(waiting) == 0
        kept = await db.run(user.id, messages.history, chat.id)
        assert [message.content for message in kept] == ["kept"]
    await watcher.close()
