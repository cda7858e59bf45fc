"""ShareGPT chats: ``{"id", "conversations": [{"from": "human", "value": "..."}]}``.

Data sets write them in many spellings: other names for the list, the speaker and the text, messages
as OpenAI has them, calls as JSON text or between tags, two answers to choose from, and media beside
the list, each at a mark in a text.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.rows import MEDIA, place_media, take_media, with_alternatives
from faceplate.importers.prologue import take_prompts
from faceplate.importers.shelf import Shelf
from faceplate.importers.source import Aside, Call, Message, Piece, Result, SourceChat, Text

_LISTS: Final = ("conversations", "conversation", "items", "messages", "data")
_SPEAKERS: Final = ("from", "role")
_TEXTS: Final = ("value", "content", "text")
_TIMES: Final = ("timestamp", "created_at", "create_time", "tstamp")
_CHOICES: Final = ("chosen", "rejected")
_PAIRS: Final = (
    *(("human", "assistant"), ("user", "assistant"), ("human", "gpt"), ("input", "output")),
    *(("question", "answer"), ("prompt", "response"), ("instruction", "output")),
)
_IDS: Final = ("id", "conversation_id", "conversation_hash")
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
_MIN_TEXTS: Final = 2


def fits(value: JsonObject) -> int:
    """Return 2 for messages with ``from`` and ``value``, 1 for one of their other names."""
    key = _list_key(value)
    listed = value[key] if key else []
    messages = [each for each in listed if isinstance(each, dict)]
    if listed and all(map(_named_text, listed)):
        return 2
    if key == "data" or not messages:
        is_of_texts = all(isinstance(each, str) for each in listed)
        return 2 if is_of_texts and len(listed) >= _MIN_TEXTS else 0
    is_chat = any(map(_is_of_a_chat, messages)) and not any(map(_is_of_a_tree, messages))
    return _features(value, key, messages) if is_chat else 0


def _features(value: JsonObject, key: str | None, messages: Sequence[JsonObject]) -> int:
    if all(_SPEAKERS[0] in each and first_of(each, *_TEXTS) is not None for each in messages):
        return 2
    if any(map(_has_values, messages)) or (key != "items" and any(map(_pair_of, messages))):
        return 2
    has_choices = all(isinstance(value.get(choice), dict | str) for choice in _CHOICES)
    has_media = any(isinstance(value.get(key), list) and value[key] for key in MEDIA)
    if (has_choices or has_media) and all(map(is_turn, messages)):
        return 2
    return int(key != "messages" and any(map(is_turn, messages)))


def joins(value: JsonObject) -> str | None:
    """Return "" for a message that is a value of its own."""
    return "" if is_turn(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    key = _list_key(value)
    if key is None:
        raise Unreadable("conversations must be a list of messages")
    messages: Sequence[Message] = Shelf(read_turns(value[key]))
    if media := take_media(value):
        messages = place_media(messages, media)
    rest = without(value, key, *_IDS, "title", *MEDIA)
    prompts = take_prompts(rest)
    chat = SourceChat(messages)
    if choices := [name for name in _CHOICES if isinstance(value.get(name), dict | str)]:
        answers = [list(read_turns([rest.pop(name)], first="assistant")) for name in choices]
        chat = with_alternatives([*messages], answers)
    if model := value.get("model"):
        named = (each if each.model else each._replace(model=model) for each in chat.messages)
        chat = chat._replace(messages=named)
    yield chat._replace(
        id=openai.read_id(first_of(value, *_IDS)) or digest(value),
        title=value.get("title"),
        created=first_of(value, *_TIMES),
        prologue=prompts,
        rest=rest,
    )


def _list_key(value: JsonObject) -> str | None:
    return next((key for key in _LISTS if isinstance(value.get(key), list)), None)


def is_turn(value: object) -> bool:
    """Return whether a value is a turn with a speaker and a text."""
    return (
        isinstance(value, dict)
        and any(isinstance(value.get(key), str) for key in _SPEAKERS)
        and any(key in value for key in _TEXTS)
        and not any(isinstance(value.get(key), list) for key in _LISTS)
    )


def _is_of_a_chat(turn: JsonObject) -> bool:
    """Return whether a turn has a speaker of chats: a mail has a sender and a text as well."""
    speaker = first_of(turn, *_SPEAKERS)
    is_named = isinstance(speaker, str) and _normal(speaker) in _ROLE_OF
    return is_named or _has_values(turn) or _pair_of(turn) is not None


def _is_of_a_tree(turn: JsonObject) -> bool:
    """Return whether a turn has answers of its own, which a list would put in a row."""
    return bool(as_list(turn.get("children")) or as_list(turn.get("ancestors")))


def _named_text(turn: object) -> JsonObject | None:
    """Return a turn that is a list of its speaker and its text as an object."""
    match turn:
        case [str() as speaker, str() as text] if _normal(speaker) in _ROLE_OF:
            return {"from": speaker, "value": text}
    return None


def _normal(speaker: str) -> str:
    return speaker.strip().lower().replace("-", "_")


def _has_values(turn: JsonObject) -> bool:
    """Return whether the content of a turn has parts whose text is a ``value``."""
    content = turn.get("content")
    parts = content if isinstance(content, list) else []
    return any("value" in as_object(part) and "type" in as_object(part) for part in parts)


def _pair_of(turn: object) -> tuple[str, str] | None:
    """Return the keys of a turn that holds a question and its answer."""
    fields = as_object(turn)
    if not fields.keys().isdisjoint(_SPEAKERS):
        return None
    return next((pair for pair in _PAIRS if all(key in fields for key in pair)), None)


def read_turns(turns: Sequence[object], first: str = "user") -> Iterator[Message]:
    """Yield the messages of a list of turns; ``first`` is who speaks first where it has texts."""
    others = {"user": "assistant", "assistant": "user"}
    has_names = not all(isinstance(turn, str) for turn in turns)
    speaker = first
    for turn in turns:
        if pair := _pair_of(turn):
            fields = as_object(turn)
            if prompt := first_text(fields.get("system")):
                yield Message("system", [Text(prompt)])
            yield Message("user", [Text(to_text(fields[pair[0]]))])
            rest = without(fields, *pair, *(["system"] if prompt else []))
            yield Message("assistant", [Text(to_text(fields[pair[1]]))], rest=rest)
        else:
            by_turn = None if has_names else {"from": speaker, "value": turn}
            yield _read_turn(by_turn or _named_text(turn) or turn)
            speaker = others[speaker]


def _read_turn(turn: object) -> Message:
    fields: JsonObject = dict(turn) if isinstance(turn, dict) else {"value": turn}
    speaker = next((fields.pop(key) for key in _SPEAKERS if key in fields), None)
    name = _normal(speaker) if isinstance(speaker, str) else ""
    role = _ROLE_OF.get(name, speaker if isinstance(speaker, str) and speaker else "unknown")
    value = next((fields.pop(key) for key in _TEXTS if fields.get(key) is not None), None)
    original = {**fields, "from": speaker, "value": value}
    if name not in _PLAIN:
        fields["from"] = speaker
    if role == "call":
        calls = [] if value is None else list(_calls(value))
        if isinstance(value, str) and value.lstrip().startswith("<"):
            fields["as_written"] = value
        created = first_of(fields, *_TIMES)
        return Message("assistant", calls, created=created, rest=fields, original=original)
    tool = first_text(fields.get("name"))
    pieces = _tagged(role, value, tool) or (_listed(value) if role == "tool" else [])
    content = (
        [part for each in value for part in _parts(each)] if isinstance(value, list) else value
    )
    shown = to_text(content) if isinstance(content, dict | int | float) else content
    message = openai.read_message({**fields, "role": role, "content": "" if pieces else shown})
    if pieces:
        said = [piece for piece in message.pieces if not isinstance(piece, Text | Result)]
        rest = {**(message.rest or {}), "as_written": to_text(value)}
        message = message._replace(pieces=[*said, *pieces], rest=without(rest, "name"))
    return message._replace(created=first_of(fields, *_TIMES), original=original)


def _parts(part: object) -> Iterator[Any]:
    """Yield a part of a content, with its ``value`` under the name that other formats have."""
    fields = as_object(part)
    kind, value = first_text(fields.get("type")), fields.get("value")
    if kind == "tool_call" and isinstance(value, str):
        for call in _calls(value):
            if isinstance(call, Call):
                yield {"type": kind, "name": call.tool, "arguments": call.input}
    elif kind.endswith("_url") and isinstance(value, str):
        yield {"type": kind, "url": value}
    else:
        yield part


def _calls(value: object) -> Iterator[Piece]:
    """Yield the calls that a value names: one, or a list. Any text is a call of "function"."""
    if isinstance(value, str):
        thought, end, after = value.partition("</think>")
        if end and thought.lstrip().startswith("<think>"):
            yield Aside("reasoning", f"{thought}{end}")
            value = after.strip()
        if pieces := _tagged("assistant", value, ""):
            yield from pieces
            return
    named = _parsed(value) if isinstance(value, str) else value
    for each in named if isinstance(named, list) and named else [named]:
        if call := _call(each):
            yield call
        else:
            yield Call("function", value if each is named else each)


def _call(value: object) -> Call | None:
    """Return the call that an object names."""
    fields = as_object(value)
    inner = as_object(fields.get("function")) or fields
    arguments = inner.get("arguments", inner.get("parameters", {}))
    name, id_ = inner.get("name"), first_text(fields.get("id"))
    return Call(name, arguments, id_) if isinstance(name, str) and name else None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _tagged(role: str, value: object, tool: str) -> list[Piece]:
    """Return the pieces of a text with calls or results between tags, or nothing without any."""
    tag = {"assistant": "tool_call", "tool": "tool_response"}.get(role)
    if tag is None or not isinstance(value, str) or f"<{tag}>" not in value:
        return []
    before, *others = value.split(f"<{tag}>")
    pieces: list[Piece] = [Text(before.strip())]
    for other in others:
        inside, end, after = other.partition(f"</{tag}>")
        call = _call(_parsed(inside)) if role == "assistant" else None
        if not end or (role == "assistant" and call is None):
            return []
        pieces += [call or Result(inside.strip(), tool=tool), Text(after.strip())]
    return [piece for piece in pieces if not isinstance(piece, Text) or piece.text]


def _listed(value: object) -> list[Piece]:
    """Return the results in a text or part that is a list of them, or nothing if it is none."""
    parts = value if isinstance(value, list) else []
    part = as_object(parts[0]) if len(parts) == 1 else {}
    text = first_text(value, *(part.get(key) for key in _TEXTS))
    listed = _parsed(text) if text.startswith("[") else None
    results = [as_object(each) for each in listed] if isinstance(listed, list) else []
    is_named = (("tool_call_id" in each or "name" in each) for each in results)
    if not all(is_named) or not all("content" in each for each in results):
        return []
    return [Result(each["content"], tool=first_text(each.get("name"))) for each in results]


FORMAT: Final = Format("sharegpt", "ShareGPT chats", fits, read, joins=joins)
