"""The reader of Open WebUI exports.

A file has one chat or a list, each bare or in a ``chat`` with an id. A chat is a tree under
``history.messages`` whose visible leaf is ``history.currentId``. Old chats have only a list of
``messages``. docs/importing.md says how each field is imported.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Chat, Place, Refusal, Unreadable
from faceplate.importers.conversion import Header, TurnTree, make_tree_chat
from faceplate.importers.fitting import digest
from faceplate.importers.reading import first_text, make_node, model_name, read_each
from faceplate.importers.trees import Node
from faceplate.importers.turns import Turn, to_time

_NUMBERED: Final = "message {}"  # the id of a message without one
_STRUCTURE: Final = {"parentId", "childrenIds", "content"}


def recognises(value: JsonObject) -> bool:
    """Return whether ``value`` is a chat of an Open WebUI export."""
    chat = value["chat"] if isinstance(value.get("chat"), dict) else value
    history, messages = chat.get("history"), chat.get("messages")
    if isinstance(history, dict) and isinstance(history.get("messages"), dict):
        return True
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(messages, list) and (
        chat is not value or (isinstance(first, dict) and "parentId" in first)
    )


def read(
    path: Path, on_progress: Callable[[int], None] | None = None
) -> Generator[Chat | Refusal, None, None]:
    """Yield the chats of a file in order, each with its branches."""
    return read_each(_read_chat, path, on_progress)


def _read_chat(place: Place, value: JsonObject) -> Iterator[Chat | Refusal]:
    outer: JsonObject = dict(value)
    is_wrapped = isinstance(outer.get("chat"), dict)
    chat: JsonObject = dict(outer.pop("chat")) if is_wrapped else outer
    messages, current = _take_messages(chat)
    is_numbered = _NUMBERED.format(1) in messages  # then no message's id can identify the chat
    header = Header(
        place=place,
        format="open-webui",
        id=first_text(outer.get("id"), chat.get("id"), digest(value) if is_numbered else ""),
        title=first_text(chat.get("title"), outer.get("title")),
        created=outer.get("created_at", chat.get("timestamp")),
        source={**outer, "chat": chat} if is_wrapped else chat,
    )
    turns = {
        id_: _read_message(id_, message if isinstance(message, dict) else {"content": message})
        for id_, message in messages.items()
        if message is not None
    }
    nodes = {id_: _place_node(message) for id_, message in messages.items()}
    yield from make_tree_chat(header, TurnTree(turns, nodes, current))


def _take_messages(chat: JsonObject) -> tuple[JsonObject, object]:
    """Remove the messages from the chat; return them and the visible leaf."""
    history, listed = chat.get("history"), chat.get("messages")
    tree = history.get("messages") if isinstance(history, dict) else None
    if isinstance(history, dict) and isinstance(tree, dict) and (tree or not listed):
        chat["history"] = {k: v for k, v in history.items() if k not in ("messages", "currentId")}
        if _repeats(listed, tree):
            chat.pop("messages", None)
        if not chat["history"]:
            del chat["history"]
        return tree, history.get("currentId")
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


def _as_tree(listed: list[Any]) -> tuple[JsonObject, object]:
    """Return listed messages as a tree.

    Each follows the one before it, unless it has a parent.
    """
    messages: JsonObject = {}
    last = None
    for number, message in enumerate(listed, start=1):
        fields = message if isinstance(message, dict) else {"content": message}
        id_ = fields.get("id")
        key = (
            id_
            if isinstance(id_, str) and id_ and id_ not in messages
            else _NUMBERED.format(number)
        )
        messages[key] = {**fields, "parentId": fields.get("parentId") or last}
        last = key
    return messages, last


def _place_node(message: object) -> Node:
    fields = message if isinstance(message, dict) else {}
    return make_node(fields.get("parentId"), fields.get("childrenIds"), fields.get("timestamp"))


def _read_message(message_id: str, message: JsonObject) -> Turn:
    role = message.get("role")
    text, parts = _read_content(message.get("content"))
    status = None
    if role == "assistant" and message.get("done") is False:
        status = "interrupted"
    if error := message.get("error"):
        status = "failed"
        message_text = error.get("content") if isinstance(error, dict) else error
        text = text or (message_text if isinstance(message_text, str) else "")
    files = message.get("files")
    if not text and not parts and isinstance(files, list):
        parts = [{"index": index, "part": _describe(file)} for index, file in enumerate(files)]
    return Turn(
        id=message_id,
        role=role if isinstance(role, str) else "unknown",
        content=text,
        parts=parts,
        created_at=to_time(message.get("timestamp")),
        status=status,
        model=model_name(message.get("model")) if role == "assistant" else None,
        source={key: value for key, value in message.items() if key not in _STRUCTURE},
        original=message,
    )


def _read_content(content: object) -> tuple[str, list[JsonObject]]:
    """Return the text of a message, and its parts that are not text."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    others: list[JsonObject] = []
    items = content if isinstance(content, list) else [] if content is None else [content]
    for index, part in enumerate(items):
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            texts.append(text)
        else:
            others.append({"index": index, "part": part})
    return "\n".join(texts), others


def _describe(file: object) -> JsonObject:
    """Return the type and the name of a file.

    Its content stays in the source's ``files``.
    """
    fields = file if isinstance(file, dict) else {}
    return {key: fields[key] for key in ("type", "name") if isinstance(fields.get(key), str)}
