"""Sessions of Continue: ``{"sessionId", "title", "history": [{"message", "contextItems", ...}]}``.

What the program sends to the model for a message is in ``promptLogs``, and repeats all that was
said before it: the import leaves the prompts out. The result of a call is a message of role
``tool``, or is only in ``toolCallStates`` beside the call.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_result
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Attachment,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
)
from faceplate.importers.unread import texts

_CHAT_FIELDS: Final = ("sessionId", "title", "dateCreated", "history")
_ITEM_FIELDS: Final = ("message", "contextItems", "editorState", "promptLogs", "reasoning")
_PROMPT_FIELDS: Final = ("prompt", "completion")
_NO_TITLES: Final = ("", "New Session")
_RENAMED: Final = {"toolCalls": "tool_calls", "toolCallId": "tool_call_id"}


def fits(value: JsonObject) -> int:
    """Return 4 for a history of messages with items of their context, or a session without any."""
    history = value.get("history")
    if history == []:
        names = (value.get("sessionId"), value.get("workspaceDirectory"))
        return 4 if all(isinstance(name, str) for name in names) else 0
    return 4 if as_list(history) and all(map(_is_item, as_list(history))) else 0


def _is_item(value: object) -> bool:
    fields = as_object(value)
    has_role = isinstance(as_object(fields.get("message")).get("role"), str)
    return has_role and isinstance(fields.get("contextItems"), list)


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the session of a value."""
    history = as_list(value.get("history"))
    if not all(map(_is_item, history)):
        raise Unreadable("history must be a list of objects with message and contextItems")
    if not history and first_text(value.get("title")) in _NO_TITLES:
        yield SourceChat((), id=first_text(value.get("sessionId")))
        return
    answered = {first_text(item["message"].get("toolCallId")) for item in history} - {""}
    yield SourceChat(
        map(partial(_read_item, answered=answered), history),
        id=first_text(value.get("sessionId")),
        title=value.get("title"),
        created=value.get("dateCreated"),
        rest=without(value, *_CHAT_FIELDS),
    )


def _read_item(item: JsonObject, answered: Collection[str]) -> Message:
    """Return the message of an item; ``answered`` are the calls that messages of tools answer."""
    fields = {_RENAMED.get(key, key): field for key, field in item["message"].items()}
    thoughts = [item["reasoning"]] if item.get("reasoning") else []
    if fields["role"] == "thinking":
        fields["role"] = "assistant"
        thoughts.append(fields.pop("content", None))
    message = openai.read_message(fields)
    said = "\n".join(_said(message.pieces))
    context = map(_context, item["contextItems"])
    pieces: list[Piece] = [Aside("reasoning", thought) for thought in thoughts]
    pieces += message.pieces
    for file in context:
        is_said = message.role == "tool" and file.text in said
        pieces.append(Aside("context", file.part) if is_said else file)
    pieces += _results(item, answered)
    rest = {**(message.rest or {}), **without(item, *_ITEM_FIELDS)}
    state = item.get("editorState")
    if not _has_all(said, _typed(state)):
        rest["editorState"] = state
    elif not _has_all(said, texts({"text": state})):
        pieces.append(Aside("editorState", state))
    if logs := [
        without(as_object(each), *_PROMPT_FIELDS) for each in as_list(item.get("promptLogs"))
    ]:
        rest["promptLogs"] = logs
    return message._replace(pieces=pieces, rest=rest, original=item)


def _said(pieces: Iterable[Piece]) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, Text):
            yield piece.text
        elif isinstance(piece, Result):
            yield read_result(piece.content)[0]


def _typed(state: object) -> Iterator[str]:
    """Yield what somebody has typed into the editor, without its mentions, code and commands."""
    if isinstance(state, str):
        yield state
    elif isinstance(state, dict):
        yield first_text(state.get("text"))
        for child in as_list(state.get("content")):
            yield from _typed(child)


def _has_all(said: str, parts: Iterable[str]) -> bool:
    """Return whether a text has these parts, as lines or else in their order."""
    lines = {line.strip() for line in said.splitlines()}
    at = 0
    for text in map(str.strip, parts):
        if text in lines:
            continue
        begin = said.find(text, at)
        if begin < 0:
            return False
        at = begin + len(text)
    return True


def _results(item: JsonObject, answered: Collection[str]) -> Iterator[Result]:
    """Yield the results beside the calls of a message that no message of a tool repeats."""
    listed = [item.get("toolCallState"), *as_list(item.get("toolCallStates"))]
    states = {_call_id(state): state for state in map(as_object, listed) if state}
    for id_, state in states.items():
        outputs = map(as_object, as_list(state.get("output")))
        said = [text for each in outputs if (text := first_text(each.get("content")))]
        if said and id_ not in answered:
            failed = state.get("status") == "errored"
            yield Result("\n\n".join(said), id_, is_error=failed)


def _call_id(state: JsonObject) -> str:
    return first_text(state.get("toolCallId"), as_object(state.get("toolCall")).get("id"))


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
    known=("promptLogs", "toolCallState", "toolCallStates", "appliedRules", "modifiers"),
)
