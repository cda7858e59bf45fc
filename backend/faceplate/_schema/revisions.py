"""The revisions of the schema: the known ones, and the current one.

It reads the names of the files, so that a program that does not migrate loads no Alembic.
"""

import functools
from pathlib import Path

from faceplate._driver.connection import DriverConnection
from faceplate.models import SCHEMA

MIGRATIONS = Path(__file__).parent.parent / "migrations"


@functools.cache
def _known() -> tuple[str, ...]:
    """Return the revisions, oldest first, from the names of their files.

    `alembic.ini` names a file ``<revision>_<slug>.py``.
    """
    files = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return tuple(sorted(file.name.partition("_")[0] for file in files))


def head() -> str:
    """Return the newest revision that this version of the package knows."""
    return _known()[-1]


def knows(revision: str) -> bool:
    """Return whether this version of the package has ``revision``."""
    return revision in _known()


def describe_newer(revision: str) -> str:
    """Return the message about a schema that a newer version has migrated."""
    return (
        f"the schema is at {revision}, which is newer than this version knows ({head()}): there is"
        " nothing to migrate; update the program when you can"
    )


def describe_unknown() -> str:
    """Return the message about tables whose revision is not recorded."""
    return (
        f"the tables of {SCHEMA} exist, but {SCHEMA}.alembic_version does not record their"
        " revision, so that nothing can be migrated: restore its row from a backup (the newest"
        f" revision is {head()})"
    )


async def revision_of(connection: DriverConnection) -> str | None:
    """Return the revision of the schema, or None if there is none."""
    if await connection.fetchval(f"SELECT to_regclass('{SCHEMA}.alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval(
        f"SELECT version_num FROM {SCHEMA}.alembic_version"  # noqa: S608 - our own name
    )
    return revision or None
