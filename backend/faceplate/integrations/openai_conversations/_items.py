"""Items of a conversation, as the API answers them."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.integrations._response_items import item_in_body, items_of_row, note_calls
from faceplate.integrations.openai_conversations import _ids
from faceplate.records import Message

_WITH_STATUS: Final = {
    "message",
    "function_call",
    "function_call_output",
    "computer_call_output",
}
"""The kinds of items that always have a status in an answer."""


class Item(NamedTuple):
    """An item of a message."""

    message: Message
    stored: JsonObject
    alias: str
    """faceplate's id of the item, which leads to the message at once."""
    is_alone: bool
    """Whether the message has no other item."""

    @property
    def id(self) -> str:
        """The item's own id, or else faceplate's."""
        return _ids.own_id(self.stored) or self.alias

    @property
    def cursor(self) -> str:
        """The id that is found without a search: the own one only where it was stored here."""
        own = self.id
        is_derived = _ids.derived(self.message.conversation_id, own) == self.message.id
        return own if is_derived else self.alias

    def answered(self) -> JsonObject:
        """Return the item as OpenAI answers it."""
        is_whole = self.message.body is not None or self.message.status == "complete"
        stored = self.stored if is_whole else {**self.stored, "status": "incomplete"}
        return resource(stored, self.id)


def items_in(messages: Sequence[Message], custom_calls: Iterable[str] = ()) -> list[Item]:
    """Return the items of messages, which are in order.

    ``custom_calls`` are ids of calls of custom tools that come before.
    """
    custom = set(custom_calls)
    return [item for message in messages for item in _items_of(message, custom)]


def _items_of(message: Message, custom_calls: set[str]) -> list[Item]:
    whole = item_in_body(message)
    note_calls(message.tool_calls, custom_calls)
    found = whole or items_of_row(message, custom_calls)
    stored = [item for item in found if isinstance(item, dict)]
    # An item keeps its id when another one of its message is removed.
    parts = [None if whole else _part(item) for item in stored]
    return [
        Item(message, item, _ids.minted(message.id, item, part=part), len(stored) == 1)
        for item, part in zip(stored, parts, strict=True)
    ]


def _part(item: JsonObject) -> str | None:
    """Return what tells an item from the others of its message; the text has no mark."""
    call_id = item.get("call_id")
    return None if call_id is None else str(call_id)


def resource(item: JsonObject, item_id: str) -> JsonObject:
    """Return an item as OpenAI answers it: with an id, a type, a status, and content in parts."""
    kind = item.get("type", "message")
    given = {name: value for name, value in item.items() if name not in ("id", "type")}
    answer = {"id": item_id, "type": kind, **given}
    if kind in _WITH_STATUS:
        answer["status"] = answer.get("status") or "completed"
    if kind == "message":
        answer["content"] = _parts(item.get("content"), item.get("role"))
    return answer


def _parts(content: Any, role: Any) -> list[Any]:
    if isinstance(content, str):
        content = [
            {"type": "output_text" if role == "assistant" else "input_text", "text": content}
        ]
    return [_completed(part) for part in content] if isinstance(content, list) else []


def _completed(part: Any) -> Any:
    """Return a part of a content with the fields that OpenAI fills in."""
    match part:
        case {"type": "output_text"}:
            return {"annotations": [], **part}
        case {"type": "input_image"}:
            return {"detail": "auto", **part}
    return part
