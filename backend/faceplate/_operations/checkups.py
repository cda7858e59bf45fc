"""What `faceplate._operations.doctor` asks a live server, and what it makes of the answers."""

import statistics
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from faceplate import _checks, encryption, migrate
from faceplate._driver.connection import Connection
from faceplate.config import Settings
from faceplate.errors import ConfigurationError, DatabaseError

SLOW_MS = 20.0
SKEW_S = 2.0
OLD_XIDS, LAST_XIDS = 1_000_000_000, 1_900_000_000  # the server stops writing at 2,144 million
FULL = 0.8
LAG_S = 60.0
MAX_SECRETS = 1000

CONNECTIONS = """
SELECT least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1)
) AS room, (SELECT sum(numbackends) FROM pg_stat_database)::int AS used
FROM pg_roles r, pg_database d
WHERE r.rolname = session_user AND d.datname = current_database()
"""
STANDBYS = """
SELECT count(*) AS number, extract(epoch FROM max(replay_lag))::float8 AS lag_s
FROM pg_stat_replication
"""
SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
AGE = """
SELECT greatest(age(datfrozenxid), mxid_age(datminmxid)) FROM pg_database
WHERE datname = current_database()
"""
SECRETS = """
SELECT user_id, id, secrets FROM faceplate.mcp_configs WHERE secrets IS NOT NULL LIMIT $1
"""
STALE_DRAFTS = """
SELECT count(*) FROM faceplate.messages
WHERE status = 'streaming' AND updated_at < now() - interval '10 minutes'
"""


class Level(StrEnum):
    OK = "ok"
    SKIPPED = "n/a"
    """It does not apply here, or cannot be told."""
    WARNING = "warning"
    PROBLEM = "problem"


LOSES = {
    "fsync": (Level.PROBLEM, "everything"),
    "full_page_writes": (Level.PROBLEM, "everything"),
    "synchronous_commit": (Level.WARNING, "the messages of the last moment"),
}


class Finding(NamedTuple):
    level: Level
    found: str
    """What is, in a sentence."""
    advice: str = ""
    """What to do about it, where something is to be done."""
    check: str = ""


class Patient(NamedTuple):
    settings: Settings
    connection: Connection
    owner: Connection
    """The connection of the login that works across users: the same one where there is one."""
    revision: str | None

    @property
    def second(self) -> Connection | None:
        return None if self.owner is self.connection else self.owner

    async def all_rows(self) -> Connection:
        """Return ``owner``, on which what a policy would hide is an error in this transaction."""
        await self.owner.execute("SET LOCAL row_security = off")
        return self.owner


Check = Callable[[Patient], Awaitable[list[Finding]]]


async def _latency(patient: Patient) -> list[Finding]:
    took_ms = []
    for _ in range(5):
        started_s = time.perf_counter()
        await patient.connection.execute("SELECT 1")
        took_ms.append((time.perf_counter() - started_s) * 1000)
    typical_ms = statistics.median(took_ms)
    found = f"{typical_ms:.1f} ms for a round trip"
    if typical_ms < SLOW_MS:
        return [Finding(Level.OK, found)]
    advice = "A unit takes three of them or more: run the program nearer to the server."
    return [Finding(Level.WARNING, found, advice)]


async def _version(patient: Patient) -> list[Finding]:
    version = await patient.connection.fetchval("SHOW server_version")
    return [Finding(Level.OK, f"PostgreSQL {version}")]


async def _pooler(patient: Patient) -> list[Finding]:
    backend_pid = await patient.connection.fetchval("SELECT pg_backend_pid()")
    is_direct = patient.connection.get_server_pid() == backend_pid
    if not patient.settings.pgbouncer:  # behind a pooler there would be no connection
        return [Finding(Level.OK, "none in between")]
    if is_direct:
        advice = "Unset FACEPLATE_PGBOUNCER, which costs each statement a round trip."
        return [Finding(Level.WARNING, "none in between, though the settings say so", advice)]
    return [Finding(Level.OK, "there is one, and nothing is kept beyond a transaction")]


async def _standby(patient: Patient) -> list[Finding]:
    if await patient.connection.fetchval("SELECT pg_is_in_recovery()"):
        advice = "Name the primary in DATABASE_URL, or all hosts and target_session_attrs=primary."
        return [Finding(Level.PROBLEM, "this is a standby: nothing can be written", advice)]
    number, lag_s = await patient.connection.fetchrow(STANDBYS) or (0, None)
    if not number:
        return [Finding(Level.SKIPPED, "no standby is connected, so none lags")]
    if lag_s is not None and lag_s > LAG_S:
        advice = "A failover would lose that much: see what holds the standby up."
        return [Finding(Level.WARNING, f"a standby is {lag_s:.0f} s behind", advice)]
    return [Finding(Level.OK, f"standbys connected: {number}")]


async def _schema(patient: Patient) -> list[Finding]:
    head, revision = migrate.head(), await migrate.revision_of(patient.owner)
    if revision == head:
        return [Finding(Level.OK, f"at {head}, the newest")]
    if revision is not None and not migrate.knows(revision):
        return [Finding(Level.WARNING, migrate.describe_newer(revision))]
    state = f"at {revision}" if revision else "not there"
    found = f"the schema is {state}, and {head} is needed"
    return [Finding(Level.PROBLEM, found, "Run `faceplate migrate`.")]


async def _indexes(patient: Patient) -> list[Finding]:
    return [
        Finding(
            Level.PROBLEM,
            f"the index faceplate.{name} is invalid: it is written to and never read",
            f"Run REINDEX INDEX CONCURRENTLY faceplate.{name}, or, where the name ends in _ccnew"
            " or _ccold, DROP INDEX CONCURRENTLY.",
        )
        for name in await migrate.invalid_indexes(patient.connection)
    ] or [Finding(Level.OK, "all are valid")]


async def _isolation(patient: Patient) -> list[Finding]:
    found = await _checks.inspect_schema(patient.connection, patient.settings, patient.second)
    undo = "Undo what was changed by hand, or run what it says, as the owner of the schema."
    findings = [Finding(Level.PROBLEM, gap, undo) for gap in found.gaps]
    findings += [Finding(Level.WARNING, warning) for warning in found.warnings]
    if found.revision is None:
        return [*findings, Finding(Level.SKIPPED, "there is no schema yet")]
    return [*findings, Finding(Level.OK, f"in force: {', '.join(found.layers)}")]


async def _logins(patient: Patient) -> list[Finding]:
    found = await _checks.inspect_schema(patient.connection, patient.settings, patient.second)
    return [Finding(Level.OK, found.arrangement)]


async def _limits(patient: Patient) -> list[Finding]:
    asked = patient.settings.server_settings
    rows = await patient.connection.fetch(SETTINGS, list(asked))
    wrong = [
        Finding(
            Level.PROBLEM,
            f"{name} is {setting}, and the settings ask for {asked[name]}",
            "See what stands between this program and the server: it drops what is asked for.",
        )
        for name, setting in rows
        if setting != asked[name]
    ]
    without = [
        Finding(
            Level.WARNING,
            f"{name} is off: what waits there, waits for ever",
            f"Set FACEPLATE_{name.upper()} to more than 0.",
        )
        for name in ("statement_timeout_s", "command_timeout_s", "lock_timeout_s")
        if not getattr(patient.settings, name)
    ]
    return wrong + without or [Finding(Level.OK, "in force as the settings say")]


async def _connections(patient: Patient) -> list[Finding]:
    limit = patient.settings.pool_size + patient.settings.max_overflow
    room, used = await patient.connection.fetchrow(CONNECTIONS) or (0, 0)
    found = f"{used} of {room} are in use; one process of this program opens up to {limit}"
    if patient.settings.pgbouncer:
        return [Finding(Level.SKIPPED, "the pooler shares them out")]
    if limit > room:
        advice = "Lower FACEPLATE_POOL_SIZE and FACEPLATE_MAX_OVERFLOW, or raise max_connections."
        return [Finding(Level.PROBLEM, found, advice)]
    if used > FULL * room:
        advice = "Raise max_connections, or put PgBouncer in between."
        return [Finding(Level.WARNING, found, advice)]
    return [Finding(Level.OK, f"{found}, so there is room for {room // limit} of them")]


async def _clock(patient: Patient) -> list[Finding]:
    before_s = time.time()
    server_s = await patient.connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")
    after_s = time.time()
    ahead_s = float(server_s) - (before_s + after_s) / 2
    certain_s = max(0.0, abs(ahead_s) - (after_s - before_s) / 2)
    if certain_s < SKEW_S:
        return [Finding(Level.OK, "the server's and this machine's agree")]
    found = f"the server is {certain_s:.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    advice = "Let both take the time from NTP. Ids are made here and times there; order holds."
    return [Finding(Level.WARNING, found, advice)]


async def _durability(patient: Patient) -> list[Finding]:
    findings = []
    for name, value in await patient.connection.fetch(SETTINGS, list(LOSES)):
        if value == "off":
            level, loses = LOSES[name]
            found = f"{name} is off: a crash of the server may lose {loses}"
            findings.append(Finding(level, found, f"Set {name} = on."))
    return findings or [Finding(Level.OK, "what was committed survives a crash")]


async def _wraparound(patient: Patient) -> list[Finding]:
    age = await patient.connection.fetchval(AGE)
    found = f"the oldest transaction is {age / 1e6:.0f} million back, of 2,000"
    if age < OLD_XIDS:
        return [Finding(Level.OK, found)]
    advice = "See what keeps autovacuum from its work: old transactions, slots, or its settings."
    return [Finding(Level.PROBLEM if age > LAST_XIDS else Level.WARNING, found, advice)]


async def _secrets(patient: Patient) -> list[Finding]:
    if patient.revision is None:
        return [Finding(Level.SKIPPED, "there is no schema yet")]
    rows = await (await patient.all_rows()).fetch(SECRETS, MAX_SECRETS)
    if not rows:
        return [Finding(Level.SKIPPED, "none are stored")]
    closed = 0
    for user_id, config_id, encrypted in rows:
        try:
            encryption.decrypt(patient.settings, user_id, config_id, encrypted)
        except ConfigurationError as error:
            return [Finding(Level.PROBLEM, f"secrets are stored, but {error.message}")]
        except DatabaseError:
            closed += 1
    if not closed:
        return [Finding(Level.OK, f"the keys open all that were tried, {len(rows)}")]
    found = f"the keys open {len(rows) - closed} of {len(rows)}"
    return [Finding(Level.PROBLEM, found, "Add the old key to FACEPLATE_ENCRYPTION_KEYS again.")]


async def _drafts(patient: Patient) -> list[Finding]:
    if patient.revision != migrate.head():
        return [Finding(Level.SKIPPED, "the schema is not at the newest revision")]
    stale = await (await patient.all_rows()).fetchval(STALE_DRAFTS)
    if not stale:
        return [Finding(Level.OK, "none was left by a dead process")]
    found = f"not saved for ten minutes, as by dead processes: {stale}"
    return [Finding(Level.WARNING, found, "Run `faceplate sweep`, now and every few minutes.")]


async def _disk(patient: Patient) -> list[Finding]:
    size = await patient.connection.fetchval(
        "SELECT pg_size_pretty(pg_database_size(current_database()))"
    )
    found = f"the database takes {size}; PostgreSQL does not tell how much is left"
    return [Finding(Level.SKIPPED, found, "Watch the disk on the server itself.")]


CHECKS: dict[str, Check] = {
    "latency": _latency,
    "version": _version,
    "pooler": _pooler,
    "replication": _standby,
    "schema": _schema,
    "indexes": _indexes,
    "isolation": _isolation,
    "logins": _logins,
    "time limits": _limits,
    "connections": _connections,
    "clock": _clock,
    "durability": _durability,
    "wraparound": _wraparound,
    "secrets": _secrets,
    "drafts": _drafts,
    "disk": _disk,
}
