"""`faceplate doctor`: quiet about what is sound, and right about each thing that is not."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from tests.databases import opened, outside, settings_of
from tests.faults.proxy import Direction, Message, Proxy
from tests.faults.servers import OwnServer, own_server
from tests.unusable import free_port

from faceplate import Settings, encryption
from faceplate._operations import checks, doctor
from faceplate._operations.findings import Finding, Level
from faceplate.services import _mcp_tokens, conversations, mcp_configs, messages, users

KEY, OTHER_KEY = (SecretStr(encryption.generate_key()) for _ in range(2))


class Meddler(Proxy):
    """Stands in between, makes up process ids as a pooler does, and forgets a time limit."""

    async def _pass(
        self, link: Any, message: Message, raw: bytes, writer: asyncio.StreamWriter
    ) -> None:
        if message.type == "K" and message.direction is Direction.TO_CLIENT and self.is_pooler:
            raw = raw[:5] + bytes(reversed(raw[5:9])) + raw[9:]
        raw = raw.replace(b"statement_timeout\0" + b"30000\0", b"statement_timeout\0" + b"99000\0")
        await super()._pass(link, message, raw, writer)

    is_pooler = False


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    """A server as one would run it: what is committed survives a crash."""
    with own_server() as server:
        yield server


@pytest.fixture
def sound(own: OwnServer) -> Settings:
    return settings_of(own.url)


async def worries(settings: Settings) -> dict[str, Finding]:
    """What is not as it should be, by its check."""
    findings = await doctor.diagnose(settings)
    assert [finding.check for finding in findings if not finding.found] == []
    found = [f for f in findings if f.level in {Level.WARNING, Level.PROBLEM}]
    assert doctor.is_well(findings) == all(f.level == Level.WARNING for f in found)
    return {finding.check: finding for finding in found}


async def checked(check: str, settings: Settings) -> tuple[Level, str]:
    """How one check ended, and in what words."""
    [finding] = [f for f in await doctor.diagnose(settings) if f.check == check]
    return finding.level, finding.found


async def test_a_sound_database_worries_nobody(sound: Settings) -> None:
    """Else the one line that matters is lost among the others."""
    findings = await doctor.diagnose(sound)
    assert [finding.check for finding in findings] == ["reachable", *checks.CHECKS]
    assert {finding.level for finding in findings} == {Level.OK, Level.SKIPPED}
    assert await worries(sound) == {}


async def test_a_server_that_is_not_there() -> None:
    settings = settings_of(f"postgresql://me:canary@127.0.0.1:{free_port()}/app")
    [finding] = await doctor.diagnose(settings)
    assert (finding.check, finding.level) == ("reachable", Level.PROBLEM)
    assert "Connection refused" in finding.found
    assert finding.advice
    assert "canary" not in repr(finding)


async def test_a_database_that_was_never_migrated(empty_database_url: str) -> None:
    found = await worries(settings_of(empty_database_url))
    assert found["schema"].level == Level.PROBLEM
    assert found["schema"].found.startswith("the schema is not there, and ")
    assert found["schema"].advice == "Run `faceplate migrate`."
    assert {"indexes", "isolation", "secrets", "drafts"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("damage", "check", "words"),
    [
        (
            "ALTER TABLE faceplate.messages DISABLE ROW LEVEL SECURITY",
            "isolation",
            "faceplate.messages is without row-level security",
        ),
        (
            "UPDATE faceplate.alembic_version SET version_num = '0001'",
            "schema",
            "the schema is at 0001, and ",
        ),
        (
            "ALTER DATABASE {database} CONNECTION LIMIT 10",
            "connections",
            "one process of this program opens up to 20",
        ),
    ],
)
async def test_what_was_broken_is_a_problem(
    fresh_database_url: str, damage: str, check: str, words: str
) -> None:
    """Else an operator is told that all is well."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as operator:
        name = await operator.fetchval("SELECT current_database()")
        await operator.execute(damage.format(database=name))
    finding = (await worries(settings))[check]
    assert finding.level == Level.PROBLEM
    assert words in finding.found
    assert finding.advice


async def test_an_invalid_index(fresh_database_url: str) -> None:
    """Else it is written to for ever and never read."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as operator:
        await operator.execute(
            "INSERT INTO faceplate.users (id, subject_id) VALUES (gen_random_uuid(), 'x')"
        )
        with pytest.raises(asyncpg.DivisionByZeroError):
            await operator.execute(
                "CREATE INDEX CONCURRENTLY half ON faceplate.users ((1 / (length(subject_id) - 1)))"
            )
    finding = (await worries(settings))["indexes"]
    assert finding.level == Level.PROBLEM
    assert "faceplate.half is invalid" in finding.found


async def test_a_server_that_is_nearly_full(fresh_database_url: str) -> None:
    """Else the first to know is a user who is turned away."""
    settings = settings_of(fresh_database_url, pool_size=1, max_overflow=0)
    async with outside(settings) as operator, outside(settings):
        name = await operator.fetchval("SELECT current_database()")
        await operator.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 3")
        assert (await worries(settings))["connections"].level == Level.WARNING


async def test_a_far_server_and_one_that_is_not_asked_for_what_it_does(own: OwnServer) -> None:
    """Else everything is slow, or a query runs for ever, and no setting explains it."""
    async with Meddler(own.url, delay_s=0.02) as proxy:
        found = await worries(settings_of(proxy.url))
    assert found.keys() == {"latency", "time limits"}
    assert found["latency"].level == Level.WARNING
    assert found["time limits"].level == Level.PROBLEM
    words = "statement_timeout is 99000, and the settings ask for 30000"
    assert words in found["time limits"].found


async def test_a_pooler_and_none_where_there_should_be_one(own: OwnServer) -> None:
    """Else queries are answered with somebody else's rows, or slowly for no reason."""
    async with Meddler(own.url) as proxy:
        proxy.is_pooler = True
        [finding] = (await worries(settings_of(proxy.url))).values()
        assert finding.check == "reachable"
        assert "FACEPLATE_PGBOUNCER=true" in finding.found
        assert await worries(settings_of(proxy.url, pgbouncer=True)) == {}
    found = await worries(settings_of(own.url, pgbouncer=True))
    assert found.keys() == {"pooler"}
    assert found["pooler"].level == Level.WARNING


async def test_a_limit_that_is_switched_off(own: OwnServer) -> None:
    """Else one statement may hold a connection for ever."""
    found = await worries(settings_of(own.url, statement_timeout_s=0))
    assert found.keys() == {"time limits"}
    assert "FACEPLATE_STATEMENT_TIMEOUT_S" in found["time limits"].advice


@pytest.mark.parametrize(
    ("limits", "check", "level"),
    [
        ({"OLD_XIDS": 0}, "wraparound", Level.WARNING),
        ({"OLD_XIDS": 0, "LAST_XIDS": 0}, "wraparound", Level.PROBLEM),
    ],
)
async def test_a_server_beyond_a_limit(
    sound: Settings,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    check: str,
    level: Level,
) -> None:
    """The limit comes to the server here, since the server would take years to come to it."""
    for name, value in limits.items():
        monkeypatch.setattr(checks, name, value)
    found = await worries(sound)
    assert {check: finding.level for check, finding in found.items()} == {check: level}


@pytest.mark.parametrize(("ahead_s", "words"), [(3600, "3600 s behind"), (-60, "60 s ahead")])
async def test_clocks_that_differ(
    sound: Settings, monkeypatch: pytest.MonkeyPatch, ahead_s: int, words: str
) -> None:
    """Else times in the data do not fit those in the log, and nobody knows why."""
    ours = SimpleNamespace(time=lambda: time.time() + ahead_s, perf_counter=time.perf_counter)
    monkeypatch.setattr(checks, "time", ours)
    found = await worries(sound)
    assert found.keys() == {"clock"}
    assert words in found["clock"].found


async def test_a_server_that_forgets(own: OwnServer, sound: Settings) -> None:
    """Else what was acknowledged is gone after a crash, against everything that is promised."""
    admin = await asyncpg.connect(own.admin_url)
    try:
        await admin.execute("ALTER SYSTEM SET fsync = off")
        await admin.execute("ALTER DATABASE faceplate SET synchronous_commit = off")
        await admin.execute("SELECT pg_reload_conf()")
        while await admin.fetchval("SHOW fsync") == "on":
            pass
        findings = await doctor.diagnose(sound)
        found = [(f.level, f.found.split()[0]) for f in findings if f.check == "durability"]
        assert found == [(Level.PROBLEM, "fsync"), (Level.WARNING, "synchronous_commit")]
    finally:
        await admin.execute("ALTER SYSTEM RESET fsync")
        await admin.execute("ALTER DATABASE faceplate RESET synchronous_commit")
        await admin.execute("SELECT pg_reload_conf()")
        while await admin.fetchval("SHOW fsync") == "off":
            pass
        await admin.close()


async def test_secrets_that_no_key_opens(fresh_database_url: str) -> None:
    """Else a key that was lost is missed when a user's tools stop working."""
    settings = settings_of(fresh_database_url)
    async with opened(settings, encryption_keys=(KEY,)) as db:
        user = await db.run_system(users.create, subject_id="somebody")
        server = {"url": "https://mcp.example.com"}
        secrets = {"headers": {"Authorization": "canary"}}
        await db.run(user.id, mcp_configs.put, "mine", server, secrets=secrets)
        await db.run(user.id, _mcp_tokens.put, server["url"], "tokens", secrets)
    wrong_key = settings_of(fresh_database_url, encryption_keys=(OTHER_KEY,))
    assert await checked("secrets", wrong_key) == (Level.PROBLEM, "the keys decrypt 0 of 2")
    level, words = await checked("secrets", settings)
    assert (level, "set FACEPLATE_ENCRYPTION_KEYS" in words) == (Level.PROBLEM, True)
    both = settings_of(fresh_database_url, encryption_keys=(OTHER_KEY, KEY))
    assert await checked("secrets", both) == (Level.OK, "the keys decrypt all 2 that were tried")


async def test_drafts_of_a_dead_process(fresh_database_url: str) -> None:
    """Else a reply that broke off looks for ever as if it were still being written."""
    settings = settings_of(fresh_database_url)
    async with opened(settings) as db:
        user = await db.run_system(users.create, subject_id="somebody")
        chat = await db.run(user.id, conversations.create)
        await db.run(user.id, messages.append_draft, chat.id)
    assert "drafts" not in await worries(settings)
    async with outside(settings) as operator:
        await operator.execute("UPDATE faceplate.messages SET updated_at = now() - interval '1 h'")
    finding = (await worries(settings))["drafts"]
    assert (finding.level, "faceplate sweep" in finding.advice) == (Level.WARNING, True)


async def test_a_role_that_may_not_look(own: OwnServer) -> None:
    """Else an examination that saw nothing is taken for one that found nothing."""
    admin = await asyncpg.connect(own.admin_url)
    try:
        await admin.execute("CREATE ROLE stranger LOGIN")
        found = await worries(settings_of(own.url.replace("//faceplate@", "//stranger@")))
    finally:
        await admin.execute("DROP ROLE stranger")
        await admin.close()
    assert found["schema"].level == Level.WARNING
    assert found["schema"].found.startswith("the check failed: ")


def run(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "faceplate.cli", "doctor", *arguments],
        env=os.environ | {"DATABASE_URL": url, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command(own: OwnServer) -> None:
    """Else a deploy that asks first goes on all the same, or stops for a warning."""
    warned = run(own.url + "&options=-c%20synchronous_commit%3Doff")
    assert warned.returncode == 0, warned.stderr
    assert "Set synchronous_commit = on." in warned.stdout
    ended = run(f"postgresql://me:canary@127.0.0.1:{free_port()}/app", "--json")
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert (told["ok"], told["findings"][0]["level"]) == (False, "problem")
    assert "canary" not in ended.stdout + ended.stderr
