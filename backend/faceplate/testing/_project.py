"""The project's own side: its environment, and its revisions."""

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import make_url

from faceplate import migrate
from faceplate._settings.environment import read_variables
from faceplate.config import Settings
from faceplate.errors import ConfigurationError
from faceplate.testing._background import Background

PASSWORDS = ("password", "owner_password")


def environment_of(url: str) -> dict[str, str]:
    """Return the variables that lead everything in this process to the database of ``url``.

    Where the environment or ``.env`` names other logins, they lead there as well. The owner's is
    taken back: with it, units would run as the login of ``url``, which owns the tables. Replicas
    are taken back: they have another database.
    """
    variables = {"DATABASE_URL": url, "FACEPLATE_DATABASE_URL": url}
    named = read_variables(Settings)
    password = make_url(url).password or "none"
    if "owner_url" in named:
        variables["FACEPLATE_OWNER_URL"] = ""
    if "migration_url" in named:
        variables["FACEPLATE_MIGRATION_URL"] = url
    if "read_urls" in named:
        variables["FACEPLATE_READ_URLS"] = ""
    return variables | {
        f"FACEPLATE_{name.upper()}": password for name in PASSWORDS if name in named
    }


def environment_of_faults() -> dict[str, str]:
    """Return the variables with which a retry does not wait: the server is there."""
    return {"FACEPLATE_RETRY_DELAY_S": "0"}


def upgrade(alembic_ini: Path | None, background: Background) -> None:
    """Run faceplate's revisions and the project's, on the database of the environment."""
    background.run(migrate.upgrade(Settings()))
    if alembic_ini is None:
        return
    done = subprocess.run(  # noqa: S603 - Alembic's own command, as a deployment runs it
        [sys.executable, "-m", "alembic", "-c", str(alembic_ini), "upgrade", "head"],
        cwd=alembic_ini.parent,
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ConfigurationError(
            f"`alembic -c {alembic_ini} upgrade head` failed:\n{done.stdout}{done.stderr}"
        )


def find_alembic_ini(root: Path, given: str) -> Path | None:
    """Return the project's alembic.ini, if it has one; ``given`` is a path, or "none".

    Raises ConfigurationError if the file that is named does not exist.
    """
    if given == "none":
        return None
    path = root / (given or "alembic.ini")
    if path.exists():
        return path
    if given:
        raise ConfigurationError(f"faceplate_alembic_ini: {path} does not exist")
    return None
