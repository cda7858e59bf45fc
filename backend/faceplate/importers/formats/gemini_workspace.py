"""Chats with Gemini beside documents and mail, in Google Takeout's "Gemini in Workspace".

Each file ``conversation_….txt`` is JSON: a title, times, and turns of the user and of the system.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Aside, Message, Piece, SourceChat, Text, Unknown

_TURNS: Final = {"user_turn": "user", "system_turn": "assistant"}
_TURN_FIELDS: Final = (
    *("prompt", "text", "images", "model_thoughts"),
    *("turn_index", "turn_last_modified"),
)
_LISTS: Final = ("text", "images", "model_thoughts")
_BLOCK_TEXTS: Final = ("preamble", "data", "content")
_CHAT_FIELDS: Final = ("title", "creation_time", "last_modification_time", "conversation_turns")


def fits(value: JsonObject) -> int:
    """Return 3 for turns that are all known, 2 if some are."""
    known = [not _TURNS.keys().isdisjoint(as_object(turn)) for turn in _turns(value)]
    return 3 if known and all(known) else 2 if any(known) else 0


def _turns(value: JsonObject) -> list[Any]:
    return as_list(value.get("conversation_turns"))


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value; its id is the time at which it began, as it has no other."""
    if not isinstance(value.get("conversation_turns"), list):
        raise Unreadable("conversation_turns must be a list")
    yield SourceChat(
        (message for turn in _turns(value) for message in _read_turn(turn)),
        id=first_text(value.get("creation_time")),
        title=value.get("title"),
        created=value.get("creation_time"),
        updated=value.get("last_modification_time"),
        rest=without(value, *_CHAT_FIELDS),
    )


def _read_turn(turn: Any) -> Iterator[Message]:
    fields = as_object(turn)
    name = next((name for name in _TURNS if isinstance(fields.get(name), dict)), None)
    if name is None:
        yield Message("unknown", [Unknown(turn)], original=turn)
        return
    said: JsonObject = fields[name]
    thoughts = as_list(said.get("model_thoughts"))
    yield Message(
        _TURNS[name],
        [*(Aside("reasoning", thought) for thought in thoughts), *_read_said(said)],
        created=said.get("turn_last_modified"),
        rest={**without(fields, name), **without(said, *_taken(said))},
        original=turn,
    )


def _taken(said: JsonObject) -> list[str]:
    """Return the fields of a turn that are read elsewhere; lists only if they are lists."""
    return [name for name in _TURN_FIELDS if name not in _LISTS or isinstance(said.get(name), list)]


def _read_said(said: JsonObject) -> Iterator[Piece]:
    prompt = said.get("prompt")
    if prompt:
        yield Text(prompt) if isinstance(prompt, str) else Unknown(prompt)
    for block in as_list(said.get("text")):
        yield from _read_block(block)
    for image in as_list(said.get("images")):
        yield attachment(image, "image") if isinstance(image, dict) else Unknown(image)


def _read_block(block: Any) -> Iterator[Piece]:
    """Yield the sentence before what was written, and that; cards hold the same."""
    if isinstance(block, str):
        yield Text(block)
        return
    fields = as_object(block)
    texts = [fields.get(name) for name in _BLOCK_TEXTS]
    yield from (Text(text) for text in texts if isinstance(text, str) and text)
    cards = as_list(fields.get("cards"))
    for card in cards:
        yield from _read_block(card)
    names = [name for name in _BLOCK_TEXTS if isinstance(fields.get(name), str)]
    if rest := without(fields, *names, *(["cards"] if cards else [])):
        yield Unknown(rest)
    elif not isinstance(block, dict):
        yield Unknown(block)


FORMAT: Final = Format("gemini-workspace", "Gemini in Google Workspace", fits, read)
