"""The commands ``faceplate import``, ``conversations`` and ``show``."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import DownloadColumn

from faceplate import transcripts
from faceplate.cli.export import import_archive
from faceplate.cli.files import check_chats, tell_formats
from faceplate.cli.output import AsJson, emit, note, out
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import Transcript, conversation_heading, conversation_table, count
from faceplate.cli.session import Who, find_or_create_user, find_user, interruptible, run
from faceplate.database import Database
from faceplate.importers import FORMATS, Refusal, Report, import_file, recognise
from faceplate.importers.faceplate_export import is_archive
from faceplate.pagination import Page
from faceplate.records import Conversation
from faceplate.services import conversations

ChatFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False),
]

ChatFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="The format of the file, if it cannot be recognised.",
        metavar="|".join(FORMATS),
        show_default=False,
    ),
]


def import_(
    file: ChatFile, who: Who, *, format_: ChatFormat = None, as_json: AsJson = False
) -> None:
    """Import chats: a ChatGPT or Open WebUI export, ShareGPT, OpenAI chat messages.

    The file is JSON or JSON lines, or a zip archive of them. A chat becomes one conversation with
    all its branches. It is safe to import a file again: a chat that was stored already is skipped,
    or continued if it has new messages or branches. A chat that cannot be read or stored, and a
    part that was left out of one, is reported with its number; the import goes on, and the exit
    code is 1. A user with this e-mail address is created if there is none.

    A file of `faceplate export` is restored with its ids, positions and times. If the exported user
    no longer exists, it is created as it was.

    With --json, prints a line {"refused": ...} for each refusal and a last line {"report": ...}.
    """
    is_known = check_chats(file) or format_ is not None
    if is_archive(file):
        import_archive(file, who, as_json=as_json)
        return
    found = format_ or recognise(file)
    if not as_json:
        title = FORMATS[found].title if found in FORMATS else "of no format that can be read"
        note(f"{file.name}: {title}", style="dim")

    async def work(db: Database) -> Report:
        user = await db.run_system(find_or_create_user, who)
        return await import_with_progress(db, user.id, file, format=format_, as_json=as_json)

    with interruptible("what was imported is kept; run it again to go on from there"):
        report = run(work)
    if as_json:
        emit({"report": {"format": found, **report._asdict()}})
    else:
        note(describe_report(report))
    if not is_known and not (report.imported or report.continued or report.skipped):
        tell_formats(file)
    if report.refused or not is_known:
        raise typer.Exit(1)


def list_conversations(
    who: Who,
    *,
    search: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only those whose title has this text, in any case."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of conversations, 1 to 200.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="The cursor of the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a user's conversations, the newest activity first.

    With --json, prints a line {"conversation": ...} for each and, if there are more, a last line
    {"next_cursor": ...}.
    """

    async def work(db: Database) -> Page[Conversation]:
        user = await db.run_system(find_user, who)
        if search is None:
            return await db.run(user.id, conversations.page, limit=limit, cursor=cursor)
        return await db.run(user.id, conversations.search, search, limit=limit, cursor=cursor)

    page = run(work)
    if as_json:
        for conversation in page.items:
            emit({"conversation": conversation._asdict()})
        if page.next_cursor:
            emit({"next_cursor": page.next_cursor})
        return
    if not page.items:
        note("no conversations")
        return
    out.print(conversation_table(page.items))
    if page.next_cursor:
        note(f"There are more: add --cursor {page.next_cursor}")


def show(
    conversation_id: Annotated[UUID, typer.Argument(metavar="ID", show_default=False)],
    who: Who,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a conversation with all its messages.

    On a terminal the assistant's Markdown is rendered; in a pipe it is printed as it is.
    With --json, prints a line {"conversation": ...} and then a line {"message": ...} for each.
    """

    async def work(db: Database) -> None:
        user = await db.run_system(find_user, who)
        conversation = await db.run(user.id, conversations.get, conversation_id)
        if as_json:
            emit({"conversation": conversation._asdict()})
        else:
            out.print(conversation_heading(conversation))
        transcript = Transcript(out)
        async for message in transcripts.read(db, user.id, conversation_id):
            if as_json:
                emit({"message": message._asdict()})
            else:
                transcript.print(message)

    run(work)


async def import_with_progress(
    db: Database,
    user_id: UUID,
    file: Path,
    *,
    format: str | None = None,  # noqa: A002 - the name in `import_file`
    as_json: bool = False,
) -> Report:
    """Import a file with a progress bar, and print each refusal as it happens."""
    with progress_bar("importing", "byte", _size_bytes(file), DownloadColumn()) as update:

        def print_refusal(refusal: Refusal) -> None:
            if as_json:
                place = refusal.place
                emit({"refused": {place.unit: place.number, "reason": refusal.reason}})
            else:
                note(f"{refusal.place}: {refusal.reason}", style="yellow")

        return await import_file(
            db,
            user_id,
            file,
            format=format,
            on_progress=lambda read_bytes: update(completed=read_bytes),
            on_refusal=print_refusal,
        )


def _size_bytes(file: Path) -> int:
    return file.stat().st_size


def describe_report(report: Report) -> str:
    """Return the result of an import in one line."""
    parts = [f"{count(report.imported, 'new chat')} with {count(report.messages, 'message')}"]
    if report.continued:
        parts.append(f"{report.continued} continued")
    if report.skipped:
        parts.append(f"{report.skipped} already there")
    if report.refused:
        parts.append(f"{report.refused} refused")
    return ", ".join(parts)
