"""The rendering of conversations and messages for a terminal or a pipe."""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from markdown_it import MarkdownIt
from rich.console import Console, RenderableType
from rich.json import JSON
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from faceplate.cli.output import printable
from faceplate.importers.assembly import ATTACHED
from faceplate.records import Conversation, Message

ROLE_STYLES: Final = {
    "user": "bold cyan",
    "assistant": "bold green",
    "system": "bold yellow",
    "tool": "bold magenta",
}


def format_time(moment: datetime) -> str:
    """Return a time in the user's time zone, or in UTC where that has no such year."""
    with suppress(OverflowError):  # on the first and the last day of the years 1 to 9999
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M")


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 chat`` or ``2 chats``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def conversation_table(conversations: Iterable[Conversation]) -> Table:
    """Return a table with a row per conversation.

    The id is below the title, so neither is cut.
    """
    table = Table(box=None, padding=(0, 2, 1, 0), header_style="bold")
    table.add_column("Conversation", min_width=36, overflow="fold")
    table.add_column("Messages", justify="right", no_wrap=True)
    table.add_column("Last activity", no_wrap=True)
    for conversation in conversations:
        table.add_row(
            _title(conversation) + Text(f"\n{conversation.id}", "dim"),
            str(conversation.message_count),
            format_time(conversation.updated_at),
        )
    return table


def conversation_heading(conversation: Conversation) -> Text:
    """Return the title of a conversation, with its length, start and id."""
    messages = count(conversation.message_count, "message")
    facts = f"{messages}, started {format_time(conversation.created_at)}"
    return _title(conversation) + Text(f"\n{facts}\n{conversation.id}", "dim")


class Transcript:
    """Prints the messages of one conversation in order, with the names of the tools."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tools: dict[str, str] = {}

    def print(self, message: Message) -> None:
        role = message.role or "no role"
        heading = Text(role, ROLE_STYLES.get(role, "bold"))
        heading.append(f"  {format_time(message.created_at)}", "not bold dim")
        self._console.print()
        self._console.print(heading)
        if message.tool_results is None:
            self._print_text(message)
        for part in message.metadata.get("content_parts", ()):
            self._print_part(part)
        for attachment in _attachments(message):
            self._print(Text(f"[attached: {printable(attachment)}]", "dim"))
        for call in message.tool_calls or ():
            self._print_call(call)
        for result in message.tool_results or ():
            self._print_result(result)

    def _print_text(self, message: Message) -> None:
        # An assistant writes Markdown. The text of a user is printed as it was typed.
        if message.role == "assistant" and self._console.is_terminal:
            self._print(_ChatMarkdown(printable(message.content)))
        elif message.content:
            self._print_verbatim(message.content)

    def _print_call(self, call: dict[str, Any]) -> None:
        tool = call.get(str(call.get("type", "function")))
        tool = tool if isinstance(tool, dict) else {}
        name = str(tool.get("name", call.get("type", "tool")))
        self._tools[str(call.get("id"))] = name
        self._print(Text(f"→ {printable(name)}", "magenta"))
        self._print_json(tool.get("arguments", tool.get("input", "")))

    def _print_result(self, result: dict[str, Any]) -> None:
        call_id = str(result.get("tool_call_id"))
        self._print(Text(f"← {printable(self._tools.get(call_id, call_id))}", "magenta"))
        self._print_json(result.get("content", ""))

    def _print_part(self, part: object) -> None:
        inner = part.get("part") if isinstance(part, dict) else None
        inner = inner if isinstance(inner, dict) else {"type": "unknown"}
        kind = inner.get("type", inner.get("content_type", "text"))
        self._print(Text(f"[kept beside the text: {printable(str(kind))}]", "dim"))

    def _print_json(self, value: object) -> None:
        """Print a JSON object or list indented, and other text as it is."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        try:
            is_nested = isinstance(json.loads(text), dict | list)
        except (ValueError, RecursionError):
            is_nested = False
        if is_nested:
            self._print(JSON(printable(text), ensure_ascii=False).text)
        elif text:
            self._print_verbatim(text)

    def _print_verbatim(self, text: str) -> None:
        self._print(Text(printable(text), overflow="fold"))

    def _print(self, renderable: RenderableType) -> None:
        if self._console.is_terminal:
            self._console.print(Padding(renderable, (0, 0, 0, 2)))
        else:
            # In a file or a pipe, lines are not wrapped.
            self._console.print(renderable, soft_wrap=True)


class _ChatMarkdown(Markdown):
    """Markdown of chats: a line break is kept, and HTML is plain text."""

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
        self.parsed = parser.parse(text)
        for token in self.parsed:
            for child in token.children or ():
                if child.type == "softbreak":
                    child.type = "hardbreak"


def _title(conversation: Conversation) -> Text:
    return Text(" ".join(printable(conversation.title).split()), "bold")


def _attachments(message: Message) -> list[str]:
    """Return the names, or else the kinds, of what an import keeps in the body of a message."""
    if message.body is None or not message.body.startswith(ATTACHED):
        return []
    listed = message.parsed_body()["attachments"]
    files = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [str(file.get("name") or file.get("kind")) for file in files]
