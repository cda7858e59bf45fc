"""Open WebUI exports.

A file has one chat or a list, each bare or in a ``chat`` with an id. A chat is a tree under
``history.messages`` whose visible leaf is ``history.currentId``. Old chats have only a list of
``messages``. docs/importing.md says how each field is imported.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import (
    as_list,
    as_object,
    attachment,
    first_of,
    first_text,
    read_content,
    without,
)
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Message, Piece, SourceChat, Text

_NUMBERED: Final = "message {}"  # the id of a message without one, which cannot name the chat
_STRUCTURE: Final = ("parentId", "childrenIds", "content", "files")


def fits(value: JsonObject) -> int:
    """Return 3 for a tree of messages, 2 for a list in a chat or with parents."""
    chat = value["chat"] if isinstance(value.get("chat"), dict) else value
    messages = chat.get("messages")
    if isinstance(as_object(chat.get("history")).get("messages"), dict):
        return 3
    first = messages[0] if isinstance(messages, list) and messages else None
    is_listed = chat is not value or (isinstance(first, dict) and "parentId" in first)
    return 2 if isinstance(messages, list) and is_listed else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    outer: JsonObject = dict(value)
    is_wrapped = isinstance(outer.get("chat"), dict)
    chat: JsonObject = dict(outer.pop("chat")) if is_wrapped else outer
    messages, current = _take_messages(chat)
    is_numbered = any(message.id == _NUMBERED.format(1) for message in messages)
    chat_id = first_text(outer.get("id"), chat.get("id"), digest(value) if is_numbered else "")
    title = first_text(chat.get("title"), outer.get("title"))
    for fields in (outer, chat):
        for name, known in (("id", chat_id), ("title", title)):
            if fields.get(name) in (known, ""):
                fields.pop(name, None)
    yield SourceChat(
        messages,
        id=chat_id,
        title=title,
        created=first_of(outer, "created_at") or chat.get("timestamp"),
        updated=outer.get("updated_at"),
        is_tree=True,
        current=current,
        rest={**outer, "chat": chat} if is_wrapped else chat,
    )


def _take_messages(chat: JsonObject) -> tuple[list[Message], object]:
    """Remove the messages from the chat; return them and the visible leaf."""
    history, listed = chat.get("history"), chat.get("messages")
    tree = history.get("messages") if isinstance(history, dict) else None
    if isinstance(history, dict) and isinstance(tree, dict) and (tree or not listed):
        chat["history"] = without(history, "messages", "currentId")
        if _repeats(listed, tree):
            chat.pop("messages", None)
        if not chat["history"]:
            del chat["history"]
        return [_read_node(id_, message) for id_, message in tree.items()], history.get("currentId")
    if not isinstance(listed, list):
        raise Unreadable("history.messages must be an object, or messages a list")
    chat.pop("messages")
    return _as_tree(listed)


def _repeats(listed: object, tree: JsonObject) -> bool:
    """Return whether the list only repeats the visible thread of the tree."""
    return not listed or (
        isinstance(listed, list)
        and all(isinstance(m, dict) and isinstance(m.get("id"), str) for m in listed)
        and all(tree.get(m["id"]) == m for m in listed)
    )


def _as_tree(listed: list[Any]) -> tuple[list[Message], object]:
    """Return listed messages as a tree.

    Each follows the one before it, unless it has a parent.
    """
    messages: dict[str, Message] = {}
    last = None
    for number, message in enumerate(listed, start=1):
        id_ = as_object(message).get("id")
        is_name = isinstance(id_, str) and id_ and id_ not in messages
        name = str(id_) if is_name else _NUMBERED.format(number)
        read_message = _read_node(name, message)
        messages[name] = read_message._replace(parent=read_message.parent or last)
        last = name
    return list(messages.values()), last


def _read_node(id_: str, message: object) -> Message:
    fields = message if isinstance(message, dict) else {"content": message}
    parent = fields.get("parentId")
    place = Message(
        id=id_,
        parent=parent if isinstance(parent, str) else None,
        children=[child for child in as_list(fields.get("childrenIds")) if isinstance(child, str)],
        created=fields.get("timestamp"),
    )
    return place if message is None else _read_message(place, fields)


def _read_message(place: Message, message: JsonObject) -> Message:
    role = message.get("role")
    pieces = read_content(message.get("content"))
    status = "interrupted" if message.get("done") is False else None
    if error := message.get("error"):
        status = "failed"
        said = error.get("content") if isinstance(error, dict) else error
        if not any(isinstance(piece, Text) and piece.text for piece in pieces):
            pieces = [Text(said if isinstance(said, str) else "")]
    pieces += _files(message.get("files"))
    return place._replace(
        role=role if isinstance(role, str) else "unknown",
        pieces=pieces,
        status=status,
        model=message.get("model"),
        rest=without(message, *_STRUCTURE),
        original=message,
    )


def _files(files: object) -> list[Piece]:
    return [
        attachment(file if isinstance(file, dict) else {"name": file}, "file")
        for file in as_list(files)
    ]


FORMAT: Final = Format(
    "open-webui",
    "Open WebUI export",
    fits,
    read,
    known=("sources", "statusHistory", "citations", "models", "params", "tags", "error"),
)
