"""The questions to the formats about a value: whether it is a chat, or one message of a chat."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.files.spilled import is_large, opening
from faceplate.importers.formats import FORMATS, Format


def ask_formats(value: JsonObject) -> Format | None:
    """Return the format that has the most features in a value, or None."""
    if is_large(value) and (format_ := ask_formats(opening(value))):
        return format_
    fitting = [(format_.fits(value), format_) for format_ in _possible_formats(value)]
    features, format_ = max(fitting, key=lambda each: each[0])  # the first of equals
    return format_ if features else None


def joined_id(value: JsonObject) -> str | None:
    """Return the id of the chat to which a value belongs that is one message, or None.

    It is "" if no format knows it.
    """
    ids = (format_.joins(value) for format_ in _possible_formats(value))
    return max((id_ for id_ in ids if id_ is not None), key=bool, default=None)


def _possible_formats(value: JsonObject) -> Sequence[Format]:
    """Return the formats that a value may be of by its keys and those of its messages."""
    keys = set(value)
    for field in value.values():
        if isinstance(field, dict | list):
            _collect_keys(field, keys)
    return _formats_with(_KEYS & keys)


_KEYS: Final = frozenset[str]().union(*(format_.keys for format_ in FORMATS.values()))


@lru_cache(maxsize=1_000)
def _formats_with(keys: frozenset[str]) -> Sequence[Format]:
    """Return the formats that have one of these keys or need none, in their order."""
    return [
        format_
        for format_ in FORMATS.values()
        if not format_.keys or not keys.isdisjoint(format_.keys)
    ]


def _collect_keys(value: Iterable[Any], keys: set[str]) -> None:
    """Add the keys of an object, or of the objects in a list, to ``keys``."""
    if isinstance(value, dict):
        keys.update(value)
        return
    for each in value:
        if isinstance(each, dict | list):
            _collect_keys(each, keys)
