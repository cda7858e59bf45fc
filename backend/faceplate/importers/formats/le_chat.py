"""Exports of Mistral's Le Chat: a file for each chat, which is a list of its messages.

``[{"chatId", "role", "content", "contentChunks", "createdAt", ...}]``. The list has no order.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_content, read_part
from faceplate.importers.fields import as_list, as_object, first_text, to_moments, without
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
)

_FIELDS: Final = (
    *("id", "chatId", "role", "content", "contentChunks", "createdAt", "files", "model"),
    "parentId",
)
_CALL_FIELDS: Final = ("type", "id", "name", "publicArguments", "publicResult")


def fits(value: JsonObject) -> int:
    """Return 4 for a list of messages of which any has chunks."""
    listed = as_list(value.get("messages"))
    return 4 if any(map(_has_chunks, listed)) and all(map(_is_message, listed)) else 0


def _is_message(value: object) -> bool:
    fields = as_object(value)
    texts = (fields.get("chatId"), fields.get("role"), fields.get("createdAt"))
    return all(isinstance(text, str) for text in texts)


def _has_chunks(value: object) -> bool:
    return "contentChunks" in as_object(value) and _is_message(value)


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message."""
    return first_text(value.get("chatId")) if _has_chunks(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, in the order of time; where there are parents, these count."""
    listed = as_list(value.get("messages"))
    if not all(map(_is_message, listed)):
        raise Unreadable("messages must be a list of objects with chatId, role and createdAt")
    times = to_moments(message["createdAt"] for message in listed)
    order = sorted(range(len(listed)), key=times.__getitem__)
    is_tree = any(message.get("parentId") for message in listed)
    messages = (_read_message(listed[number]) for number in order)
    yield SourceChat(
        _linked(messages) if is_tree else messages,
        id=first_text(value.get("id"), *(message["chatId"] for message in listed[:1])),
        title=value.get("title"),
        is_tree=is_tree,
        rest=without(value, "messages", "id", "title"),
    )


def _linked(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages; one without a parent follows the one before it."""
    before: str | None = None
    for message in messages:
        yield message._replace(parent=message.parent or before)
        before = message.id or before


def _read_message(message: JsonObject) -> Message:
    chunks = message.get("contentChunks")
    pieces = list(_read_chunks(chunks)) if chunks else read_content(message.get("content"))
    return Message(
        message["role"],
        [*pieces, *map(_file, as_list(message.get("files")))],
        id=first_text(message.get("id")),
        parent=first_text(message.get("parentId")) or None,
        created=message["createdAt"],
        model=message.get("model"),
        rest=without(message, *_FIELDS),
        original=message,
    )


def _read_chunks(chunks: Any) -> Iterator[Piece]:
    """Yield the pieces of the chunks; a text goes on behind a reference in it."""
    said = ""
    for chunk in as_list(chunks) or [chunks]:
        fields = as_object(chunk)
        pieces = list(_read_chunk(fields)) if fields else read_part(chunk)
        if fields.get("type") != "reference" and not _is_text(pieces) and said:
            yield Text(said)
            said = ""
        for piece in pieces:
            if isinstance(piece, Text):
                said += piece.text
            else:
                yield piece
    if said:
        yield Text(said)


def _is_text(pieces: list[Piece]) -> bool:
    return bool(pieces) and isinstance(pieces[0], Text)


def _read_chunk(chunk: JsonObject) -> Iterator[Piece]:
    kind = chunk.get("type")
    if kind == "reference":
        yield Aside("references", without(chunk, "type"))
    elif kind == "tool_call":
        id_, tool = first_text(chunk.get("id")), first_text(chunk.get("name"), "function")
        yield Call(tool, chunk.get("publicArguments", {}), id_)
        if (result := chunk.get("publicResult")) is not None:
            yield Result(result, id_, tool)
        if rest := without(chunk, *_CALL_FIELDS):
            yield Aside("steps", rest)
    elif kind == "image_url" and isinstance(chunk.get("imageUrl"), str):
        yield Attachment("image", reference=chunk["imageUrl"])
    else:
        yield from read_part(chunk)


def _file(file: object) -> Attachment:
    fields = file if isinstance(file, dict) else {"name": file}
    return attachment(fields, first_text(fields.get("type"), "file"))


FORMAT: Final = Format("le-chat", "Le Chat export", fits, read, joins=joins)
