"""Chats that are hard to export, as records, and what an export makes of them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import Any

from faceplate import Conversation, Message
from faceplate.exporters import FORMATS
from faceplate.services._trees import TreeMessage
from tests.units import LONG_AGO, conversation_of, message_of, nobodys

HOSTILE = (
    "<script>alert(1)</script> <!-- [a](javascript:alert(2)) ![b](http://a.example/b.png)\n"
    '</div></pre></details></article> & &lt; "quoted" \x01\x1b[31mred\x7f\x9b \ufffe\r\n'
    "```html\n<b>not bold</b>\n```\n~~~\nno end <style>"
)
UNICODE = "Ünïcödé \N{GRINNING FACE} \u202eback\u202c \u2028 مرحبا 你好 e\u0301"


def call(id_: str, name: str = "weather", arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def custom(id_: str, name: str, text: str) -> dict[str, Any]:
    return {"id": id_, "type": "custom", "custom": {"name": name, "input": text}}


def result(id_: str, content: Any = "4 degrees, rain", **more: Any) -> dict[str, Any]:
    return {"tool_call_id": id_, "content": content, **more}


def say(role: str | None, content: str = "", /, **values: Any) -> dict[str, Any]:
    """Return what a message says. ``parent_position`` is where it branches off."""
    return {"role": role, "content": content, **values}


def chat_of(*said: dict[str, Any], **changes: Any) -> tuple[Conversation, list[Message]]:
    """Return the records of a conversation of these messages, at positions from 1."""
    own = nobodys()
    messages = [
        message_of(own._replace(message_id=nobodys().message_id), position)._replace(
            **{"created_at": LONG_AGO + timedelta(minutes=position)} | values
        )
        for position, values in enumerate(said, start=1)
    ]
    return conversation_of(own, len(messages))._replace(**changes), messages


def tree_of(messages: Sequence[Message]) -> list[TreeMessage]:
    """Return each message with the branches that begin at it, as statements read them."""
    children: dict[int, list[Any]] = {}
    for message in messages:
        if message.parent_position not in {None, message.position}:
            children.setdefault(message.parent_position or 0, []).append(message.id)
    return [TreeMessage(message, children.get(message.position, [])) for message in messages]


async def _each(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def exported(key: str, conversation: Conversation, messages: Sequence[Message]) -> str:
    """Return a conversation in a format."""
    form = FORMATS[key]
    items: Iterable[Any] = tree_of(messages) if form.has_branches else messages
    pieces = [piece async for piece in form.pieces(conversation, _each(items))]
    return b"".join([form.opening, *pieces, form.closing]).decode()
