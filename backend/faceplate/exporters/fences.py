"""The fenced code blocks of Markdown, told from the text around them."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_OPENING: Final = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)$")
_CLOSING: Final = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*$")
_LIST_ITEM: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_MOST_INDENT: Final = 3  # more makes code without a fence, unless it is in a list


class Segment(NamedTuple):
    """A code block, or the text between two."""

    text: str
    """Its lines, without those of the fences."""
    opening: str | None = None
    """The line that begins a code block; None of other text."""
    info: str = ""
    """What stands behind the opening fence: the language."""
    closing: str = ""
    """The line that ends a code block, which is made where the text has none."""

    @property
    def is_code(self) -> bool:
        """Whether it is a code block."""
        return self.opening is not None


def segments(text: str) -> Iterator[Segment]:
    """Yield the code blocks and the text between them. A block without an end takes the rest."""
    lines: list[str] = []
    block: Segment | None = None
    is_in_list = False
    for line in text.split("\n"):
        if block is not None and _closes(block, line):
            yield block._replace(text="\n".join(lines), closing=line)
            block, lines = None, []
        elif block is None and (opened := _open(line, is_in_list=is_in_list)):
            if lines:
                yield Segment("\n".join(lines))
            block, lines = opened, []
        else:
            lines.append(line)
        if block is None and line.strip():
            is_in_list = bool(_LIST_ITEM.match(line)) or (is_in_list and line[0] in " \t")
    if block is not None:
        yield block._replace(text="\n".join(lines))
    elif lines:
        yield Segment("\n".join(lines))


def _open(line: str, *, is_in_list: bool) -> Segment | None:
    """Return the code block that a line begins; it is closed as it was opened."""
    found = _OPENING.match(line)
    if found is None or (_width(found[1]) > _MOST_INDENT and not is_in_list):
        return None
    return Segment("", line, found[3].strip(), found[1] + found[2])


def _closes(block: Segment, line: str) -> bool:
    """Return whether a line ends a code block."""
    found, opening = _CLOSING.match(line), _CLOSING.match(block.closing)
    return (
        found is not None
        and opening is not None
        and found[2].startswith(opening[2])
        and _width(found[1]) <= _width(opening[1]) + _MOST_INDENT
    )


def _width(indent: str) -> int:
    return len(indent.expandtabs(4))
