"""When the pool makes its connections anew: once for what has ended them, never for a clock."""

import asyncio
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from sqlalchemy import event
from tests.databases import end, opened, outside

from faceplate import Database, Scope, Settings, Unavailable, User
from faceplate._driver.connection import Connection
from faceplate.services import tasks


def count_connects(db: Database) -> list[Any]:
    """Return a list that gets an item for each connection that is made from now on."""
    made: list[Any] = []
    event.listen(db.engine.sync_engine, "connect", lambda *_: made.append(1))
    return made


async def three_at_once(db: Database, user: User) -> list[Any]:
    """Use three connections, and return the backends."""
    all_begun = asyncio.Barrier(3)

    async def unit(scope: Scope) -> Any:
        await tasks.page(scope)
        await all_begun.wait()
        return scope._driver

    return await asyncio.gather(*(db.run(user.id, unit) for _ in range(3)))


async def test_no_connection_is_made_twice_after_the_clock_was_set_back(
    settings: Settings, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each unit makes a connection, for as long as the clock was set back."""
    async with opened(settings, pool_size=3, max_overflow=0, retry_delay_s=0) as db:
        drivers = await three_at_once(db, user)
        async with outside(settings) as operator:
            for driver in drivers:
                await end(operator, driver.get_server_pid())
        made = count_connects(db)
        await three_at_once(db, user)
        assert len(made) == 3
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() - 3600)
        for _ in range(5):
            await three_at_once(db, user)
        assert len(made) == 3


async def test_new_connections_do_not_replace_each_other_at_once(
    settings: Settings, user: User
) -> None:
    """Else a host that takes no writes for a while has each unit throw the pool away."""
    async with opened(settings, pool_size=3, max_overflow=0) as db:
        old = await three_at_once(db, user)
        pool: Any = db.engine.sync_engine.pool
        pool.replace_all(old[0])
        new = await three_at_once(db, user)
        pool.replace_all(new[0])
        assert {*await three_at_once(db, user)} == {*new}
        pool.replace_all()  # for a reason that is not a connection's
        assert not {*await three_at_once(db, user)} & {*new}


async def test_a_failed_ping_replaces_the_connections_of_its_age(
    settings: Settings, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a host that has gone silent costs a ping's time limit for each connection."""
    pings: list[Connection] = []

    async def ping(driver: Connection) -> None:
        if driver in old:
            pings.append(driver)
            raise Unavailable("no answer")

    async with opened(settings, pool_size=3, max_overflow=0) as db:
        old = await three_at_once(db, user)
        monkeypatch.setattr("faceplate._driver.connection_state.PING_AFTER_IDLE_S", -1)
        monkeypatch.setattr(Connection, "ping", ping)
        await db.run(user.id, tasks.page)
        new = await three_at_once(db, user)
    assert not {*new} & {*old}
    assert len(pings) == 1


async def test_a_refusal_replaces_each_connection_once(
    settings: Settings, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each unit that hears of a standby throws away what was only just made."""
    monkeypatch.setattr("faceplate._driver.pool.REPLACE_EVERY_S", 0)
    async with opened(settings, pool_size=3, max_overflow=0) as db:
        old = await three_at_once(db, user)
        made = count_connects(db)
        pool: Any = db.engine.sync_engine.pool
        for driver in old:  # each of them leads to the standby, and says so
            pool.replace_all(driver)
        new = await three_at_once(db, user)
        assert len(made) == 3
        assert not {*old} & {*new}
        for driver in old:  # late: those have been replaced before
            pool.replace_all(driver)
        assert {*await three_at_once(db, user)} == {*new}
        pool.replace_all(new[0])
        assert not {*await three_at_once(db, user)} & {*new}
        assert len(made) == 6


REOPEN = """
import asyncio, gc, sys
import uvloop
from faceplate import Database
from faceplate.services import users

async def use(db):
    await db.__aenter__()  # as a program that ends without closing it
    return await db.run_system(users.ensure, "ada")

async def close(db):
    await db.dispose()
    return db.pool().checked_out

run = asyncio.run if sys.argv[1] == "asyncio" else uvloop.run
db = Database()
ids = {run(use(db)).id for _ in range(3)}
print(len(ids), run(close(db)), run(use(db)).id in ids)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_database_whose_event_loop_has_ended_can_be_entered_again(
    settings: Settings, loop: str
) -> None:
    """Else a worker that runs each job in a loop of its own can use a Database once."""
    ran = subprocess.run(
        [sys.executable, "-c", REOPEN, loop],
        env=os.environ | {"DATABASE_URL": str(settings.dsn)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == "1 0 True\n", ran.stderr
    assert "Traceback" not in ran.stderr
