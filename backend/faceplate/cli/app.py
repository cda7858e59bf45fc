"""The list of commands, and the exit code and message of an error.

A command's module is imported when the command runs. So `faceplate --help` loads neither SQLAlchemy
nor rich.
"""

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperGroup

from faceplate.errors import ConfigurationError, FaceplateError, InvalidInput, UsageError

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 something was refused, not found, unhealthy or left over; "
    "2 wrong usage or settings; 130 interrupted."
)
INTERRUPTED: Final = 130


class Command(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    module: str
    member: str
    summary: str


COMMANDS: Final = {
    "demo": Command("demo", "demo", "Import a sample of chats, list them, and show one."),
    "init": Command("init", "init", "Write the files for own migrations, or a whole service."),
    "import": Command("imports", "import_", "Import chats of another program, or an export."),
    "conversations": Command(
        "chats", "list_conversations", "List a user's conversations, or search them."
    ),
    "show": Command("chats", "show", "Print a conversation with all its messages."),
    "mcp": Command("mcp", "mcp", "Serve a user's chats to an agent by MCP."),
    "users": Command("users", "list_users", "List users, or find one."),
    "check": Command("database", "check", "Check the connection, schema and isolation."),
    "doctor": Command("doctor", "doctor", "Examine server, schema, settings and data."),
    "migrate": Command("database", "migrate", "Bring the schema up to date."),
    "distribute": Command(
        "distribute", "distribute", "Distribute the tables over a Citus cluster."
    ),
    "stats": Command("stats", "stats", "Show rows, bytes, growth and the indexes."),
    "export": Command("export", "export", "Write everything of a user, or chats for others."),
    "erase": Command("erase", "erase", "Delete a user, and prove that nothing is left."),
    "purge": Command("purge", "purge", "Remove old conversations of all users."),
    "sweep": Command("drafts", "sweep", "Close drafts that dead processes have left."),
    "seed": Command("seed", "seed", "Create generated data, for development."),
    "generate-key": Command("keys", "generate_key", "Print a new key."),
    "rotate-keys": Command("keys", "rotate_keys", "Re-encrypt all secrets with the first key."),
    "server": Command("server", "app", "Start, stop and inspect the local PostgreSQL."),
}


class Commands(TyperGroup):
    """The group of `COMMANDS`, each of which is imported when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = _load(args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("interrupted", style="yellow")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="faceplate",
    cls=Commands,
    epilog=EXIT_CODES,
    rich_markup_mode=None,  # rich takes 0.1 s to import, and shows a type beside every flag
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in COMMANDS.items():
    app.command(_name, help=_command.summary)(lambda: None)


def _print_version(value: bool) -> None:  # noqa: FBT001 - Typer passes it by position
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - it takes 50 ms

        typer.echo(f"faceplate {version('faceplate')}")
        raise typer.Exit


@app.callback()
def faceplate(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Chats in PostgreSQL: import them, list them, read them back.

    The database is the one in DATABASE_URL. Without it, a local PostgreSQL 18 is started and used.
    Results go to stdout, progress and messages to stderr.
    """


def run() -> int:
    """Run the command in ``sys.argv`` and return its exit code.

    An error is printed as one message.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character shows "?" instead.
            stream.reconfigure(errors="replace")
    try:
        app()
    except FaceplateError as error:
        code = f" [SQLSTATE {error.sqlstate}]" if error.sqlstate else ""
        _say(f"error: {error.message}{code}", style="red")
        is_usage = isinstance(error, ConfigurationError | UsageError | InvalidInput)
        return 2 if is_usage else 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}", style="red")
        return 1
    return 0


def _load(name: str) -> Any:
    """Import a command and return it as Typer's group has it."""
    command = COMMANDS[name]
    member = getattr(import_module(f"faceplate.cli.{command.module}"), command.member)
    if isinstance(member, typer.Typer):
        return typer.main.get_command(member)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command(name, epilog=EXIT_CODES)(member)
    return typer.main.get_command(alone)


def _say(text: str, *, style: str) -> None:
    from faceplate.cli.output import note  # noqa: PLC0415 - it imports rich

    note(text, style=style)
