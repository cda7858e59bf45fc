"""A service, written in a folder of the test, and what its files say."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from tests.projects import Project

from faceplate._alembic import scaffold

yaml: Any = import_module("yaml")  # it has no types


class Service(NamedTuple):
    directory: Path
    files: list[Path]

    def text(self, name: str) -> str:
        return (self.directory / name).read_text(encoding="utf-8")

    def yaml(self, name: str) -> Any:
        return yaml.safe_load(self.text(name))

    @property
    def pyproject(self) -> dict[str, Any]:
        return tomllib.loads(self.text("pyproject.toml"))

    @property
    def environment(self) -> dict[str, str]:
        """What .env sets."""
        lines = (line for line in self.text(".env").splitlines() if not line.startswith("#"))
        return dict(line.split("=", 1) for line in lines if line)

    def project(self, url: str) -> Project:
        return Project(self.directory, url)


def write(directory: Path) -> Service:
    return Service(directory, scaffold.write_service(directory))
