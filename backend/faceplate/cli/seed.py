"""``faceplate seed``: generated data for development."""

from typing import Annotated

import typer

from faceplate.cli.output import AsJson, command_name, emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import interruptible, run
from faceplate.database import Database
from faceplate.seeding import Seeded, email_of
from faceplate.seeding import seed as seed_database


def seed(
    *,
    users: Annotated[int, typer.Option(min=1, help="Number of users.")] = 10,
    conversations: Annotated[int, typer.Option(min=0, help="Conversations of each user.")] = 20,
    messages: Annotated[int, typer.Option(min=0, help="Messages in each conversation.")] = 50,
    seed: Annotated[int, typer.Option(help="Another number generates other data.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Create users with conversations, tasks and MCP configurations, for development.

    The same seed generates the same data. It is safe to run again: existing rows are not changed.
    """

    async def work(db: Database) -> Seeded:
        with progress_bar("seeding", "conversation", users * conversations) as update:
            return await seed_database(
                db,
                seed,
                user_count=users,
                conversations_each=conversations,
                messages_each=messages,
                on_progress=lambda done: update(completed=done),
            )

    with interruptible("what was stored is kept; run it again to go on from there"):
        seeded = run(work)
    if as_json:
        emit({"seeded": seeded._asdict(), "first_user": email_of(seed, 1)})
        return
    created = f"{count(seeded.conversations, 'new conversation')} with "
    created += count(seeded.messages, "message")
    skipped = f", {seeded.skipped} already there" if seeded.skipped else ""
    note(f"{created}{skipped}, for {count(seeded.users, 'user')}.")
    note(f"Look at them: {command_name()} conversations --user {email_of(seed, 1)}")
