"""The tree of ChatGPT's data exports: a list of chats, each with all its branches.

::

    {"id": ..., "title": ..., "create_time": ..., "update_time": ...,
     "mapping": {ID: {"id": ID, "message": {...}, "parent": ID, "children": [ID, ...]}, ...},
     "current_node": ID}

ChatGPT has a node for each call and each result. So a message with several of them becomes as many
nodes, one below the other. The first has the id of the message, and the id of each other one
follows from it. What ChatGPT has no place for is in the metadata: the ids by which the importer
links calls and results, and puts the text and the calls of a message together.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from uuid import UUID, uuid5

from faceplate.column_types import JsonObject
from faceplate.exporters.messages import (
    Names,
    attachments_of,
    calls_of,
    parts_of,
    results_of,
    to_json,
)
from faceplate.exporters.openai import loses
from faceplate.importers.formats.chatgpt import CALL_ID, MESSAGE_ID, WRITER
from faceplate.records import Conversation, Message
from faceplate.services._trees import TreeMessage

__all__ = ["loses", "pieces"]

_STATUS: Final = {"complete": "finished_successfully", "streaming": "in_progress"}
_OTHER_STATUS: Final = "finished_partial_completion"


async def pieces(
    conversation: Conversation, tree: AsyncIterator[TreeMessage]
) -> AsyncIterator[bytes]:
    """Yield the chat of a conversation, in pieces of a message each."""
    chat = _Chat(conversation)
    head = {
        "id": conversation.id,
        "conversation_id": conversation.id,
        "title": conversation.title,
        "create_time": conversation.created_at.timestamp(),
        "update_time": conversation.updated_at.timestamp(),
        **dict([WRITER]),
    }
    yield to_json(head)[:-1] + b',"mapping":{'
    placed = await anext(tree, None)
    while placed is not None:
        following = await anext(tree, None)
        for node in chat.nodes(placed, following):
            yield to_json(str(node["id"])) + b":" + to_json(node) + b",\n"
        placed = following
    root = chat.root()
    yield to_json(str(root["id"])) + b":" + to_json(root)
    yield b'},"current_node":' + to_json(chat.current) + b"}"


class _Chat:
    """The nodes of a chat, and what they need to know of those before."""

    def __init__(self, conversation: Conversation) -> None:
        self._root = uuid5(conversation.id, "root")
        self._head = conversation.head
        self._names = Names()
        self._last = self._root  # the last node of the message before
        self._parents: dict[UUID, UUID] = {}
        """The nodes that messages follow which are yet to come, by the ids of these messages."""
        self._first_messages: list[UUID] = []
        self.current: UUID = self._root

    def nodes(self, placed: TreeMessage, following: TreeMessage | None) -> Iterator[JsonObject]:
        """Yield the nodes of a message. ``following`` is the message after it by position."""
        message = placed.message
        children = list(placed.children)
        if following is not None and following.message.parent_position is None:
            children.insert(0, following.message.id)
        follows_none = message.parent_position == message.position
        parent = self._root if follows_none else self._parents.pop(message.id, self._last)
        if parent == self._root:
            self._first_messages.append(message.id)
        held = list(self._held(message))
        ids = [_node_id(message.id, number) for number in range(len(held))]
        below = [[id_] for id_ in ids[1:]] + [children]
        for id_, said, its_children in zip(ids, held, below, strict=True):
            node: JsonObject = {
                "id": id_,
                "message": None,
                "parent": parent,
                "children": its_children,
            }
            if said is not None:
                node["message"] = {"id": id_, **said}
            yield node
            parent = id_
        self._last = parent
        self._parents.update(dict.fromkeys(placed.children, parent))
        if self._head in {None, message.position}:
            self.current = parent

    def root(self) -> JsonObject:
        """Return the node above the first messages."""
        children = self._first_messages
        return {"id": self._root, "message": None, "parent": None, "children": children}

    def _held(self, message: Message) -> Iterator[JsonObject | None]:
        """Yield what each node of a message says, at least one."""
        if message.tool_results:
            for result in results_of(message):
                said = _said(message, "tool", _text([result.text]), call_id=result.call_id)
                said["author"]["name"] = self._names.get(result)
                said["metadata"] |= {"is_error": True} if result.is_error else {}
                yield said
        elif message.role is None and not message.content:
            yield None
        else:
            yield from self._spoken(message)

    def _spoken(self, message: Message) -> Iterator[JsonObject]:
        """Yield the text of a message, and its calls. The first of them has the attachments."""
        role = message.role or "assistant"
        files = [attachment.part for attachment in attachments_of(message)]
        parts = [*(part for part in files if "content_type" in part), *parts_of(message)]
        others = [part for part in files if "content_type" not in part]
        spoken = []
        if message.content or not message.tool_calls:
            texts = [message.content] if message.content or not parts else []
            spoken.append(_said(message, role, _text([*texts, *parts])))
        elif parts:
            others = [*others, *parts]
        for call in calls_of(message):
            self._names.add(call)
            language = "json" if call.is_function else "unknown"
            content = {"content_type": "code", "language": language, "text": call.text}
            spoken.append(_said(message, role, content, call_id=call.id, recipient=call.name))
        if others:
            spoken[0]["metadata"]["attachments"] = others
        for said in spoken[1:]:
            said["metadata"][MESSAGE_ID] = message.id
        yield from spoken


def _node_id(message_id: UUID, number: int) -> UUID:
    return uuid5(message_id, str(number)) if number else message_id


def _text(parts: list[Any]) -> JsonObject:
    is_plain = all(isinstance(part, str) for part in parts)
    return {"content_type": "text" if is_plain else "multimodal_text", "parts": parts}


def _said(
    message: Message,
    role: str,
    content: JsonObject,
    *,
    call_id: str | None = None,
    recipient: str = "all",
) -> JsonObject:
    """Return what a node says; a call and a result have the id of the call."""
    metadata = {"model_slug": message.model, CALL_ID: call_id}
    return {
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": message.created_at.timestamp(),
        "content": content,
        "status": _STATUS.get(message.status, _OTHER_STATUS),
        "weight": 1.0,
        "metadata": {name: value for name, value in metadata.items() if value},
        "recipient": recipient,
    }
