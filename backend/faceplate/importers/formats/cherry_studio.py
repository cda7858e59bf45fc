"""Backups of Cherry Studio: ``{"localStorage": {...}, "indexedDB": {"topics", "message_blocks"}}``.

A topic is a chat, and a message names its blocks. The titles of the topics and the prompts of their
assistants are JSON text within JSON text, in the store of the settings.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_content
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
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
from faceplate.importers.turns import code_block

_STORE: Final = "persist:cherry-studio"
_FIELDS: Final = (
    *("id", "role", "content", "blocks", "createdAt", "model", "modelId", "usage", "askId"),
    *("topicId", "assistantId", "files", "images"),
)
_BLOCK_FIELDS: Final = ("id", "messageId", "type", "createdAt", "updatedAt", "status", "content")
_ASIDES: Final = {
    "thinking": "reasoning",
    "translation": "translations",
    "citation": "sources",
}
_STATUSES: Final = {"paused": "interrupted", "error": "failed"}


class _About(NamedTuple):
    """What the settings say of a topic."""

    topic: JsonObject
    assistant: JsonObject


def fits(value: JsonObject) -> int:
    """Return 4 for a database with topics that have messages."""
    topics = as_list(as_object(value.get("indexedDB")).get("topics"))
    are_topics = all(isinstance(as_object(each).get("messages"), list) for each in topics)
    return 4 if topics and are_topics else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of each topic."""
    tables = as_object(value.get("indexedDB"))
    topics = as_list(tables.get("topics"))
    if not all(isinstance(as_object(each).get("messages"), list) for each in topics):
        raise Unreadable("topics must be a list of objects with messages")
    blocks = as_list(tables.get("message_blocks"))
    places = {_id(block): place for place, block in enumerate(blocks)}
    known = _find_topics(as_object(value.get("localStorage")).get(_STORE))
    for topic in topics:
        about = known.get(_id(topic), _About({}, {}))
        yield _read_topic(topic, about, _Blocks(blocks, places))


def _id(value: object) -> str:
    return first_text(as_object(value).get("id"))


class _Blocks(NamedTuple):
    """The blocks of all messages: the list may be in a file."""

    listed: list[Any]
    places: Mapping[str, int]

    def of(self, message: JsonObject) -> Iterator[object]:
        """Yield the blocks of a message; only the id of one that is not there."""
        for id_ in as_list(message.get("blocks")):
            place = self.places.get(id_) if isinstance(id_, str) else None
            yield {"id": id_} if place is None else self.listed[place]


def _find_topics(store: object) -> dict[str, _About]:
    """Return what the settings say of each topic, by its id."""
    assistants = as_object(_decoded(as_object(_decoded(store)).get("assistants")))
    return {
        _id(topic): _About(topic, as_object(assistant))
        for assistant in as_list(assistants.get("assistants"))
        for topic in map(as_object, as_list(as_object(assistant).get("topics")))
    }


def _decoded(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return None


def _read_topic(topic: JsonObject, about: _About, blocks: _Blocks) -> SourceChat:
    if not any(_messages(topic)):
        return SourceChat((), id=_id(topic))
    assistant, fields = without(about.assistant, "topics"), without(about.topic, "messages")
    prompts = [*take_prompts(assistant, ("prompt",)), *take_prompts(fields, ("prompt",))]
    parents, end = _parents(topic)
    messages = zip(_messages(topic), parents, strict=True)
    return SourceChat(
        (_read_message(each, parent, blocks) for each, parent in messages),
        id=_id(topic),
        title=first_text(fields.get("name"), topic.get("name")),
        created=fields.get("createdAt"),
        updated=fields.get("updatedAt"),
        is_tree=True,
        current=end,
        prologue=prompts,
        rest={
            **without(topic, "id", "messages"),
            "topic": without(fields, "id", "name", "createdAt", "updatedAt"),
            "assistant": {key: assistant[key] for key in ("id", "name") if key in assistant},
        },
    )


def _messages(topic: JsonObject) -> Iterator[JsonObject]:
    """Yield the messages of a topic: the list may be in a file."""
    return (each for each in topic["messages"] if isinstance(each, dict))


def _parents(topic: JsonObject) -> tuple[list[str | None], str | None]:
    """Return the parent of each message, and the end of the path.

    The answers to one question are branches; what follows goes on from the one that was marked as
    useful, or else from the last.
    """
    ids = {_id(message) for message in _messages(topic)} - {""}
    parents: list[str | None] = []
    parent: str | None
    end: str | None = None
    question, is_chosen = "", False
    for message in _messages(topic):
        asked = first_text(message.get("askId"))
        if message.get("role") == "assistant" and asked in ids:
            is_chosen = is_chosen and asked == question
            question, parent = asked, asked
        else:
            question, is_chosen, parent = "", False, end
        parents.append(parent)
        if not is_chosen:
            end = _id(message) or None
        is_chosen = is_chosen or message.get("useful") is True
    return parents, end


def _read_message(message: JsonObject, parent: str | None, blocks: _Blocks) -> Message:
    usage = as_object(message.get("usage"))
    pieces = [piece for block in blocks.of(message) for piece in _read_block(block)]
    return Message(
        first_text(message.get("role"), "unknown"),
        [*read_content(message.get("content")), *_files(message), *pieces],
        id=_id(message),
        parent=parent,
        created=message.get("createdAt"),
        model=first_text(as_object(message.get("model")).get("id"), message.get("modelId")),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
        status=_STATUSES.get(first_text(message.get("status"))),
        rest=without(message, *_FIELDS),
        original=[message, *blocks.of(message)],
    )


def _files(message: JsonObject) -> Iterator[Attachment]:
    """Yield the files and pictures of a message of the old form."""
    for key, kind in (("files", "file"), ("images", "image")):
        for file in as_list(message.get(key)):
            is_object = isinstance(file, dict)
            yield _file(file, kind) if is_object else attachment({"url": file}, kind)


def _file(fields: JsonObject, kind: str) -> Attachment:
    file = {**fields, **as_object(fields.get("file"))}
    name = first_text(file.get("origin_name"), file.get("name"))
    reference = first_text(file.get("url"), file.get("path"), file.get("filePath"))
    found = attachment(without(fields, "content"), kind)
    return found._replace(kind=kind, name=name, reference=reference)


def _read_block(block: object) -> Iterator[Piece]:
    fields = as_object(block)
    kind, content = first_text(fields.get("type")), fields.get("content")
    rest = without(fields, *_BLOCK_FIELDS)
    if kind == "main_text" and isinstance(content, str):
        yield Text(content)
    elif kind == "code" and isinstance(content, str):
        yield Text(code_block(content, first_text(rest.pop("language", None))))
    elif kind == "tool":
        yield from _read_call(fields)
        return
    elif kind in _ASIDES:
        yield Aside(_ASIDES[kind], without(fields, "id", "messageId", "type"))
        return
    elif kind in ("image", "file", "video"):
        yield _file(fields, kind)
        return
    elif kind == "error":
        yield Text(first_text(as_object(rest.get("error")).get("message")))
    elif kind:
        yield Unknown(block)
        return
    else:
        yield Aside("missing parts", block)
        return
    if any(rest.values()):
        yield Aside("notes of texts", rest)


def _read_call(block: JsonObject) -> Iterator[Piece]:
    raw = as_object(as_object(block.get("metadata")).get("rawMcpToolResponse"))
    tool = first_text(block.get("toolName"), as_object(raw.get("tool")).get("name"), "function")
    id_ = first_text(block.get("toolId"), block.get("id"))
    given, content = block.get("arguments", raw.get("arguments")), block.get("content")
    output = raw.get("response") if content is None else content
    yield Call(tool, {} if given is None else given, id_)
    if output is not None:
        parts = as_object(output).get("content")
        said = (as_object(each).get("isError") for each in (content, raw.get("response")))
        failed = block.get("status") == "error" or any(each is True for each in said)
        yield Result(parts if isinstance(parts, list) else output, id_, tool, is_error=failed)
    yield Aside("steps", without(block, "toolName", "arguments", "content"))


FORMAT: Final = Format(
    "cherry-studio",
    "Cherry Studio backup",
    fits,
    read,
    known=("blocks",),
)
