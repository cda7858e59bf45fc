"""``faceplate import``, ``conversations`` and ``show``: a user's chats."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from faceplate.cli.output import AsJson, emit, err, note, out, printable
from faceplate.cli.rendering import Transcript, conversation_heading, conversation_table, count
from faceplate.cli.session import Email, run
from faceplate.database import Database
from faceplate.errors import NotFound
from faceplate.importers import FORMATS, Refusal, Report, get_format, import_file, recognise
from faceplate.pagination import Page
from faceplate.records import Conversation, Message, User
from faceplate.scope import SystemScope
from faceplate.services import conversations, messages, users

PAGE = 100

ChatFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False),
]

ChatFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="What the file holds, where its beginning does not tell.",
        metavar="|".join(FORMATS),
        show_default=False,
    ),
]


def import_(
    file: ChatFile, email: Email, *, format_: ChatFormat = None, as_json: AsJson = False
) -> None:
    """Import chats: a ChatGPT or Open WebUI export, ShareGPT, OpenAI chat messages.

    JSON or JSON lines, also in the zip archive that it came in. Safe to repeat: a chat that is
    there already is skipped, and one that has grown is continued. A chat that cannot be read or
    stored, and a part of one that had to be left out, is reported by its number, and the rest goes
    on; the exit code is then 1. The user is made if there is none with this e-mail address.

    With --json, a line {"refused": ...} for each refusal and a last one {"report": ...}.
    """
    found = format_ or recognise(file)
    title = get_format(found).title
    if not as_json:
        note(f"{file.name}: {title}", style="dim")

    async def work(db: Database) -> Report:
        user = await db.run_system(find_or_create_user, email)
        return await import_with_progress(db, user.id, file, format=found, as_json=as_json)

    report = run(work)
    if as_json:
        emit({"report": {"format": found, **report._asdict()}})
    else:
        note(describe_report(report))
    if report.refused:
        raise typer.Exit(1)


def list_conversations(
    email: Email,
    *,
    limit: Annotated[int, typer.Option(help="How many, 1 to 200.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a user's conversations, the newest activity first.

    With --json, a line {"conversation": ...} for each and, where there are more, a last one
    {"next_cursor": ...}.
    """

    async def work(db: Database) -> Page[Conversation]:
        user = await db.run_system(users.by_email, email)
        return await db.run(user.id, conversations.page, limit=limit, cursor=cursor)

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
    email: Email,
    *,
    as_json: AsJson = False,
) -> None:
    """Print a conversation with all its messages, of any length.

    On a terminal the assistant's Markdown is rendered; in a pipe it stays as it was written.
    With --json, a line {"conversation": ...} and then a line {"message": ...} for each.
    """

    async def work(db: Database) -> None:
        user = await db.run_system(users.by_email, email)
        conversation = await db.run(user.id, conversations.get, conversation_id)
        if as_json:
            emit({"conversation": conversation._asdict()})
        else:
            out.print(conversation_heading(conversation))
        transcript = Transcript(out)
        async for message in _read(db, user.id, conversation_id):
            if as_json:
                emit({"message": message._asdict()})
            else:
                transcript.print(message)

    run(work)


async def _read(db: Database, user_id: UUID, conversation_id: UUID) -> AsyncIterator[Message]:
    """The messages in order, a page and a transaction at a time.

    Not `messages.walk`: a reader may rest in a pager for as long as they like, and a transaction
    that waited for them would be ended by the server.
    """
    last = 0
    while True:
        upto = last + PAGE + 1
        page = await db.run(user_id, messages.before, conversation_id, upto, limit=PAGE)
        news = [message for message in page if message.position > last]
        for message in news:
            yield message
        if not news:
            return
        last = news[-1].position


async def find_or_create_user(scope: SystemScope, email: str) -> User:
    """A unit: the user with this e-mail address, made if there is none."""
    try:
        return await users.by_email(scope, email)
    except NotFound:
        return await users.ensure(scope, email, email=email)


async def import_with_progress(
    db: Database,
    user_id: UUID,
    file: Path,
    *,
    format: str | None = None,  # noqa: A002 - as `import_file` calls it
    as_json: bool = False,
) -> Report:
    """Import a file under a progress bar, and print each refusal as it comes."""
    progress, task = _progress_bar(file)
    with progress:

        def tell(refusal: Refusal) -> None:
            if as_json:
                place = refusal.place
                emit({"refused": {place.unit: place.number, "reason": refusal.reason}})
            else:
                err.print(Text(printable(f"{refusal.place}: {refusal.reason}"), "yellow"))

        return await import_file(
            db,
            user_id,
            file,
            format=format,
            on_progress=lambda read_bytes: progress.update(task, completed=read_bytes),
            on_refusal=tell,
        )


def describe_report(report: Report) -> str:
    """What became of a file, in one line."""
    parts = [f"{count(report.imported, 'new chat')} with {count(report.messages, 'message')}"]
    if report.continued:
        parts.append(f"{report.continued} continued")
    if report.skipped:
        parts.append(f"{report.skipped} already there")
    if report.refused:
        parts.append(f"{report.refused} refused")
    return ", ".join(parts)


def _progress_bar(file: Path) -> tuple[Progress, TaskID]:
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    return progress, progress.add_task("", total=file.stat().st_size)
