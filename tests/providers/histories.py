"""The messages of histories, in few words."""

from typing import Any

from tests.units import LONG_AGO
from uuid6 import uuid7

from faceplate import Message
from faceplate.services.messages import NewMessage


def call(id_: str, name: str = "weather", arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(id_: str, content: Any = "4 degrees", **more: Any) -> dict[str, Any]:
    return {"tool_call_id": id_, "content": content, **more}


def user(text: str) -> NewMessage:
    return NewMessage("user", text)


def assistant(text: str = "", *calls: dict[str, Any], **more: Any) -> NewMessage:
    return NewMessage("assistant", text, tool_calls=list(calls) or None, **more)


def tool(*results: dict[str, Any]) -> NewMessage:
    return NewMessage("tool", tool_results=list(results))


def stored(new: NewMessage, status: str = "complete") -> Message:
    """The record of a message, as a unit returns it."""
    return Message(
        conversation_id=uuid7(),
        id=uuid7(),
        position=1,
        parent_position=None,
        role=new.role,
        content=new.content,
        tool_calls=new.tool_calls,
        tool_results=new.tool_results,
        metadata=new.metadata or {},
        body=new.body,
        status=status,
        model=None,
        input_tokens=None,
        output_tokens=None,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )
