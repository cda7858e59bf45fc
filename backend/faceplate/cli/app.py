"""The list of commands, and the exit code and message of an error."""

import sys
from io import TextIOWrapper

import typer

from faceplate.cli import (
    chats,
    database,
    demo,
    doctor,
    drafts,
    erase,
    export,
    init,
    keys,
    purge,
    seed,
    server,
    stats,
)
from faceplate.cli.output import note
from faceplate.errors import ConfigurationError, FaceplateError, InvalidInput, UsageError

EXIT_CODES = (
    "Exit codes: 0 done; 1 something was refused, not found, unhealthy or left over; "
    "2 wrong usage or settings; 130 interrupted."
)

app = typer.Typer(
    name="faceplate",
    help="""Chats in PostgreSQL: import them, list them, read them back.

    The database is the one in DATABASE_URL. Without it, a local PostgreSQL 18 is started and used.
    Results go to stdout, progress and messages to stderr.
    """,
    epilog=EXIT_CODES,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("import")(chats.import_)
app.command("conversations")(chats.list_conversations)
app.command("show")(chats.show)
app.command("check")(database.check)
app.command("doctor")(doctor.doctor)
app.command("migrate")(database.migrate)
app.command("stats", epilog=EXIT_CODES)(stats.stats)
app.command("export", epilog=EXIT_CODES)(export.export)
app.command("erase", epilog=EXIT_CODES)(erase.erase)
app.command("purge", epilog=EXIT_CODES)(purge.purge)
app.command("sweep")(drafts.sweep)
app.command("seed")(seed.seed)
app.command("generate-key")(keys.generate_key)
app.command("rotate-keys")(keys.rotate_keys)
app.add_typer(server.app, name="server")


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
        note(f"error: {error.message}{code}", style="red")
        is_usage = isinstance(error, ConfigurationError | UsageError | InvalidInput)
        return 2 if is_usage else 1
    except OSError as error:
        note(f"error: {error}", style="red")
        return 1
    return 0
