"""HTML of a source as Markdown: nothing that a reader saw is lost."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceplate.importers.html_text import to_markdown

TAGS = ["p", "b", "pre", "code", "ul", "ol", "li", "table", "tr", "td", "a", "h2", "blockquote"]
WORDS = st.sampled_from([" rye ", "salt", "&lt;", "\n", "a < b"])
MARKUP = st.sampled_from([f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")])


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words += data.split()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Bake <b>hot</b>, <i>then</i> cool.</p>", "Bake **hot**, *then* cool."),
        ("<p>one</p>\n<p>two<br>lines</p>", "one\n\ntwo\nlines"),
        ("<h2>Rye</h2><p>Wet</p>", "## Rye\n\nWet"),
        ("<ul><li><p>a</p></li><li>b<ol><li>c</li></ol></li></ul>d", "- a\n- b\n   1. c\n\nd"),
        ('<a href="https://r.example">rye</a>', "[rye](https://r.example)"),
        ('<img src="r.png" alt="Rye">', "![Rye](r.png)"),
        (
            '<pre><code class="language-py">if a &lt; b:\n\n    c</code></pre>',
            "```py\nif a < b:\n\n    c\n```",
        ),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td><p>2</p></td></tr></table>",
            "| A | B |\n| --- | --- |\n| 1 | 2 |",
        ),
        ("<blockquote>said</blockquote><p>so</p>", "> said\n\nso"),
        ("<script>x()</script>1 &lt; 2 &amp; 3", "1 < 2 & 3"),
        ("<p>open <b>bold <pre>code", "open **bold \n\n```\ncode\n```"),
        ("", ""),
    ],
)
def test_forms_stay_readable(html: str, text: str) -> None:
    assert to_markdown(html) == text


@given(st.lists(WORDS | MARKUP, max_size=60).map("".join))
def test_every_word_is_kept(html: str) -> None:
    parser = _Words()
    parser.feed(html)
    parser.close()
    text = to_markdown(html)
    assert [word for word in parser.words if word not in text] == []
