"""The checks of `faceplate doctor`: a query each, and its findings."""

import statistics
import time

from faceplate import _checks, encryption, migrate
from faceplate._operations.cluster_checks import check_cluster
from faceplate._operations.findings import Check, Finding, Level, Subject
from faceplate._operations.replication_checks import check_replicas, check_standbys
from faceplate.errors import ConfigurationError, DatabaseError
from faceplate.services import _mcp_tokens

SLOW_MS = 20.0
SKEW_S = 2.0
OLD_XIDS, LAST_XIDS = 1_000_000_000, 1_900_000_000  # the server stops writing at 2,144 million
NEARLY_FULL = 0.8
MAX_SECRETS = 1000

NO_SCHEMA = "there is no schema yet"

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
SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
AGE = """
SELECT greatest(age(datfrozenxid), mxid_age(datminmxid)) FROM pg_database
WHERE datname = current_database()
"""
SECRETS = """
SELECT user_id, id, secrets FROM faceplate.mcp_configs WHERE secrets IS NOT NULL LIMIT $1
"""
TOKENS = """
SELECT user_id, key, body FROM faceplate.documents WHERE kind = $1 LIMIT $2
"""
STALE_DRAFTS = """
SELECT count(*) FROM faceplate.messages
WHERE status = 'streaming' AND updated_at < now() - interval '10 minutes'
"""


LOST_WHEN_OFF = {
    "fsync": (Level.PROBLEM, "everything"),
    "full_page_writes": (Level.PROBLEM, "everything"),
    "synchronous_commit": (Level.WARNING, "the newest commits"),
}


async def _latency(subject: Subject) -> list[Finding]:
    took_ms = []
    for _ in range(5):
        started_s = time.perf_counter()
        await subject.connection.execute("SELECT 1")
        took_ms.append((time.perf_counter() - started_s) * 1000)
    typical_ms = statistics.median(took_ms)
    found = f"{typical_ms:.1f} ms for a round trip"
    if typical_ms < SLOW_MS:
        return [Finding(Level.OK, found)]
    advice = "Each unit takes at least one round trip: run the program nearer to the server."
    return [Finding(Level.WARNING, found, advice)]


async def _version(subject: Subject) -> list[Finding]:
    version = await subject.connection.fetchval("SHOW server_version")
    return [Finding(Level.OK, f"PostgreSQL {version}")]


async def _pooler(subject: Subject) -> list[Finding]:
    backend_pid = await subject.connection.fetchval("SELECT pg_backend_pid()")
    is_direct = subject.connection.get_server_pid() == backend_pid
    if not subject.settings.pgbouncer:  # connecting through a pooler would have failed
        return [Finding(Level.OK, "there is no pooler")]
    if is_direct:
        advice = "Unset FACEPLATE_PGBOUNCER: each statement is parsed and planned each time."
        return [Finding(Level.WARNING, "there is no pooler, though the settings say so", advice)]
    return [Finding(Level.OK, "there is a pooler, and nothing is kept beyond a transaction")]


async def _schema(subject: Subject) -> list[Finding]:
    head, revision = migrate.head(), await migrate.revision_of(subject.owner)
    if revision == head:
        return [Finding(Level.OK, f"at {head}, the newest")]
    if revision is not None and not migrate.knows(revision):
        return [Finding(Level.WARNING, migrate.describe_newer(revision))]
    state = f"at {revision}" if revision else "not there"
    found = f"the schema is {state}, and {head} is needed"
    return [Finding(Level.PROBLEM, found, "Run `faceplate migrate`.")]


async def _indexes(subject: Subject) -> list[Finding]:
    return [
        Finding(
            Level.PROBLEM,
            f"the index faceplate.{name} is invalid: the server maintains it and never reads it",
            f"Run REINDEX INDEX CONCURRENTLY faceplate.{name}, or, where the name ends in _ccnew"
            " or _ccold, DROP INDEX CONCURRENTLY.",
        )
        for name in await migrate.invalid_indexes(subject.connection)
    ] or [Finding(Level.OK, "all are valid")]


async def _isolation(subject: Subject) -> list[Finding]:
    found = await _checks.inspect_schema(subject.connection, subject.settings, subject.second_login)
    undo = "Undo the change, or run the statement above as the owner of the schema."
    findings = [Finding(Level.PROBLEM, gap, undo) for gap in found.gaps]
    findings += [Finding(Level.WARNING, warning) for warning in found.warnings]
    if found.revision is None:
        return [*findings, Finding(Level.SKIPPED, NO_SCHEMA)]
    return [*findings, Finding(Level.OK, f"in force: {', '.join(found.layers)}")]


async def _logins(subject: Subject) -> list[Finding]:
    found = await _checks.inspect_schema(subject.connection, subject.settings, subject.second_login)
    return [Finding(Level.OK, found.arrangement)]


async def _time_limits(subject: Subject) -> list[Finding]:
    expected = subject.settings.server_settings
    rows = await subject.connection.fetch(SETTINGS, list(expected))
    wrong = [
        Finding(
            Level.PROBLEM,
            f"{name} is {setting}, and the settings ask for {expected[name]}",
            "Find out what stands between this program and the server and drops the settings.",
        )
        for name, setting in rows
        if setting != expected[name]
    ]
    without = [
        Finding(
            Level.WARNING,
            f"{name} is off: a wait that it limits may never end",
            f"Set FACEPLATE_{name.upper()} to more than 0.",
        )
        for name in ("statement_timeout_s", "command_timeout_s", "lock_timeout_s")
        if not getattr(subject.settings, name)
    ]
    return wrong + without or [Finding(Level.OK, "in force, as the settings say")]


async def _connections(subject: Subject) -> list[Finding]:
    limit = subject.settings.pool_size + subject.settings.max_overflow
    room, used = await subject.connection.fetchrow(CONNECTIONS) or (0, 0)
    found = f"{used} of {room} are in use; one process of this program opens up to {limit}"
    if subject.settings.pgbouncer:
        return [Finding(Level.SKIPPED, "the pooler limits them")]
    if limit > room:
        advice = "Lower FACEPLATE_POOL_SIZE and FACEPLATE_MAX_OVERFLOW, or raise max_connections."
        return [Finding(Level.PROBLEM, found, advice)]
    if used > NEARLY_FULL * room:
        advice = "Raise max_connections, or use PgBouncer."
        return [Finding(Level.WARNING, found, advice)]
    return [Finding(Level.OK, f"{found}, so there is room for {room // limit} processes")]


async def _clock(subject: Subject) -> list[Finding]:
    before_s = time.time()
    server_s = await subject.connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")
    after_s = time.time()
    ahead_s = float(server_s) - (before_s + after_s) / 2
    certain_s = max(0.0, abs(ahead_s) - (after_s - before_s) / 2)
    if certain_s < SKEW_S:
        return [Finding(Level.OK, "the server's clock and this machine's agree")]
    found = f"the server is {certain_s:.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    advice = "Synchronise both by NTP. Ids have this machine's time, created_at has the server's."
    return [Finding(Level.WARNING, found, advice)]


async def _durability(subject: Subject) -> list[Finding]:
    findings = []
    for name, value in await subject.connection.fetch(SETTINGS, list(LOST_WHEN_OFF)):
        if value == "off":
            level, lost = LOST_WHEN_OFF[name]
            found = f"{name} is off: a crash of the server may lose {lost}"
            findings.append(Finding(level, found, f"Set {name} = on."))
    return findings or [Finding(Level.OK, "commits survive a crash of the server")]


async def _wraparound(subject: Subject) -> list[Finding]:
    age = await subject.connection.fetchval(AGE)
    found = f"the oldest transaction is {age / 1e6:.0f} million back, of at most 2,000"
    if age < OLD_XIDS:
        return [Finding(Level.OK, found)]
    advice = "Find out what blocks autovacuum: old transactions, slots, or its settings."
    return [Finding(Level.PROBLEM if age > LAST_XIDS else Level.WARNING, found, advice)]


async def _secrets(subject: Subject) -> list[Finding]:
    if subject.revision is None:
        return [Finding(Level.SKIPPED, NO_SCHEMA)]
    connection = await subject.all_rows()
    rows = [
        (encryption.name_of(user_id, config_id), encrypted)
        for user_id, config_id, encrypted in await connection.fetch(SECRETS, MAX_SECRETS)
    ]
    if subject.revision == migrate.head():  # an older schema may have no documents
        rows += [
            (_mcp_tokens.row_name(user_id, key), _mcp_tokens.encrypted_in(body))
            for user_id, key, body in await connection.fetch(TOKENS, _mcp_tokens.KIND, MAX_SECRETS)
        ]
    if not rows:
        return [Finding(Level.SKIPPED, "none are stored")]
    unreadable = 0
    for row, encrypted in rows:
        try:
            encryption.decrypt_for(subject.settings, row, encrypted)
        except ConfigurationError as error:
            return [Finding(Level.PROBLEM, f"secrets are stored, but {error.message}")]
        except DatabaseError:
            unreadable += 1
    if not unreadable:
        return [Finding(Level.OK, f"the keys decrypt all {len(rows)} that were tried")]
    found = f"the keys decrypt {len(rows) - unreadable} of {len(rows)}"
    return [Finding(Level.PROBLEM, found, "Add the old key to FACEPLATE_ENCRYPTION_KEYS again.")]


async def _drafts(subject: Subject) -> list[Finding]:
    if subject.revision != migrate.head():
        return [Finding(Level.SKIPPED, "the schema is not at the newest revision")]
    stale = await (await subject.all_rows()).fetchval(STALE_DRAFTS)
    if not stale:
        return [Finding(Level.OK, "no dead process has left one")]
    found = f"not saved for ten minutes, probably left by dead processes: {stale}"
    return [Finding(Level.WARNING, found, "Run `faceplate sweep`, now and every few minutes.")]


async def _disk(subject: Subject) -> list[Finding]:
    size = await subject.connection.fetchval(
        "SELECT pg_size_pretty(pg_database_size(current_database()))"
    )
    found = f"the database takes {size}; PostgreSQL does not know how much space is left"
    return [Finding(Level.SKIPPED, found, "Watch the disk on the server itself.")]


CHECKS: dict[str, Check] = {
    "latency": _latency,
    "version": _version,
    "pooler": _pooler,
    "replication": check_standbys,
    "replicas": check_replicas,
    "cluster": check_cluster,
    "schema": _schema,
    "indexes": _indexes,
    "isolation": _isolation,
    "logins": _logins,
    "time limits": _time_limits,
    "connections": _connections,
    "clock": _clock,
    "durability": _durability,
    "wraparound": _wraparound,
    "secrets": _secrets,
    "drafts": _drafts,
    "disk": _disk,
}
