"""OpenAI chat messages: a line of JSON for each conversation, with the messages of its path.

::

    {"id": ..., "title": ..., "created_at": ..., "messages": [{"role": ..., "content": ...}, ...]}
"""

from collections.abc import AsyncIterator, Iterator

from faceplate.column_types import JsonObject
from faceplate.exporters.messages import (
    attachments_of,
    has_other_body,
    parts_of,
    results_of,
    text_beside_results,
    to_json,
)
from faceplate.importers.contents import read_part
from faceplate.importers.source import Unknown
from faceplate.records import Conversation, Message


async def pieces(
    conversation: Conversation, messages: AsyncIterator[Message]
) -> AsyncIterator[bytes]:
    """Yield the line of a conversation, in pieces of a message each."""
    head = {
        "id": conversation.id,
        "title": conversation.title,
        "created_at": conversation.created_at,
    }
    yield to_json(head)[:-1] + b',"messages":['
    separator = b""
    async for message in messages:
        for each in _messages(message):
            yield separator + to_json(each)
            separator = b","
    yield b"]}\n"


def loses(message: Message) -> bool:
    """Return whether a message has more than its line: a body, or a text beside its results."""
    if message.tool_results:
        return message.body is not None or text_beside_results(message) != ""
    return has_other_body(message)


def _messages(message: Message) -> Iterator[JsonObject]:
    """Yield a message, or one for each of its results; none for a body alone."""
    if message.tool_results:
        for result in results_of(message):
            each = {"role": "tool", "tool_call_id": result.call_id, "content": result.text}
            yield each | ({"is_error": True} if result.is_error else {}) | _about(message)
        return
    content = _content(message)
    if message.role in {None, "tool"} and not content:
        return
    role = "assistant" if message.role in {None, "tool"} else message.role
    if message.tool_calls:
        calls = {"content": content or None, "tool_calls": message.tool_calls}
        yield {"role": role, **calls, **_about(message)}
    else:
        yield {"role": role, "content": content, **_about(message)}


def _content(message: Message) -> str | list[JsonObject]:
    """Return the text of a message, or a list of parts where it has others."""
    files = [_file(attachment.part) for attachment in attachments_of(message)]
    parts = [*files, *parts_of(message)]
    if not parts:
        return message.content
    text = [{"type": "text", "text": message.content}] if message.content else []
    return [*text, *parts]


def _file(part: JsonObject) -> JsonObject:
    """Return a part as it is, or what another program says of a file as a part.

    The type of a part is its kind, where other programs keep the type of the file.
    """
    is_part = isinstance(part.get("type"), str) and not any(
        isinstance(piece, Unknown) for piece in read_part(part)
    )
    return part if is_part else {"type": "file", "file": part}


def _about(message: Message) -> JsonObject:
    model = {"model": message.model} if message.model else {}
    return {**model, "created_at": message.created_at}
