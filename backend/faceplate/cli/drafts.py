"""``faceplate sweep``: the closing of drafts that dead processes have left."""

from datetime import timedelta
from typing import Annotated

import typer

from faceplate.cli.durations import parse_duration
from faceplate.cli.output import AsJson, emit, note
from faceplate.cli.rendering import count
from faceplate.cli.session import interruptible, run
from faceplate.database import Database
from faceplate.services import messages


def sweep(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(
            parser=parse_duration,
            metavar="DURATION",
            help="Time since the last save: 90s, 10m, 2h. A live draft is saved every 30s.",
        ),
    ] = "10m",  # type: ignore[assignment]  # Typer parses the text
    as_json: AsJson = False,
) -> None:
    """Close drafts that dead processes have left.

    They end as interrupted, with the text that was saved. It is safe while programs run, and safe
    to run again.
    """

    async def work(db: Database) -> int:
        total = 0
        while closed := await db.run_system(messages.sweep_drafts, older_than=older_than):
            total += closed
        return total

    with interruptible("the drafts that were closed stay so; run it again for the others"):
        closed = run(work)
    if as_json:
        emit({"interrupted": closed})
    else:
        note(f"Closed {count(closed, 'draft')} as interrupted.")
