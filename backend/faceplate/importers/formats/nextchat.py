"""NextChat backups: ``{"chat-next-web-store": {"sessions": [{"topic", "mask", "messages"}]}}``.

A session is a chat. The messages in the ``context`` of its mask come before its own. Messages are
as OpenAI's, with calls and their results together under ``tools``, and times as the browser shows
them.
"""

from collections.abc import Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_part
from faceplate.importers.fields import (
    as_list,
    as_object,
    first_of,
    first_text,
    read_time,
    without,
)
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Attachment, Message, Piece, Result, SourceChat

_CHAT_FIELDS: Final = ("id", "topic", "messages", "lastUpdate", "mask")
_MESSAGE_FIELDS: Final = ("tools", "date", "streaming", "isError", "audio_url")
_TIMES: Final = (
    *("%m/%d/%Y, %I:%M:%S %p", "%Y/%m/%d %H:%M:%S", "%d/%m/%Y, %H:%M:%S"),
    *("%d/%m/%Y %H:%M:%S", "%d.%m.%Y, %H:%M:%S"),
)


def fits(value: JsonObject) -> int:
    """Return 3 for a session with its mask."""
    messages = value.get("messages")
    is_session = isinstance(value.get("topic"), str) and isinstance(value.get("mask"), dict)
    are_messages = isinstance(messages, list) and all(map(openai.is_message, messages))
    return 3 if is_session and are_messages else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a session."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    mask = as_object(value.get("mask"))
    context = [each for each in as_list(mask.get("context")) if isinstance(each, dict)]
    yield SourceChat(
        map(_read_message, messages),
        id=openai.read_id(value.get("id")),
        title=value.get("topic"),
        updated=value.get("lastUpdate"),
        prologue=[_read_message(message) for message in context],
        rest={**without(value, *_CHAT_FIELDS), "mask": without(mask, "context")},
    )


def _read_message(message: JsonObject) -> Message:
    made = openai.read_message(without(message, *_MESSAGE_FIELDS))
    tools = [piece for tool in as_list(message.get("tools")) for piece in _read_tool(tool)]
    sound = first_text(message.get("audio_url"))
    sounds = [Attachment("audio", reference=sound)] if sound else []
    shown = first_text(message.get("date")).replace("\N{NARROW NO-BREAK SPACE}", " ")
    is_failed = message.get("isError") is True
    return made._replace(
        pieces=[*tools, *made.pieces, *sounds],
        created=read_time(shown, _TIMES),
        status="failed" if is_failed else "interrupted" if message.get("streaming") else None,
        original=message,
    )


def _read_tool(tool: object) -> list[Piece]:
    """Return a call, and its result if it has one."""
    fields = as_object(tool)
    call = without(fields, "content", "isError", "errorMsg", "index")
    pieces = read_part({**call, "type": "tool_call"})
    output = first_of(fields, "content", "errorMsg")
    if output is None:
        return pieces
    is_error = fields.get("isError") is True
    return [*pieces, Result(output, first_text(fields.get("id")), is_error=is_error)]


FORMAT: Final = Format("nextchat", "NextChat backup", fits, read)
