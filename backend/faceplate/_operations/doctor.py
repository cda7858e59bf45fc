"""The examination of a live server by `faceplate doctor`.

`Database.check` is shorter and meant for a probe. The doctor tells an operator whether a database
is fit for faceplate, and why it is not.
"""

from contextlib import AsyncExitStack, ExitStack

from faceplate import migrate
from faceplate._driver.connecting import open_connection
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.error_mapping import map_connect_error, map_error
from faceplate._operations.checks import CHECKS
from faceplate._operations.findings import Check, Finding, Level, Subject
from faceplate.config import Settings
from faceplate.errors import FaceplateError

UNREACHABLE = (
    "Make sure that the server runs, and that DATABASE_URL and FACEPLATE_OWNER_URL are right. No"
    " other check was possible."
)


def is_well(findings: list[Finding]) -> bool:
    """Return whether no finding is a problem; a warning is none."""
    return all(finding.level != Level.PROBLEM for finding in findings)


async def diagnose(settings: Settings) -> list[Finding]:
    """Return the findings, in a fixed order. A problem raises nothing.

    It only reads. It takes up to ``connect_timeout_s``, and ``command_timeout_s`` for each query.
    """
    with ExitStack() as opened:
        try:
            connection = await _open(settings, opened)
            owner = connection
            if settings.owner_url is not None:
                owner = await _open(settings.of_owner, opened)
        except (FaceplateError, *DRIVER_ERRORS) as error:
            limit_s = settings.connect_timeout_s
            failure = map_connect_error(error, target=settings.target, limit_s=limit_s)
            return [Finding(Level.PROBLEM, failure.message, UNREACHABLE, "reachable")]
        findings = [Finding(Level.OK, settings.target, check="reachable")]
        subject = Subject(settings, connection, owner, await _revision(owner))
        for name, check in CHECKS.items():
            findings += [found._replace(check=name) for found in await _ask(check, subject)]
    return findings


async def _open(settings: Settings, opened: ExitStack) -> Connection:
    connection = await open_connection(settings)
    opened.callback(connection.terminate)
    return connection


async def _revision(connection: Connection) -> str | None:
    """Return the revision, or None if it cannot be read; a check reports the reason."""
    try:
        async with connection.transaction(readonly=True):
            return await migrate.revision_of(connection)
    except DRIVER_ERRORS:
        return None


async def _ask(check: Check, subject: Subject) -> list[Finding]:
    """Return the findings of ``check``, run in a transaction.

    A pooler then keeps to one server.
    """
    try:
        async with AsyncExitStack() as transactions:
            for connection in {subject.connection, subject.owner}:
                await transactions.enter_async_context(connection.transaction(readonly=True))
            return await check(subject)
    except DRIVER_ERRORS as error:
        closed = subject.connection.is_closed() or subject.owner.is_closed()
        failure = map_error(error, target=subject.settings.target, closed=closed)
        level = Level.PROBLEM if closed else Level.WARNING
        advice = "Run the doctor again, as the role that owns the schema."
        return [Finding(level, f"the check failed: {failure}", advice)]
