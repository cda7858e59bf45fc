"""Units over TLS, where asyncio sends and receives by another way than over a bare socket."""

import asyncio
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.faults.conftest import QUICK
from tests.faults.plans import TABLES, plans
from tests.faults.servers import own_server
from tests.faults.test_event_loops import LOOPS
from tests.units import nobodys, settle_in
from tests.unusable import PASSWORD, fake, free_port, make_certificate, speak_tls, url_of

from faceplate import Database, Settings, encryption


@pytest.fixture
def port() -> Iterator[int]:
    """That of a server of this test's own."""
    port = free_port()
    script = f"{TABLES}; ALTER ROLE faceplate PASSWORD '{PASSWORD}'"
    on_tcp = {"listen_addresses": "127.0.0.1", "port": str(port)}
    with own_server(script=script, **on_tcp, **QUICK):
        yield port


@pytest.mark.parametrize("loop", LOOPS)
def test_every_unit_that_writes_does_so_over_tls(port: int, tmp_path: Path, loop: str) -> None:
    """Else what goes ahead of a statement is sent behind it, or its row taken for another."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(write_over_tls(port, tmp_path))


async def write_over_tls(port: int, tmp_path: Path) -> None:
    authority, key = make_certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority, key)
    async with fake(partial(speak_tls, context=context, port=port)) as tls:
        name = f"faceplate?sslmode=verify-full&sslrootcert={authority}"
        settings = Settings(
            database_url=SecretStr(url_of(tls, name, host="localhost", user="faceplate")),
            encryption_keys=(SecretStr(encryption.generate_key()),),
            pool_size=1,
        )
        async with Database(settings) as db:
            for unit in (*plans(nobodys()), "tasks.complete"):
                own = await settle_in(db)
                plan = plans(own)[unit]
                run: Any = db.run_system if plan.is_across_users else partial(db.run, own.user_id)
                await run(plan.unit, *plan.args, **plan.kwargs)
