"""What ``faceplate import`` prints of files of chats, and of what came of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from faceplate.cli.files import Input, named
from faceplate.cli.output import emit, note
from faceplate.cli.rendering import count
from faceplate.importers import FORMATS, Preview, Refusal, Report, recognise
from faceplate.importers.opening import left_files

_MAX_NAMES = 5


class ChatFile(NamedTuple):
    """A file or a folder of chats."""

    input: Input
    format: str | None
    """The format that was given; None: each chat has its own."""
    found: str | None
    """The format of most chats; None if none was recognised."""
    is_alone: bool = True
    """Whether the command imports nothing else."""

    @property
    def label(self) -> dict[str, str]:
        """The file's name for a line of JSON, where it is not the only one."""
        return {} if self.is_alone else {"file": self.input.name}


def look_at(input_: Input, format_: str | None, *, is_alone: bool) -> ChatFile:
    """Return what a file holds. Raises OSError."""
    with named(input_.path):
        return ChatFile(input_, format_, format_ or recognise(input_.path), is_alone)


def tell_file(file: ChatFile) -> None:
    """Print the format of a file, and what in it is not read."""
    name = file.input.name
    if file.found is not None:
        note(f"{name}: {FORMATS[file.found].title}", style="dim")
    if left := left_files(file.input.path):
        more = f" and {len(left) - _MAX_NAMES} more" if len(left) > _MAX_NAMES else ""
        names = ", ".join(left[:_MAX_NAMES])
        note(f"{name}: not read, beside the chats: {names}{more}", style="dim")


def refusal_teller(file: ChatFile, *, as_json: bool) -> Callable[[Refusal], None]:
    """Return the function that prints a refusal in a file."""

    def tell(refusal: Refusal) -> None:
        place, reason = refusal
        if as_json:
            emit({"refused": {**file.label, place.unit: place.number, "reason": reason}})
        else:
            note(f"{_describe_place(refusal, file)}: {reason}", style="yellow")

    return tell


def _describe_place(refusal: Refusal, file: ChatFile) -> str:
    if refusal.place.unit == "file":
        return file.input.name
    place = str(refusal.place).removesuffix(" file 1")
    return place if file.is_alone else f"{file.input.name}: {place}"


def add_up(reports: Sequence[Report]) -> Report:
    """Return the sum of reports."""
    return Report(
        imported=sum(report.imported for report in reports),
        messages=sum(report.messages for report in reports),
        skipped=sum(report.skipped for report in reports),
        refused=sum(report.refused for report in reports),
        continued=sum(report.continued for report in reports),
        asides=_add_counts(report.asides for report in reports),
        empty=sum(report.empty for report in reports),
    )


def add_up_previews(previews: Sequence[Preview]) -> Preview:
    """Return the sum of previews."""
    return Preview(
        _add_counts(preview.chats for preview in previews),
        sum(preview.messages for preview in previews),
        sum(preview.refused for preview in previews),
        _add_counts(preview.asides for preview in previews),
        sum(preview.empty for preview in previews),
    )


def describe_report(report: Report) -> str:
    """Return the result of an import in one line."""
    parts = [f"{count(report.imported, 'new chat')} with {count(report.messages, 'message')}"]
    if report.continued:
        parts.append(f"{report.continued:,} continued")
    if report.skipped:
        parts.append(f"{report.skipped:,} already there")
    if report.empty:
        parts.append(f"{report.empty:,} empty")
    if report.refused:
        parts.append(f"{report.refused:,} refused")
    return ", ".join(parts) + _describe_asides(report.asides)


def describe_preview(preview: Preview) -> str:
    """Return in one line what an import would bring."""
    chats = sum(preview.chats.values())
    line = f"would import {count(chats, 'chat')} with {count(preview.messages, 'message')}"
    if preview.chats:
        formats = [f"{FORMATS[key].title}: {number}" for key, number in preview.chats.items()]
        line += f" ({', '.join(formats)})"
    if preview.empty:
        line += f", {preview.empty} empty"
    if preview.refused:
        line += f", {preview.refused} not understood"
    return line + _describe_asides(preview.asides)


def _describe_asides(asides: Mapping[str, int]) -> str:
    kinds = ", ".join(f"{kind} ({number:,})" for kind, number in sorted(asides.items()) if number)
    return f"; kept beside the text: {kinds}" if kinds else ""


def _add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
