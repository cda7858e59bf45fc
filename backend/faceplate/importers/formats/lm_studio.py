"""LM Studio's files: ``{"name", "messages": [{"versions": [...], "currentlySelected"}]}``.

A message has versions, of which one is shown; what follows it belongs to that one. An answer has
steps: blocks of text or reasoning, calls, their results and their states.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.openai import read_id
from faceplate.importers.prologue import take_prompts
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)
from faceplate.importers.unread import find_text

_CHAT_FIELDS: Final = ("name", "messages", "createdAt")
_FIELDS: Final = ("role", "type", "content", "steps")
_CALL_FIELDS: Final = ("type", "name", "callId", "toolCallRequestId", "toolCallId")
_BLOCK_FIELDS: Final = ("type", "content", "style", "stepIdentifier", "roleOverride")
_KNOWN: Final = (
    *("preprocessed", "perChatPredictionConfig", "pluginConfigs", "genInfo", "lastUsedModel"),
)
_PROMPT: Final = "llm.prediction.systemPrompt"
_UPDATES: Final = ("assistantLastMessagedAt", "userLastMessagedAt")
_ASIDES: Final = {
    "toolStatus": "states of tools",
    "status": "states",
    "debugInfoBlock": "debugging",
    "citationBlock": "sources",
    "genInfo": "generation",
}
_STOPPED: Final = {"userStopped": "interrupted", "failed": "failed", "modelUnloaded": "failed"}


def fits(value: JsonObject) -> int:
    """Return 4 for messages with versions, 2 for a chat without messages."""
    messages = value.get("messages")
    if not isinstance(messages, list):
        return 0
    if messages:
        return 4 if all(map(_has_versions, messages)) else 0
    return 2 if "perChatPredictionConfig" in value or "lastUsedModel" in value else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with the versions of each message as branches."""
    listed = value.get("messages")
    if not isinstance(listed, list) or not all(map(_has_versions, listed)):
        raise Unreadable("messages must be a list of objects with versions")
    model = as_object(value.get("lastUsedModel"))
    rest = without(value, *_CHAT_FIELDS)
    prompts = take_prompts(rest) + take_prompts({"system": _configured_prompt(value)})
    messages: list[Message] = []
    parent: str | None = None
    for number, message in enumerate(listed, start=1):
        versions = message["versions"]
        selected = message.get("currentlySelected")
        shown = selected if isinstance(selected, int) and 0 <= selected < len(versions) else 0
        beside = without(message, "versions", "currentlySelected")
        for place, version in enumerate(versions):
            made = _read_version(version, first_of(model, "identifier", "indexedModelIdentifier"))
            about = {**beside, **(made.rest or {})}
            messages.append(made._replace(id=f"{number}.{place + 1}", parent=parent, rest=about))
        parent = f"{number}.{shown + 1}" if versions else parent
    yield SourceChat(
        messages,
        id=read_id(value.get("createdAt")) or digest([value.get("name"), listed[:1]]),
        title=value.get("name"),
        created=value.get("createdAt"),
        updated=first_of(value, *_UPDATES),
        is_tree=True,
        current=parent,
        prologue=prompts,
        rest=rest,
    )


def _has_versions(message: object) -> bool:
    return isinstance(as_object(message).get("versions"), list)


def _configured_prompt(value: JsonObject) -> str:
    fields = as_list(as_object(value.get("perChatPredictionConfig")).get("fields"))
    found = (field for field in map(as_object, fields) if field.get("key") == _PROMPT)
    return next((first_text(field.get("value")) for field in found), "")


def _read_version(version: object, model: object) -> Message:
    fields = version if isinstance(version, dict) else {"content": version}
    steps = as_list(fields.get("steps"))
    pieces = [piece for part in _parts(fields.get("content")) for piece in _read_part(part)]
    for step in steps:
        pieces += _read_step(step)
    infos = [info for step in map(as_object, steps) if (info := as_object(step.get("genInfo")))]
    stats = [as_object(info.get("stats")) for info in infos]
    made = [count for each in stats if isinstance(count := each.get("predictedTokensCount"), int)]
    sender = as_object(fields.get("senderInfo")).get("senderName")
    used = [first_of(info, "identifier", "indexedModelIdentifier") for info in infos]
    return Message(
        first_text(fields.get("role"), "unknown"),
        pieces,
        model=first_text(*used[::-1], sender, model),
        input_tokens=stats[-1].get("promptTokensCount") if stats else None,
        output_tokens=sum(made) if made else None,
        status=_STOPPED.get(first_text(stats[-1].get("stopReason"))) if stats else None,
        rest=without(fields, *_FIELDS),
        original=version,
    )


def _parts(content: object) -> list[Any]:
    return content if isinstance(content, list) else [] if content is None else [content]


def _read_step(step: object) -> list[Piece]:
    """Return the pieces of a step of an answer."""
    fields = as_object(step)
    kind = first_text(fields.get("type"))
    if kind in _ASIDES:
        return [Aside(_ASIDES[kind], step)]
    if kind != "contentBlock":
        return read_part(step)
    notes = {key: each for key, each in without(fields, *_BLOCK_FIELDS).items() if _has_more(each)}
    beside = _notes("generation", notes)
    style = as_object(fields.get("style"))
    if style.get("type") == "thinking":
        thought = {"content": fields.get("content"), "style": style}
        return [Aside("reasoning", thought), *beside]
    pieces = [piece for part in _parts(fields.get("content")) for piece in _read_part(part)]
    said = "".join(piece.text for piece in pieces if isinstance(piece, Text))
    others = [piece for piece in pieces if not isinstance(piece, Text)]
    return [*([Text(said)] if said else []), *others, *beside]


def _has_more(value: object) -> bool:
    """Return whether a field of a block is more than a setting."""
    return isinstance(value, dict | list | str) and bool(value)


def _read_part(part: object) -> list[Piece]:
    fields = as_object(part)
    kind = fields.get("type")
    call_id = first_text(
        *(read_id(fields.get(key)) for key in ("toolCallRequestId", "toolCallId", "callId"))
    )
    tool = first_text(fields.get("name"))
    if kind == "text" and fields.get("isStructural") is True:
        return [Aside("structure", part)]
    notes = without(fields, *_CALL_FIELDS)
    if kind == "toolCallRequest":
        given = first_of(fields, "parameters", "arguments")
        call = Call(tool or "function", {} if given is None else given, call_id)
        return [call, *_notes("notes of calls", without(notes, "parameters", "arguments"))]
    if kind == "toolCallResult":
        result = Result(_output(fields.get("content")), call_id, tool)
        return [result, *_notes("notes of calls", without(notes, "content"))]
    if kind == "file":
        reference = first_text(fields.get("fileIdentifier"), fields.get("identifier"))
        name = first_text(tool, reference)
        file_kind = first_text(fields.get("fileType"), "file")
        return [Attachment(file_kind, name, reference, part=part)]
    return read_part(part)


def _notes(kind: str, notes: JsonObject) -> list[Piece]:
    """Return what is kept beside a block or a call, which may have text that nobody knows."""
    if not notes:
        return []
    return [Unknown(notes)] if any(find_text(notes, _KNOWN)) else [Aside(kind, notes)]


def _output(content: object) -> object:
    """Return the parts that a result is, which are mostly the JSON of a list."""
    if not isinstance(content, str) or not content.startswith("["):
        return content
    try:
        parts = json.loads(content)
    except (ValueError, RecursionError):
        return content
    are_parts = bool(parts) and all(as_object(part).get("type") for part in parts)
    return parts if are_parts else content


def unmark(text: str) -> Iterator[str]:
    """Yield the texts in a text that may be a list of parts."""
    output = _output(text)
    for part in output if isinstance(output, list) else [text]:
        fields = as_object(part)
        yield to_text(fields.get("text", "") if fields.get("type") == "text" else part)


FORMAT: Final = Format(
    "lm-studio",
    "LM Studio conversation",
    fits,
    read,
    known=_KNOWN,
    unmark=unmark,
)
