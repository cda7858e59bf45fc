"""The fitting of imported values to the rules of the columns.

Text keeps every character but NUL and lone surrogates, which PostgreSQL cannot store: each becomes
U+FFFD. Text that is too long continues in another message. In metadata, a number that would be read
back as another number, and a value that is nested too deeply, become text. If the metadata are too
large, the largest pieces are left out first, and a list records the place, the length and the
SHA-256 of each.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from faceplate.column_types import Json, JsonObject, Text
from faceplate.column_types.json_values import text_problem
from faceplate.errors import InvalidInput
from faceplate.importers.chats import shorten
from faceplate.importers.files.spilled import SpilledDict, SpilledList, encode, is_large
from faceplate.models import Message

MAX_CONTENT_CHARS: Final = cast("Text", Message.__table__.c["content"].type).max_chars
_METADATA: Final = cast("Json", Message.__table__.c["metadata"].type)

_MAX_LEVELS: Final = 24  # of the value in the file; the metadata add a few around it
_MIN_LEFT_OUT_CHARS: Final = 1_000  # the record of a shorter piece would save too little
_MAX_PIECES: Final = 100
_MAX_PATH_CHARS: Final = 200

_Piece = tuple[Any, Any, str, str]  # the container, the key in it, the path, the text

_MAX_NUMBER: Final = 2**53  # a larger one may be another number when it is read back
_SORTING_ENCODER: Final = json.JSONEncoder(sort_keys=True)
_ANY_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)  # Python reads NaN, and files have it
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
LEFT_OUT: Final = "left_out"
"""The key in metadata of what did not fit."""
_REPLACEMENT: Final = "\ufffd"


def clean_text(text: str) -> tuple[str, int]:
    """Return the text as it can be stored, and how many characters were replaced."""
    if text_problem(text) is None:
        return text, 0
    return _UNSTORABLE.subn(_REPLACEMENT, text)


def split_text(text: str, max_chars: int) -> list[str]:
    """Return the text in pieces of at most ``max_chars``, at least one."""
    if len(text) <= max_chars:
        return [text]
    return [text[at : at + max_chars] for at in range(0, len(text), max_chars)]


def fit(metadata: JsonObject) -> tuple[JsonObject, int]:
    """Return ``metadata`` that can be stored, and how many characters were cut.

    ``left_out`` in the result lists each piece: ``at``, ``chars`` and ``sha256``.
    """
    if not metadata or _is_plain(metadata):
        return metadata, 0
    metadata = _clean(metadata, _MAX_LEVELS)
    if _fits(metadata):
        return metadata, 0
    left_out: list[JsonObject] = metadata.setdefault(LEFT_OUT, [])
    for container, key, at, text in _largest_first(metadata):
        container[key] = None
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        left_out.append({"at": shorten(at, _MAX_PATH_CHARS), "chars": len(text), "sha256": sha256})
        if _fits(metadata):
            break
    return metadata, sum(piece["chars"] for piece in left_out)


def digest(value: Any) -> str:
    """Return an id for a value without one; equal values have the same."""
    hashed = hashlib.sha256()
    for text in encode(value, _SORTING_ENCODER):
        hashed.update(text.encode())
    return f"sha256:{hashed.hexdigest()}"


def leave_out_large(fields: JsonObject, at: str, left_out: list[JsonObject]) -> JsonObject:
    """Return the fields of a chat without large values, which get a record in ``left_out``."""
    kept: JsonObject = {}
    for name, item in fields.items():
        where = f"{at}.{name}"
        if isinstance(item, SpilledDict | SpilledList):
            chars, hashed = 0, hashlib.sha256()
            for text in encode(item, _ANY_ENCODER):
                chars += len(text)
                hashed.update(text.encode("utf-8", "surrogatepass"))
            shown = shorten(where, _MAX_PATH_CHARS)
            left_out.append({"at": shown, "chars": chars, "sha256": hashed.hexdigest()})
            kept[name] = None
        elif is_large(item):
            kept[name] = leave_out_large(item, where, left_out)
        else:
            kept[name] = item
    return kept


def _is_plain(metadata: JsonObject) -> bool:
    """Return whether a quick test shows that ``metadata`` can be stored."""
    size = 0
    level: list[Any] = [metadata]
    for _ in range(_MAX_LEVELS):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                size += len(value)
                if text_problem(value):
                    return False
            elif isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif value is not None and not abs(value) <= _MAX_NUMBER:  # also excludes NaN
                return False
        size += 2 * len(level)  # a value, and its place in its list or object
        if size > _METADATA.MAX_VALUES or not below:
            break
        level = below
    return size <= _METADATA.MAX_VALUES and not below


def _clean(value: Any, levels: int) -> Any:
    """Return the value as `column_types.Json` accepts it, apart from its size."""
    if not isinstance(value, dict | list):
        return _clean_scalar(value)
    if not levels:
        return clean_text(json.dumps(value, ensure_ascii=False))[0]
    if isinstance(value, dict):
        return {clean_text(key)[0]: _clean(item, levels - 1) for key, item in value.items()}
    return [_clean(item, levels - 1) for item in value]


def _clean_scalar(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)[0]
        case float() if math.isnan(value) or abs(value) > _MAX_NUMBER:
            return repr(value)
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
    return value


def _fits(metadata: JsonObject) -> bool:
    try:
        _METADATA.validate(metadata)
    except InvalidInput:
        return False
    return True


def _largest_first(metadata: JsonObject) -> Iterator[_Piece]:
    """Yield the pieces to leave out: strings, members, then whole keys."""
    strings = [
        piece
        for key, value in metadata.items()
        for piece in _strings(metadata, key, value, key)
        if len(piece[3]) >= _MIN_LEFT_OUT_CHARS
    ]
    yield from sorted(strings, key=_by_size)[:_MAX_PIECES]
    members = [
        (value, name, f"{key}.{name}", json.dumps(item, ensure_ascii=False))
        for key, value in metadata.items()
        if isinstance(value, dict)
        for name, item in value.items()
    ]
    yield from sorted(members, key=_by_size)[:_MAX_PIECES]
    for key in [key for key in metadata if key != LEFT_OUT]:
        yield metadata, key, key, json.dumps(metadata[key], ensure_ascii=False)


def _by_size(piece: _Piece) -> int:
    return -len(piece[3])


def _strings(container: Any, key: Any, value: Any, at: str) -> Iterator[_Piece]:
    if isinstance(value, str):
        yield container, key, at, value
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from _strings(value, name, item, f"{at}.{name}")
