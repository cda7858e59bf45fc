"""``faceplate erase``: a user and everything of theirs, and the proof that nothing is left."""

from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import UUID

import typer
from rich.table import Table

from faceplate import erasure
from faceplate.cli.export import describe, export_to_file
from faceplate.cli.output import AsJson, emit, note, out, printable
from faceplate.cli.progress import progress_bar
from faceplate.cli.session import (
    Who,
    Yes,
    ask,
    find_user,
    id_of,
    interruptible,
    require_asking,
    run_with_models,
)
from faceplate.database import Database
from faceplate.erasure import Erased
from faceplate.errors import NotErased, NotFound, UsageError
from faceplate.export import left_out as export_left_out
from faceplate.services import archives


class _Subject(NamedTuple):
    user_id: UUID
    name: str
    """The e-mail address or, where there is none, the id: what has to be typed."""
    is_there: bool
    held: dict[str, int]
    left_out: list[str]
    """The tables that an export does not have."""


class _Outcome(NamedTuple):
    exported: dict[str, int] | None
    erased: Erased


def erase(
    who: Who,
    *,
    export_to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            show_default=False,
            help="Export first, to a file that is not there yet.",
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user and everything of theirs, and show for each table that nothing is left.

    Asks for the user's e-mail address to be typed. Works in short transactions while others go on;
    safe to interrupt, and to run again. With an id that is nobody's it shows just that.

    Exit code 1 if anything is left, if a table cannot be looked into, or if no user has that e-mail
    address. With --json, one line {"erased": ..., "exported": ..., "left": {table: rows},
    "unproven": {table: reason}}.
    """
    require_asking("erase a user", yes=yes)
    if export_to is not None and export_to.exists():
        raise UsageError(
            f"{export_to} is there already: name another file, or leave --export-to out if it is"
            " this user's from before"
        )
    subject = run_with_models(lambda db: _find(db, who))
    if subject.left_out and export_to is not None:
        note(f"These tables are not in the export: {', '.join(subject.left_out)}.", style="yellow")
    if subject.is_there and not yes:
        _confirm(subject)
    with interruptible("what was erased is gone; run it again to go on from there"):
        outcome = run_with_models(lambda db: _erase(db, subject, export_to))
    if as_json:
        emit(
            {
                "erased": {
                    "user_id": subject.user_id,
                    **outcome.erased.rows,
                    "user": outcome.erased.user,
                },
                "exported": outcome.exported,
                "left": outcome.erased.left,
                "unproven": outcome.erased.unproven,
            }
        )
    else:
        _print(subject, outcome, export_to)
    if any(outcome.erased.left.values()) or outcome.erased.unproven:
        raise typer.Exit(1)


async def _find(db: Database, who: str) -> _Subject:
    user_id = id_of(who)
    left_out = await export_left_out(db)
    try:
        user = await db.run_system(find_user, who)
    except NotFound:
        if user_id is None:
            raise
        return _Subject(user_id, str(user_id), is_there=False, held={}, left_out=left_out)
    held = await db.run(user.id, archives.holdings)
    name = user.email or str(user.id)
    return _Subject(user.id, name, is_there=True, held=held, left_out=left_out)


def _confirm(subject: _Subject) -> None:
    note(f"{subject.name} has {describe(subject.held)}.", style="bold")
    if ask(f"Type {subject.name} to erase all of it for ever:") != subject.name:
        note("That is something else; nothing was erased.")
        raise typer.Exit(1)


async def _erase(db: Database, subject: _Subject, export_to: Path | None) -> _Outcome:
    exported = None
    if export_to is not None and subject.is_there:
        exported = await export_to_file(db, subject.user_id, export_to)
    with progress_bar("erasing", "row", sum(subject.held.values())) as update:
        try:
            erased = await erasure.erase(
                db, subject.user_id, on_progress=lambda gone: update(completed=gone)
            )
        except NotErased as error:
            erased = Erased(error.rows, error.user, error.left, error.unproven)
    return _Outcome(exported, erased)


def _print(subject: _Subject, outcome: _Outcome, export_to: Path | None) -> None:
    if outcome.exported is not None:
        note(f"{describe(outcome.exported)} written to {export_to}")
    note(_verdict(subject, outcome.erased))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Table")
    table.add_column("Rows left", justify="right")
    for name, rows in outcome.erased.left.items():
        table.add_row(printable(name), f"{rows:,}", style="bold red" if rows else "")
    for name in outcome.erased.unproven:
        table.add_row(printable(name), "?", style="bold red")
    out.print(table)
    for name, reason in outcome.erased.unproven.items():
        note(f"{name} may still hold some: {reason}", style="yellow")


def _verdict(subject: _Subject, erased: Erased) -> str:
    """Return what became of the user, in a line that a table without zeros does not contradict."""
    gone = describe(erased.rows)
    left = {name: rows for name, rows in erased.left.items() if rows}
    if not left:
        if not erased.user:
            return f"There is no user {subject.name}."
        unseen = "; the tables with a ? were not looked into" if erased.unproven else ""
        return f"{subject.name} is erased, with {gone}{unseen}."
    done = f"The user's row is gone, with {gone}" if erased.user else "There is no such user"
    named = ", ".join(f"{rows:,} in {printable(name)}" for name, rows in left.items())
    return (
        f"{subject.name} is not erased as a whole. {done}, but rows are left: {named}. Give each"
        " table a foreign key to faceplate.users with ON DELETE CASCADE, or remove its rows, and"
        f" run it again with --user {subject.user_id}."
    )
