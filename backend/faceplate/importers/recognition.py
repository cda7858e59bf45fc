"""The recognition of formats: which of them reads a value, and which values are one chat."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Place, Refusal
from faceplate.importers.fields import first_text
from faceplate.importers.files import LIST_KEYS, Value, read_values
from faceplate.importers.files.spilled import Spill, SpilledList, is_large, opening
from faceplate.importers.fitting import digest
from faceplate.importers.formats import FORMATS, Format
from faceplate.importers.unread import find_text

_MAX_TRIED_VALUES: Final = 20
_MAX_WRAPPING_LEVELS: Final = 3
_MAX_REMEMBERED_SHAPES: Final = 1_000
_MAX_SHAPE_MESSAGES: Final = 100
_MAX_SHOWN_KEYS: Final = 6
_MAX_KEY_CHARS: Final = 30  # a longer one may be content


class Found(NamedTuple):
    """A value that is a chat, and the format that reads it."""

    place: Place
    value: JsonObject
    format: Format


def best_format(value: JsonObject) -> Format | None:
    """Return the format that fits a value best, or None if none does."""
    shape = _plain_shape(value)
    if shape is None:
        return _ask_formats(value)
    if shape not in _remembered:
        if len(_remembered) == _MAX_REMEMBERED_SHAPES:
            _remembered.clear()
        _remembered[shape] = _ask_formats(value)
    return _remembered[shape]


_Shape = tuple[object, ...]
_remembered: Final[dict[_Shape, Format | None]] = {}
"""The formats of plain chats by their shapes; data sets have thousands of the same shape."""


def _plain_shape(value: JsonObject) -> _Shape | None:
    """Return all that a format goes by in a chat of plain messages; None for any other value.

    A plain message is a role and a text that is not empty. Formats go by keys, roles and types, so
    two values of one shape are of the same format.
    """
    messages = value.get("messages")
    if not isinstance(messages, list) or not 0 < len(messages) <= _MAX_SHAPE_MESSAGES:
        return None
    fields = [key for key in value if key != "messages"]
    if not all(key in _PLAIN_FIELDS and first_text(value[key]) for key in fields):
        return None
    roles = [message["role"] for message in messages if _is_plain(message)]
    if len(roles) < len(messages):
        return None
    # Which roles follow each other, and not how often: else each long chat has its own shape.
    return *fields, len(roles) > 1, roles[0], roles[-1], frozenset(pairwise(roles))


def _is_plain(message: object) -> bool:
    if not isinstance(message, dict) or len(message) != _PLAIN_MESSAGE_FIELDS:
        return False
    content = message.get("content")
    return isinstance(content, str) and content != "" and message.get("role") in _PLAIN_ROLES


_PLAIN_FIELDS: Final = ("id", "title")
_PLAIN_MESSAGE_FIELDS: Final = 2
_PLAIN_ROLES: Final = ("system", "user", "assistant")


def _ask_formats(value: JsonObject) -> Format | None:
    if is_large(value) and (format_ := _ask_formats(opening(value))):
        return format_
    fitting = [(format_.fits(value), format_) for format_ in FORMATS.values()]
    features, format_ = max(fitting, key=lambda each: each[0])  # the first of equals
    return format_ if features else None


def joined_id(value: JsonObject) -> str | None:
    """Return the id of the chat to which a value belongs that is one message, or None.

    It is "" if no format knows it.
    """
    ids = [id_ for format_ in FORMATS.values() if (id_ := format_.joins(value)) is not None]
    return max(ids, key=bool, default=None)


def find_chats(
    values: Iterable[Value | Refusal], fixed: Format | None
) -> Iterator[Found | Refusal]:
    """Yield the chats among the values of a file, and a Refusal for each value that holds none.

    Messages that are values of their own are collected until the document ends. With ``fixed``,
    that format reads every value.
    """
    finder = _Finder(fixed)
    for item in values:
        if isinstance(item, Refusal):
            yield item
        else:
            yield from finder.take(item)
    yield from finder.flush()


class _Finder:
    """The chats of one document, and the messages that wait for the rest of theirs."""

    def __init__(self, fixed: Format | None) -> None:
        self._fixed = fixed
        self._document = 0
        self._loose: dict[str, tuple[Place, SpilledList]] = {}
        self._spill = Spill()
        self._header: tuple[Place, JsonObject] | None = None
        """The first value, which says something about the messages after it."""

    def take(self, item: Value) -> Iterator[Found | Refusal]:
        """Yield what the next value of the file holds."""
        if item.document != self._document:
            yield from self.flush()
            self._document = item.document
        value = {"messages": item.value} if isinstance(item.value, list) else item.value
        if not isinstance(value, dict):
            yield Refusal(item.place, "not an object")
            return
        format_ = best_format(value)
        if format_ is None and (id_ := joined_id(value)) is not None:
            if id_ not in self._loose:
                self._loose[id_] = (item.place, SpilledList(self._spill))
            self._loose[id_][1].put(value, json.dumps(value))
            return
        if format_ is None and item.place.number == 1 and _is_flat(value):
            self._header = (item.place, value)
            return
        if self._header is not None and not self._loose:
            yield Refusal(self._header[0], _describe(self._header[1]))
            self._header = None
        yield from self._found(item.place, value, format_)

    def flush(self) -> Iterator[Found | Refusal]:
        """Yield the chats of the messages that were values of their own."""
        header: JsonObject = {}
        if self._header is not None:
            place, header = self._header
            if len(self._loose) != 1:
                yield Refusal(place, _describe(header))
                header = {}
        self._header = None
        for id_, (place, messages) in self._loose.items():
            messages.end()
            value: JsonObject = {**header, "messages": messages}
            if id_:
                value["id"] = id_
            yield from self._found(place, value, best_format(value))
        self._loose.clear()
        self._spill = Spill()

    def _found(
        self, place: Place, value: JsonObject, format_: Format | None
    ) -> Iterator[Found | Refusal]:
        if self._fixed is not None:
            yield Found(place, value, self._fixed)
        elif format_ is not None:
            yield Found(place, value, format_)
        elif wrapped := list(_unwrap(place, value)):
            yield from wrapped
            chars = sum(chars for _, chars in find_text(_beside(value, wrapped)))
            if chars:
                yield Refusal(place, f"{chars:,} characters of text beside its chats were not read")
        else:
            yield Refusal(place, _describe(value))


def _unwrap(place: Place, value: JsonObject, level: int = 0) -> Iterator[Found]:
    """Yield the chats in the lists of an object that is none itself."""
    if level == _MAX_WRAPPING_LEVELS:
        return
    for inner in value.values():
        if isinstance(inner, dict):
            format_ = best_format(inner)
            if format_ is None:
                yield from _unwrap(place, inner, level + 1)
            else:
                yield Found(place, inner, format_)
        elif isinstance(inner, list):
            yield from _in_list(place, value, inner)


def _beside(value: JsonObject, found: Iterable[Found]) -> JsonObject:
    """Return the fields of a value without the chats that were found in it."""
    taken = {id(part) for item in found for part in (item.value, *item.value.values())}
    return {
        key: _beside(inner, found)
        if isinstance(inner, dict)
        else [each for each in inner if id(each) not in taken]
        if isinstance(inner, list)
        else inner
        for key, inner in value.items()
        if id(inner) not in taken
    }


def _in_list(place: Place, outer: JsonObject, listed: list[Any]) -> Iterator[Found]:
    chats = [each for each in listed if isinstance(each, dict)]
    found = [Found(place, each, format_) for each in chats if (format_ := best_format(each))]
    if found or not chats or any(joined_id(each) is None for each in chats):
        yield from found
        return
    messages: JsonObject = {"messages": listed}
    beside = {key: field for key, field in outer.items() if field is not listed}
    if any(map(_holds_messages, beside.values())):  # then the lists have only their names
        name = next(key for key, field in outer.items() if field is listed)
        beside = {"title": name, "id": f"{name} {digest(listed[0])}"}  # others may have the name
    if format_ := best_format({**beside, **messages}):
        yield Found(place, {**beside, **messages}, format_)


def _is_flat(value: JsonObject) -> bool:
    """Return whether an object holds no other ones, as a header of messages does."""
    return not any(isinstance(field, dict | list) for field in value.values())


def _holds_messages(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(each, dict) and joined_id(each) is not None for each in value
    )


def _describe(value: Mapping[str, object]) -> str:
    """Return in words what a value is that no format reads, without its content."""
    keys = [key for key in value if key.isidentifier() and len(key) <= _MAX_KEY_CHARS]
    shown = ", ".join(sorted(keys)[:_MAX_SHOWN_KEYS]) or "none that can be quoted"
    return f"of no format that can be read; its keys are {shown}"


def list_keys(path: Path) -> tuple[str, ...]:
    """Return the keys under which the values of a file are chats, and not messages of one."""
    with closing(read_values(path)) as items:
        first = next((item for item in items if isinstance(item, Value)), None)
    value = first.value if first is not None else None
    if not isinstance(value, dict) or best_format(value) is not None:
        return LIST_KEYS
    return LIST_KEYS if joined_id(value) is None else ()


def recognise(path: Path) -> str | None:
    """Return the key in `FORMATS` of the format of most chats near the begin of a file.

    None if there is no chat that is recognised. Raises OSError if the file cannot be read.
    """
    with closing(read_values(path, list_keys=list_keys(path))) as items:
        found = list(find_chats(islice(items, _MAX_TRIED_VALUES), None))
    keys = [item.format.key for item in found if isinstance(item, Found)]
    return max(keys, key=keys.count, default=None)
