"""Through PgBouncer in transaction mode, and what is refused there."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from tests.bodies import BODIES
from tests.campaigns import Campaign
from tests.databases import settings_of
from tests.faults.bouncer import POOL_SIZE, PROGRAM, TRACKING, WHY_NOT, bouncer
from tests.faults.bouncer_client import EVERYBODYS, reads
from tests.faults.plans import READS
from tests.faults.servers import OwnServer
from tests.units import nobodys

from faceplate import CannotConnect, Database, Scope, SystemScope, encryption, migrate
from faceplate._driver.engine import create_engine
from faceplate.services import conversations, documents, messages, users
from faceplate.services.messages import NewMessage

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)

ROOT = __file__.rpartition("/tests/")[0]
CLIENT = "tests.faults.bouncer_client"
LIMITS = ("TimeZone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
SHOW = "SELECT current_setting($1)"


@pytest.fixture(scope="module", params=TRACKING, ids=("plain", "tracking"))
def pooled_url(steady_server: OwnServer, request: pytest.FixtureRequest) -> Iterator[str]:
    with bouncer(steady_server, tracks=request.param) as url:
        yield url


@pytest.fixture(scope="module")
def forgetful_url(steady_server: OwnServer) -> Iterator[str]:
    """A pooler that takes time limits and drops them, as operators set it up for other drivers."""
    with bouncer(steady_server, ignores_limits=True) as url:
        yield url


async def limits_of(scope: Scope | SystemScope) -> list[str]:
    return await _limits(scope.session)


async def _limits(session: AsyncSession) -> list[str]:
    found = await session.execute(sa.select(*map(sa.func.current_setting, LIMITS)))
    return [str(limit) for limit in found.one()]


def test_every_unit_that_reads_is_in_the_campaign() -> None:
    """Else the campaign says nothing about a unit that was added later."""
    assert reads(nobodys()).keys() | EVERYBODYS >= READS


async def test_two_programs_at_once_get_their_own_rows(
    steady_server: OwnServer, pooled_url: str, campaign: Campaign
) -> None:
    """Else a query is answered with what another program asked for, and nobody notices."""
    workers, rounds = campaign.size(4, 8), campaign.size(4, 50)
    environment = os.environ | {
        "FACEPLATE_DATABASE_URL": pooled_url,
        "FACEPLATE_PGBOUNCER": "true",
        "FACEPLATE_MIGRATION_URL": steady_server.url,
        "FACEPLATE_ENCRYPTION_KEYS": encryption.generate_key(),
    }
    programs = [
        subprocess.Popen(  # noqa: ASYNC220 - nothing else is going on
            [
                sys.executable,
                "-m",
                "tests.faults.bouncer_client",
                *map(str, (seed, workers, rounds)),
            ],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in (campaign.seed, campaign.seed + 1)
    ]
    for program in programs:
        assert program.stdout is not None
        assert await asyncio.to_thread(program.stdout.readline) == "ready\n"
    outputs = await asyncio.gather(
        *(asyncio.to_thread(program.communicate, "go\n") for program in programs)
    )
    reports = [json.loads(output) for output, _ in outputs]
    assert [report["done"] for report in reports] == [workers * rounds] * 2
    assert [wrong for report in reports for wrong in report["wrong"]] == []


async def test_bodies_come_through_to_the_letter(pooled_url: str) -> None:
    """Else an object of another program is whole on one deployment, and altered on the next."""
    bodies = [*BODIES.values()]
    async with Database(settings_of(pooled_url, pgbouncer=True)) as db:
        user = await db.run_system(users.create, subject_id=secrets.token_hex(8))
        chat = await db.run(user.id, conversations.create)
        for body in bodies:
            await db.run(user.id, messages.append, chat.id, body=body)
            told = await db.run(user.id, conversations.replace_body, chat.id, body)
            read = await db.run(user.id, conversations.get, chat.id)
            assert told.body == read.body == body
            await db.run(user.id, documents.put, "state", "a", body)
            assert (await db.run(user.id, documents.get, "state", "a")).body == body
        new = [NewMessage(body=body) for body in bodies]
        await db.run(user.id, messages.append_many, chat.id, new)
        read_back = await db.run(user.id, messages.history, chat.id, limit=1_000)
        assert [message.body for message in read_back] == bodies * 2


async def test_every_transaction_has_its_limits_and_leaves_none(
    pooled_url: str, forgetful_url: str
) -> None:
    """Else a statement runs for ever, or another program's statements end after our limits."""
    ours = ["UTC", "11s", "12s", "13s"]
    limits = {
        "statement_timeout_s": 11,
        "lock_timeout_s": 12,
        "idle_in_transaction_timeout_s": 13,
    }
    for url in (pooled_url, forgetful_url):
        bare = await asyncpg.connect(url, statement_cache_size=0)
        query = "SELECT ARRAY(SELECT current_setting(unnest($1::text[])))"
        before = await bare.fetchval(query, LIMITS)
        assert before != ours
        async with Database(settings_of(url, pgbouncer=True, pool_size=1, **limits)) as db:
            user = await db.run_system(users.create, subject_id=secrets.token_hex(8))
            assert await db.run_system(limits_of) == ours
            assert await db.run(user.id, limits_of) == ours
            async with db.begin(user.id) as scope:
                assert await limits_of(scope) == ours
            async with db.sessions() as session:
                assert await _limits(session) == ours
                await session.rollback()
                assert await _limits(session) == ours
            assert [await bare.fetchval(query, LIMITS) for _ in range(5)] == [before] * 5
        await bare.close()


async def test_a_pooler_that_nobody_spoke_of_is_refused(
    pooled_url: str, forgetful_url: str
) -> None:
    """Else wrong rows, some day, about one query in three hundred."""
    for url, sqlstate in ((pooled_url, "08P01"), (forgetful_url, "22012")):
        with pytest.raises(CannotConnect, match="set FACEPLATE_PGBOUNCER=true") as refusal:
            async with Database(settings_of(url)):
                pass
        assert refusal.value.sqlstate == sqlstate


async def test_a_pooler_that_comes_in_between_later_is_refused(
    steady_server: OwnServer, forgetful_url: str
) -> None:
    """Each new connection is looked at, and not only the first of a program."""
    async with Database(settings_of(steady_server.url)) as db:
        user = await db.run_system(users.create, subject_id=secrets.token_hex(8))
        pooled = settings_of(forgetful_url)
        db.engine.pool._creator = create_engine(pooled).pool._creator
        await db.engine.dispose()
        with pytest.raises(CannotConnect, match="FACEPLATE_PGBOUNCER"):
            await db.run(user.id, conversations.create)


async def test_health_and_revision_are_seen_through_the_pooler(pooled_url: str) -> None:
    settings = settings_of(pooled_url, pgbouncer=True)
    async with Database(settings) as db:
        health = await db.check()
    assert health.reachable
    assert health.at_head
    assert await migrate.current(settings) == migrate.head()


async def test_migrations_go_round_the_pooler_or_say_that_they_must(
    steady_server: OwnServer, pooled_url: str, forgetful_url: str
) -> None:
    """Else a lock outlives the migration that took it, and no other one can ever run."""
    for url in (pooled_url, forgetful_url):
        pooled = settings_of(url, pgbouncer=True)
        for work in (migrate.upgrade, migrate.check):
            with pytest.raises(CannotConnect, match="FACEPLATE_MIGRATION_URL"):
                await work(pooled)
        both = settings_of(url, pgbouncer=True, migration_url=SecretStr(steady_server.url))
        await migrate.upgrade(both)
        assert await migrate.check(both) == []


def test_the_commands_go_round_the_pooler_too(steady_server: OwnServer, pooled_url: str) -> None:
    environment = os.environ | {"DATABASE_URL": pooled_url, "FACEPLATE_PGBOUNCER": "true"}
    commands = (
        ["-m", "faceplate.cli", "migrate"],
        ["-m", "alembic", "-c", f"{ROOT}/alembic.ini", "upgrade", "head"],
    )
    for command in commands:

        def run(**variables: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *command],  # noqa: B023 - called before the next round
                env=environment | variables,
                capture_output=True,
                text=True,
                check=False,
            )

        assert "FACEPLATE_MIGRATION_URL" in run().stderr
        assert run(FACEPLATE_MIGRATION_URL=steady_server.url).returncode == 0


async def test_a_unit_that_is_cancelled_gives_its_server_connection_back(
    steady_server: OwnServer, pooled_url: str
) -> None:
    """Else a few clients that go away take all the connections of the pooler with them."""

    async def sleep(scope: Scope) -> None:
        await scope.session.execute(sa.text("SELECT pg_sleep(60)"))

    async with Database(settings_of(pooled_url, pgbouncer=True)) as db:
        user = await db.run_system(users.create, subject_id=secrets.token_hex(8))
        for _ in range(2):
            units = [asyncio.create_task(db.run(user.id, sleep)) for _ in range(POOL_SIZE)]
            await wait_for_sleepers(steady_server, POOL_SIZE)
            for unit in units:
                unit.cancel()
            await asyncio.wait(units)
        chat = await db.run(user.id, conversations.create)
        await db.run(user.id, messages.append, chat.id, role="user", content="hi")
    await wait_for_sleepers(steady_server, 0)


async def wait_for_sleepers(server: OwnServer, count: int) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    watcher = await asyncpg.connect(server.url)
    try:
        async with asyncio.timeout(30):
            while await watcher.fetchval(sleeping) != count:
                pass
    finally:
        await watcher.close()
