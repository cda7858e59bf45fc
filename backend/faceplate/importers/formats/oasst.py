"""OpenAssistant's message trees: ``{"message_tree_id", "prompt": {"text", "role", "replies"}}``.

The data set has them also flat, a message a line, with ``parent_id``. Replies are alternatives; the
shown ones are those of the best rank.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.contents import read_content
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Message, SourceChat

_ROLES: Final = {"prompter": "user"}
_FIELDS: Final = (
    *("message_id", "parent_id", "text", "role", "replies", "created_date", "model_name"),
    "message_tree_id",
)
_LAST: Final = float("inf")


def fits(value: JsonObject) -> int:
    """Return 4 for a tree, or for the messages of trees."""
    messages = [each for each in as_list(value.get("messages")) if isinstance(each, dict)]
    is_tree = _is_node(as_object(value.get("prompt")))
    return 4 if is_tree or (messages and all(map(_is_flat, messages))) else 0


def joins(value: JsonObject) -> str | None:
    """Return the tree of a message that is a value of its own."""
    return first_text(value.get("message_tree_id")) if _is_flat(value) else None


def _is_node(value: JsonObject) -> bool:
    return all(key in value for key in ("message_id", "text", "role"))


def _is_flat(value: JsonObject) -> bool:
    return _is_node(value) and "parent_id" in value


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of each tree."""
    if prompt := as_object(value.get("prompt")):
        yield _read_tree(list(_flatten(prompt)), without(value, "prompt"))
        return
    nodes = [as_object(message) for message in as_list(value.get("messages"))]
    for tree in _trees(nodes):
        yield _read_tree(tree, without(value, "messages", "id"))


def _flatten(prompt: JsonObject) -> Iterator[JsonObject]:
    """Yield the messages of a tree, each after its parent."""
    waiting = [(prompt, None)]
    while waiting:
        node, parent = waiting.pop()
        yield {**node, "parent_id": parent}
        replies = [each for each in as_list(node.get("replies")) if isinstance(each, dict)]
        waiting.extend((reply, node.get("message_id")) for reply in reversed(replies))


def _trees(nodes: Iterable[JsonObject]) -> list[list[JsonObject]]:
    """Return the messages of each tree, in their order."""
    listed = list(nodes)
    parents = {_id(node): first_text(node.get("parent_id")) for node in listed}
    roots: dict[str, str] = {}
    trees: dict[str, list[JsonObject]] = {}
    for node in listed:
        path: dict[str, None] = {}
        at = _id(node)
        while at not in roots and at not in path and parents.get(at) in parents:
            path[at] = None
            at = parents[at]
        root = roots.get(at, at)
        roots.update(dict.fromkeys((*path, at), root))
        trees.setdefault(root, []).append(node)
    return list(trees.values())


def _id(node: JsonObject) -> str:
    return first_text(node.get("message_id"))


def _read_tree(nodes: list[JsonObject], about: JsonObject) -> SourceChat:
    ranks = {_id(node): _rank(node) for node in nodes}
    best: dict[str, str] = {}
    for node in nodes:
        parent, id_ = first_text(node.get("parent_id")), _id(node)
        if parent not in best or ranks[id_] < ranks[best[parent]]:
            best[parent] = id_
    return SourceChat(
        [_read_node(node) for node in nodes],
        id=first_text(about.get("message_tree_id"), nodes[0].get("message_tree_id"), _id(nodes[0])),
        is_tree=True,
        current=_end(best),
        rest=without(about, "message_tree_id"),
    )


def _rank(node: JsonObject) -> float:
    rank = node.get("rank")
    return rank if isinstance(rank, int) else _LAST


def _end(best: Mapping[str, str]) -> str | None:
    """Return the last message of the path of the best replies."""
    seen: set[str] = set()
    at = ""
    while at in best and at not in seen:
        seen.add(at)
        at = best[at]
    return at or None


def _read_node(node: JsonObject) -> Message:
    role = first_text(node.get("role"), "unknown")
    return Message(
        _ROLES.get(role, role),
        read_content(node.get("text")),
        id=_id(node),
        parent=first_text(node.get("parent_id")) or None,
        created=node.get("created_date"),
        model=node.get("model_name"),
        rest={key: field for key, field in without(node, *_FIELDS).items() if field is not None},
        original=node,
    )


FORMAT: Final = Format(
    "oasst",
    "OpenAssistant's message trees",
    fits,
    read,
    known=(
        *("message_id", "parent_id", "user_id", "lang", "created_date", "model_name"),
        *("labels", "emojis", "events", "detoxify"),
    ),
    joins=joins,
)
