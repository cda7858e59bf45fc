"""The files that commands read: what is wrong with one, in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from faceplate.cli.output import note
from faceplate.errors import UsageError
from faceplate.importers import FORMATS, recognise

BLOCK_BYTES = 65_536


def check_chats(file: Path) -> bool:
    """Return whether a chat of a known format is near the begin of the file.

    An empty file ends the command with exit code 1. Raises UsageError for a pipe or a device, since
    a file is read more than once, and OSError, with the name of the file.
    """
    if not file.is_file():
        raise UsageError(f"{file} is a pipe or a device: write it to a file, and import that one")
    with _named(file):
        if _is_blank(file):
            note(f"error: {file.name}: the file is empty", style="red")
            raise typer.Exit(1)
        return recognise(file) is not None


def tell_formats(file: Path) -> None:
    """Print that nothing could be read from a file, and which formats can be."""
    titles = ", ".join(format_.title for format_ in FORMATS.values())
    note(
        f"error: {file.name}: is of no format that can be read: {titles}, or a file of"
        " `faceplate export`",
        style="red",
    )


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is None:  # reading has failed, not opening
            error.filename = str(file)
        raise


def _is_blank(file: Path) -> bool:
    with file.open("rb") as opened:
        while block := opened.read(BLOCK_BYTES):
            if block.strip():
                return False
    return True
