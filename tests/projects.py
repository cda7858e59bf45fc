"""A project with tables of its own, in a folder of its own, as ``faceplate init`` begins it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import asyncpg

IN_TURN = """
import sys
from alembic.config import main

for command in sys.argv[1:]:
    main(command.split(), prog="alembic")
"""


class Project(NamedTuple):
    directory: Path
    url: str

    def run(self, *command: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.directory,
            env=os.environ | {"DATABASE_URL": self.url},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def alembic(self, *arguments: str, fails: bool = False) -> str:
        return self.run("-m", "alembic", *arguments, fails=fails)

    def alembic_in_turn(self, *commands: str) -> str:
        """Run commands in one process, whose start takes longer than a command does."""
        return self.run("-c", IN_TURN, *commands)

    def faceplate(self, *arguments: str, fails: bool = False) -> str:
        return self.run("-m", "faceplate.cli", *arguments, fails=fails)

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def revision(self) -> str:
        (written,) = (self.directory / "migrations" / "versions").glob("*.py")
        return written.read_text(encoding="utf-8")


def begin(directory: Path, url: str, models: str) -> Project:
    """A project after ``faceplate init``, whose env.py knows these models."""
    project = Project(directory, url)
    project.faceplate("init")
    project.write("app/models.py", models)
    env = directory / "migrations" / "env.py"
    text = env.read_text(encoding="utf-8")
    text = text.replace("from sqlalchemy import MetaData\n", "from app.models import AppBase\n")
    env.write_text(text.replace("METADATA = MetaData()", "METADATA = AppBase.metadata"), "utf-8")
    return project


async def tables(url: str) -> dict[str, set[str]]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
    finally:
        await connection.close()
    found: dict[str, set[str]] = {}
    for schema, table in rows:
        found.setdefault(schema, set()).add(table)
    return found
