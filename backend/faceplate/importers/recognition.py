"""The recognition of formats: which of them reads a value, and which values are one chat."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.asking import joined_id
from faceplate.importers.chats import Place, Refusal
from faceplate.importers.files import Value
from faceplate.importers.files.spilled import Spill, SpilledDict, SpilledList, encode
from faceplate.importers.fitting import digest
from faceplate.importers.formats import Format
from faceplate.importers.irregular import without_irregular
from faceplate.importers.json_text import decode_fields
from faceplate.importers.shapes import best_format
from faceplate.importers.unrecognised import describe, report_beside

_MAX_WRAPPING_LEVELS: Final = 3
_MAX_WAITING_CHARS: Final = 2_000_000
_ENCODER: Final = json.JSONEncoder()


class Found(NamedTuple):
    """A value that is a chat, and the format that reads it."""

    place: Place
    value: JsonObject
    format: Format


class _Fit(NamedTuple):
    """What a value is: a chat of a format, one message of a chat, or neither."""

    value: JsonObject
    """With the JSON in its texts decoded, or without a few messages, if it is something only so."""
    format: Format | None
    joined_id: str | None


def _fit(value: JsonObject) -> _Fit:
    found = _fit_as_it_is(value)
    if not value or found.format or found.joined_id is not None:
        return found
    decoded = decode_fields(value)
    inner = _fit_as_it_is(decoded) if decoded else found
    if inner.format or inner.joined_id is not None:
        return inner
    regular = without_irregular(value)
    return _Fit(*regular, None) if regular else found


def _fit_as_it_is(value: JsonObject) -> _Fit:
    format_ = best_format(value) if value else None
    return _Fit(value, format_, None if format_ or not value else joined_id(value))


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
        self._waiting_chars = 0
        """How much was added to the lists since all of them were written."""
        self._spill = Spill()
        self._header: tuple[Place, JsonObject] | None = None
        """The first value, which says something about the messages after it."""

    def take(self, item: Value) -> Iterator[Found | Refusal]:
        """Yield what the next value of the file holds."""
        if item.document != self._document:
            yield from self.flush()
            self._document = item.document
        yield from _bounded(item.place, self._take_one(item))

    def _take_one(self, item: Value) -> Iterator[Found | Refusal]:
        if item.is_beside:
            yield from self._take_beside(item)
            return
        value = {"messages": item.value} if isinstance(item.value, list) else item.value
        if not isinstance(value, dict):
            yield Refusal(item.place, "not an object")
            return
        value, format_, id_ = _fit(value)
        if id_ is not None:
            self._add_loose(item.place, id_, value)
            return
        if format_ is None and item.place.number == 1 and _is_flat(value):
            self._header = (item.place, value)
            return
        if self._header is not None and not self._loose:
            yield Refusal(self._header[0], describe(self._header[1]))
            self._header = None
        yield from self._found(item.place, value, format_)

    def _add_loose(self, place: Place, id_: str, value: JsonObject) -> None:
        """Add a message to those of its chat; if many wait in all chats, write them."""
        if id_ not in self._loose:
            self._loose[id_] = (place, SpilledList(self._spill))
        is_in_file = isinstance(value, SpilledDict | SpilledList)
        text = "" if is_in_file else "".join(encode(value, _ENCODER))
        self._loose[id_][1].put(value, text)
        self._waiting_chars += len(text)
        if self._waiting_chars >= _MAX_WAITING_CHARS:
            self._waiting_chars = 0
            for _, messages in self._loose.values():
                messages.end()

    def _take_beside(self, item: Value) -> Iterator[Found | Refusal]:
        """Yield the chats beside the lists of chats, and a Refusal if other text is there."""
        found = None if self._fixed else _fit(item.value)
        if found and found.format:
            yield Found(item.place, found.value, found.format)
            return
        wrapped, rest = ([], item.value) if self._fixed else _unwrap(item.place, item.value)
        yield from wrapped
        yield from report_beside(item.place, rest)

    def flush(self) -> Iterator[Found | Refusal]:
        """Yield the chats of the messages that were values of their own."""
        header: JsonObject = {}
        if self._header is not None:
            place, header = self._header
            if len(self._loose) != 1:
                yield Refusal(place, describe(header))
                header = {}
        self._header = None
        for id_ in [*self._loose]:
            place, messages = self._loose.pop(id_)  # a list that was read holds its last chunk
            messages.end()
            value: JsonObject = {**header, "messages": messages}
            if id_:
                value["id"] = id_
            yield from _bounded(place, self._found_joined(place, value))
        self._spill = Spill()

    def _found_joined(self, place: Place, value: JsonObject) -> Iterator[Found | Refusal]:
        yield from self._found(place, value, best_format(value))

    def _found(
        self, place: Place, value: JsonObject, format_: Format | None
    ) -> Iterator[Found | Refusal]:
        format_ = self._fixed or format_
        if format_ is not None:
            yield Found(place, value, format_)
            return
        wrapped, rest = _unwrap(place, value)
        if wrapped:
            yield from wrapped
            yield from report_beside(place, rest)
        else:
            yield Refusal(place, describe(value))


def _bounded(place: Place, items: Iterator[Found | Refusal]) -> Iterator[Found | Refusal]:
    """Yield the items, and a Refusal where the value that they are read from is too deep."""
    try:
        yield from items
    except RecursionError:
        yield Refusal(place, "nested too deeply")


def _unwrap(place: Place, value: JsonObject, level: int = 0) -> tuple[list[Found], JsonObject]:
    """Return the chats in an object that is none itself, and the fields beside them."""
    if level == _MAX_WRAPPING_LEVELS:
        return [], value
    chats: list[Found] = []
    rest: JsonObject = {}
    are_named = _several_hold_messages(value.values())
    for key, inner in value.items():
        found: list[Found] = []
        beside: object = inner
        if isinstance(inner, dict):
            found, [beside] = _in_list(place, [inner], level)
        elif isinstance(inner, list) and (chat := _join(place, value, key, are_named=are_named)):
            if not are_named:  # then it has the other fields as well
                return [chat], {}
            found, beside = [chat], None
        elif isinstance(inner, list):
            found, beside = _in_list(place, inner, level)
        chats += found
        rest[key] = beside
    return chats, rest


def _in_list(place: Place, listed: list[Any], level: int) -> tuple[list[Found], list[Any]]:
    """Return the chats in a list, and what is beside them in each of its elements."""
    chats: list[Found] = []
    rest: list[Any] = []
    for each in listed:
        found: list[Found] = []
        beside: object = each
        if isinstance(each, dict):
            value, format_, _ = _fit(each)
            if format_ is not None:
                found, beside = [Found(place, value, format_)], None
            else:
                found, beside = _unwrap(place, each, level + 1)
        chats += found
        rest.append(beside)
    return chats, rest


def _join(place: Place, outer: JsonObject, key: str, *, are_named: bool) -> Found | None:
    """Return the chat whose messages are the list under a key, or None if they are none.

    ``are_named`` says whether others are there as well: then each has only its name.
    """
    if not _are_messages(outer[key]):
        return None
    listed = _decode_messages(outer[key])
    if are_named:
        beside = {"title": key, "id": f"{key} {digest(listed[0])}"}  # others may have the name
    else:
        beside = {name: field for name, field in outer.items() if name != key}
    value: JsonObject = {**beside, "messages": listed}
    format_ = best_format(value)
    return None if format_ is None else Found(place, value, format_)


def _are_messages(listed: Iterable[Any]) -> bool:
    """Return whether the objects in a list are messages, and no chats."""
    objects = (each for each in listed if isinstance(each, dict))
    first = next(objects, None)
    return first is not None and all(
        _fit(each).joined_id is not None for each in chain((first,), objects)
    )


def _decode_messages(listed: list[Any]) -> list[Any]:
    """Return the messages of a list, with the JSON in their texts decoded where it is one."""
    first = next(each for each in listed if isinstance(each, dict))
    if _fit(first).value is first:
        return listed
    decoded = SpilledList(Spill())
    for each in listed:
        value = _fit(each).value if isinstance(each, dict) else each
        decoded.put(value, "".join(encode(value, _ENCODER)))
    decoded.end()
    return decoded


def _is_flat(value: JsonObject) -> bool:
    """Return whether an object holds no other ones, as a header of messages does."""
    return not any(isinstance(field, dict | list) for field in value.values())


def _several_hold_messages(values: Iterable[object]) -> bool:
    found = map(_holds_messages, values)
    return any(found) and any(found)  # the second call goes on after the first one's find


def _holds_messages(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(each, dict) and joined_id(decode_fields(each) or each) is not None
        for each in value
    )
