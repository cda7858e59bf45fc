"""The turns of a chat: what one message of a source becomes, ready for the columns."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers import contents, fields
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text, digest
from faceplate.importers.missed import find_missed
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    Text,
    Unknown,
)

MAX_TOOL_CHARS: Final = MAX_CONTENT_CHARS - 1_000  # leaves room for the id of the call
_MAX_NAME_CHARS: Final = 255
_MAX_GIVEN_CHARS: Final = 200  # leaves room for the rest of a call's id
_MAX_TOKENS: Final = 2**31 - 1
_MAY_MISS: Final = ("user", "assistant", "system", "developer", "tool")
"""The roles of messages that are rarely without text."""


class Turn(NamedTuple):
    """A message to be, with one role."""

    id: str
    role: str
    content: str = ""
    calls: Sequence[JsonObject] = ()
    """Tool calls, in the shape of `tool_calls.check_calls`."""
    call_id: str = ""
    """The id of the call that a tool's result answers, if the source has it."""
    tool: str = ""
    """The name of the tool whose result it is."""
    attachments: Sequence[Attachment] = ()
    asides: Sequence[Aside] = ()
    unknown: Sequence[JsonObject] = ()
    """The parts that no reader knows: ``{"index", "part"}``."""
    is_hidden: bool = False
    is_shown_empty: bool = False
    """Whether it is a message even without any content."""
    created_at: datetime | None = None
    """Without it, the messages have the time of the message before them."""
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    status: str | None = None
    rest: JsonObject | None = None
    original: object = None

    @property
    def is_shown(self) -> bool:
        """Whether the source showed any part of it."""
        has_parts = self.calls or self.attachments or self.unknown or self.is_shown_empty
        return not self.is_hidden and bool(self.content.strip() or has_parts)


class Step(NamedTuple):
    """A place in the tree of a chat."""

    turn: Turn | None
    parent: int | None
    """The index of the step before it on its path."""


def turns_of(
    name: str, message: Message, *, is_exact: bool = False, known: Collection[str] = ()
) -> list[Turn]:
    """Return the turns of a message, at least one; ``name`` is its name in the chat.

    Text, calls and attachments are one turn, and each result is another one. What follows a result
    begins a new turn. A user's message has the results first: they answer what was before it. With
    ``is_exact``, an empty message is a message. What `find_missed` finds in a message of which the
    reader has found nothing is a part that nobody knows.
    """
    pieces = message.pieces
    if message.role in _MAY_MISS and not message.is_hidden and not any(map(_says, pieces)):
        missed = find_missed(message, known)
        pieces = [*pieces, Unknown(missed)] if missed else pieces
    texts = [piece.text for piece in pieces if isinstance(piece, Text)]
    content = "\n".join(texts)
    # The whole message is only kept where nothing of it is shown.
    is_shown = not message.is_hidden and content.strip()
    is_reply = message.role == "assistant"
    about: dict[str, Any] = {
        "id": name,
        "role": message.role or "unknown",
        "is_hidden": message.is_hidden,
        "is_shown_empty": is_exact,
        "created_at": fields.to_time(message.created),
        "model": model_name(message.model) if is_reply else None,
        "input_tokens": token_count(message.input_tokens),
        "output_tokens": token_count(message.output_tokens),
        "status": message.status if is_reply else None,
        "rest": message.rest or None,
        "original": None if is_shown and len(texts) == len(pieces) else message.original,
    }
    if len(texts) == len(pieces):  # as in most messages
        return [Turn(**about, content=content)]
    if any(isinstance(piece, Call) for piece in pieces):
        pieces = list(_with_ids(name, pieces))
    if message.role == "user" and len(pieces) > 1:
        pieces = sorted(pieces, key=lambda piece: not isinstance(piece, Result))
    first, *others = _split(pieces)
    turns = [Turn(**{**about, **_fill(first, 0, is_exact=is_exact)})]
    at = len(first)
    about |= {"rest": None, "input_tokens": None, "output_tokens": None}
    for number, group in enumerate(others, start=2):
        filled = _fill(group, at, is_exact=is_exact)
        turns.append(Turn(**{**about, "id": f"{name}\0{number}", **filled}))
        at += len(group)
    return turns


def _says(piece: Piece) -> bool:
    if isinstance(piece, Text):
        return bool(piece.text.strip())
    return bool(piece.content) if isinstance(piece, Result) else not isinstance(piece, Aside)


def _with_ids(name: str, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the pieces, with ids for the calls that have none."""
    given_id = _given_id(name)
    number = 0
    for piece in pieces:
        if isinstance(piece, Call) and not piece.id:
            number += 1
            yield piece._replace(id=given_id if number == 1 else f"{given_id}_{number}")
        else:
            yield piece


def _given_id(name: str) -> str:
    """Return how the ids begin that are given to the calls of a message which have none."""
    return f"call_{name if len(name) <= _MAX_GIVEN_CHARS else digest(name)}"


def has_given_id(call: JsonObject, turn: Turn) -> bool:
    """Return whether a call of a turn has no id in the source."""
    name, _, _ = turn.id.partition("\0")
    rest = str(call["id"]).removeprefix(_given_id(name))
    return rest != call["id"] and (not rest or (rest[0] == "_" and rest[1:].isdecimal()))


def _split(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces of each turn; what is unknown or aside belongs to the result before it."""
    if not any(isinstance(piece, Result) for piece in pieces):
        return [list(pieces)] if pieces else []
    groups: list[list[Piece]] = []
    is_open = False
    for piece in pieces:
        is_left_of_result = bool(groups) and not is_open and isinstance(piece, Unknown)
        if isinstance(piece, Result) or not (is_open or is_left_of_result):
            groups.append([])
        groups[-1].append(piece)
        is_open = not (isinstance(piece, Result) or is_left_of_result)
    return _without_lone_asides(groups)


def _without_lone_asides(groups: list[list[Piece]]) -> list[list[Piece]]:
    """Return the groups; one that has only asides becomes part of the one before it, or after."""
    joined: list[list[Piece]] = []
    for group in groups:
        if joined and (_is_aside(group) or _is_aside(joined[-1])):
            joined[-1].extend(group)
            joined[-1].sort(key=lambda piece: not isinstance(piece, Result))
        else:
            joined.append(group)
    return joined


def _is_aside(group: Sequence[Piece]) -> bool:
    return all(isinstance(piece, Aside) for piece in group)


def _fill(pieces: Sequence[Piece], begin: int, *, is_exact: bool) -> dict[str, Any]:
    """Return the fields of a turn with these pieces, the ``begin``-th of the message and more."""
    others = [piece for piece in pieces if not isinstance(piece, Text)]
    if others and others[0] is pieces[0] and isinstance(others[0], Result):
        left = list(_unknown(pieces, begin))
        return _fill_result(others[0], others, left, is_exact=is_exact)
    return {
        "content": "\n".join(piece.text for piece in pieces if isinstance(piece, Text)),
        "calls": _calls(others),
        "attachments": [piece for piece in others if isinstance(piece, Attachment)],
        "asides": [piece for piece in others if isinstance(piece, Aside)],
        "unknown": list(_unknown(pieces, begin)),
    }


def _calls(pieces: Iterable[Piece]) -> list[JsonObject]:
    """Return the calls among the pieces; of those with one id, the later ones get others."""
    calls: dict[str, JsonObject] = {}
    other_ids: dict[str, Iterator[str]] = {}
    for piece in pieces:
        if isinstance(piece, Call):
            call = make_call(piece)
            if call["id"] in calls:
                ids = other_ids.setdefault(call["id"], ids_of(call["id"]))
                call = {**call, "id": next(id_ for id_ in ids if id_ not in calls)}
            calls[call["id"]] = call
    return [*calls.values()]


def ids_of(id_: str) -> Iterator[str]:
    """Yield the ids of the calls that have one id in the source, in their order."""
    yield id_
    yield from (f"{id_} ({number})" for number in count(2))


def _fill_result(
    result: Result, pieces: Sequence[Piece], left: Sequence[JsonObject], *, is_exact: bool
) -> dict[str, Any]:
    content, attachments, unknown = contents.read_result(result.content)
    return {
        "role": "tool",
        "content": content,
        "call_id": result.call_id,
        "tool": result.tool,
        "is_shown_empty": is_exact or bool(result.call_id),
        "attachments": attachments,
        "asides": [piece for piece in pieces if isinstance(piece, Aside)],
        "unknown": [*unknown, *left],
        "model": None,
        "status": "failed" if result.is_error else None,
    }


def _unknown(pieces: Sequence[Piece], begin: int) -> Iterator[JsonObject]:
    for index, piece in enumerate(pieces, start=begin):
        if isinstance(piece, Unknown):
            yield {"index": index, "part": piece.value}


def model_name(value: object) -> str | None:
    """Return the name of a model as its column takes it, or None."""
    name = clean_text(value)[0] if isinstance(value, str) else ""
    return name if name.strip() and len(name) <= _MAX_NAME_CHARS else None


def token_count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= _MAX_TOKENS else None


def code_block(text: str, language: str = "") -> str:
    """Return the text as a Markdown code block.

    The fence is longer than any in the text.
    """
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def make_call(call: Call) -> JsonObject:
    """Return a tool call, in the shape of its column."""
    values = (call.id, call.tool, fields.to_text(call.input))
    call_id, tool, text = (clean_text(value)[0] for value in values)
    if call.type == "function" or (call.type != "custom" and _is_json_object(text)):
        return {
            "id": call_id,
            "type": "function",
            "function": {"name": tool, "arguments": text},
        }
    return {"id": call_id, "type": "custom", "custom": {"name": tool, "input": text}}


def text_of(call: JsonObject) -> str:
    """Return what is sent to the tool."""
    return str(call["function"]["arguments"] if "function" in call else call["custom"]["input"])


def name_of(call: JsonObject) -> str:
    """Return the name of the tool."""
    return str(call[call["type"]]["name"])


def can_be_stored(call: JsonObject) -> bool:
    """Return whether the columns take the call as a tool call."""
    names = (call["id"], name_of(call))
    are_names = all(name.strip() and len(name) <= _MAX_NAME_CHARS for name in names)
    return are_names and len(text_of(call)) <= MAX_TOOL_CHARS


def _is_json_object(text: str) -> bool:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)
