"""The files that `faceplate init` writes: settings and migrations, or a whole service."""

import re
import secrets
import textwrap
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from faceplate.config import Settings
from faceplate.errors import UsageError

PACKAGE = files("faceplate")
NAME = "example-service"
"""What the service is called in the templates."""
SERVICE_SETTINGS = """\
# Settings of the service. `docker compose` reads JWT_KEY from .env as well.

# The key that signs and verifies tokens, at least 32 characters; each deployment has its own:
# python -c 'import secrets; print(secrets.token_hex(32))'
JWT_KEY={key}

# The modules with the service's own tables, for the commands of faceplate.
FACEPLATE_MODELS=app.models
"""


def write_project(directory: Path) -> list[Path]:
    """Write alembic.ini, .env.example and migrations/; return the files.

    Raises UsageError, and writes nothing, if some of the files exist; the message names them.
    Raises OSError if a file cannot be written.
    """
    return _write(directory, _project())


def write_service(directory: Path) -> list[Path]:
    """Write a whole service, named after the folder, and a .env with a key; return the files.

    Raises UsageError and OSError as `write_project` does.
    """
    name = re.sub("[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-") or NAME
    if _is_taken(name):
        name += "-service"
    contents = _project() | {
        ".env": SERVICE_SETTINGS.format(key=secrets.token_hex(32)),
        ".env.example": f"{SERVICE_SETTINGS.format(key='')}\n{env_example()}",
    }
    del contents["migrations/versions/.gitkeep"]
    for path, text in _files_of(PACKAGE / "templates" / "service"):
        contents[path.replace("dot-", ".")] = text.replace(NAME, name)
    return _write(directory, contents)


def _is_taken(name: str) -> bool:
    """Return whether pip would install the service in place of a package that it needs."""
    pyproject = (PACKAGE / "templates" / "service" / "pyproject.toml").read_text("utf-8")
    needed = re.findall(r'^ +"([a-z0-9-]+)', pyproject, re.MULTILINE)
    needed += [re.split("[^A-Za-z0-9-]", each)[0] for each in metadata.requires("faceplate") or ()]
    return name in needed


def _files_of(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file, without the caches of Python and of linters."""
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        if each.name == "__pycache__" or each.name.startswith("."):
            continue
        if each.is_file():
            yield prefix + each.name, each.read_text(encoding="utf-8")
        else:
            yield from _files_of(each, f"{prefix}{each.name}/")


def _write(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    contents = {directory / name: text for name, text in texts.items()}
    if there := [path for path in contents if path.exists() or path.is_symlink()]:
        names = ", ".join(str(path.relative_to(directory)) for path in there)
        raise UsageError(f"nothing was written, because {directory} already has: {names}")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600 if path.name == ".env" else 0o666, exist_ok=False)  # .env has a key
        path.write_text(text, encoding="utf-8")
    return list(contents)


def env_example() -> str:
    """Return every setting as a comment, with its description and its default."""
    head = (
        "# Settings of faceplate. Copy this file to .env and uncomment what you need. The\n"
        "# environment overrides .env, and arguments to Settings() override both.\n"
    )
    return "\n".join([head, *map(_explained, Settings.model_fields)])


def variable_of(setting: str) -> str:
    """Return the environment variable of ``setting``."""
    return "DATABASE_URL" if setting == "database_url" else f"FACEPLATE_{setting.upper()}"


def example_of(setting: str) -> str:
    """Return an example of a value, or else the default, as in the environment."""
    field = Settings.model_fields[setting]
    value = field.examples[0] if field.examples else field.default
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _explained(setting: str) -> str:
    field = Settings.model_fields[setting]
    text = f"{field.description}{' Not set by default.' if field.examples else ''}"
    comment = textwrap.fill(
        text, width=96, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
    return f"{comment}\n#{variable_of(setting)}={example_of(setting)}\n"


def _project() -> dict[str, str]:
    def read(*path: str) -> str:
        return PACKAGE.joinpath(*path).read_text(encoding="utf-8")

    return {
        "alembic.ini": read("templates", "alembic.ini"),
        ".env.example": env_example(),
        "migrations/env.py": read("templates", "env.py"),
        "migrations/script.py.mako": read("migrations", "script.py.mako"),
        "migrations/versions/.gitkeep": "",
    }
