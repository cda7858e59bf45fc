"""DeepSeek data exports, and the answers of its web interface that browser scripts save.

An export is a list of chats with a tree under ``mapping``, as ChatGPT's; its messages have
``fragments`` and no role. The web interface has ``chat_session`` and ``chat_messages``.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.openai import read_id
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

_ROLES: Final = {"REQUEST": "user", "FILE": "user"}
_TEXTS: Final = {"REQUEST", "RESPONSE", "TEMPLATE_RESPONSE"}
_ASIDES: Final = {"THINK": "reasoning", "TIP": "notices"}
_TOOLS: Final = {"SEARCH", "READ_LINK"}
_OUTPUTS: Final = ("results", "result", "content", "output")
_FRAGMENT_FIELDS: Final = ("id", "status", "stage_id", "elapsed_secs")
_UNFINISHED: Final = {"WIP", "INCOMPLETE", "STOPPED", "ABORTED"}
_MESSAGE_FIELDS: Final = (
    *("message_id", "parent_id", "role", "fragments", "files", "model", "inserted_at"),
    *("content", "thinking_content", "reasoning_content", "status"),
)
_CHAT_FIELDS: Final = (
    *("id", "title", "inserted_at", "updated_at", "mapping", "current_message_id"),
    *("chat_session", "chat_messages"),
)


def fits(value: JsonObject) -> int:
    """Return 4 for a tree or list of messages with fragments, 2 for one with only its times."""
    messages = list(_messages(value))
    if any(isinstance(message.get("fragments"), list) for message in messages):
        return 4
    if "chat_session" in value and any("message_id" in message for message in messages):
        return 4
    has_times = "inserted_at" in value or any("inserted_at" in message for message in messages)
    return 2 if has_times and not any("author" in message for message in messages) else 0


def _messages(value: JsonObject) -> Iterator[JsonObject]:
    mapping, listed = value.get("mapping"), value.get("chat_messages")
    if isinstance(mapping, dict):
        for node in mapping.values():
            yield as_object(as_object(node).get("message"))
    elif isinstance(listed, list):
        has_session = isinstance(value.get("chat_session"), dict)
        yield from (
            message
            for message in listed
            if isinstance(message, dict) and (has_session or "fragments" in message)
        )


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    mapping, listed = value.get("mapping"), value.get("chat_messages")
    session = as_object(value.get("chat_session")) or value
    if isinstance(mapping, dict):
        messages = list(_read_tree(mapping))
    elif isinstance(listed, list):
        messages = [_read_listed(each) for each in listed]
    else:
        raise Unreadable("mapping must be an object, or chat_messages a list")
    rest = without(session, *_CHAT_FIELDS)
    if session is not value:
        rest |= without(value, *_CHAT_FIELDS)
    yield SourceChat(
        messages,
        id=first_text(session.get("id")),
        title=session.get("title"),
        created=session.get("inserted_at"),
        updated=session.get("updated_at"),
        is_tree=isinstance(mapping, dict) or any(message.parent for message in messages),
        current=read_id(session.get("current_message_id")),
        rest=rest,
    )


def _read_tree(mapping: JsonObject) -> Iterator[Message]:
    roles: dict[str, str] = {}
    for id_, node in mapping.items():
        fields = as_object(node)
        parent, message = fields.get("parent"), fields.get("message")
        place = Message(
            id=id_,
            parent=parent if isinstance(parent, str) else None,
            children=[each for each in as_list(fields.get("children")) if isinstance(each, str)],
        )
        beside = without(fields, "id", "parent", "children", "message")
        if message is None:
            yield place._replace(rest=beside, original=beside or None)
            continue
        said = message if isinstance(message, dict) else {"content": message}
        asked = roles.get(place.parent or "") == "user"
        read_message = _read_message(place, {**said, **beside}, "assistant" if asked else "user")
        roles[id_] = read_message.role
        yield read_message


def _read_listed(value: object) -> Message:
    message = value if isinstance(value, dict) else {"content": value}
    place = Message(
        id=read_id(message.get("message_id")), parent=read_id(message.get("parent_id")) or None
    )
    return _read_message(place, message, "unknown")


def _read_message(place: Message, message: JsonObject, usual_role: str) -> Message:
    """Return a message; its fragments say whose it is, and else it has the ``usual_role``."""
    fragments = as_list(message.get("fragments"))
    beside: JsonObject = {}
    pieces = [piece for fragment in fragments for piece in _read_fragment(fragment, beside)]
    if message.get("fragments") is not None and not isinstance(message["fragments"], list):
        pieces.append(Unknown({"fragments": message["fragments"]}))
    pieces = _older(message, pieces)
    known = {piece.reference for piece in pieces if isinstance(piece, Attachment)}
    files = (_file(each) for each in as_list(message.get("files")))
    pieces += [file for file in files if not file.reference or file.reference not in known]
    kinds = [first_text(as_object(fragment).get("type")) for fragment in fragments]
    said_by = [_ROLES.get(kind, "assistant") for kind in kinds if kind]
    role = first_text(message.get("role")).lower() or next(iter(said_by), usual_role)
    is_unfinished = first_text(message.get("status")).upper() in _UNFINISHED
    return place._replace(
        role=role,
        pieces=pieces,
        created=message.get("inserted_at"),
        model=message.get("model"),
        status="interrupted" if is_unfinished else None,
        rest={**without(message, *_MESSAGE_FIELDS), **beside},
        original=message,
    )


def _older(message: JsonObject, pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with the text and the thoughts that stand beside fragments, or for them."""
    content = message.get("content")
    thoughts = {"thinking_content", "reasoning_content"} & message.keys()
    asides = [Aside("reasoning", message[key]) for key in sorted(thoughts) if message[key]]
    said = {piece.text for piece in pieces if isinstance(piece, Text)}
    if isinstance(content, str) and content and content not in said:
        pieces = [*pieces, Text(content)]
    elif content and not isinstance(content, str):
        pieces = [*pieces, Unknown({"content": content})]
    return [*asides, *pieces]


def _read_fragment(fragment: Any, beside: JsonObject) -> list[Piece]:
    """Return the pieces of a fragment, and put what is no part of its text ``beside`` it."""
    fields = as_object(fragment)
    kind, content = first_text(fields.get("type")), fields.get("content")
    details = {name: fields[name] for name in _FRAGMENT_FIELDS if fields.get(name) is not None}
    rest = without(fields, "type", "content", *_FRAGMENT_FIELDS)
    if kind in _ASIDES:
        return [Aside(_ASIDES[kind], without(fields, "type"))]
    if kind in _TOOLS or kind.startswith("TOOL_"):
        return _read_tool(kind, without(fields, "type", *_FRAGMENT_FIELDS))
    if kind == "FILE" and isinstance(rest.get("files"), list) and not content:
        files = [_file(file) for file in rest.pop("files")]
        return [*files, *([Unknown(rest)] if any(rest.values()) else [])]
    if kind not in _TEXTS or not isinstance(content, str):
        return [Unknown(fragment)]
    if details:
        beside.setdefault("fragments_details", []).append(details)
    return [Text(content), *([Unknown(rest)] if any(rest.values()) else [])]


def _read_tool(kind: str, fields: JsonObject) -> list[Piece]:
    """Return the call of a tool and its result, which are one fragment."""
    if not any(fields.values()):
        return []
    tool = kind.removeprefix("TOOL_").lower()
    output = first_of(fields, *_OUTPUTS)
    given = {name: item for name, item in fields.items() if item and item is not output}
    return [Call(tool, given), Result("" if output is None else output, "", tool)]


def _file(value: object) -> Attachment:
    return attachment(value if isinstance(value, dict) else {"name": value}, "file")


FORMAT: Final = Format(
    "deepseek",
    "DeepSeek export",
    fits,
    read,
    known=("search_results", "references"),
)
