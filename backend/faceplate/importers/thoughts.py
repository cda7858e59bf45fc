"""Reasoning that stands in a text, between marks."""

from collections.abc import Iterator

from faceplate.importers.fields import as_object
from faceplate.importers.source import Aside, Text


def read_thoughts(text: str, begin: str, end: str) -> Iterator[Text | Aside]:
    """Yield the parts of a text: what was said, and the reasoning between two marks.

    A mark without its other one is text.
    """
    at = 0
    while (start := text.find(begin, at)) >= 0:
        close = text.find(end, start + len(begin))
        if close < 0:
            break
        if said := text[at:start].strip("\n"):
            yield Text(said)
        yield Aside("reasoning", {"text": text[start + len(begin) : close].strip("\n")})
        at = close + len(end)
    if rest := text[at:].lstrip("\n") if at else text:
        yield Text(rest)


def unmark_thoughts(text: str, begin: str, end: str) -> Iterator[str]:
    """Yield the texts in a text: what was said, and the reasoning."""
    for piece in read_thoughts(text, begin, end):
        yield piece.text if isinstance(piece, Text) else as_object(piece.value)["text"]
