"""The layout of a file of JSON: a value on each line, or documents that may span lines."""

from typing import Final, NamedTuple

from faceplate.importers.files.parser import MAX_VALUE_CHARS, SPACE
from faceplate.importers.files.text import Text

_SUFFIXES: Final = (".jsonl", ".ndjson")


class Outline(NamedTuple):
    """The first line that is not blank, and what follows it."""

    first: str = ""
    """The first character of the line; "" in a blank file."""
    last: str = ""
    """The last character of the line; "" where the line is longer than a value may be."""
    is_single: bool = False
    """Whether the line is a single character."""
    following: str = ""
    """The first character of the next line that is not blank."""


def find_outline(text: Text) -> Outline:
    """Return the outline of a file, from the begin of its text."""
    first = last = ""
    chars = 0
    is_ended = False
    while block := text.read():
        for number, line in enumerate(block.split("\n")):
            is_ended = is_ended or (number > 0 and chars > 0)
            stripped = line.strip(SPACE)
            if not stripped:
                continue
            if is_ended:
                return Outline(first, last, chars == 1, stripped[0])
            first = first or stripped[0]
            last = stripped[-1]
            chars += len(line)
        if chars > MAX_VALUE_CHARS:
            return Outline(first)
    return Outline(first, last, chars == 1)


def is_lines(name: str, outline: Outline) -> bool:
    """Return whether each line of a file is a value of its own.

    That is so where the second line cannot go on with what the first one has begun. A file whose
    name ends in .jsonl or .ndjson is lines too, unless it begins with a list, or with "{" alone.
    """
    first, last, is_single, following = outline
    if following and following in "[{" and last and last not in "[,:":
        return True
    if following and last in ("]", "}") and following not in ",]}":
        return True
    return name.lower().endswith(_SUFFIXES) and first not in ("", "[") and not is_single
