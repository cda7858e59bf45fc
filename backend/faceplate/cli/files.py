"""The files that commands read: their names, and what is wrong with one, in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import typer

from faceplate.cli.output import err, note
from faceplate.errors import UsageError
from faceplate.importers import FORMATS, recognise
from faceplate.importers.files import STDIN, spooled

BLOCK_BYTES = 65_536


class Input(NamedTuple):
    """A file or a folder that can be read several times."""

    name: str
    """As messages call it."""
    path: Path


@contextmanager
def open_input(path: Path, *, is_alone: bool = True) -> Iterator[Input]:
    """Yield the input that an argument names: a file, a folder, a pipe, or "-".

    An input that is not alone is called by its whole path. Raises UsageError if it does not exist,
    OSError if it cannot be read.
    """
    if path != STDIN and not path.exists():
        raise UsageError(f"{path} does not exist")
    with named(path), spooled(path) as readable:
        if path == STDIN:
            name = "standard input"
        elif readable == path and is_alone:
            name = path.name or str(path)
        else:
            name = str(path)
        yield Input(name, readable)


def check_chats(file: Path) -> bool:
    """Return whether a chat of a known format is near the begin of the file.

    An empty file ends the command with exit code 1. Raises UsageError for a pipe or a device, since
    a file is read more than once, and OSError, with the name of the file.
    """
    if not file.is_file():
        raise UsageError(f"{file} is a pipe or a device: write it to a file, and import that one")
    with named(file):
        if is_blank(file):
            note(f"error: {file.name}: the file is empty", style="red")
            raise typer.Exit(1)
        return recognise(file) is not None


def tell_formats(name: str) -> None:
    """Print that nothing could be read from a file, and which formats can be."""
    titles = sorted((format_.title for format_ in FORMATS.values()), key=str.lower)
    note(f"error: {name}: is of no format that can be read", style="red")
    listed = ", ".join([*titles, "a file of `faceplate export`"])
    note(fill(f"these can be: {listed}", err.width - 1, subsequent_indent="  "))


@contextmanager
def named(file: Path) -> Iterator[None]:
    """Give an OSError of the block the name of the file, if it has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:  # reading has failed, not opening
            error.filename = str(file)
        raise


def is_blank(file: Path) -> bool:
    """Return whether a file has only white space, or nothing. Raises OSError."""
    if file.is_dir():
        return False
    with file.open("rb") as opened:
        while block := opened.read(BLOCK_BYTES):
            if block.strip():
                return False
    return True
