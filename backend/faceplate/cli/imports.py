"""The command ``faceplate import``."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import UUID

import typer
from rich.progress import DownloadColumn

from faceplate.cli.export import import_archive
from faceplate.cli.files import Input, describe_refusal, is_blank, named, open_input, tell_formats
from faceplate.cli.output import AsJson, emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import Who, find_or_create_user, interruptible, run
from faceplate.database import Database
from faceplate.errors import InvalidInput, UsageError
from faceplate.importers import (
    FORMATS,
    Preview,
    Refusal,
    Report,
    import_file,
    preview_file,
    recognise,
)
from faceplate.importers.faceplate_export import is_archive
from faceplate.importers.files import left_files, size_bytes

MAX_NAMES = 5

ChatFiles = Annotated[list[Path], typer.Argument(metavar="FILE", show_default=False)]

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


class ChatFile(NamedTuple):
    """A file or a folder of chats."""

    input: Input
    format: str | None
    """The format that reads all of it; None: each chat's own."""
    recognised: str | None
    """The format of most chats near its begin."""
    is_alone: bool = True
    """Whether the command imports nothing else."""


def import_(
    files: ChatFiles,
    who: Who,
    *,
    format_: ChatFormat = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import chats from the exports of other programs: ChatGPT, Claude, Open WebUI and many more.

    A FILE is JSON or JSON lines, a zip or gzip archive of them, a folder with such files, or - for
    standard input. A chat becomes one conversation with all its branches. It is safe to import a
    file again: a chat that was stored already is skipped, or continued if it has new messages or
    branches. A chat that cannot be read or stored, and a part that was left out of one or was not
    understood, is reported with its number; the import goes on, and the exit code is 1. A user with
    this e-mail address is created if there is none.

    --dry-run reads the files in the same way and prints what would be imported, by format.

    A file of `faceplate export` is restored with its ids, positions and times. If the exported user
    no longer exists, it is created as it was.

    With --json, prints a line {"refused": ...} for each refusal and a last line {"report": ...};
    with several files, a line {"report": ...} for each of them and a last line {"total": ...}. With
    --dry-run, a line {"preview": ...} for each file.
    """
    if format_ is not None and format_ not in FORMATS:
        raise InvalidInput("--format", f"must be one of {', '.join(FORMATS)}")
    with ExitStack() as stack:
        is_alone = len(files) == 1
        inputs = [stack.enter_context(open_input(file, is_alone=is_alone)) for file in files]
        archives = [each for each in inputs if _is_archive(each)]
        if archives and dry_run:
            raise UsageError(f"{archives[0].name} is a file of `faceplate export`: no --dry-run")
        restored = [_restore(each, who, as_json=as_json) for each in archives]
        chat_files, is_complete = [], all(restored)
        for each in inputs:
            if each in archives:
                continue
            if is_blank(each.path):
                note(f"error: {each.name}: the file is empty", style="red")
                is_complete = False
            else:
                chat_files.append(_recognise(each, format_, is_alone=is_alone, as_json=as_json))
        if chat_files and dry_run:
            is_complete &= asyncio.run(_preview_chats(chat_files, as_json=as_json))
        elif chat_files:
            is_complete &= _import_chats(chat_files, who, as_json=as_json)
    if not is_complete:
        raise typer.Exit(1)


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


def _recognise(input_: Input, format_: str | None, *, is_alone: bool, as_json: bool) -> ChatFile:
    """Return the file with its format, and print it."""
    with named(input_.path):
        recognised = format_ or recognise(input_.path)
        left = left_files(input_.path)
    if not as_json:
        if recognised:
            note(f"{input_.name}: {FORMATS[recognised].title}", style="dim")
        if left:
            names = ", ".join(left[:MAX_NAMES])
            more = f" and {len(left) - MAX_NAMES} more" if len(left) > MAX_NAMES else ""
            note(f"{input_.name}: not read, beside the chats: {names}{more}", style="dim")
    return ChatFile(input_, format_, recognised, is_alone)


async def _preview_chats(files: Sequence[ChatFile], *, as_json: bool) -> bool:
    """Print what files would bring; return whether all of it was understood."""
    is_complete = True
    for file in files:
        with named(file.input.path):
            preview = await preview_file(
                file.input.path, format=file.format, on_refusal=_teller(file, as_json=as_json)
            )
        name = {} if file.is_alone else {"file": file.input.name}
        if as_json:
            emit({"preview": {**name, **preview._asdict()}})
        else:
            prefix = "" if file.is_alone else f"{file.input.name}: "
            note(f"{prefix}would import {describe_preview(preview)}")
        if not preview.chats:
            tell_formats(file.input.name)
        is_complete &= bool(preview.chats) and not preview.refused
    return is_complete


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
            name = {} if file.is_alone else {"file": file.input.name}
            emit({"report": {**name, "format": file.recognised, **report._asdict()}})
        if not files[0].is_alone:
            emit({"total": total._asdict()})
    else:
        note(describe_report(total))
    for file, report in zip(files, reports, strict=True):
        if not (report.imported or report.continued or report.skipped):
            tell_formats(file.input.name)
    return not total.refused


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
    sizes = [size_bytes(file.input.path) for file in files]
    before_bytes = 0
    with progress_bar("importing", "byte", sum(sizes), DownloadColumn()) as update:
        for file, file_bytes in zip(files, sizes, strict=True):
            stored = [Report()]
            try:
                with named(file.input.path):
                    report = await import_file(
                        db,
                        user_id,
                        file.input.path,
                        format=file.format,
                        on_progress=_shift(update, before_bytes),
                        on_refusal=_teller(file, as_json=as_json),
                        on_stored=partial(stored.__setitem__, 0),
                    )
            except asyncio.CancelledError:
                note(f"stored so far: {describe_report(add_up([*reports, *stored]))}")
                raise
            reports.append(report)
            before_bytes += file_bytes


def _shift(update: Callable[..., None], before_bytes: int) -> Callable[[int], None]:
    return lambda read_bytes: update(completed=before_bytes + read_bytes)


def _teller(file: ChatFile, *, as_json: bool) -> Callable[[Refusal], None]:
    """Return the function that prints a refusal in a file."""

    def tell(refusal: Refusal) -> None:
        if as_json:
            place = refusal.place
            name = {} if file.is_alone else {"file": file.input.name}
            emit({"refused": {**name, place.unit: place.number, "reason": refusal.reason}})
        else:
            line = describe_refusal(refusal, file.input.name, is_alone=file.is_alone)
            note(line, style="yellow")

    return tell


def add_up(reports: Sequence[Report]) -> Report:
    """Return the sum of reports."""
    asides = Counter[str]()
    for report in reports:
        asides.update(report.asides)
    return Report(
        imported=sum(report.imported for report in reports),
        messages=sum(report.messages for report in reports),
        skipped=sum(report.skipped for report in reports),
        refused=sum(report.refused for report in reports),
        continued=sum(report.continued for report in reports),
        asides=dict(asides),
    )


def describe_report(report: Report) -> str:
    """Return the result of an import in one line."""
    parts = [f"{count(report.imported, 'new chat')} with {count(report.messages, 'message')}"]
    if report.continued:
        parts.append(f"{report.continued} continued")
    if report.skipped:
        parts.append(f"{report.skipped} already there")
    if report.refused:
        parts.append(f"{report.refused} refused")
    return ", ".join(parts) + _describe_asides(report.asides)


def describe_preview(preview: Preview) -> str:
    """Return in one line what an import would bring."""
    chats = [count(number, f"{FORMATS[key].title}") for key, number in preview.chats.items()]
    parts = [*chats, f"{count(preview.messages, 'message')}"]
    if preview.refused:
        parts.append(f"{preview.refused} not understood")
    return ", ".join(parts) + _describe_asides(preview.asides)


def _describe_asides(asides: Mapping[str, int]) -> str:
    """Return what is kept beside the text of messages, in words."""
    if not asides:
        return ""
    listed = ", ".join(f"{number:,} {kind}" for kind, number in sorted(asides.items()))
    return f"; kept beside the text: {listed}"
