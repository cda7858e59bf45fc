"""``faceplate server``: the commands on the local PostgreSQL."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from faceplate.cli.output import AsJson, emit, note, out
from faceplate.errors import UsageError

if TYPE_CHECKING:
    from faceplate.embedded import Server

app = typer.Typer(
    help="The local PostgreSQL 18 for development; FACEPLATE_EMBEDDED_DIR is its data directory.",
    no_args_is_help=True,
)


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start the server unless it runs, and print how to connect."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    _print_server(embedded.start(), as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Print whether the server runs, and how to connect.

    Exit code 1 if it does not run.
    """
    from faceplate import embedded  # noqa: PLC0415 - an extra

    server = embedded.find()
    if server is not None:
        _print_server(server, as_json=as_json)
        return
    directory = embedded.default_directory()
    if as_json:
        emit({"running": False, "directory": directory})
    else:
        note(f"not running (its data directory is {directory})")
    raise typer.Exit(1)


@app.command()
def stop(*, as_json: AsJson = False) -> None:
    """Stop the server and keep its data. Stopping it twice is no error."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    stopped = embedded.stop()
    if as_json:
        emit({"stopped": stopped})
    else:
        note("stopped; its data is kept" if stopped else "it was not running")


@app.command()
def wipe(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the server and delete all its data, after a confirmation."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    directory = embedded.default_directory()
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"--yes is needed to delete {directory} without a terminal")
        typer.confirm(f"Delete {directory} with all its data?", abort=True, err=True)
    embedded.wipe()
    if as_json:
        emit({"wiped": directory})
    else:
        note(f"deleted {directory}")


def _print_server(server: "Server", *, as_json: bool) -> None:
    if as_json:
        emit(
            {
                "running": True,
                "directory": server.directory,
                "pid": server.pid,
                "url": server.unit_url,
                "owner_url": server.url,
                "psql": server.psql,
            }
        )
        return
    for name, value in {
        "running": f"process {server.pid}, data in {server.directory}",
        "DATABASE_URL": server.unit_url,
        "FACEPLATE_OWNER_URL": server.url,
        "psql": server.psql,
    }.items():
        out.print(f"{name:<21}{value}", soft_wrap=True)
