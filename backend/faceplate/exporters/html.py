"""One conversation as a page of HTML that needs nothing else, and prints well.

The text of a chat is shown as it was written, and code blocks in a fixed width. Nothing of it
becomes markup or a link. The page has no script, and its own policy forbids it to load anything.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from html import escape as escape_html
from typing import Final

from faceplate.exporters.fences import segments
from faceplate.exporters.markdown import beside, loses, moment
from faceplate.exporters.messages import (
    Names,
    calls_of,
    results_of,
    text_beside_results,
    visible,
)
from faceplate.records import Conversation, Message

__all__ = ["loses", "pieces"]

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #62625c; --paper: #fff; --shade: #f3f3f0;
  --line: #d9d9d3; --user: #1f5fa8; --assistant: #2d7042; --other: #8a5a14 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e1; --soft: #a3a39b; --paper: #191918; --shade: #262624; --line: #3d3d39;
    --user: #84b6f0; --assistant: #8acca0; --other: #e0b066 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere }
.facts, time, .model, .part { color: var(--soft); font-size: .875rem }
article { margin-top: 1.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line) }
header { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: baseline }
h2 { margin: 0; font-size: 1rem; color: var(--other) }
.user h2 { color: var(--user) }
.assistant h2 { color: var(--assistant) }
.status { font-size: .875rem; font-weight: 600 }
.text, pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 0; tab-size: 4 }
pre { padding: .75rem; background: var(--shade); border: 1px solid var(--line);
  border-radius: .4rem; font: .875rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace }
pre[data-info]::before { content: attr(data-info); display: block; margin-bottom: .35rem;
  color: var(--soft) }
details { margin-top: .5rem }
summary { cursor: pointer; color: var(--soft); font-size: .875rem; overflow-wrap: anywhere }
@page { margin: 18mm 16mm }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --shade: #f6f6f6;
    --line: #bbb; --user: #000; --assistant: #000; --other: #000 }
  body { font-size: 10pt }
  main { max-width: none; padding: 0 }
  article, pre { break-inside: avoid }
  header, summary { break-after: avoid }
  .text, pre { orphans: 3; widows: 3 }
  details::details-content { content-visibility: visible; block-size: auto }
}
"""
_HEAD: Final = """\
<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1 dir="auto">{title}</h1>
<p class="facts">Started {started}, last active {active}</p>
"""
_END: Final = "</main>\n</body>\n</html>\n"
_KNOWN: Final = ("user", "assistant")


async def pieces(
    conversation: Conversation, messages: AsyncIterator[Message]
) -> AsyncIterator[bytes]:
    """Yield the page of a conversation, in pieces of a message each."""
    yield _HEAD.format(
        title=_line(conversation.title),
        style=_STYLE,
        started=_time(conversation.created_at),
        active=_time(conversation.updated_at),
    ).encode()
    names = Names()
    async for message in messages:
        yield "\n".join(_article(message, names)).encode()
    yield _END.encode()


def _article(message: Message, names: Names) -> Iterator[str]:
    role = message.role or "no role"
    yield f'<article class="{role if role in _KNOWN else "other"}">'
    facts = [f"<h2>{role.capitalize()}</h2>", _time(message.created_at)]
    if message.model:
        facts.append(f'<bdi class="model">{_line(message.model)}</bdi>')
    if message.status != "complete":
        facts.append(f'<span class="status">{message.status}</span>')
    yield f"<header>{' '.join(facts)}</header>"
    text = text_beside_results(message)
    if text.strip():
        yield from _text(text)
    for name in beside(message):
        yield f'<p class="part">Beside the text: <bdi>{_line(name)}</bdi></p>'
    for call in calls_of(message):
        names.add(call)
        yield _folded("Call", call.name, call.text)
    for result in results_of(message):
        what = "Error" if result.is_error else "Result"
        yield _folded(what, names.get(result) or result.call_id, result.text)
    yield "</article>\n"


def _text(text: str) -> Iterator[str]:
    for segment in segments(visible(text)):
        if segment.is_code:
            info = f' data-info="{escape_html(segment.info)}"' if segment.info else ""
            # The parser drops a line break after the tag, so there is one to drop.
            yield f'<pre{info} dir="auto">\n{escape_html(segment.text)}</pre>'
        elif segment.text.strip():
            shown = escape_html(segment.text.strip("\n"))
            yield f'<div class="text" dir="auto">{shown}</div>'


def _folded(what: str, name: str, text: str) -> str:
    summary = f"<summary>{what}: <bdi>{_line(name)}</bdi></summary>"
    return f'<details>{summary}<pre dir="auto">\n{escape_html(visible(text))}</pre></details>'


def _line(text: str) -> str:
    """Return text on one line, escaped."""
    return escape_html(" ".join(visible(text).split()))


def _time(time: datetime) -> str:
    return f'<time datetime="{time.isoformat(timespec="seconds")}">{moment(time)}</time>'
