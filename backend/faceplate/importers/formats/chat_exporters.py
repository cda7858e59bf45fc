"""Files of browser extensions and scripts that save the chat on the screen.

They have the words and who said them, and few of them more: ``{"metadata", "messages": [{"role":
"Prompt", "say": "..."}]}``, ``{"chats": [{"type": "prompt", "message": [...]}]}``, lists of
``{"user": "..."}`` and others.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_content
from faceplate.importers.fields import (
    as_list,
    as_object,
    first_of,
    first_text,
    read_time,
    to_text,
    without,
)
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Message, Piece, SourceChat, Text
from faceplate.importers.turns import code_block

_LISTS: Final = ("messages", "chats", "conversations")
_ROLES: Final = {"prompt": "user", "human": "user", "response": "assistant"}
_TURNS: Final = {"prompt", "response"}
_SPEAKERS: Final = ("user", "assistant")
_NAMES: Final = ("sender", "author", "speaker", "by", "type", "isUser", "is_user")
"""The keys of who says a message, where its text is under one of the next."""
_IS_USER: Final = ("isUser", "is_user")
_TEXTS: Final = ("text", "content", "message", "utterance", "body")
_SPOKEN: Final[dict[str | bool, str]] = {
    **dict.fromkeys(("user", "human", "me", "you", "prompt", True), "user"),
    **dict.fromkeys(("assistant", "bot", "ai", "model", "chatbot", False), "assistant"),
    **dict.fromkeys(("chatgpt", "claude", "gemini", "copilot", "response"), "assistant"),
    "system": "system",
}
_TIMES: Final = (
    *("%Y/%m/%d %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y, %I:%M:%S %p", "%m/%d/%Y"),
    *("%d/%m/%Y %H:%M:%S", "%d/%m/%Y", "%Y/%m/%d"),
)
_IDS: Final = ("id", "messageId", "message_id", "_id")
_MOMENTS: Final = ("timestamp", "createdAt", "created_at", "time", "date", "ts")
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}


def fits(value: JsonObject) -> int:
    """Return 3 for messages of which each has a shape of its own, 2 if only some have."""
    features = [_features(message) for message in _messages(value)]
    if not features:
        return 0
    if all(features) and min(features) == 1:  # who speaks is known, if both do
        return int({_spoken_by(message) for message in _messages(value)} >= {*_SPEAKERS})
    return min(features) if all(features) else 2 if max(features) > 2 else 0


def _messages(value: JsonObject) -> list[Any]:
    return next((value[key] for key in _LISTS if isinstance(value.get(key), list)), [])


def _features(value: object) -> int:
    """Return 3 for a message with words that only such files have, 2 for one without more."""
    fields = as_object(value)
    kind, role = fields.get("type"), fields.get("role")
    if "say" in fields and isinstance(role, str):
        return 3
    if _is_turn(kind) and "message" in fields:
        return 3
    if all("message" in as_object(fields.get(name)) for name in _SPEAKERS):
        return 3
    if len(fields) == 1 and any(isinstance(fields.get(name), str) for name in _SPEAKERS):
        return 2
    is_typed = {*fields} == {"type", "content"} and isinstance(fields["content"], str)
    if is_typed and isinstance(kind, str) and kind in _SPEAKERS:
        return 2
    return int(bool(_spoken_by(fields)) and any(isinstance(fields.get(k), str) for k in _TEXTS))


def _spoken_by(message: object) -> str:
    """Return the role of who says a message, or empty text if that is not known."""
    fields = as_object(message)
    if "role" in fields:  # as programs write it
        return ""
    names = [fields[key] for key in _NAMES if isinstance(fields.get(key), str | bool)]
    said = [name.strip().lower() if isinstance(name, str) else name for name in names]
    return next((_SPOKEN[name] for name in said if name in _SPOKEN), "")


def _is_turn(kind: object) -> bool:
    return isinstance(kind, str) and kind.strip().lower() in _TURNS


def joins(value: JsonObject) -> str | None:
    """Return "" for a message that is a value of its own."""
    return "" if _features(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    listed = _messages(value)
    if not listed:
        raise Unreadable("messages must be a list")
    about = as_object(first_of(value, "metadata", "meta"))
    dates = as_object(about.get("dates"))
    messages = [message for fields in listed for message in _read_messages(fields)]
    has_times = any(message.created for message in messages)
    link = first_text(about.get("link"))
    chat = openai.read_chat(without(value, *_LISTS, "metadata", "meta"), messages)
    yield chat._replace(
        id=link.partition("?")[0].rstrip("/").rpartition("/")[2] or chat.id,
        title=first_text(about.get("title"), chat.title),
        created=read_time(dates.get("created"), _TIMES) or chat.created,
        updated=(None if has_times else read_time(dates.get("updated"), _TIMES)) or chat.updated,
        is_exact=False,
        rest={
            **(chat.rest or {}),
            **({"metadata": rest} if (rest := without(about, "title")) else {}),
        },
    )


def _read_messages(value: object) -> Iterator[Message]:
    """Yield the messages of an entry: one, or a question and its answer."""
    fields = value if isinstance(value, dict) else {"role": "unknown", "say": value}
    pairs = [name for name in _SPEAKERS if isinstance(fields.get(name), str | dict)]
    if pairs and "say" not in fields:
        for name in pairs:
            said = fields[name]
            inner = said if isinstance(said, dict) else {"message": said}
            yield Message(
                name,
                read_content(inner.get("message")),
                rest={**without(inner, "message"), **without(fields, "id", *_SPEAKERS)},
                original=value,
            )
        return
    if _features(value) == 1:
        yield _read_spoken(fields)
        return
    moment, time = read_time(fields.get("time"), _TIMES), fields.get("time")
    role = first_text(fields.get("role"), fields.get("type"), "unknown").strip().lower()
    key = next((key for key in ("say", "message", "content") if fields.get(key)), "say")
    said = fields.get(key)
    blocks = said if key == "message" and isinstance(said, list) else None
    yield Message(
        _ROLES.get(role, role),
        read_content(said)
        if blocks is None
        else [piece for block in blocks for piece in _read_block(block)],
        created=moment,
        rest={
            **without(fields, "role", "type", "time", "index", key),
            **({"time": time} if time and not moment else {}),
        },
        original=value,
    )


def _read_spoken(fields: JsonObject) -> Message:
    """Return a message of whom a key names, whatever the keys are."""
    texts = [field for key in _TEXTS if isinstance(field := fields.get(key), str)]
    said = next((text for text in texts if text.strip()), texts[0])
    copies = {key for key in _TEXTS if fields.get(key) in ("", said)}
    rest = {key: field for key, field in fields.items() if key not in copies}
    id_ = openai.read_id(next((rest.pop(key) for key in _IDS if openai.read_id(rest.get(key))), ""))
    role = _spoken_by(fields)
    return Message(
        role,
        [Text(said)],
        id=id_,
        created=openai.take_time(rest, *_MOMENTS),
        rest={key: field for key, field in rest.items() if field != role and key not in _IS_USER},
        original=fields,
    )


def _read_block(block: object) -> list[Piece]:
    """Return a block of a page as Markdown: a paragraph, a heading, code, a list or a table."""
    fields = as_object(block)
    kind, data = first_text(fields.get("type")), fields.get("data")
    if data is None:
        return read_content(block)
    if kind == "pre":
        return [Text(code_block(to_text(data), first_text(fields.get("language"))))]
    if kind in ("ol", "ul") and isinstance(data, list):
        marks = [f"{n}. " if kind == "ol" else "- " for n in range(1, len(data) + 1)]
        items = [mark + _data(item) for mark, item in zip(marks, data, strict=True)]
        return [Text("\n".join(items))]
    rows = [row for section in as_list(data) for row in as_list(as_object(section).get("data"))]
    if kind == "table" and rows:
        cells = [[_data(cell) for cell in as_list(as_object(row).get("data"))] for row in rows]
        return [Text("\n".join(f"| {' | '.join(row)} |" for row in cells))]
    return [Text(_HEADINGS.get(kind, "") + to_text(data))]


def _data(value: object) -> str:
    return to_text(as_object(value).get("data", value))


FORMAT: Final = Format(
    "chat-exporter",
    "chat of a browser's exporter",
    fits,
    read,
    joins=joins,
)
