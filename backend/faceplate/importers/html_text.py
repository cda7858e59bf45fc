"""The conversion of a source's HTML into Markdown."""

from html.parser import HTMLParser
from typing import Final

from faceplate.importers.turns import code_block

_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_MARKS: Final = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_PARAGRAPHS: Final = {"p", "table", "blockquote", "pre", *_HEADINGS}
_LINES: Final = {"div", "section", "article", "dl", "dt", "dd", "tr"}
_UNREAD: Final = {"script", "style"}
_MAX_LEVELS: Final = 20  # of indentation; deeper ones would make the text quadratic

Attributes = list[tuple[str, str | None]]


def to_markdown(html: str) -> str:
    """Return the text of HTML as Markdown.

    Every word that a browser shows is kept; links, pictures, lists, tables and code keep their
    form. Unknown tags are left out, and their text is kept.
    """
    writer = _Writer()
    writer.feed(html)
    writer.close()
    return writer.finish()


class _Writer(HTMLParser):
    """The Markdown of the HTML read so far."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._line_breaks = 2
        """Line breaks to write before the next text; the begin of the text needs none."""
        self._end = "space"
        """What the text ends with: text, a space, or the marker of a heading or list item."""
        self._quotes = 0
        self._lists: list[int | None] = []
        """The number of the next item of each open list; None: a list without numbers."""
        self._links: list[str] = []
        self._code: list[str] | None = None
        """The text of an open code block."""
        self._language = ""
        self._cells = 0
        self._columns: list[int] = []
        """The cells in the first row of each open table; 0 after that row."""
        self._unread = 0

    def finish(self) -> str:
        """Return the whole text."""
        if self._code is not None:
            self._end_code()
        for link in reversed(self._links):
            self._write(f"]({link})")
        return "".join(self._pieces).strip("\n")

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _UNREAD:
            self._unread += 1
        elif self._code is not None:
            self._language = self._language or _language_of(values)
        elif tag == "pre":
            self._break(2)
            self._code, self._language = [], _language_of(values)
        elif tag == "img":
            self._write(f"![{values.get('alt', '')}]({values.get('src', '')})")
        elif tag == "a":
            self._links.append(values.get("href", ""))
            self._write("[")
        elif tag == "code":
            self._write("`")
        elif tag in _MARKS:
            self._write(_MARKS[tag])
        elif tag == "br":
            self._break(1)
        elif tag == "hr":
            self._break(2)
            self._write("---")
            self._break(2)
        else:
            self._open_block(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread = max(self._unread - 1, 0)
        elif tag == "pre":
            self._end_code()
        elif self._code is not None:
            return
        elif tag == "a" and self._links:
            self._write(f"]({self._links.pop()})")
        elif tag == "code":
            self._write("`")
        elif tag in _MARKS:
            self._write(_MARKS[tag])
        else:
            self._close_block(tag)

    def handle_data(self, data: str) -> None:
        if self._unread:
            return
        if self._code is not None:
            self._code.append(data)
            return
        words = data.split()
        if words and data[0].isspace():
            self._space()
        if words:
            self._write(" ".join(words))
        if data and data[-1].isspace():
            self._space()

    def _open_block(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._break(1 if self._lists else 2)
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._break(1)
            self._write(self._next_marker(), "marker")
        elif tag in ("td", "th"):
            self._cells += 1
            if self._columns and self._columns[-1] >= 0:
                self._columns[-1] += 1
            self._write("| ", "space")
        elif tag in _PARAGRAPHS or tag in _LINES:
            self._break(2 if tag in _PARAGRAPHS else 1)
            self._quotes += tag == "blockquote"
            if tag == "table":
                self._columns.append(0)
            if heading := _HEADINGS.get(tag):
                self._write(heading, "marker")

    def _close_block(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            if self._lists:
                self._lists.pop()
            self._break(1 if self._lists else 2)
        elif tag in ("td", "th"):
            self._cells = max(self._cells - 1, 0)
            self._space()
        elif tag == "tr":
            self._end_row()
        elif tag in _PARAGRAPHS or tag in _LINES:
            self._break(2 if tag in _PARAGRAPHS and not self._lists else 1)
            if tag == "blockquote":
                self._quotes = max(self._quotes - 1, 0)
            if tag == "table" and self._columns:
                self._columns.pop()

    def _end_row(self) -> None:
        self._write("|")
        self._break(1)
        if self._columns and self._columns[-1] > 0:
            self._write("| --- " * self._columns[-1] + "|")
            self._columns[-1] = -1
            self._break(1)

    def _end_code(self) -> None:
        if self._code is None:
            return
        block = code_block("".join(self._code).strip("\n"), self._language)
        self._code = None
        indent = self._indent()
        self._write(block.replace("\n", f"\n{indent}"))
        self._break(2)

    def _next_marker(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number}. "

    def _indent(self) -> str:
        quotes, lists = min(self._quotes, _MAX_LEVELS), min(len(self._lists) - 1, _MAX_LEVELS)
        return "> " * quotes + "   " * lists

    def _break(self, count: int) -> None:
        """Have the next text begin on a new line; two breaks leave an empty line before it."""
        if self._cells:
            self._space()
        elif self._end != "marker":
            self._line_breaks = max(self._line_breaks, count)

    def _space(self) -> None:
        if self._end == "text" and not self._line_breaks:
            self._pieces.append(" ")
            self._end = "space"

    def _write(self, text: str, end: str = "text") -> None:
        if self._line_breaks:
            if self._pieces:
                quotes = "> " * min(self._quotes, _MAX_LEVELS)
                empty_lines = f"\n{quotes.rstrip()}" * (self._line_breaks - 1)
                self._pieces.append(f"{empty_lines}\n")
            self._pieces.append(self._indent())
            self._line_breaks = 0
        self._pieces.append(text)
        self._end = end


def _language_of(values: dict[str, str]) -> str:
    """Return the language that a class such as ``language-python`` names."""
    for name in values.get("class", "").split():
        if name.startswith(("language-", "lang-")):
            return name.partition("-")[2]
    return ""
