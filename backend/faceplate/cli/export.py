"""``faceplate export``, and ``import`` of what it has written: all of a user as JSON lines."""

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import DownloadColumn

from faceplate.cli.export_formats import check_format, export_chats
from faceplate.cli.output import AsJson, emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import (
    Who,
    confirm,
    find_or_create_user,
    find_user,
    interruptible,
    run_with_models,
)
from faceplate.database import Database
from faceplate.errors import NotFound, UsageError
from faceplate.export import left_out, write, write_file
from faceplate.exporters import FORMATS
from faceplate.importers.chats import Refusal
from faceplate.importers.faceplate_export import Restored, read_user, restore
from faceplate.records import User
from faceplate.services import archives
from faceplate.services._kinds import all_kinds

ExportFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Write the chats in a format of other programs.",
        metavar="|".join(FORMATS),
        show_default=False,
    ),
]
ConversationId = Annotated[
    UUID | None,
    typer.Option(
        "--conversation",
        help="With --format: this conversation alone.",
        metavar="ID",
        show_default=False,
    ),
]


def export(
    who: Who,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            show_default=False,
            help="A file instead of stdout.",
        ),
    ] = None,
    format_: ExportFormat = None,
    conversation_id: ConversationId = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it exists, without asking.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write everything of a user as JSON lines: their conversations, messages, tasks, MCP configs.

    So are the rows of the project's own tables whose models FACEPLATE_MODELS names. All of it as
    of one moment, however much; nobody is held up. `faceplate import` reads it back, for this user
    or another one, here or elsewhere. The secrets of MCP configurations are left out. A file is
    whole, or not there.

    An existing file is replaced after a confirmation or with --force, once the new one is whole.

    With --format, write the conversations alone, or one of them, for another program (openai,
    chatgpt), or one of them to be read and printed (markdown, html). docs/exporting.md says what
    each format holds.

    With --json and --output, a line {"exported": ...} at the end; stdout has JSON in any case.
    """
    check_format(format_, conversation_id)
    if output is not None and output.exists():
        _confirm_replacement(output, force=force)
    if format_ is not None:
        export_chats(who, format_, conversation_id, output, as_json=as_json)
        return

    async def work(db: Database) -> tuple[dict[str, int], list[str]]:
        user = await db.run_system(find_user, who)
        without = await left_out(db)
        if output is not None:
            return await export_to_file(db, user.id, output), without
        held = await write(db, user.id, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return held, without

    with interruptible("nothing was changed; what was written is no whole archive"):
        held, without = run_with_models(work)
    if without:
        note(
            f"These tables are not in it: {', '.join(without)}. FACEPLATE_MODELS names the modules"
            " of the project's models.",
            style="yellow",
        )
    if output is None:
        return
    if as_json:
        emit({"exported": held})
    else:
        note(f"{describe(held)} written to {output}")


def _confirm_replacement(output: Path, *, force: bool) -> None:
    if not output.is_file():
        raise UsageError(f"{output} is no regular file: leave out --output, and use > or |")
    if not force and not sys.stdin.isatty():
        raise UsageError(f"{output} exists already: name another file, or add --force")
    if not force:
        confirm(f"{output} exists already. Replace it?")


async def export_to_file(db: Database, user_id: UUID, path: Path) -> dict[str, int]:
    """Write a user's archive to a file, or in the place of one, under a progress bar."""
    held = await db.run(user_id, archives.holdings)
    with progress_bar("exporting", "row", sum(held.values())) as update:
        return await write_file(
            db, user_id, path, replace=True, on_progress=lambda rows: update(completed=rows)
        )


def import_archive(file: Path, who: str, *, as_json: bool) -> None:
    """Restore what an archive holds as that user's, and report it."""

    size_bytes = file.stat().st_size

    async def work(db: Database) -> Restored:
        owner = await _find_owner(db, who, read_user(file))
        with progress_bar("importing", "byte", size_bytes, DownloadColumn()) as update:
            return await restore(
                db,
                owner.id,
                file,
                on_progress=lambda read_bytes: update(completed=read_bytes),
                on_refusal=lambda refusal: _tell(refusal, as_json=as_json),
            )

    with interruptible("what was imported is kept; run it again to go on from there"):
        restored = run_with_models(work)
    if as_json:
        _, *others = restored._asdict().items()
        emit({"report": restored.rows | dict(others)})
    else:
        note(_describe_restored(restored))
    if restored.refused:
        raise typer.Exit(1)


def describe(held: Mapping[str, int]) -> str:
    """Return in words how many rows of each table a user has."""
    rows = [
        count(held[kind.table], kind.noun)
        for kind in all_kinds()
        if kind.table in held and not kind.is_chats
    ]
    chats = count(held["conversations"], "conversation")
    return ", ".join([f"{chats} with {count(held['messages'], 'message')}", *rows])


async def _find_owner(db: Database, who: str, archived: User) -> User:
    """The user who is named; made if there is none, as they were if it is their own archive."""
    if who.lower() in {str(archived.id), (archived.email or "").lower()}:
        with contextlib.suppress(NotFound):
            return await db.run_system(find_user, who)
        return await db.run_system(archives.restore_user, archived)
    return await db.run_system(find_or_create_user, who)


def _describe_restored(restored: Restored) -> str:
    text = f"new: {describe(restored.rows)}"
    if restored.skipped:
        text += f"; {restored.skipped:,} already there"
    if restored.refused:
        text += f"; {restored.refused:,} refused"
    if restored.secrets:
        text += f"\n{count(restored.secrets, 'MCP configuration')} had secrets: enter them again"
    return text


def _tell(refusal: Refusal, *, as_json: bool) -> None:
    if as_json:
        emit({"refused": {refusal.place.unit: refusal.place.number, "reason": refusal.reason}})
    else:
        note(f"{refusal.place}: {refusal.reason}", style="yellow")
