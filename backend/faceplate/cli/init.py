"""``faceplate init``: the files for a project's own migrations."""

from pathlib import Path
from typing import Annotated

import typer

from faceplate._alembic.scaffold import write_project
from faceplate.cli.output import AsJson, command_name, emit, note, out


def init(
    directory: Annotated[
        Path, typer.Argument(file_okay=False, help="The project's folder; created if missing.")
    ] = Path(),
    *,
    as_json: AsJson = False,
) -> None:
    """Write alembic.ini, .env.example and migrations/ for a project's own tables.

    The project's revisions leave faceplate's tables alone. Nothing is overwritten: if one of the
    files exists, nothing is written at all.
    """
    written = write_project(directory)
    if as_json:
        emit({"written": [str(path) for path in written]})
        return
    for path in written:
        out.print(str(path), soft_wrap=True)
    note(
        f"Now copy .env.example to .env and set DATABASE_URL (with FACEPLATE_OWNER_URL, if units"
        f" log in as a role that owns nothing), name your models in"
        f" {directory / 'migrations' / 'env.py'} and in FACEPLATE_MODELS, and run there:\n"
        f"  {command_name()} migrate\n"
        '  alembic revision --autogenerate -m "..."\n'
        "  alembic upgrade head"
    )
