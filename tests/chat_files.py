"""Files of chats as other programs export them, and what every chat that is read must pass."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from faceplate.column_types import Ruled
from faceplate.importers import Chat, Refusal, read_chats
from faceplate.models import Conversation, Message
from faceplate.services import tool_calls
from faceplate.services.messages import NewMessage

DATA = Path(__file__).parent / "data"
MORE = Path(__file__).parents[2] / "shared" / "data"
"""Larger files from other programs, beside the repository: read in addition, where they are."""


def existing(files: Iterable[tuple[Path, *tuple[Any, ...]]]) -> list[Any]:
    """The parameters of a test that reads each of these files which is here, and what is in it."""
    return [pytest.param(*file, id=str(file[0])) for file in files if file[0].exists()]


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def read_all(path: Path) -> tuple[list[Chat], list[Refusal]]:
    """The chats of a file of any format, each by the rules of the tables, and the refusals."""
    chats, refusals = [], []
    for item in read_chats(path):
        if isinstance(item, Refusal):
            refusals.append(item)
        else:
            check(item)
            chats.append(item)
    return chats, refusals


def check(chat: Chat) -> None:
    """Raise InvalidInput where the database would refuse the chat."""
    _rule(Conversation, "title").validate(chat.title)
    _rule(Conversation, "metadata").validate(chat.metadata)
    _rule(Conversation, "source").validate(chat.source)
    _rule(Conversation, "key").validate(chat.key)
    assert chat.names is None or len({*chat.names}) == len(chat.names) == len(chat.messages)
    for message in chat.messages:
        for name in ("role", "content", "metadata"):
            _rule(Message, name).validate(getattr(message, name))
        for name in ("created_at", "model"):
            _rule(Message, name).optional().check(getattr(message, name))
        if message.tool_calls is not None:
            assert message.role == "assistant"
            tool_calls.check_calls(message.tool_calls)
        assert (message.tool_results is not None) == (message.role == "tool")
        if message.tool_results is not None:
            tool_calls.check_results(message.tool_results)
    followed = {parent_of(chat, position) for position in range(1, len(chat.messages) + 1)}
    for end in range(1, len(chat.messages) + 1):
        if end not in followed:
            _check_path(path(chat, end), is_whole=chat.source != "openai")


def _check_path(messages: list[NewMessage], *, is_whole: bool) -> None:
    pending: set[str] = set()
    for message in messages:
        tool_calls.update_pending(pending, message.tool_calls, message.tool_results)
    assert not (pending and is_whole)


def parent_of(chat: Chat, position: int) -> int:
    """The position that a message follows, or 0."""
    parent = chat.parents[position - 1] if chat.parents else None
    if parent is None:
        return position - 1
    assert 1 <= parent <= position
    return parent if parent < position else 0


def path(chat: Chat, end: int | None = None) -> list[NewMessage]:
    """The messages up to that position, or up to the head."""
    position = end or chat.head or len(chat.messages)
    found = []
    while position:
        found.append(chat.messages[position - 1])
        position = parent_of(chat, position)
    return found[::-1]


def _rule(model: type[Any], column: str) -> Ruled:
    return cast("Ruled", model.__table__.c[column].type)


def spoken(chat: Chat, end: int | None = None) -> list[tuple[str | None, str]]:
    return [(message.role, message.content) for message in path(chat, end)]


def chatgpt(
    nodes: Iterable[dict[str, Any]], current: str | None = None, **fields: Any
) -> dict[str, Any]:
    """A chat of a ChatGPT export; without ``current`` the last node is it."""
    mapping = {node["id"]: node for node in nodes}
    for node in mapping.values():
        if node["parent"] in mapping:
            mapping[node["parent"]]["children"].append(node["id"])
    return {
        "title": "Pears",
        "create_time": 1_700_000_000.5,
        "update_time": 1_700_000_100,
        "mapping": mapping,
        "current_node": current or list(mapping)[-1],
        "conversation_id": "c-1",
        "id": "c-1",
        **fields,
    }


def node(
    id_: str, parent: str | None, role: str | None = None, content: Any = None, **message: Any
) -> dict[str, Any]:
    """A node of a ChatGPT export: ``content`` is text or a content object; no role, no message."""
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    author = {"role": role, "name": message.pop("name", None), "metadata": {}}
    said = {
        "id": id_,
        "author": author,
        "create_time": 1_700_000_000 + len(id_),
        "content": content,
        "status": "finished_successfully",
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
        **message,
    }
    return {"id": id_, "parent": parent, "children": [], "message": said if role else None}


def thread(*said: str, prefix: str = "m") -> list[dict[str, Any]]:
    """The nodes of a ChatGPT chat in which question and answer alternate."""
    nodes: list[dict[str, Any]] = []
    for number, text in enumerate(said):
        parent = nodes[-1]["id"] if nodes else None
        nodes.append(node(f"{prefix}{number}", parent, ("user", "assistant")[number % 2], text))
    return nodes


def open_webui(
    messages_: Iterable[dict[str, Any]], current: str | None = None, **fields: Any
) -> dict[str, Any]:
    """A chat of an Open WebUI export; without ``current`` the last message is it."""
    by_id = {message["id"]: message for message in messages_}
    for message in by_id.values():
        if message["parentId"] in by_id:
            by_id[message["parentId"]]["childrenIds"].append(message["id"])
    return {
        "id": "w-1",
        "user_id": "u-1",
        "title": "Plums",
        "chat": {
            "title": "Plums",
            "models": ["llama"],
            "history": {"messages": by_id, "currentId": current or list(by_id)[-1]},
            "messages": [],
        },
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_100,
        **fields,
    }


def reply(id_: str, parent: str | None, role: str, content: Any, **fields: Any) -> dict[str, Any]:
    """A message of an Open WebUI export."""
    return {
        "id": id_,
        "parentId": parent,
        "childrenIds": [],
        "role": role,
        "content": content,
        "timestamp": 1_700_000_000 + len(id_),
        **fields,
    }
