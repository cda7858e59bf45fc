"""The model: where the example's echo is, and where a real one is plugged in.

A `Model` is a function that takes the conversation so far and returns an async generator. It yields
the text, piece by piece, then tool calls if it has any, and at last the tokens that it took. After
tool calls the tools are run, both are stored, and the model is asked again, with the results at the
end of the conversation. `examples.chat.providers` has models of OpenAI-compatible servers and of
Anthropic; `examples.chat.app.create_app` takes any other one as ``model=``.

The generator is closed when the reader goes away; what it holds is released by ``async with``. No
connection of the database is held while it runs. An error that it raises ends the reply as failed.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from uuid6 import uuid7

from faceplate import Message
from faceplate.integrations.fastapi import UserRunner
from faceplate.services import tasks


class ToolCall(NamedTuple):
    id: str
    name: str
    arguments: dict[str, Any]


class Usage(NamedTuple):
    input_tokens: int
    output_tokens: int


class ModelFailed(Exception):  # noqa: N818 - named for what it says
    """The model gave no answer, or not all of it; the message says why, in words for the user."""


Piece = str | ToolCall | Usage
Model = Callable[[Sequence[Message]], AsyncGenerator[Piece, None]]
Tool = Callable[[UserRunner, dict[str, Any]], Awaitable[str]]

MAX_WORDS = 200
MARKDOWN = (Path(__file__).parent / "markdown.txt").read_text(encoding="utf-8")


class Echo:
    """Says what was said, a word at a time, with its lines. Asked about the weather, or to remember
    something, it calls a tool first. It can count, and show Markdown.
    """

    def __init__(self, token_delay_s: float) -> None:
        self._token_delay_s = token_delay_s

    async def __call__(self, history: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        last = history[-1]
        if last.role == "user" and (call := _wanted(last.content)) is not None:
            yield call
            return
        for token in _tokens(_reply_to(last, is_first=len(history) == 1)):
            await asyncio.sleep(self._token_delay_s)
            yield token


def _wanted(text: str) -> ToolCall | None:
    """The tool call that a question asks for, if it does."""
    id_ = f"call_{uuid7().hex}"
    if re.search(r"\bweather\b", text, re.IGNORECASE):
        place = re.search(r"\bin ([\w' -]{1,60})", text)
        return ToolCall(id_, "weather", {"place": place[1].strip() if place else "here"})
    if wish := re.search(r"\b(?:remember|remind me) to (\w[^\n]{0,199})", text, re.IGNORECASE):
        return ToolCall(id_, "add_task", {"title": wish[1].rstrip(" .!?")})
    return None


def _reply_to(message: Message, *, is_first: bool) -> str:
    if message.tool_results:
        told = "; ".join(str(result["content"]) for result in message.tool_results)
        return f"I have asked a tool, and it says: {told}."
    if re.search(r"\bmarkdown\b", message.content, re.IGNORECASE):
        return MARKDOWN
    if end := re.search(r"\bcount to (\d{1,3})\b", message.content, re.IGNORECASE):
        return ", ".join(str(number) for number in range(1, int(end[1]) + 1)) + "."
    heard = f"You said:\n\n{_cut(message.content)}"
    if not is_first:
        return heard
    return (
        f"{heard}\n\n---\n\n"
        "I am an echo and know nothing else, but every word of this reply was stored before you "
        "saw it. Close the tab in the middle of it and come back: it will say where it broke off."
    )


def _cut(text: str) -> str:
    """The first words of ``text`` with their lines. A block of code ends where they do."""
    words = _tokens(text)
    heard = "".join(words[:MAX_WORDS]) + (" ..." if len(words) > MAX_WORDS else "")
    is_open = len(re.findall(r"^```", heard, re.MULTILINE)) % 2
    return heard.strip("\n") + "\n```" * is_open


def _tokens(text: str) -> list[str]:
    """``text`` in pieces that together are all of it."""
    return re.findall(r"\s*\S+|\s+$", text)


async def weather(_chat: UserRunner, arguments: dict[str, Any]) -> str:
    """Make up the weather of a place, always the same."""
    place = str(arguments["place"])
    degrees = sum(place.encode()) % 30
    return f"{place}: {degrees} degrees, {'rain' if degrees % 2 else 'sun'}"


async def add_task(chat: UserRunner, arguments: dict[str, Any]) -> str:
    """Put a task on the user's list."""
    task = await chat.run(tasks.create, title=str(arguments["title"]))
    return f"'{task.title}' is on your list"


TOOLS: Mapping[str, Tool] = {"weather": weather, "add_task": add_task}
