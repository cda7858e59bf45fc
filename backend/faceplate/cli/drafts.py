"""``faceplate sweep``: drafts whose process is gone."""

from datetime import timedelta
from typing import Annotated

import typer

from faceplate.cli.durations import parse_duration
from faceplate.cli.output import AsJson, emit, note
from faceplate.cli.rendering import count
from faceplate.cli.session import run
from faceplate.database import Database
from faceplate.services import messages


def sweep(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(
            parser=parse_duration,
            metavar="DURATION",
            help="How long a draft has not been saved: 90s, 10m, 2h. A live one is every 30s.",
        ),
    ] = "10m",  # type: ignore[assignment]  # the option's text, which Typer parses
    as_json: AsJson = False,
) -> None:
    """Close drafts that a dead process has left: they end as interrupted, with what was saved.

    Safe while programs run, and to run again.
    """

    async def work(db: Database) -> int:
        total = 0
        while closed := await db.run_system(messages.sweep_drafts, older_than=older_than):
            total += closed
        return total

    closed = run(work)
    if as_json:
        emit({"interrupted": closed})
    else:
        note(f"Closed {count(closed, 'draft')} as interrupted.")
