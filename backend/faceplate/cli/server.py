"""``faceplate server``: the commands on the local PostgreSQL."""

from typing import TYPE_CHECKING, Annotated

import typer

from faceplate.cli.output import AsJson, emit, note, out
from faceplate.cli.session import Yes, confirm, require_asking
from faceplate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from faceplate.embedded import Server

app = typer.Typer(
    help="The local PostgreSQL 18 for development; FACEPLATE_EMBEDDED_DIR is its data directory.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def start(*, as_json: AsJson = False) -> None:
    """Start the server unless it runs, and print how to connect."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    _print_server(embedded.start(), as_json=as_json)


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Print whether the server runs, how to connect, and whose its databases are.

    Exit code 1 if it does not run.
    """
    from faceplate import embedded  # noqa: PLC0415 - an extra

    directory, server = embedded.default_directory(), embedded.find()
    databases = embedded.databases()
    if server is not None:
        _print_server(server, as_json=as_json)
    elif as_json:
        emit({"running": embedded.is_running(), "directory": directory} | _as_json(databases))
    elif embedded.is_running():
        note(f"running, data in {directory}; this project has no database on it yet")
    else:
        note(f"not running (its data directory is {directory})")
    if not as_json:
        _print_databases(databases, server)
    if not embedded.is_running():
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
def drop(
    database: Annotated[
        str, typer.Argument(metavar="DATABASE", show_default=False, help="As `status` lists it.")
    ],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete the database of one project, after a confirmation."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    databases = embedded.databases()
    if database not in databases:
        raise UsageError(f"there is no local database {database}; `server status` lists them")
    of = {database: databases[database]}
    require_asking(f"delete {database}", yes=yes)
    if not yes:
        _print_databases(of)
        confirm(f"Delete {database} with all its data?")
    embedded.drop(database)
    if as_json:
        emit({"dropped": database})
    else:
        note(f"deleted {database}")


@app.command()
def wipe(*, yes: Yes = False, as_json: AsJson = False) -> None:
    """Stop the server and delete the databases of all projects, after a confirmation."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    directory, databases = embedded.default_directory(), embedded.databases()
    require_asking(f"delete {directory}", yes=yes)
    if not yes:
        _print_databases(databases)
        confirm(f"Delete {directory} with all its data?")
    embedded.wipe()
    if as_json:
        emit({"wiped": directory} | _as_json(databases))
        return
    names = f" with {', '.join(databases)}" if databases else ""
    note(f"deleted {directory}{names}")


def _print_server(server: "Server", *, as_json: bool) -> None:
    from faceplate import embedded  # noqa: PLC0415 - an extra

    databases = embedded.databases()
    if as_json:
        emit(
            {
                "running": True,
                "directory": server.directory,
                "pid": server.pid,
                "database": server.database,
                "url": server.unit_url,
                "owner_url": server.url,
                "psql": server.psql,
            }
            | _as_json(databases)
        )
        return
    for name, value in {
        "running": f"process {server.pid}, data in {server.directory}",
        "database": f"{server.database} ({_describe(databases.get(server.database))})",
        "DATABASE_URL": server.unit_url,
        "FACEPLATE_OWNER_URL": server.url,
        "psql": server.psql,
    }.items():
        out.print(f"{name:<21}{value}", soft_wrap=True)


def _print_databases(
    databases: "Mapping[str, Path | None]", server: "Server | None" = None
) -> None:
    """Print whose the databases are, to stderr, but the one that ``server`` is about."""
    for name, folder in sorted(databases.items()):
        if server is None or name != server.database:
            note(f"database {name}: {_describe(folder)}")


def _describe(folder: "Path | None") -> str:
    if folder is None:
        return "of no project"
    return f"{folder}" if folder.is_dir() else f"{folder}, which is no longer there"


def _as_json(databases: "Mapping[str, Path | None]") -> dict[str, object]:
    return {"databases": {name: folder and str(folder) for name, folder in databases.items()}}
