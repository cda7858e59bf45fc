"""Chats with a few messages that no format knows: these are put beside the others, and reported."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.files.spilled import Spill, SpilledList, encode
from faceplate.importers.formats import Format
from faceplate.importers.shapes import best_format

_MAX_TRIED_KEYS: Final = 8
_MAX_TRIED_LISTS: Final = 8  # a chat has few; each try copies the fields of the value
_ENCODER: Final = json.JSONEncoder()


class _Listed(NamedTuple):
    """A list in a value, and the keys that lead to it."""

    keys: tuple[str, ...]
    elements: Sequence[Any]


def without_irregular(value: JsonObject) -> tuple[JsonObject, Format] | None:
    """Return a value without the elements of its lists that keep it from being a chat.

    The format reads the value that comes back. Each element is in a field of its own, such as
    ``unread_message_3``. None if the value is no chat without a few elements either.
    """
    for listed in islice(_lists(value), _MAX_TRIED_LISTS):
        for irregular in _irregular(listed.elements):
            regular = _move(value, listed, irregular)
            if format_ := best_format(regular):
                return regular, format_
    return None


def _lists(value: JsonObject) -> Iterator[_Listed]:
    """Yield the lists of objects in a value, and in the objects in it."""
    for key, field in value.items():
        if _has_objects(field):
            yield _Listed((key,), field)
        for name, inner in field.items() if isinstance(field, dict) else ():
            if _has_objects(inner):
                yield _Listed((key, name), inner)


def _has_objects(field: object) -> bool:
    return isinstance(field, list) and any(isinstance(each, dict) for each in field)


def _irregular(elements: Sequence[Any]) -> Iterator[Collection[int]]:
    """Yield the places of the elements that may be no messages, the fewest first.

    They are no objects, or lack a key that most of the others have.
    """
    odd = {at for at, each in enumerate(elements) if not isinstance(each, dict)}
    if 2 * len(odd) >= len(elements):
        return
    if odd:
        yield odd
    kinds = [_kinds(each) for each in elements]
    counts = Counter(kind for each in kinds for kind in each)
    objects = len(elements) - len(odd)
    common = [(kind, n) for kind, n in counts.most_common() if objects / 2 < n < objects]
    for kind, _ in common[:_MAX_TRIED_KEYS]:
        lacking = odd | {at for at, each in enumerate(kinds) if kind not in each}
        if not _are_followed(elements, lacking):
            yield lacking


def _kinds(element: object) -> set[tuple[str, ...]]:
    """Return the keys of an object and of the objects in it, each with the type of its value."""
    if not isinstance(element, dict):
        return set()
    inner = ((key, field) for key, field in element.items() if isinstance(field, dict))
    return {
        *((key, _type(field)) for key, field in element.items() if field is not None),
        *((key, name, _type(f)) for key, field in inner for name, f in field.items()),
    }


def _type(field: object) -> str:
    return "object" if isinstance(field, dict) else type(field).__name__


def _are_followed(elements: Sequence[Any], places: Collection[int]) -> bool:
    """Return whether another element names one of these as its parent: then the chat would part."""
    ids: set[str] = set()
    parents: set[str] = set()
    for at, each in enumerate(elements):
        for key, field in each.items() if isinstance(each, dict) else ():
            if isinstance(field, str) and at in places and key.lower().endswith("id"):
                ids.add(field)
            elif isinstance(field, str) and at not in places and "parent" in key.lower():
                parents.add(field)
    return not ids.isdisjoint(parents)


def _move(value: JsonObject, listed: _Listed, places: Collection[int]) -> JsonObject:
    """Return a value in which the elements at these places are fields of their own."""
    regular: list[Any] = SpilledList(Spill()) if _is_in_file(listed.elements) else []
    beside: JsonObject = {}
    for at, each in enumerate(listed.elements):
        if at not in places:
            _put(regular, each)
        elif each is not None:
            beside[f"unread_message_{at + 1}"] = {"content": each}
    if isinstance(regular, SpilledList):
        regular.end()
    key, *inner = listed.keys
    field = {**value[key], inner[0]: regular} if inner else regular
    return {**value, key: field, **beside}


def _is_in_file(elements: Sequence[Any]) -> bool:
    return isinstance(elements, SpilledList)


def _put(regular: list[Any], element: object) -> None:
    if isinstance(regular, SpilledList):
        regular.put(element, "".join(encode(element, _ENCODER)))
    else:
        regular.append(element)
