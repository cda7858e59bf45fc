"""ShareGPT chats: ``{"id", "conversations": [{"from": "human", "value": "..."}]}``.

The format has many spellings; docs/importing.md lists the ones that this reader knows.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import first_of, first_text, read_content, to_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Call, Message, Piece, Result, SourceChat, Text

_LISTS: Final = ("conversations", "conversation", "items", "messages")
_SPEAKERS: Final = ("from", "role")
_TEXTS: Final = ("value", "content", "text")
_TIMES: Final = ("timestamp", "created_at", "create_time")
_ROLES: Final = {
    "user": ("human", "user", "person", "prompter"),
    "assistant": (
        "gpt",
        "assistant",
        "chatgpt",
        "bing",
        "bard",
        "claude",
        "gemini",
        "model",
        "bot",
    ),
    "system": ("system",),
    "developer": ("developer",),
    "call": ("function_call", "tool_call", "tool_calls"),
    "tool": ("observation", "tool", "function", "function_response", "tool_response", "ipython"),
}
_ROLE_OF: Final = {name: role for role, names in _ROLES.items() for name in names}
_PLAIN: Final = {"human", "user", "gpt", "assistant", "system", "developer"}


def fits(value: JsonObject) -> int:
    """Return 2 for a list of messages with ``from`` and ``value``, 1 for one of its other names."""
    key = _list_key(value)
    messages = [each for each in value[key] if isinstance(each, dict)] if key else []
    if not messages:
        return 0
    if all(_SPEAKERS[0] in each and first_of(each, *_TEXTS) is not None for each in messages):
        return 2
    return int(key != "messages" and any(_is_message(each) for each in messages))


def joins(value: JsonObject) -> str | None:
    """Return "" for a message that is a value of its own."""
    return "" if _is_message(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    key = _list_key(value)
    if key is None:
        raise Unreadable("conversations must be a list of messages")
    messages = [_read_turn(turn) for turn in value[key]]
    rest = without(value, key, "id", "title")
    if isinstance(system := rest.get("system"), str) and system.strip():
        messages.insert(0, Message("system", [Text(rest.pop("system"))], id="0"))
    yield SourceChat(
        messages,
        id=openai.read_id(value.get("id")),
        title=value.get("title"),
        created=first_of(value, *_TIMES),
        rest=rest,
    )


def _list_key(value: JsonObject) -> str | None:
    return next((key for key in _LISTS if isinstance(value.get(key), list)), None)


def _read_turn(turn: object) -> Message:
    if isinstance(turn, dict) and ("tool_calls" in turn or "tool_call_id" in turn):
        return openai.read_message(turn)
    fields: JsonObject = dict(turn) if isinstance(turn, dict) else {"value": turn}
    speaker = next((fields.pop(key) for key in _SPEAKERS if key in fields), None)
    name = speaker.lower().replace("-", "_") if isinstance(speaker, str) else ""
    role = _ROLE_OF.get(name, speaker if isinstance(speaker, str) and speaker else "unknown")
    value = next((fields.pop(key) for key in _TEXTS if fields.get(key) is not None), "")
    if name not in _PLAIN:
        fields["from"] = speaker
    return Message(
        "assistant" if role == "call" else role,
        _pieces(role, value, first_text(fields.get("name"))),
        created=first_of(fields, *_TIMES),
        rest=fields,
        original={**fields, "from": speaker, "value": value},
    )


def _pieces(role: str, value: Any, name: str) -> list[Piece]:
    if role == "call":
        return list(_calls(value))
    if role == "tool":
        return [Result(value, tool=name)]
    return read_content(value) if isinstance(value, list) else [Text(to_text(value))]


def _calls(value: object) -> Iterator[Call]:
    """Yield the calls that a value names: one, or a list. Any text is a call of "function"."""
    named = value
    if isinstance(value, str):
        try:
            named = json.loads(value)
        except (ValueError, RecursionError):
            named = None
    for each in named if isinstance(named, list) and named else [named]:
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            yield Call(each["name"], each.get("arguments", each.get("parameters", {})))
        else:
            yield Call("function", value if each is named else each)


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and any(isinstance(value.get(key), str) for key in _SPEAKERS)
        and any(key in value for key in _TEXTS)
        and not any(isinstance(value.get(key), list) for key in _LISTS)
    )


FORMAT: Final = Format("sharegpt", "ShareGPT chats", fits, read, joins=joins)
