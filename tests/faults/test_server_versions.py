"""A server of a version that is too old: refused in the login, wherever one is made.

The server here is new enough. The proxy changes what it says of its version, and nothing else.
"""

import re
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from tests.faults.proxy import Proxy, Traffic
from tests.faults.servers import OwnServer

from faceplate import CannotConnect, Database, Settings, migrate
from faceplate._operations import doctor
from faceplate.services import users

OLD = "14.23 (Debian 14.23-1.pgdg12+1)"
REFUSED = r"/faceplate: PostgreSQL 14\.23 \(Debian .*\) is too old: faceplate needs 15 or newer"


@pytest.fixture
async def proxy(steady_server: OwnServer) -> AsyncIterator[Proxy]:
    async with Proxy(steady_server.url) as proxy:
        yield proxy


def settings_of(url: str, **rest: float) -> Settings:
    return Settings(database_url=SecretStr(url), **rest)  # type: ignore[arg-type]  # one of its fields


async def test_a_program_does_not_start_on_an_older_server(proxy: Proxy) -> None:
    """Else each unit fails by another function that the server does not know."""
    proxy.server_version = OLD
    with pytest.raises(CannotConnect, match=REFUSED):
        async with Database(settings_of(proxy.url)):
            pass
    # The login told it: nothing was asked, and nothing was tried again.
    assert (proxy.traffic.connections, proxy.traffic.statements) == (1, 0)


async def test_a_pool_takes_no_connection_to_an_older_server(proxy: Proxy) -> None:
    """Else a URL that is pointed at another server, or a failover, goes unnoticed."""
    async with Database(settings_of(proxy.url)) as db:
        proxy.server_version = OLD
        proxy.traffic = Traffic()
        with pytest.raises(CannotConnect, match=REFUSED):
            await db.run_system(users.ensure, "somebody")
        assert (proxy.traffic.connections, proxy.traffic.statements) == (1, 0)
        proxy.server_version = None
        assert (await db.run_system(users.ensure, "somebody")).subject_id == "somebody"


async def test_an_older_server_is_not_migrated(proxy: Proxy) -> None:
    """Else half of the schema is made, and the rest fails."""
    proxy.server_version = OLD
    for change in (migrate.upgrade, migrate.current):
        with pytest.raises(CannotConnect, match=REFUSED):
            await change(settings_of(proxy.url))
    assert proxy.traffic.statements == 0


async def test_check_and_doctor_name_an_older_server(proxy: Proxy) -> None:
    """An operator reads that the server is to be upgraded, and not that it cannot be reached."""
    async with Database(settings_of(proxy.url)) as db:
        proxy.server_version = OLD
        health = await db.check()
    assert not health.ok
    assert health.problem
    found = await doctor.diagnose(settings_of(proxy.url))
    assert re.search(REFUSED, health.problem)
    assert [finding.check for finding in found] == ["reachable"]
    assert re.search(REFUSED, found[0].found)
