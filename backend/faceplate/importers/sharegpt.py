"""The reader of ShareGPT chats.

A chat is ``{"id", "conversations": [{"from": "human", "value": "..."}]}``. The format has many
spellings; docs/importing.md lists the ones that this reader knows.
"""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Chat, Place, Refusal, Unreadable
from faceplate.importers.conversion import Header, make_chat
from faceplate.importers.fitting import digest
from faceplate.importers.json_values import LIST_KEYS, Value, read_values
from faceplate.importers.reading import read_each
from faceplate.importers.turns import Turn, make_call, to_time

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


def recognises(value: JsonObject) -> bool:
    """Return whether ``value`` is a ShareGPT chat, or a message from a list of one."""
    if _is_message(value):
        return True
    if isinstance(value.get("messages"), list):
        return any(isinstance(turn, dict) and "from" in turn for turn in value["messages"][:1])
    return any(isinstance(value.get(key), list) for key in _LISTS)


def read(
    path: Path, on_progress: Callable[[int], None] | None = None
) -> Generator[Chat | Refusal, None, None]:
    """Yield the chats of a file in order (see `read_each`)."""
    return read_each(_read_chat, path, on_progress, list_keys=_list_keys(path))


def _list_keys(path: Path) -> tuple[str, ...]:
    """Return the keys under which a document may list chats."""
    with closing(read_values(path)) as items:
        first = next(items, None)
    is_one_chat = isinstance(first, Value) and _is_message(first.value)
    return tuple(key for key in LIST_KEYS if key not in _LISTS) if is_one_chat else LIST_KEYS


def _read_chat(place: Place, value: JsonObject) -> Iterator[Chat | Refusal]:
    fields: JsonObject = dict(value)
    key = next((key for key in _LISTS if isinstance(fields.get(key), list)), None)
    if key is None:
        raise Unreadable("conversations must be a list of messages")
    turns = [_read_turn(number, turn) for number, turn in enumerate(fields.pop(key), start=1)]
    if isinstance(system := fields.get("system"), str) and system.strip():
        turns.insert(0, Turn("0", "system", fields.pop("system")))
    yield from make_chat(
        Header(
            place=place,
            format="sharegpt",
            id=_read_id(fields.get("id")) or digest(value),
            title=fields.get("title"),
            created=next((fields[name] for name in _TIMES if name in fields), None),
            source=fields,
        ),
        turns,
    )


def _read_turn(number: int, turn: object) -> Turn:
    fields: JsonObject = dict(turn) if isinstance(turn, dict) else {"value": turn}
    speaker = next((fields.pop(key) for key in _SPEAKERS if key in fields), None)
    name = speaker.lower().replace("-", "_") if isinstance(speaker, str) else ""
    role = _ROLE_OF.get(name, speaker if isinstance(speaker, str) and speaker else "unknown")
    value = next((fields.pop(key) for key in _TEXTS if fields.get(key) is not None), "")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if name not in _PLAIN:
        fields["from"] = speaker
    tool = fields.get("name")
    return Turn(
        id=str(number),
        role="assistant" if role == "call" else role,
        content="" if role == "call" else text,
        calls=[_read_call(number, text)] if role == "call" else [],
        tool=tool if role == "tool" and isinstance(tool, str) else None,
        created_at=to_time(next((fields[key] for key in _TIMES if key in fields), None)),
        source=fields,
        original={**fields, "from": speaker, "value": value},
    )


def _read_call(number: int, text: str) -> JsonObject:
    """Return a call of the function that ``text`` names, or of "function"."""
    try:
        named = json.loads(text)
    except (ValueError, RecursionError):
        named = None
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        return make_call(f"call_{number}", "function", text)
    arguments: Any = named.get("arguments", named.get("parameters", {}))
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return make_call(f"call_{number}", named["name"], arguments)


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and any(isinstance(value.get(key), str) for key in _SPEAKERS)
        and any(key in value for key in _TEXTS)
        and not any(isinstance(value.get(key), list) for key in _LISTS)
    )


def _read_id(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
