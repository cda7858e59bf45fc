"""Everything that is worth a look at a live server, each explained in a sentence.

`Database.check` is short, for a probe that asks all the time. This is for whoever wants to know
whether a database will do, or why it does not.
"""

from contextlib import AsyncExitStack, ExitStack

from faceplate import migrate
from faceplate._driver.connecting import open_connection
from faceplate._driver.connection import Connection
from faceplate._driver.error_mapping import DRIVER_ERRORS, translate, translate_connect
from faceplate._operations.checkups import CHECKS, Check, Finding, Level, Patient
from faceplate.config import Settings
from faceplate.errors import FaceplateError

LOOK = (
    "See that the server runs, and that DATABASE_URL and FACEPLATE_OWNER_URL are right. Nothing"
    " more could be asked."
)


def is_well(findings: list[Finding]) -> bool:
    """Whether nothing is wrong. A warning does not count."""
    return all(finding.level != Level.PROBLEM for finding in findings)


async def diagnose(settings: Settings) -> list[Finding]:
    """Return what was found, in a fixed order. What is wrong raises nothing.

    Reads only. Takes up to ``connect_timeout_s``, and ``command_timeout_s`` for each question.
    """
    with ExitStack() as opened:
        try:
            connection = await _open(settings, opened)
            owner = connection
            if settings.owner_url is not None:
                owner = await _open(settings.of_owner, opened)
        except (FaceplateError, *DRIVER_ERRORS) as error:
            limit_s = settings.connect_timeout_s
            failure = translate_connect(error, target=settings.target, limit_s=limit_s)
            return [Finding(Level.PROBLEM, failure.message, LOOK, "reachable")]
        findings = [Finding(Level.OK, settings.target, check="reachable")]
        patient = Patient(settings, connection, owner, await _revision(owner))
        for name, check in CHECKS.items():
            findings += [found._replace(check=name) for found in await _ask(check, patient)]
    return findings


async def _open(settings: Settings, opened: ExitStack) -> Connection:
    connection = await open_connection(settings)
    opened.callback(connection.terminate)
    return connection


async def _revision(connection: Connection) -> str | None:
    """The revision, or None where it cannot be told; to say why is left to a check."""
    try:
        async with connection.transaction(readonly=True):
            return await migrate.revision_of(connection)
    except DRIVER_ERRORS:
        return None


async def _ask(check: Check, patient: Patient) -> list[Finding]:
    """Ask in a transaction: a pooler might else answer from several servers."""
    try:
        async with AsyncExitStack() as transactions:
            for connection in {patient.connection, patient.owner}:
                await transactions.enter_async_context(connection.transaction(readonly=True))
            return await check(patient)
    except DRIVER_ERRORS as error:
        closed = patient.connection.is_closed() or patient.owner.is_closed()
        failure = translate(error, target=patient.settings.target, closed=closed)
        level = Level.PROBLEM if closed else Level.WARNING
        advice = "Ask again, as the role that owns the schema."
        return [Finding(level, f"could not be asked: {failure}", advice)]
