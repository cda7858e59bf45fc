"""The revisions of the schema: which ones this version of the package knows, and which is there."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from alembic.config import Config
from alembic.script import ScriptDirectory

from faceplate.models import SCHEMA

if TYPE_CHECKING:
    import asyncpg


def alembic_config() -> Config:
    """Return what Alembic's commands need to find the revisions."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@functools.cache
def head() -> str:
    """Return the newest revision that this version of the package knows."""
    return cast("str", ScriptDirectory.from_config(alembic_config()).get_current_head())


def knows(revision: str) -> bool:
    """Return whether this version of the package has ``revision``; a newer one's it has not."""
    return revision in _known()


@functools.cache
def _known() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return frozenset(script.revision for script in scripts)


def describe_newer(revision: str) -> str:
    """Return what an operator is told of a schema that a newer version has migrated."""
    return (
        f"the schema is at {revision}, which is newer than this version knows ({head()}): there is"
        " nothing to migrate; update the program when you can"
    )


def describe_lost() -> str:
    """Return what an operator is told of tables whose revision nobody knows."""
    return (
        f"the tables of {SCHEMA} are there, and {SCHEMA}.alembic_version has no revision of them,"
        f" so that nothing can be migrated: put its row back (of a backup; the newest is {head()})"
    )


async def revision_of(connection: "asyncpg.Connection[Any]") -> str | None:
    """Return the revision that ``connection`` finds, or None."""
    if await connection.fetchval(f"SELECT to_regclass('{SCHEMA}.alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval(
        f"SELECT version_num FROM {SCHEMA}.alembic_version"  # noqa: S608 - our own name
    )
    return revision or None
