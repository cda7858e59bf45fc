"""``faceplate purge``: conversations that nobody has used for long."""

from datetime import timedelta
from typing import Annotated

import typer

from faceplate import erasure
from faceplate.cli.durations import parse_duration
from faceplate.cli.export import describe
from faceplate.cli.output import AsJson, emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count, format_time
from faceplate.cli.session import Yes, confirm, interruptible, require_asking, run_with_models
from faceplate.database import Database
from faceplate.erasure import Purge

SHORTEST = timedelta(days=1)


def purge(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(
            parser=parse_duration,
            metavar="DURATION",
            show_default=False,
            help="How long nothing was said in them: 90d, 2160h. One day at least.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove conversations without activity for so long, with their messages, of all users.

    And rows of the project's own tables, where a model that FACEPLATE_MODELS names says so.

    Asks before it does. Works in short transactions while others go on; safe to interrupt, and to
    run again. A conversation that is used meanwhile is kept.

    With --json, one line {"purged": ...} or, with --dry-run, {"would_purge": ...}.
    """
    if older_than < SHORTEST:
        raise typer.BadParameter("one day at least", param_hint="--older-than")
    if not dry_run:
        require_asking("remove conversations", yes=yes)
    found = run_with_models(lambda db: erasure.survey(db, older_than))
    if dry_run:
        if as_json:
            emit({"would_purge": _as_json(found)})
        else:
            note(f"{_describe(found)} would be removed.")
        return
    if any(found.rows.values()) and not yes:
        confirm(f"Remove {_describe(found)}?")
    with interruptible("what was removed is gone; run it again to go on from there"):
        purged = run_with_models(lambda db: _purge(db, found))
    if as_json:
        emit({"purged": _as_json(purged)})
    else:
        note(f"{_describe(purged)} removed.")


async def _purge(db: Database, found: Purge) -> Purge:
    with progress_bar("removing", "row", sum(found.rows.values())) as update:
        return await erasure.purge(
            db, found.before, on_progress=lambda gone: update(completed=gone)
        )


def _as_json(purge: Purge) -> dict[str, object]:
    return {"before": purge.before, "users": purge.users, **purge.rows}


def _describe(purge: Purge) -> str:
    return (
        f"{describe(purge.rows)} of {count(purge.users, 'user')},"
        f" without activity since {format_time(purge.before)},"
    )
