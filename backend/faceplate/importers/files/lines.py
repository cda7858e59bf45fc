"""The lines of a text, of which only short ones are held as a whole."""

from collections.abc import Iterator

from faceplate.importers.files.text import Text


class Lines:
    """Iterates over the lines of a text, each without its "\\n".

    Only "\\n" ends a line; the "\\r" of a "\\r\\n" is white space to JSON. In place of a line with
    more than ``max_chars`` comes a `LongLine`.
    """

    def __init__(self, text: Text, max_chars: int) -> None:
        self._text = text
        self._max_chars = max_chars
        self._block = ""
        self._at = 0

    def __iter__(self) -> Iterator["str | LongLine"]:
        parts: list[str] = []
        chars = 0
        while part := self.next_part():
            chars += len(part)
            if chars > self._max_chars:
                line = LongLine(self, "".join((*parts, part)))
                yield line
                line.pass_over()
            elif part.endswith("\n"):
                yield "".join((*parts, part))[:-1]
            else:
                parts.append(part)
                continue
            parts.clear()
            chars = 0
        if parts:
            yield "".join(parts)

    def next_part(self) -> str:
        """Return the rest of the line in the current block, with the "\\n"; "" at the end."""
        if self._at == len(self._block):
            self._block, self._at = self._text.read(), 0
        end = self._block.find("\n", self._at) + 1 or len(self._block)
        part = self._block[self._at : end]
        self._at = end
        return part


class LongLine:
    """A line that is read block by block, until the next line is asked for."""

    def __init__(self, lines: Lines, begin: str) -> None:
        self._lines = lines
        self._begin = begin
        self._is_ended = begin.endswith("\n")

    def read(self) -> str:
        """Return the next block of the line, "" at its end."""
        if self._begin:
            begin, self._begin = self._begin, ""
            return begin
        if self._is_ended:
            return ""
        part = self._lines.next_part()
        self._is_ended = part.endswith("\n")
        return part

    def pass_over(self) -> None:
        """Read on to the end of the line."""
        while self.read():
            pass
