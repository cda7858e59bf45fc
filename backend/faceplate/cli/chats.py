"""The commands ``faceplate conversations`` and ``show``."""

from typing import Annotated
from uuid import UUID

import typer

from faceplate import transcripts
from faceplate.cli.output import AsJson, emit, note, out
from faceplate.cli.rendering import Transcript, conversation_heading, conversation_table
from faceplate.cli.session import Who, find_user, run
from faceplate.database import Database
from faceplate.pagination import Page
from faceplate.records import Conversation
from faceplate.services import conversations


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
