"""LibreChat exports: ``{"conversationId", "title", "messages": [{"messageId", "text", ...}]}``.

A file is one chat: its shown thread, or every message, in a list or with ``children`` inside their
parents. Nothing says which branch is shown; LibreChat shows the newest one.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_part
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.prologue import PROMPTS, take_prompts
from faceplate.importers.source import Aside, Message, Piece, SourceChat, Text
from faceplate.importers.thoughts import read_thoughts, unmark_thoughts

_MARKS: Final = (":::thinking", ":::")  # around reasoning in the text, in versions of early 2025
_NO_PARENT: Final = "00000000-0000-0000-0000-000000000000"
_LISTS: Final = ("messages", "messagesTree")
_INNER_CALLS: Final = ("function", "code_interpreter", "file_search", "retrieval")
_PROMPTS: Final = {*PROMPTS, "context"}
_CHAT_FIELDS: Final = ("conversationId", "title", *_LISTS)
_FIELDS: Final = (
    *("messageId", "parentMessageId", "children", "isCreatedByUser", "createdAt", "model"),
    *("text", "content", "quotes", "files", "attachments", "tokenCount", "error", "unfinished"),
)


def fits(value: JsonObject) -> int:
    """Return 3 for an export, 2 for a list of its messages."""
    if not _are_messages(_listed(value)):
        return 0
    return 3 if isinstance(value.get("conversationId"), str) else 2


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message that is a value of its own."""
    return first_text(value.get("conversationId")) if _is_message(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    listed = _listed(value)
    if not _are_messages(listed):
        raise Unreadable("messages must be a list of objects with messageId and isCreatedByUser")
    rest = without(value, *_CHAT_FIELDS)
    prompts = take_prompts(rest, _PROMPTS, inside=("options",))
    yield SourceChat(
        _flatten(listed),
        id=first_text(value.get("conversationId"), value.get("id")),
        title=value.get("title"),
        is_tree=True,
        prologue=prompts,
        rest=rest,
    )


def _listed(value: JsonObject) -> list[Any]:
    return next((as_list(value[key]) for key in _LISTS if as_list(value.get(key))), [])


def _are_messages(listed: list[Any]) -> bool:
    return bool(listed) and all(_is_message(message) for message in listed)


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("messageId"), str)
        and isinstance(value.get("isCreatedByUser"), bool)
    )


def _flatten(listed: list[Any]) -> Iterator[Message]:
    """Yield the messages of a list and of their children, each with its parent."""
    is_nested = any(as_list(message.get("children")) for message in listed)
    return _descend(listed) if is_nested else _follow(listed)


def _descend(listed: list[Any]) -> Iterator[Message]:
    """Yield each message before its children, and read none before its turn."""
    waiting: list[tuple[str | None, Iterator[Any]]] = [(None, iter(listed))]
    while waiting:
        parent, messages = waiting[-1]
        if (message := next(messages, None)) is None:
            waiting.pop()
            continue
        yield _read_message(message, parent)
        children = filter(_is_message, as_list(message.get("children")))
        waiting.append((message["messageId"], children))


def _follow(listed: list[Any]) -> Iterator[Message]:
    """Yield each message after the one that it names, or after the one before it.

    The one before it only counts if the list is in order.
    """
    ids = {message["messageId"]: number for number, message in enumerate(listed)}
    is_ordered = all(
        ids.get(first_text(message.get("parentMessageId")), -1) < number
        for number, message in enumerate(listed)
    )
    before: str | None = None
    for message in listed:
        named = first_text(message.get("parentMessageId"))
        is_first = named == _NO_PARENT or not is_ordered
        yield _read_message(message, named if named in ids else None if is_first else before)
        before = message["messageId"]


def _read_message(message: JsonObject, parent: str | None) -> Message:
    is_user = message["isCreatedByUser"]
    rest = without(message, *_FIELDS)
    if other := [each for each in as_list(message.get("children")) if not _is_message(each)]:
        rest["messages"] = other
    tokens = message.get("tokenCount")
    status = "failed" if message.get("error") else None
    return Message(
        "user" if is_user else "assistant",
        _pieces(message),
        id=message["messageId"],
        parent=parent,
        created=message.get("createdAt"),
        model=message.get("model"),
        input_tokens=tokens if is_user else None,
        output_tokens=None if is_user else tokens,
        status="interrupted" if message.get("unfinished") else status,
        rest=rest,
        original=without(message, "children"),
    )


def _pieces(message: JsonObject) -> list[Piece]:
    """Return the parts of a message, and its text if they do not have it."""
    quotes = [quote for quote in as_list(message.get("quotes")) if isinstance(quote, str)]
    pieces: list[Piece] = [Text("> " + quote.replace("\n", "\n> ") + "\n") for quote in quotes]
    for part in as_list(message.get("content")):
        pieces += _read_part(part)
    said = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    text = first_text(message.get("text"))
    if "".join(text.split()) not in "".join(said.split()):
        pieces += [Text(text)] if message["isCreatedByUser"] else read_thoughts(text, *_MARKS)
    for file in as_list(message.get("files")) + as_list(message.get("attachments")):
        pieces.append(_file(file))
    return pieces


def _read_part(part: object) -> list[Piece]:
    kind = as_object(part).get("type")
    if isinstance(part, dict) and isinstance(call := part.get("tool_call"), dict):
        return read_part(_call(call))
    if isinstance(part, dict) and kind == "error":
        return [Text(_plain(part.get("text")) or _plain(part.get("error")))]
    if kind in ("agent_update", "summary"):
        return [Aside(str(kind), part)]
    return read_part(part)


def _call(call: JsonObject) -> JsonObject:
    """Return a call, and its result, with the names that formats share."""
    name = next((key for key in _INNER_CALLS if isinstance(call.get(key), dict)), "")
    inner = as_object(call.get(name))
    outputs = [
        {"type": "text", "text": output["logs"]} if isinstance(output.get("logs"), str) else output
        for output in as_list(inner.get("outputs"))
        if isinstance(output, dict)
    ]
    shared: JsonObject = {"outputs": outputs} if outputs else {}
    if name and name != "function":
        shared["name"] = name
    return {**without(call, name), **inner, **shared, "type": "tool_call"}


def _file(file: object) -> Piece:
    fields = as_object(file)
    if not any(fields.get(key) for key in ("filename", "filepath", "file_id")):
        return Aside("attached results", file)
    kind = first_text(fields.get("type"), "file")
    return attachment(fields, kind)._replace(
        name=first_text(fields.get("filename")),
        reference=first_text(fields.get("filepath"), fields.get("file_id")),
        text=first_text(fields.get("text")),
        part=without(fields, "text"),
    )


def _plain(text: object) -> str:
    return first_text(text, as_object(text).get("value"))


FORMAT: Final = Format(
    "librechat",
    "LibreChat export",
    fits,
    read,
    known=("options", "feedback", "summary"),
    joins=joins,
    unmark=partial(unmark_thoughts, begin=_MARKS[0], end=_MARKS[1]),
)
