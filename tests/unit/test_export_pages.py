"""Chats as Markdown and as a page: whole, readable, and harmless whatever was said in them."""

import re
import time
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from tests.exported_chats import HOSTILE, UNICODE, call, chat_of, exported, result, say

from faceplate.exporters.fences import segments

CODE = "def f(x):\n    return x < 3 and '<b>'  # `x`\n\n\n\tend"
CHAT = chat_of(
    say("user", "Please\n\n  look:\n" + HOSTILE, model="m`*_<i>"),
    say("assistant", f"Here:\n\n```python\n{CODE}\n```\nand `<u>` too.", model="gpt-9"),
    say("assistant", "", tool_calls=[call("c1", "we_ather<b>", '{"a": "```</pre>"}')]),
    say("tool", "cold", tool_results=[result("c1", "cold</details>", is_error=True)]),
    say("user", UNICODE, body='{"attachments": [{"kind": "image", "name": "<p>.png"}]}'),
    say("assistant", "as far as", status="interrupted"),
    title='A <title> "of" # *chats*\n& more',
)
ALLOWED = re.compile(r"(https?://|mailto:)")
VOID = {"meta", "br"}


class Page(HTMLParser):
    """The elements of a page, each closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_a_page_has_every_word_and_nothing_of_the_chat_is_markup() -> None:
    """Else who opens the page of a chat runs what somebody wrote in it."""
    page = Page(await exported("html", *CHAT))
    tags = {tag for tag, _ in page.seen}
    ours = "html head meta title style body main h1 p article header h2 time bdi span div pre"
    assert tags == {*ours.split(), "details", "summary"}
    names = {name for _, attributes in page.seen for name in attributes}
    assert names <= {
        *("charset", "name", "content", "http-equiv", "class", "datetime", "dir", "data-info"),
    }
    for shown in ("alert(1)", "javascript:alert(2)", "<b>not bold</b>", "no end <style>", CODE):
        assert shown in page.text
    for shown in (UNICODE, "we_ather<b>", "cold</details>", "<p>.png", '{"a": "```</pre>"}'):
        assert shown in page.text
    assert page.text.count('A <title> "of" # *chats* & more') == 2


async def test_a_page_loads_nothing() -> None:
    """Else a page on a disk tells somebody that it was opened."""
    text = await exported("html", *CHAT)
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|src=|href=", style)
    assert "default-src 'none'" in text
    assert not {"script", "link", "img", "a", "iframe"} & {tag for tag, _ in Page(text).seen}


@pytest.mark.parametrize("key", ["markdown", "html"])
async def test_control_characters_are_seen_and_do_nothing(key: str) -> None:
    """Else a chat moves the cursor of a terminal, or a page is no HTML."""
    text = await exported(key, *CHAT)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", text)
    assert "␁␛[31mred␡" in text


async def test_markdown_is_as_it_was_written_and_code_untouched() -> None:
    text = await exported("markdown", *CHAT)
    assert f"Here:\n\n```python\n{CODE}\n```\nand `<u>` too." in text
    assert "Please\n\n  look:\n" in text
    assert '````json\n{"a": "```</pre>"}\n````' in text
    headings = re.findall("^#+ (.*?) ·", text, re.MULTILINE)
    assert headings == ["User", "Assistant", "Assistant", "Tool", "User", "Assistant"]


@pytest.mark.parametrize(
    "content",
    [
        HOSTILE,
        "```\nno end",
        "   ````py\nno end\n```",
        "~~~ `\nno end",
        "<!-- no end",
        "text <script>\n\n<style>",
        "a ` b\n`<script>`",
        "\\<b> \\\\<b> \\` <script>` `",
        "`` ` `` <script>",
        "<https://a.example> <javascript:alert(1)>",
        "[a](javascript:alert(1)) [b]( JavaScript:alert(1)) ![c](data:text/html,x)",
        "[a](&#106;avascript:alert(1)) [b](javascript\\:alert(1)) [c](<javascript:alert(1)>)",
        "[a][b]\n\n[b]: javascript:alert(1)\n\n> [c]: vbscript:x\n\n[c] [d]\n\n[d]:\njavascript:x",
        "[a](\njavascript:alert(1))",
    ],
)
async def test_markdown_of_a_message_ends_with_it_and_is_no_html(content: str) -> None:
    """Else one message hides those after it, or is run by a careless viewer."""
    chat = chat_of(say("user", content), say("assistant", "**the end**"))
    text = await exported("markdown", *chat)
    parser = MarkdownIt("commonmark", {"html": True})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "validateLink", lambda _: True)  # as careless as one can be
        tokens = parser.parse(text)
        shown = parser.render(text)
    every = [*tokens, *(child for token in tokens for child in token.children or ())]
    assert not [token for token in every if token.type.startswith("html")]
    links = [str(token.attrGet("href") or token.attrGet("src") or "") for token in every]
    assert [link for link in links if ":" in link and not ALLOWED.match(link)] == []
    assert "<strong>the end</strong>" in shown
    assert len(re.findall("<h2>", shown)) == 2


@pytest.mark.parametrize(
    "content", ["[a](https://a.example/b?c=d#e)", "[b](mailto:a@example.com)", "[c](/d) a[0]"]
)
async def test_links_stay_links(content: str) -> None:
    text = await exported("markdown", *chat_of(say("user", content)))
    assert f"\n{content}\n" in text


@pytest.mark.parametrize("key", ["markdown", "html"])
@pytest.mark.parametrize("line", ["`", "` `` ", "[](", "<", "\\", "```a`", "[a]:", "~~~"])
async def test_a_long_line_takes_time_in_its_length_alone(key: str, line: str) -> None:
    """Else a single message stops an export."""

    async def seconds(length: int) -> float:
        chat = chat_of(say("user", (line * length)[:length]))
        begun = time.process_time()
        await exported(key, *chat)
        return time.process_time() - begun

    await seconds(1_000)
    assert await seconds(500_000) < 20


def test_segments_have_all_lines() -> None:
    text = "a\n```py\nb\n\n```\n\nc\n~~~\n```\n~~~~\n``` no ` fence\n  ```\nd"
    found = list(segments(text))
    assert [(each.is_code, each.text, each.info) for each in found] == [
        (False, "a", ""),
        (True, "b\n", "py"),
        (False, "\nc", ""),
        (True, "```", ""),
        (False, "``` no ` fence", ""),
        (True, "d", ""),
    ]
    assert found[-1].closing == "  ```"
