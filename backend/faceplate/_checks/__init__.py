"""Checks of the database: which of the layers that keep users apart are in force.

`catalog` queries the server once. Each other module compares one kind of fact with what the models
and the revisions create. The package may use _schema, _driver and models; `health` and _operations
report its findings.
"""

from collections.abc import Iterator
from typing import NamedTuple

from faceplate._checks import (
    arrangements,
    bypasses,
    catalog,
    cluster,
    columns,
    grants,
    keys,
    logins,
    own_tables,
    policies,
    roles,
)
from faceplate._checks.catalog import Facts
from faceplate._checks.findings import (
    COMPOSITE_KEYS,
    OWNER_CRITERION,
    ROW_LEVEL_SECURITY,
    Flaw,
    as_warnings,
    warning,
)
from faceplate._driver.connection import DriverConnection
from faceplate._schema.revisions import describe_unknown, head, knows
from faceplate.config import Settings
from faceplate.models import SCHEMA

__all__ = [
    "COMPOSITE_KEYS",
    "OWNER_CRITERION",
    "ROW_LEVEL_SECURITY",
    "Isolation",
    "inspect_schema",
]

UNREADABLE_REVISION = (
    "{name} may not read faceplate.alembic_version, so that it cannot be told whether the schema is"
    " up to date: GRANT SELECT ON faceplate.alembic_version TO {name}"
)
SEVERAL_REVISIONS = (
    "faceplate.alembic_version has several rows ({}), so that nothing can be migrated: DELETE all"
    " but the newest; migrations of the application record theirs in another table"
)
SWITCHED_OFF = (
    "row_level_security is switched off: the raw SQL of a unit reaches the rows of every user"
)


class Isolation(NamedTuple):
    """The findings of `inspect_schema`."""

    layers: tuple[str, ...]
    """The layers in force."""
    gaps: tuple[str, ...]
    """Why a layer or a promise does not hold, a sentence each: the object, and what to do."""
    warnings: tuple[str, ...]
    """What breaks no promise now and should still be changed, a sentence each."""
    revision: str | None
    """The revision of the schema; None if there is none, or if it may not be read."""
    durability: tuple[str, ...]
    """Why a crash of the server may lose what was acknowledged."""
    arrangement: str
    """The logins in use, and what SQL that is injected into a unit can reach with them."""


async def inspect_schema(
    connection: DriverConnection,
    settings: Settings,
    owner: DriverConnection | None = None,
) -> Isolation:
    """Return the findings of all checks, with one statement on each connection.

    On a Citus cluster two more ask its nodes. Raises the driver's errors. ``connection`` has the
    login of units. ``owner`` has the login of ``owner_url``, and is None if that is not set or
    could not be reached.
    """
    has_own_login = settings.owner_url is not None
    facts = await catalog.ask(connection, has_own_login=has_own_login)
    owners = facts if owner is None else await catalog.ask_login(owner)
    revision, is_readable = (owners["revision"].get(key) for key in ("number", "is_readable"))
    is_migrated = revision is not None or is_readable is False
    flaws = [
        *logins.database_flaws(facts["login"]),
        *logins.flaws(facts["login"], row_level_security=settings.row_level_security),
        *await _cluster_flaws(owner or connection, settings, facts),
    ]
    if owner is not None or not has_own_login:
        flaws += logins.owner_flaws(owners["login"], is_own_login=has_own_login)
    if is_migrated:
        flaws += keys.flaws(facts["keys"])
        flaws += own_tables.flaws(facts["undeclared_tables"] or [], facts["untied_tables"] or [])
    if revision is not None and (revision == head() or not knows(revision)):
        flaws += columns.flaws(facts["columns"] or [])
        flaws += keys.omissions(facts["keys"])
    if not settings.row_level_security:
        flaws.append(warning(SWITCHED_OFF))
    elif is_migrated:
        flaws += _policy_flaws(facts, revision, sealed=settings.seal is not None)
    if is_readable is False:
        text = UNREADABLE_REVISION.format(name=owners["login"]["name"])
        flaws.append(Flaw(text, layer=None))
    if is_readable is not False and revision is None and _has_tables(facts):
        flaws.append(Flaw(describe_unknown(), layer=None))
    if revision is not None and ", " in revision:
        flaws.append(Flaw(SEVERAL_REVISIONS.format(revision), layer=None))
    if revision is not None and not knows(revision):
        flaws = list(as_warnings(flaws))
    return Isolation(
        tuple(_layers(flaws, settings, is_migrated=is_migrated)),
        tuple(flaw.text for flaw in flaws if flaw.is_gap),
        tuple(flaw.text for flaw in flaws if not flaw.is_gap),
        revision,
        tuple(logins.durability_warnings(facts["login"])),
        arrangements.describe(facts["login"], None if owner is None else owners["login"], settings),
    )


async def _cluster_flaws(
    connection: DriverConnection, settings: Settings, facts: Facts
) -> list[Flaw]:
    if not facts["is_cluster"]:
        return []
    as_units = settings.row_level_security and facts["login"]["may_become_units"] is True
    found = await cluster.ask(connection, as_units=as_units)
    return list(cluster.flaws(found, row_level_security=settings.row_level_security))


def _has_tables(facts: Facts) -> bool:
    return any(table["schema"] == SCHEMA for table in facts["policies"] or ())


def _layers(flaws: list[Flaw], settings: Settings, *, is_migrated: bool) -> Iterator[str]:
    yield OWNER_CRITERION
    lost = {flaw.layer for flaw in flaws if flaw.is_gap}
    if is_migrated and COMPOSITE_KEYS not in lost:
        yield COMPOSITE_KEYS
    if is_migrated and settings.row_level_security and ROW_LEVEL_SECURITY not in lost:
        yield ROW_LEVEL_SECURITY


def _policy_flaws(facts: Facts, revision: str | None, *, sealed: bool) -> Iterator[Flaw]:
    """Yield the flaws of the layer that also stops hostile SQL in a unit."""
    units = facts["roles"] or []
    yield from roles.flaws(units)
    if not units or roles.is_superuser(units):
        return  # PostgreSQL denies a superuser nothing
    yield from policies.flaws(facts["policies"] or [], sealed=sealed)
    yield from policies.unknown_flaws(facts["unknown_tables"] or [])
    yield from grants.flaws(facts["grants"], revision=revision)
    yield from bypasses.flaws(facts["bypasses"], sealed=sealed)
