"""Anthropic messages: ``{"system", "messages": [{"role", "content": text or blocks}]}``.

The calls of tools are blocks of an assistant's message, and their results are blocks of the user's
next one, or of the same message if Anthropic's servers ran the tool. The blocks themselves are read
by `contents`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_content
from faceplate.importers.fields import as_list, as_object, first_text
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.shelf import Shelf
from faceplate.importers.source import Aside, Message, Piece, SourceChat, Unknown

_OWN_BLOCKS: Final = {
    "tool_use": "input",
    "server_tool_use": "input",
    "mcp_tool_use": "input",
    "tool_result": "tool_use_id",
    "mcp_tool_result": "tool_use_id",
    "web_search_tool_result": "tool_use_id",
    "thinking": "signature",
    "redacted_thinking": "data",
}
"""Kinds of blocks that no other format has, each with a key of it."""
_SYSTEM: Final = "mid_conv_system"
_NOTES: Final = ("compaction", "fallback", "tool_addition", "tool_removal")


def fits(value: JsonObject) -> int:
    """Return 3 for blocks that are Anthropic's, 2 for any blocks with a system prompt beside."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages or not openai.fits(value):
        return 0
    blocks = [block for each in messages for block in as_list(each.get("content"))]
    if any(map(_is_own, blocks)) or any(map(_is_reply, messages)):
        return 3
    has_roles = {message["role"] for message in messages} <= _ROLES
    has_blocks = bool(blocks) or str(value.get("model")).startswith("claude")
    return 2 if has_roles and has_blocks and isinstance(value.get("system"), str | list) else 0


_ROLES: Final = {"user", "assistant"}


def _is_own(block: Any) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    return isinstance(kind, str) and _OWN_BLOCKS.get(kind) in block


def _is_reply(message: JsonObject) -> bool:
    return message.get("type") == "message" and "stop_reason" in message


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    listed = (part for message in messages for part in _split(openai.read_message(message)))
    yield openai.read_chat(value, Shelf(listed))._replace(is_exact=False)


def _split(message: Message) -> Sequence[Message]:
    """Return a message and the system prompts in it, as messages of their own before it."""
    if not any(isinstance(piece, Unknown) for piece in message.pieces):
        return [message]
    pieces: list[Piece] = []
    prompts: list[Message] = []
    for piece in message.pieces:
        block = as_object(piece.value) if isinstance(piece, Unknown) else {}
        kind = first_text(block.get("type"))
        if kind == _SYSTEM:
            prompts.append(Message("system", read_content(block.get("content"))))
        else:
            pieces.append(Aside(kind, block) if kind in _NOTES else piece)
    return [*prompts, message._replace(pieces=pieces)]


FORMAT: Final = Format(
    "anthropic", "Anthropic messages", fits, read, known=openai.FORMAT.known, joins=openai.joins
)
