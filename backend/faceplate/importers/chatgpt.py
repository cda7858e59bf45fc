"""The reader of ChatGPT data exports.

A file is ``conversations.json``, alone or in its zip archive. A chat is a tree under ``mapping``.
ChatGPT shows the path from the root to ``current_node``, without hidden messages, custom
instructions and the model's reasoning. docs/importing.md says how each kind of content is imported.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Chat, Place, Refusal, Unreadable
from faceplate.importers.conversion import Header, TurnTree, make_tree_chat
from faceplate.importers.reading import first_text, make_node, model_name, read_each
from faceplate.importers.trees import Node
from faceplate.importers.turns import Turn, code_block, make_call, to_time

_UNSHOWN: Final = {
    "user_editable_context",
    "model_editable_context",
    "thoughts",
    "reasoning_recap",
}
_STRUCTURE: Final = {"id", "message", "parent", "children"}  # of a node
_EVERYBODY: Final = {"all", "assistant"}
_INTERRUPTED: Final = {"in_progress", "finished_partial_completion"}
_TEXT_KEYS: Final = ("text", "result", "content", "summary")


def recognises(value: JsonObject) -> bool:
    """Return whether ``value`` is a chat of a ChatGPT export."""
    return isinstance(value.get("mapping"), dict)


def read(
    path: Path, on_progress: Callable[[int], None] | None = None
) -> Generator[Chat | Refusal, None, None]:
    """Yield the chats of a file in order, each with its branches."""
    return read_each(_read_chat, path, on_progress)


def _read_chat(place: Place, value: JsonObject) -> Iterator[Chat | Refusal]:
    fields: JsonObject = dict(value)
    mapping = fields.pop("mapping", None)
    if not isinstance(mapping, dict):
        raise Unreadable("mapping must be an object")
    current = fields.pop("current_node", None)
    header = Header(
        place=place,
        format="chatgpt",
        id=first_text(fields.get("conversation_id"), fields.get("id")),
        title=fields.get("title"),
        created=fields.get("create_time"),
        source=fields,
    )
    turns = {id_: turn for id_, node in mapping.items() if (turn := _read_node(id_, node))}
    nodes = {id_: _place_node(node) for id_, node in mapping.items()}
    yield from make_tree_chat(header, TurnTree(turns, nodes, current))


def _place_node(node: object) -> Node:
    fields = _object(node)
    moment = _object(fields.get("message")).get("create_time")
    return make_node(fields.get("parent"), fields.get("children"), moment)


def _read_node(node_id: str, node: object) -> Turn | None:
    message = _object(node).get("message")
    beside = {key: item for key, item in _object(node).items() if key not in _STRUCTURE}
    if message is None:
        return Turn(node_id, "unknown", "", original=beside) if beside else None
    message = message if isinstance(message, dict) else {"content": message}
    if beside:
        message = {**message, "node": beside}
    author = _object(message.get("author"))
    role = author.get("role")
    content = message.get("content")
    kind = _object(content).get("content_type")
    metadata = _object(message.get("metadata"))
    tool, recipient = author.get("name"), message.get("recipient")
    is_call = role == "assistant" and _is_text(recipient) and recipient not in _EVERYBODY

    text, parts, rest = _read_content(content)
    calls = []
    if is_call and (input_ := _raw_text(content, text)):
        calls = [make_call(node_id, str(recipient), input_)]
        text = ""
    status = "interrupted" if message.get("status") in _INTERRUPTED else None
    return Turn(
        id=node_id,
        role=role if isinstance(role, str) else "unknown",
        content=text,
        parts=parts,
        calls=calls,
        tool=tool if role == "tool" and isinstance(tool, str) else None,
        is_hidden=kind in _UNSHOWN
        or metadata.get("is_visually_hidden_from_conversation") is True
        or (role == "system" and message.get("weight") == 0),
        created_at=to_time(message.get("create_time")),
        status=status if role == "assistant" else None,
        model=model_name(metadata.get("model_slug")) if role == "assistant" else None,
        source={**message, "content": rest} if rest else _without(message, "content"),
        original=message,
    )


def _read_content(content: object) -> tuple[str, list[JsonObject], JsonObject]:
    """Return a message's text, its other parts, and the remaining fields."""
    if not isinstance(content, dict):
        return (content, [], {}) if isinstance(content, str) else ("", [], {"value": content})
    rest: JsonObject = dict(content)
    kind = rest.get("content_type")
    if kind == "code" and isinstance(rest.get("text"), str):
        language = rest.get("language")
        is_known = isinstance(language, str) and language.isalnum() and language != "unknown"
        return code_block(rest.pop("text"), str(language) if is_known else ""), [], rest
    if kind == "tether_quote":
        lines = [rest.pop(key) for key in ("title", "url", "text") if _is_text(rest.get(key))]
        return "\n".join(lines), [], rest
    if isinstance(rest.get("parts"), list):
        text, parts = _read_parts(rest.pop("parts"))
        return text, parts, rest
    for key in _TEXT_KEYS:
        if _is_text(rest.get(key)):
            return rest.pop(key), [], rest
    is_empty = not any(value for key, value in rest.items() if key != "content_type")
    return "", [] if is_empty else [{"index": 0, "part": content}], {}


def _read_parts(parts: list[Any]) -> tuple[str, list[JsonObject]]:
    texts: list[str] = []
    others: list[JsonObject] = []
    for index, part in enumerate(parts):
        if isinstance(part, str):
            texts.append(part)
            continue
        text = part.get("text") if isinstance(part, dict) else None
        if _is_text(text):  # the transcript of speech
            texts.append(str(text))
            part = _without(part, "text")  # noqa: PLW2901 - the rest of the part
        if part:
            others.append({"index": index, "part": part})
    return "\n".join(texts), others


def _raw_text(content: object, text: str) -> str:
    """Return the text that was sent to a tool, without a code fence."""
    raw = _object(content).get("text")
    return raw if isinstance(raw, str) else text


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _without(value: JsonObject, key: str) -> JsonObject:
    return {name: item for name, item in value.items() if name != key}
