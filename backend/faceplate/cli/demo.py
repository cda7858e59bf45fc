"""``faceplate demo``: a sample of chats that is stored, listed and read back."""

import shlex
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from faceplate import migrate
from faceplate.cli.files import Input, check_chats, tell_formats
from faceplate.cli.import_reports import describe_report, look_at
from faceplate.cli.imports import import_with_progress
from faceplate.cli.output import command_name, note, out
from faceplate.cli.rendering import Transcript, conversation_heading, conversation_table
from faceplate.cli.session import find_or_create_user, interruptible, run_as_it_is
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.importers import Report
from faceplate.importers.faceplate_export import is_archive
from faceplate.records import Conversation
from faceplate.services import conversations, messages

EMAIL = "demo@example.com"
CONVERSATIONS = 10
MESSAGES = 20

DemoFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        exists=True,
        dir_okay=False,
        readable=True,
        show_default=False,
        help="Chats to import instead of the sample.",
    ),
]


def demo(file: DemoFile = None) -> None:
    """Migrate, import a sample of chats (or FILE), list them, and show one.

    Uses DATABASE_URL, or else the local PostgreSQL, which it starts. A second run skips the chats
    that are stored already. The chats belong to the user demo@example.com.
    """
    is_known = file is None or check_chats(file) or is_archive(file)
    with (
        as_file(files("faceplate") / "samples" / "chats.jsonl") as sample,
        interruptible("what was imported is kept; run it again to go on from there"),
    ):
        report = run_as_it_is(lambda db: _demonstrate(db, file or sample))
    if file is not None and not is_known:
        tell_formats(file.name)
        raise typer.Exit(1)
    _print_next_steps()
    if report.refused:
        raise typer.Exit(1)


async def _demonstrate(db: Database, file: Path) -> Report:
    note("Bringing the schema up to date ...")
    await migrate.upgrade(db)
    user = await db.run_system(find_or_create_user, EMAIL)
    chats = look_at(Input(file.name, file), None, is_alone=True)
    reports: list[Report] = []
    await import_with_progress(db, user.id, [chats], reports)
    [report] = reports
    note(f"{file.name}: {describe_report(report)}.")
    if report.skipped and not report.imported:
        note("All chats were stored by an earlier run; nothing was stored twice.")

    page = await db.run(user.id, conversations.page, limit=CONVERSATIONS)
    _head(f"Conversations of {EMAIL}, newest first")
    out.print(conversation_table(page.items))
    if page.next_cursor:
        out.print(f"... and more: {command_name()} conversations --user {EMAIL}\n")
    if page.items:
        _head("The newest of them")
        await _show(db, user.id, page.items[0])
    return report


async def _show(db: Database, user_id: UUID, conversation: Conversation) -> None:
    out.print(conversation_heading(conversation))
    transcript = Transcript(out)
    for message in await db.run(user_id, messages.history, conversation.id, limit=MESSAGES):
        transcript.print(message)
    if conversation.message_count > MESSAGES:
        out.print(
            f"\n(its last {MESSAGES} messages; all of them: "
            f"{command_name()} show {conversation.id} --user {EMAIL})"
        )


def _print_next_steps() -> None:
    command = command_name()
    steps = {
        "List them": f"{command} conversations --user {EMAIL}",
        "Read one": f"{command} show ID --user {EMAIL}",
    }
    if Settings.has_database_url():
        steps["Look inside"] = 'psql "$DATABASE_URL"'
    else:
        from faceplate import embedded  # noqa: PLC0415 - an extra

        server = embedded.start()
        steps["Look inside"] = server.psql
        steps["Use it from your program"] = (
            f"export DATABASE_URL={shlex.quote(server.unit_url)}\n"
            f"    export FACEPLATE_OWNER_URL={shlex.quote(server.url)}"
        )
        steps["Stop the server; its data is kept"] = f"{command} server stop"
        steps["Delete the database"] = f"{command} server drop {server.database}"
    out.print()
    _head("What next")
    for name, step in steps.items():
        out.print(Text.assemble((name, "bold"), f"\n    {step}"), soft_wrap=True)


def _head(title: str) -> None:
    out.rule(Text(title, "bold"), align="left", style="dim")
    out.print()
