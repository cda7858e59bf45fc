"""ChatGPT data exports.

A file is ``conversations.json``, alone or in its zip archive. A chat is a tree under ``mapping``.
ChatGPT shows the path from the root to ``current_node``, without hidden messages, custom
instructions and the model's reasoning. docs/importing/formats.md says what becomes of each kind
of content.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)
from faceplate.importers.turns import code_block

WRITER: Final = ("written_by", "faceplate")
"""The field of a chat that `faceplate.exporters` has written."""
CALL_ID: Final = "faceplate_call_id"
"""The id of a call in such a chat, in the metadata of the call and of its results."""
MESSAGE_ID: Final = "faceplate_message_id"
"""The id of the first node of a message in such a chat, in the metadata of its other nodes."""

_REASONING: Final = {"thoughts", "reasoning_recap"}
_UNSHOWN: Final = {"user_editable_context", "model_editable_context", *_REASONING}
_NODE_FIELDS: Final = ("id", "message", "parent", "children")
_FILES: Final = {
    "image_asset_pointer": "image",
    "audio_asset_pointer": "audio",
    "video_container_asset_pointer": "video",
    "real_time_user_audio_video_asset_pointer": "video",
}
_EVERYBODY: Final = {"all", "assistant"}
_INTERRUPTED: Final = {"in_progress", "finished_partial_completion"}
_TEXT_KEYS: Final = ("text", "result", "content", "summary", "output_str")
_PAGES: Final = {"tether_quote", "sonic_webpage"}
_CHAT_FIELDS: Final = ("mapping", "current_node", "title", "id", "conversation_id")


def fits(value: JsonObject) -> int:
    """Return 3 if messages have an author, else 1 for a tree of any messages."""
    mapping = value.get("mapping")
    if not isinstance(mapping, dict):
        return 0
    messages = (as_object(node).get("message") for node in mapping.values())
    return 3 if any("author" in message for message in messages if isinstance(message, dict)) else 1


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    mapping = value.get("mapping")
    if not isinstance(mapping, dict):
        raise Unreadable("mapping must be an object")
    chat_id = first_text(value.get("conversation_id"), value.get("id"))
    rest = without(value, "mapping", "current_node", "title", "conversation_id")
    if rest.get("id") == chat_id:
        del rest["id"]
    is_ours = WRITER in rest.items()
    if is_ours:
        del rest[WRITER[0]]
    messages = _read_nodes(mapping)
    current = value.get("current_node")
    if is_ours:
        messages, current = _join(messages, current)
    yield SourceChat(
        messages,
        id=chat_id,
        title=value.get("title"),
        created=value.get("create_time"),
        updated=value.get("update_time"),
        is_tree=True,
        current=current,
        is_exact=is_ours,
        rest=rest,
    )


def _join(nodes: Iterable[Message], current: object) -> tuple[Iterator[Message], object]:
    """Return the messages that faceplate has written as several nodes each, and the current one."""
    joined: dict[str, Message] = {}
    firsts: dict[str, str] = {}
    for node in nodes:
        metadata = as_object(as_object(node.original).get("metadata"))
        written = first_text(metadata.get(MESSAGE_ID))
        first = joined.get(written) if written else None
        if first is None:
            parent = None if node.parent is None else firsts.get(node.parent)
            joined[node.id] = node if parent is None else node._replace(parent=parent)
        else:
            firsts[node.id] = first.id
            pieces = [*first.pieces, *node.pieces]
            joined[first.id] = first._replace(pieces=pieces, children=node.children)
    return iter(joined.values()), firsts.get(first_text(current), current)


def _read_nodes(mapping: JsonObject) -> Iterator[Message]:
    for id_, node in mapping.items():
        yield _read_node(id_, node, mapping)


def _read_node(id_: str, node: object, mapping: Mapping[str, object]) -> Message:
    fields = as_object(node)
    message = fields.get("message")
    beside = without(fields, *_NODE_FIELDS)
    if message is None:
        return Message(**_place(id_, fields), rest=beside, original=beside or None)
    message = message if isinstance(message, dict) else {"content": message}
    return _read_message(
        _place(id_, fields), {**message, "node": beside} if beside else message, mapping
    )


def _place(id_: str, fields: JsonObject) -> dict[str, Any]:
    """Return the fields of a message that say where it is in the tree."""
    parent = fields.get("parent")
    children = [child for child in as_list(fields.get("children")) if isinstance(child, str)]
    return {
        "id": id_,
        "parent": parent if isinstance(parent, str) else None,
        "children": children,
    }


def _read_message(place: JsonObject, message: JsonObject, mapping: Mapping[str, object]) -> Message:
    author, metadata = as_object(message.get("author")), as_object(message.get("metadata"))
    role, content = author.get("role", message.get("role")), message.get("content")
    pieces, rest = _read_content(content)
    call_id = first_text(metadata.get(CALL_ID))
    if role == "assistant" and (tool := _recipient(message)):
        our_call = _our_call(tool, call_id, as_object(content))
        pieces = [our_call] if call_id else _call(place["id"], tool, content, pieces)
    elif role == "tool":
        pieces = _result(message, pieces, mapping.get(place["parent"] or ""), call_id)
    pieces += [
        attachment(each, "file")
        for each in as_list(metadata.get("attachments"))
        if isinstance(each, dict)
    ]
    return Message(
        **place,
        role=role if isinstance(role, str) else "unknown",
        pieces=pieces,
        is_hidden=first_text(as_object(content).get("content_type")) in _UNSHOWN
        or metadata.get("is_visually_hidden_from_conversation") is True
        or (role == "system" and message.get("weight") == 0),
        created=message.get("create_time"),
        status="interrupted" if first_text(message.get("status")) in _INTERRUPTED else None,
        model=metadata.get("model_slug"),
        rest={**message, "content": rest} if rest else without(message, "content"),
        original=message,
    )


def _recipient(message: JsonObject) -> str:
    """Return the tool to which a message goes, or empty text."""
    recipient = first_text(message.get("recipient"))
    return recipient if recipient.strip() and recipient not in _EVERYBODY else ""


def _call(id_: str, tool: str, content: object, pieces: list[Piece]) -> list[Piece]:
    """Return the call that a message to a tool is, without a fence around its code."""
    raw = as_object(content).get("text")
    input_ = (
        raw if isinstance(raw, str) else "\n".join(p.text for p in pieces if isinstance(p, Text))
    )
    others = [piece for piece in pieces if not isinstance(piece, Text)]
    return [Call(tool, input_, id_), *others] if input_ else pieces


def _our_call(tool: str, call_id: str, content: JsonObject) -> Call:
    """Return a call that faceplate has written, of the type that it had."""
    kind = "function" if content.get("language") == "json" else "custom"
    return Call(tool, first_text(content.get("text")), call_id, kind)


def _result(message: JsonObject, pieces: list[Piece], parent: object, call_id: str) -> list[Piece]:
    """Return a tool's result; it answers the message that it follows, if that called the tool."""
    asked = as_object(as_object(parent).get("message"))
    name = first_text(as_object(message.get("author")).get("name"))
    is_answer = name and name.partition(".")[0] == _recipient(asked).partition(".")[0]
    text = "\n".join(piece.text for piece in pieces if isinstance(piece, Text))
    others = [piece for piece in pieces if not isinstance(piece, Text)]
    asked_id = first_text(asked.get("id")) if is_answer else ""
    return [Result(text, call_id or asked_id, name), *others]


def _read_content(content: object) -> tuple[list[Piece], JsonObject]:
    """Return the pieces of a message, and the remaining fields of its content."""
    if not isinstance(content, dict):
        return ([Text(content)], {}) if isinstance(content, str) else ([], {"value": content})
    rest: JsonObject = dict(content)
    kind = first_text(rest.get("content_type"))
    if kind in _REASONING:
        return [Aside("reasoning", content)], {}
    if isinstance(rest.get("parts"), list):
        return [piece for part in rest.pop("parts") for piece in _read_part(part)], rest
    if (text := _take_text(kind, rest)) is not None:
        return [Text(text)], rest
    is_empty = not any(value for key, value in rest.items() if key != "content_type")
    return [] if is_empty else [Unknown(content)], {}


def _take_text(kind: str, rest: JsonObject) -> str | None:
    """Remove the text of a content of this kind from its fields and return it."""
    if kind == "code" and isinstance(rest.get("text"), str):
        language = rest.get("language")
        is_known = isinstance(language, str) and language.isalnum() and language != "unknown"
        return code_block(rest.pop("text"), str(language) if is_known else "")
    if kind in _PAGES:
        return _take_page(rest)
    return next((str(rest.pop(key)) for key in _TEXT_KEYS if _is_text(rest.get(key))), None)


def _take_page(rest: JsonObject) -> str:
    """Remove what a web page says from the fields of a content; its text may have the snippet."""
    lines = [str(rest.pop(key)) for key in ("title", "url", "text") if _is_text(rest.get(key))]
    snippet = rest.get("snippet")
    if _is_text(snippet):
        del rest["snippet"]
        lines += [] if any(str(snippet) in line for line in lines) else [str(snippet)]
    return "\n".join(lines)


def _read_part(part: Any) -> list[Piece]:
    if isinstance(part, str):
        return [Text(part)]
    if not part:
        return []
    if not isinstance(part, dict):
        return [Unknown(part)]
    if kind := _FILES.get(str(part.get("content_type"))):
        return [attachment(part, kind)]
    text = part.get("text")
    if not _is_text(text):
        return [Unknown(part)]
    rest = without(part, "text")
    is_speech = part.get("content_type") == "audio_transcription"
    return [Text(str(text)), Aside("speech", rest) if is_speech else Unknown(rest)]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


FORMAT: Final = Format(
    "chatgpt",
    "ChatGPT export",
    fits,
    read,
    known=(
        *("metadata", "model_editable_context", "user_editable_context"),
        *("domain", "ref_id", "tether_id", "pub_date", "crawl_date"),  # of web pages
    ),
)
