"""One conversation as Markdown: the messages of its path, below a heading each.

The text of a message is Markdown already, and stays as it was written but for three things: a code
block without an end gets one, and outside of code a ``<`` that would begin HTML is escaped, and a
``]`` before the address of a link that is not relative and has no scheme of the web or of mail.
"""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Final

from faceplate.exporters.fences import segments
from faceplate.exporters.messages import (
    Names,
    attachments_of,
    calls_of,
    has_other_body,
    parts_of,
    results_of,
    text_beside_results,
    visible,
)
from faceplate.importers.turns import code_block
from faceplate.records import Conversation, Message

_PUNCTUATION: Final = re.compile(r"([\\`*_{}\[\]<>#|~&])")
_ESCAPED: Final = r"\\[!-/:-@\[-`{-~]"
_HTML: Final = r"<(?!https?://|mailto:)(?=[A-Za-z/!?])"
_LINK: Final = r"\](?=[(:](?!\s*(?:https?://|mailto:|[/#.\w%-]+(?:[)\s]|$))))"
_MARKS: Final = re.compile(f"{_ESCAPED}|`+|{_HTML}|{_LINK}")


async def pieces(
    conversation: Conversation, messages: AsyncIterator[Message]
) -> AsyncIterator[bytes]:
    """Yield the document of a conversation, in pieces of a message each."""
    started, active = moment(conversation.created_at), moment(conversation.updated_at)
    yield f"# {escape(conversation.title)}\n\nStarted {started}, last active {active}.\n".encode()
    names = Names()
    async for message in messages:
        blocks = [f"## {_heading(message)}", *_blocks(message, names)]
        yield "".join(f"\n{block}\n" for block in blocks).encode()


def loses(message: Message) -> bool:
    """Return whether a message has a body, which is not in the document."""
    return has_other_body(message)


def moment(time: datetime) -> str:
    """Return a time for a reader, in UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def escape(text: str) -> str:
    """Return text on one line, in which nothing is Markdown."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(visible(text).split()))


def beside(message: Message) -> Iterator[str]:
    """Yield what is said of each part of a message that is no text."""
    for attachment in attachments_of(message):
        yield ": ".join(filter(None, (attachment.kind, attachment.name)))
    for part in parts_of(message):
        yield str(part.get("type", part.get("content_type", "an unknown part")))


def _heading(message: Message) -> str:
    facts = [(message.role or "no role").capitalize(), moment(message.created_at)]
    facts += [escape(message.model)] if message.model else []
    facts += [message.status] if message.status != "complete" else []
    return " · ".join(facts)


def _blocks(message: Message, names: Names) -> Iterator[str]:
    text = text_beside_results(message)
    if text.strip():
        yield _readable(visible(text))
    for name in beside(message):
        yield f"*Beside the text: {escape(name)}*"
    for call in calls_of(message):
        names.add(call)
        yield f"**Call: {escape(call.name)}**"
        yield code_block(visible(call.text), "json" if call.is_function else "")
    for result in results_of(message):
        what = "Error" if result.is_error else "Result"
        yield f"**{what}: {escape(names.get(result) or result.call_id)}**"
        yield code_block(visible(result.text))


def _readable(text: str) -> str:
    """Return the text of a message, of which nothing goes on in the next one."""
    lines = []
    for segment in segments(text):
        if segment.is_code:
            lines += [segment.opening or "", *([segment.text] if segment.text else [])]
            lines.append(segment.closing)
        else:
            lines.append(_defused(segment.text))
    return "\n".join(lines).strip("\n")


def _defused(text: str) -> str:
    """Return Markdown outside of code blocks without HTML, and without links of other schemes.

    A code span is left as it is, where it begins and ends in one line. After a backtick without its
    counterpart no span is looked for in the paragraph, because it may belong to that one.
    """
    lines = []
    is_open = False
    for line in text.split("\n"):
        is_open = is_open and bool(line.strip())
        escaped, is_open = _escape_line(line, is_open=is_open)
        lines.append(escaped)
    return "\n".join(lines)


def _escape_line(line: str, *, is_open: bool) -> tuple[str, bool]:
    """Return a line with escapes, and whether a backtick of the paragraph is without another."""
    ends = _last_runs(line)
    pieces: list[str] = []
    at = end = 0
    while found := _MARKS.search(line, at):
        at = found.end()
        mark = found[0]
        if mark in "<]":
            pieces += [line[end : found.start()], f"\\{mark}"]
            end = at
        elif mark[0] == "`" and not is_open:
            if ends.get(len(mark), -1) <= found.start():
                is_open = True
            else:
                at = _end_of_span(line, at, mark)
    return "".join([*pieces, line[end:]]), is_open


def _last_runs(line: str) -> dict[int, int]:
    """Return where the last run of backticks of each length begins."""
    return {len(run[0]): run.start() for run in re.finditer("`+", line)}


def _end_of_span(line: str, at: int, ticks: str) -> int:
    """Return the end of the code span that ``ticks`` before ``at`` begin."""
    runs = re.compile("`+").finditer(line, at)
    return next((run.end() for run in runs if run[0] == ticks), at)
