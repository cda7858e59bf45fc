"""Trees of messages that name the ones after them, or all before them, as Hugging Face chat-ui's.

A message has ``children``, which are ids or the messages themselves, or ``ancestors``, from the
first message on; some name their parent as well. The speaker is under ``from`` or ``role``.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.shelf import Shelf
from faceplate.importers.source import Message, SourceChat

_SPEAKERS: Final = ("from", "role")
_TEXTS: Final = ("content", "value", "text")
_LINKS: Final = ("children", "ancestors")
_CHAT_FIELDS: Final = ("_id", "rootMessageId", "messages")


def fits(value: JsonObject) -> int:
    """Return 3 for a tree of messages with ``from``, 2 for any other one."""
    listed = as_list(value.get("messages"))
    if not listed or not all(map(_is_message, listed)) or not any(map(_is_linked, listed)):
        return 0
    ids = {_id(message) for message in listed}
    linked = [each for message in listed for key in _LINKS for each in as_list(message.get(key))]
    objects = [each for each in linked if isinstance(each, dict)]
    is_whole = all(map(_is_message, objects)) and ("" not in ids or len(objects) == len(linked))
    return (3 if "from" in listed[0] else 2) if is_whole else 0


def _is_message(value: object) -> bool:
    fields = as_object(value)
    return bool(_speaker(fields)) and any(key in fields for key in _TEXTS)


def _speaker(message: JsonObject) -> str:
    return first_text(*(message.get(key) for key in _SPEAKERS))


def _is_linked(message: JsonObject) -> bool:
    return any(as_list(message.get(key)) for key in _LINKS)


def _id(message: JsonObject) -> str:
    return openai.read_id(message.get("id"))


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    listed = value.get("messages")
    if not isinstance(listed, list) or not all(map(_is_message, listed)):
        raise Unreadable("messages must be a list of objects with from or role, and a text")
    fields = without(value, *_CHAT_FIELDS)
    given = value.get("_id")
    if "id" not in fields and (id_ := first_text(given, as_object(given).get("$oid"))):
        fields["id"] = id_
    elif given is not None:
        fields["_id"] = given
    yield openai.read_chat(fields, Shelf(_flatten(listed)))._replace(is_exact=False)


def _flatten(listed: list[Any]) -> Iterator[Message]:
    """Yield the messages of a list and the ones in them, each with its parent."""
    ids = {_id(message) for message in listed}
    parents = {
        openai.read_id(child): _id(message)
        for message in listed
        for child in as_list(message.get("children"))
    }
    waiting: list[tuple[str | None, Iterator[JsonObject]]] = [(None, iter(listed))]
    number = 0
    while waiting:
        parent, messages = waiting[-1]
        if (message := next(messages, None)) is None:
            waiting.pop()
            continue
        number += 1
        name = _id(message) or f"message {number}"
        before = [id_ for each in as_list(message.get("ancestors")) if (id_ := _known(each, ids))]
        parent = parent or (before[-1] if before else parents.get(_id(message)))
        read_message = _read_message(message)
        named = _known(read_message.parent, ids)  # the word of the message itself counts
        yield read_message._replace(id=name, parent=named or parent)
        waiting.append((name, filter(_is_message, as_list(message.get("children")))))


def _known(value: object, ids: set[str]) -> str:
    id_ = openai.read_id(value)
    return id_ if id_ in ids else ""


def _read_message(message: JsonObject) -> Message:
    children = [each for each in as_list(message.get("children")) if isinstance(each, dict)]
    fields = without(message, *_SPEAKERS, *_LINKS, "interrupted")
    fields["role"] = _speaker(message)
    if "role" in message and "from" in message:
        fields["name"] = message["role"]
    if others := [each for each in children if not _is_message(each)]:
        fields["messages"] = others
    if isinstance(files := message.get("files"), list):
        fields["files"] = [_file(each) for each in files]
    read_message = openai.read_message(fields)
    is_cut = message.get("interrupted") is True
    return read_message._replace(
        status="interrupted" if is_cut else read_message.status,
        original=without(message, "children"),
    )


def _file(file: Any) -> Any:
    fields = as_object(file)
    if not fields.keys() >= {"name", "value"}:
        return file
    named = {"id": fields["value"], "mime_type": fields.get("mime")}
    return {**without(fields, "value", "mime"), **named}


FORMAT: Final = Format(
    "message-tree",
    "trees of messages",
    fits,
    read,
    known=("updates", "routerMetadata"),
)
