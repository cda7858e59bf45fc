"""The databases of a local server, and the project that each belongs to.

A file of the data directory records them, so that a command need not ask the server. The caller
has locked the directory where it writes.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from faceplate.embedded import _postgres
from faceplate.embedded._postgres import Account
from faceplate.errors import ConfigurationError

FILE: Final = "faceplate.databases.json"
SHARED: Final = "faceplate"
"""The only database of a directory that has no such file; it is of no project."""

_MARKS: Final = (".env", "pyproject.toml", "alembic.ini")
_MAX_NAME_CHARS: Final = 63  # PostgreSQL's
_MAX_FOLDER_CHARS: Final = 40
_RESERVED: Final = {"postgres", "template0", "template1"}

Databases = Mapping[str, Path | None]
"""The folder of each database's project by the database's name; None if it is of no project."""


def project_folder() -> Path:
    """Return the nearest folder upwards that has a project's file, else the current directory."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / mark).is_file() for mark in _MARKS):
            return folder
    return here


def named_in(folder: Path) -> str | None:
    """Return FACEPLATE_EMBEDDED_DATABASE of the environment, else of the project's ``.env``."""
    variable = "FACEPLATE_EMBEDDED_DATABASE"
    try:
        return os.environ.get(variable) or dotenv_values(folder / ".env").get(variable)
    except (OSError, UnicodeError):
        raise ConfigurationError(f"{folder / '.env'} must be a readable file in UTF-8") from None


def check_name(name: str) -> str:
    """Return ``name``. Raises ConfigurationError unless it can be that of a database."""
    if not re.fullmatch(rf"[a-z0-9_-]{{1,{_MAX_NAME_CHARS}}}", name) or name in _RESERVED:
        raise ConfigurationError(
            f"the name of a local database, {name!r}, must be 1 to {_MAX_NAME_CHARS} of a-z, 0-9, _"
            f" and -, and none of {', '.join(sorted(_RESERVED))}"
        )
    return name


def name_for(folder: Path, databases: Databases) -> str:
    """Return the name of the database of a project, new or not.

    It is the project's own; else the one of no project, which an earlier version has made for all;
    else a new name after the folder, with a digest of its path if another project has that name.
    """
    for wanted in (folder, None):
        for name, its_folder in databases.items():
            if its_folder == wanted:
                return name
    name = re.sub(r"[^a-z0-9]+", "_", folder.name.lower())[:_MAX_FOLDER_CHARS].strip("_")
    name = name or "project"
    if name in databases or name in _RESERVED:
        name += f"_{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"
    return name


def read(directory: Path) -> dict[str, Path | None]:
    """Return the databases of a data directory. Raises ConfigurationError, OSError."""
    try:
        recorded = json.loads((directory / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {SHARED: None}
    except ValueError:
        raise ConfigurationError(f"{directory / FILE} is not JSON: remove it") from None
    return {name: folder and Path(folder) for name, folder in recorded.items()}


def write(directory: Path, databases: Databases, account: Account) -> None:
    """Record the databases."""
    recorded = {name: folder and str(folder) for name, folder in databases.items()}
    _postgres.write(directory / FILE, json.dumps(recorded, indent=1), account)
