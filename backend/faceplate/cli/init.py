"""``faceplate init``: the files for a project's own migrations, or a whole service."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from faceplate._alembic.scaffold import write_project, write_service
from faceplate.cli.output import AsJson, command_name, emit, note, out


def init(
    directory: Annotated[
        Path, typer.Argument(file_okay=False, help="The project's folder; created if missing.")
    ] = Path(),
    *,
    service: Annotated[
        bool,
        typer.Option(
            "--service", help="Write a small FastAPI service, with a worker, tests and containers."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write alembic.ini, .env.example and migrations/ for a project's own tables.

    The project's revisions leave faceplate's tables alone. Nothing is overwritten: if one of the
    files exists, nothing is written at all.
    """
    written = write_service(directory) if service else write_project(directory)
    if as_json:
        emit({"written": [str(path) for path in written]})
        return
    for path in written:
        out.print(str(path), soft_wrap=True)
    note(_next_steps_of_service(directory) if service else _next_steps(directory))


def _next_steps(directory: Path) -> str:
    return (
        f"Now copy .env.example to .env and set DATABASE_URL (with FACEPLATE_OWNER_URL, if units"
        f" log in as a role that owns nothing), name your models in"
        f" {directory / 'migrations' / 'env.py'} and in FACEPLATE_MODELS, and run there:\n"
        f"  {command_name()} migrate\n"
        '  alembic revision --autogenerate -m "..."\n'
        "  alembic upgrade head"
    )


def _next_steps_of_service(directory: Path) -> str:
    enter = "" if directory == Path() else f"  cd {shlex.quote(str(directory))}\n"
    return (
        f"Now run the tests; they start a PostgreSQL of their own:\n"
        f"{enter}"
        "  pip install --editable '.[dev]'\n"
        "  pytest\n"
        f"{directory / 'README.md'} says how to run the service, in containers as well."
    )
