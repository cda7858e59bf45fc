"""The output of commands: results to stdout, everything else to stderr."""

import json
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

_CONTROLS = dict.fromkeys([*range(32), 127, *range(128, 160)], "\N{REPLACEMENT CHARACTER}")
_CONTROLS |= {ord("\n"): "\n", ord("\t"): "    ", ord("\r"): ""}


def printable(text: str) -> str:
    """Return text without characters that would control the terminal."""
    return text.translate(_CONTROLS)


def note(text: str, *, style: str = "") -> None:
    """Print a message to stderr, with no line break of its own in a path or a command."""
    err.print(Text(printable(text), style), soft_wrap=True)


def emit(value: dict[str, Any]) -> None:
    """Print one line of JSON, in ASCII, so that every terminal and pipe can carry it."""
    sys.stdout.write(json.dumps(value, default=_encode) + "\n")


def command_name() -> str:
    """Return how to run faceplate from the current directory, as a shell reads it."""
    called = Path(sys.argv[0]).absolute()
    found = shutil.which("faceplate")
    if called.name != "faceplate" or (found and called == Path(found).absolute()):
        return "faceplate"
    if called.is_relative_to(Path.cwd()):
        called = called.relative_to(Path.cwd())
    return shlex.quote(str(called))


def _encode(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
