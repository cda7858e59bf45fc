"""The doctor's checks of standbys: those of this server, and the replicas that units read from."""

from faceplate._driver.connecting import open_connection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.error_mapping import map_connect_error
from faceplate._operations.findings import Finding, Level, Subject
from faceplate._replicas import primary, replica
from faceplate._replicas.position import Position
from faceplate._replicas.primary import History
from faceplate.config import Settings
from faceplate.errors import FaceplateError

LAG_S = 60.0
STANDBYS = """
SELECT count(*) AS number, extract(epoch FROM max(replay_lag))::float8 AS lag_s
FROM pg_stat_replication
"""
_BEHIND_S = "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8"
_MAY_MARK = """
SELECT pg_has_role(relowner, 'USAGE') FROM pg_class
WHERE oid = to_regclass('faceplate.alembic_version')
"""
_NOT_MARKED = "the login may not mark the primary's timeline, so that no replica is read from"
_MARK = "Let the login that owns faceplate.alembic_version be the one of DATABASE_URL or OWNER_URL."
_ADVICE = "Units read from the primary in its place. Mend it, or take its URL away."


async def check_standbys(subject: Subject) -> list[Finding]:
    """Return whether the server may be written to, and how far its standbys are behind."""
    if await subject.connection.fetchval("SELECT pg_is_in_recovery()"):
        advice = "Name the primary in DATABASE_URL, or all hosts and target_session_attrs=primary."
        return [Finding(Level.PROBLEM, "this is a standby: nothing can be written", advice)]
    number, lag_s = await subject.connection.fetchrow(STANDBYS) or (0, None)
    if not number:
        return [Finding(Level.SKIPPED, "no standby is connected")]
    if lag_s is not None and lag_s > LAG_S:
        advice = "A failover would lose that much: find out what delays the standby."
        return [Finding(Level.WARNING, f"a standby is {lag_s:.0f} s behind", advice)]
    return [Finding(Level.OK, f"standbys connected: {number}")]


async def check_replicas(subject: Subject) -> list[Finding]:
    """Return how far each replica in ``read_urls`` is behind, or why it is not read from."""
    if not subject.settings.read_urls:
        return [Finding(Level.SKIPPED, "FACEPLATE_READ_URLS names none")]
    system = await primary.system_of(subject.owner)
    history, position = await primary.ask(subject.owner, system)
    findings = [await _examine(each, history, position) for each in subject.settings.of_replicas]
    if not history.is_marked and not await subject.owner.fetchval(_MAY_MARK):
        findings.append(Finding(Level.WARNING, _NOT_MARKED, _MARK))
    return findings


async def _examine(settings: Settings, history: History, position: Position) -> Finding:
    try:
        connection = await open_connection(settings)
        try:
            system = await primary.system_of(connection)
            answer = await replica.ask(connection)
            behind_s = await connection.fetchval(_BEHIND_S)
        finally:
            connection.terminate()
    except (FaceplateError, *DRIVER_ERRORS) as error:
        limit_s = settings.connect_timeout_s
        failure = map_connect_error(error, target=settings.target, limit_s=limit_s)
        return Finding(Level.WARNING, failure.message, _ADVICE)
    # Before a process has read from replicas, the primary has no mark that they could lack.
    problem = answer.problem(
        system, history if history.is_marked else history._replace(mark=answer.mark)
    )
    if problem is not None or answer.lsn is None:
        return Finding(Level.WARNING, f"{settings.target}: {problem}", _ADVICE)
    behind = position.lsn - answer.lsn
    if behind <= 0:
        return Finding(Level.OK, f"{settings.target} has all that the primary has")
    found = f"{settings.target} is {behind:,} bytes behind"
    if behind_s is not None:
        found = f"{found}; the last commit that it has replayed is {behind_s:.1f} s old"
    if behind_s is not None and behind_s > settings.max_replica_lag_s:
        return Finding(Level.WARNING, found, _ADVICE)
    return Finding(Level.OK, found)
