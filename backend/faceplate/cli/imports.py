"""The command ``faceplate import``."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import SecretStr
from rich.progress import DownloadColumn

from faceplate.cli.export import import_archive
from faceplate.cli.files import Input, is_blank, named, open_input, tell_formats
from faceplate.cli.import_reports import (
    ChatFile,
    add_up,
    add_up_previews,
    describe_preview,
    describe_report,
    look_at,
    refusal_teller,
    tell_file,
)
from faceplate.cli.output import AsJson, emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.sdk_imports import Sdk, Source, import_from_database
from faceplate.cli.session import find_or_create_user, interruptible, run
from faceplate.database import Database
from faceplate.errors import InvalidInput, UsageError
from faceplate.importers import FORMATS, Preview, Report, import_file, preview_file
from faceplate.importers.faceplate_export import is_archive
from faceplate.importers.files import size_bytes

ChatFiles = Annotated[list[Path] | None, typer.Argument(metavar="FILE", show_default=False)]

Owner = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="EMAIL|ID", show_default=False, help="The user's e-mail address or id."
    ),
]

ChatFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="The format of every chat, in place of the one that fits each of them best.",
        metavar="FORMAT",
        show_default=False,
    ),
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be imported, and store nothing.")
]


def import_(
    files: ChatFiles = None,
    who: Owner = None,
    *,
    format_: ChatFormat = None,
    source: Source = None,
    sdk: Sdk = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import chats from the exports of other programs: ChatGPT, Claude, Open WebUI and many more.

    A FILE is JSON or JSON lines, a zip or gzip archive of them, a folder with such files, or - for
    standard input. A chat becomes one conversation with all its branches. It is safe to import a
    file again: a chat that was stored already is skipped, or continued if it has new messages or
    branches. A chat that cannot be read or stored, and a part that was left out of one or not
    understood, is reported with its number; the import goes on, and the exit code is 1. A user with
    this e-mail address is created if there is none.

    --dry-run reads the files in the same way and prints what would be imported, by format.

    --from-database reads the sessions of an SDK from its own tables. Those of openai-agents and
    langchain go to --user; each user of google-adk becomes one here, or --user alone, by the
    subject. It is safe to import them again.

    A file of `faceplate export` is restored with its ids, positions and times. If the exported user
    no longer exists, it is created as it was.

    With --json, prints a line {"refused": ...} for each refusal and a last line {"report": ...}, or
    {"preview": ...} with --dry-run; with several files, such a line for each of them and a last
    line {"total": ...}.
    """
    if source is not None:
        if files:
            raise UsageError("give files or --from-database")
        import_from_database(SecretStr(source), sdk, who, dry_run=dry_run, as_json=as_json)
        return
    if not files:
        raise UsageError("Missing argument 'FILE', or --from-database and --sdk")
    if who is None:
        raise UsageError("Missing option '--user'")
    if format_ is not None and format_ not in FORMATS:
        raise InvalidInput("--format", f"must be one of {', '.join(FORMATS)}")
    with ExitStack() as stack:
        is_alone = len(files) == 1
        inputs = [stack.enter_context(open_input(file, is_alone=is_alone)) for file in files]
        archives = [each for each in inputs if _is_archive(each)]
        if archives and dry_run:
            raise UsageError(f"{archives[0].name} is a file of `faceplate export`: no --dry-run")
        restored = [_restore(archive, who, as_json=as_json) for archive in archives]
        given = [each for each in inputs if each not in archives]
        chat_files = [*_look_at_each(given, format_, is_alone=is_alone, as_json=as_json)]
        is_complete = all(restored) and len(chat_files) == len(given)
        if chat_files and dry_run:
            is_complete &= _preview_chats(chat_files, as_json=as_json)
        elif chat_files:
            is_complete &= _import_chats(chat_files, who, as_json=as_json)
    if not is_complete:
        raise typer.Exit(1)


def _look_at_each(
    inputs: Iterable[Input], format_: str | None, *, is_alone: bool, as_json: bool
) -> Iterator[ChatFile]:
    """Yield each file that is not empty, and print what it is."""
    for each in inputs:
        if is_blank(each.path):
            note(f"error: {each.name}: the file is empty", style="red")
            continue
        file = look_at(each, format_, is_alone=is_alone)
        if not as_json:
            tell_file(file)
        yield file


def _is_archive(input_: Input) -> bool:
    with named(input_.path):
        return is_archive(input_.path)


def _restore(archive: Input, who: str, *, as_json: bool) -> bool:
    """Restore a file of `faceplate export`; return whether nothing of it was refused."""
    try:
        import_archive(archive.path, who, as_json=as_json)
    except typer.Exit as ended:
        if ended.exit_code != 1:
            raise
        return False
    return True


def _import_chats(files: Sequence[ChatFile], who: str, *, as_json: bool) -> bool:
    """Import files of chats and print the result; return whether nothing was refused."""
    reports: list[Report] = []

    async def work(db: Database) -> None:
        user = await db.run_system(find_or_create_user, who)
        await import_with_progress(db, user.id, files, reports, as_json=as_json)

    with interruptible("what was imported is kept; run it again to go on from there"):
        run(work)
    total = add_up(reports)
    if as_json:
        for file, report in zip(files, reports, strict=True):
            emit({"report": {**file.label, "format": file.found, **report._asdict()}})
        if not files[0].is_alone:
            emit({"total": total._asdict()})
    else:
        note(describe_report(total))
    for file, report in zip(files, reports, strict=True):
        if file.format is None and not _has_chats(report):
            tell_formats(file.input.name)
    return not total.refused and all(map(_has_chats, reports))


def _has_chats(report: Report) -> bool:
    return bool(report.imported or report.continued or report.skipped)


def _preview_chats(files: Sequence[ChatFile], *, as_json: bool) -> bool:
    """Print what an import of files would store; return whether it would refuse nothing."""
    previews: list[Preview] = []

    async def work() -> None:
        with _progress("reading", files) as each:
            for file, on_progress in each:
                with named(file.input.path):
                    preview = await preview_file(
                        file.input.path,
                        format=file.format,
                        on_progress=on_progress,
                        on_refusal=refusal_teller(file, as_json=as_json),
                    )
                previews.append(preview)

    with interruptible("nothing was stored"):
        asyncio.run(work())
    total = add_up_previews(previews)
    if as_json:
        for file, preview in zip(files, previews, strict=True):
            emit({"preview": {**file.label, **preview._asdict()}})
        if not files[0].is_alone:
            emit({"total": total._asdict()})
    else:
        note(describe_preview(total))
    for file, preview in zip(files, previews, strict=True):
        if file.format is None and not preview.chats:
            tell_formats(file.input.name)
    return not total.refused and all(preview.chats for preview in previews)


async def import_with_progress(
    db: Database,
    user_id: UUID,
    files: Sequence[ChatFile],
    reports: list[Report],
    *,
    as_json: bool = False,
) -> None:
    """Import files with a progress bar, and append the report of each to ``reports``.

    Each refusal is printed as it happens. An interrupt prints what was stored until then.
    """
    stored = Report()

    def keep(report: Report) -> None:
        nonlocal stored
        stored = report

    try:
        with _progress("importing", files) as each:
            for file, on_progress in each:
                stored = Report()
                with named(file.input.path):
                    report = await import_file(
                        db,
                        user_id,
                        file.input.path,
                        format=file.format,
                        on_progress=on_progress,
                        on_refusal=refusal_teller(file, as_json=as_json),
                        on_stored=keep,
                    )
                reports.append(report)
    except asyncio.CancelledError:
        note(f"stored so far: {describe_report(add_up([*reports, stored]))}")
        raise


@contextmanager
def _progress(
    label: str, files: Sequence[ChatFile]
) -> Iterator[Iterable[tuple[ChatFile, Callable[[int], None]]]]:
    """Show a bar over all files; yield each file with the function that takes its read bytes."""
    sizes = [size_bytes(file.input.path) for file in files]
    with progress_bar(label, "byte", sum(sizes), DownloadColumn()) as update:
        starts = accumulate([0, *sizes[:-1]])
        yield zip(files, (partial(_advance, update, start) for start in starts), strict=True)


def _advance(update: Callable[..., None], before_bytes: int, read_bytes: int) -> None:
    update(completed=before_bytes + read_bytes)
