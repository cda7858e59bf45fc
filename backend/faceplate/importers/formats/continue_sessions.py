"""Sessions of Continue: ``{"sessionId", "title", "history": [{"message", "contextItems", ...}]}``.

What the program sends to the model for a message is in ``promptLogs``, and repeats all that was
said before it: the import leaves the prompts out.
"""

from collections.abc import Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Aside, Attachment, Message, Piece, SourceChat, Text
from faceplate.importers.unread import texts

_CHAT_FIELDS: Final = ("sessionId", "title", "dateCreated", "history")
_ITEM_FIELDS: Final = ("message", "contextItems", "editorState", "promptLogs", "reasoning")
_PROMPT_FIELDS: Final = ("prompt", "completion")
_RENAMED: Final = {"toolCalls": "tool_calls", "toolCallId": "tool_call_id"}


def fits(value: JsonObject) -> int:
    """Return 4 for a history of messages with items of their context."""
    history = as_list(value.get("history"))
    return 4 if history and all(map(_is_item, history)) else 0


def _is_item(value: object) -> bool:
    fields = as_object(value)
    has_role = isinstance(as_object(fields.get("message")).get("role"), str)
    return has_role and isinstance(fields.get("contextItems"), list)


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the session of a value."""
    history = as_list(value.get("history"))
    if not all(map(_is_item, history)):
        raise Unreadable("history must be a list of objects with message and contextItems")
    yield SourceChat(
        map(_read_item, history),
        id=first_text(value.get("sessionId")),
        title=value.get("title"),
        created=value.get("dateCreated"),
        rest=without(value, *_CHAT_FIELDS),
    )


def _read_item(item: JsonObject) -> Message:
    fields = {_RENAMED.get(key, key): field for key, field in item["message"].items()}
    thoughts = [item["reasoning"]] if item.get("reasoning") else []
    if fields["role"] == "thinking":
        fields["role"] = "assistant"
        thoughts.append(fields.pop("content", None))
    message = openai.read_message(fields)
    pieces: list[Piece] = [Aside("reasoning", thought) for thought in thoughts]
    pieces += [*message.pieces, *map(_context, item["contextItems"])]
    rest = {**(message.rest or {}), **without(item, *_ITEM_FIELDS)}
    said = "\n".join(piece.text for piece in message.pieces if isinstance(piece, Text))
    if not all(text in said for text in texts({"text": item.get("editorState")})):
        rest["editorState"] = item["editorState"]
    if logs := [
        without(as_object(each), *_PROMPT_FIELDS) for each in as_list(item.get("promptLogs"))
    ]:
        rest["promptLogs"] = logs
    return message._replace(pieces=pieces, rest=rest, original=item)


def _context(item: object) -> Attachment:
    """Return what was given to the model beside a question, such as a file."""
    fields = item if isinstance(item, dict) else {"name": item}
    return Attachment(
        "context",
        first_text(fields.get("name")),
        first_text(as_object(fields.get("uri")).get("value"), fields.get("description")),
        first_text(fields.get("content")),
        without(fields, "content"),
    )


FORMAT: Final = Format(
    "continue",
    "Continue session",
    fits,
    read,
    known=("promptLogs", "toolCallStates", "appliedRules", "modifiers"),
)
