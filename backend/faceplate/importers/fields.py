"""The fields of a source: text, times, lists and objects, whatever a file has in their places."""

import json
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from faceplate.column_types import JsonObject

_MAX_SECONDS: Final = 10**11  # in the year 5138; a larger number counts ms, us or ns
_MIN_SECONDS: Final = 10**8
_MAX_NANOSECONDS: Final = _MAX_SECONDS * 10**9
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_NAMED_DAY: Final = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? ")

REPEATED: Final = " (repeated)"
"""What the key of a value ends with that a file has under a key which comes again."""


def to_text(value: object) -> str:
    """Return a value as text: text as it is, any other as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def to_seconds(value: object) -> float | None:
    """Return a time in seconds since 1970.

    ``value`` is a number of s, ms, us or ns, such a number as text, ISO 8601, or a date as mail and
    browsers write it; also in the object that MongoDB writes around it.
    """
    if isinstance(value, dict) and len(value) == 1:
        inner = value.get("$date", value.get("$numberLong"))
        return None if inner is None else to_seconds(inner)
    if isinstance(value, str):
        try:
            return to_seconds(float(value)) if _NUMBER.fullmatch(value) else _from_text(value)
        except (ValueError, OverflowError):  # of a zone that is no zone
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not abs(value) < _MAX_NANOSECONDS:  # this also excludes NaN
        return None
    seconds = float(value)
    while abs(seconds) >= _MAX_SECONDS:
        seconds /= 1000
    return seconds


def _from_text(value: str) -> float:
    if _NAMED_DAY.match(value):
        of_browser = value.partition(" (")[0]
        is_of_browser = "GMT" in of_browser and "," not in of_browser
        moment = (
            datetime.strptime(of_browser, "%a %b %d %Y %H:%M:%S GMT%z")
            if is_of_browser
            else parsedate_to_datetime(value)
        )
    else:
        moment = datetime.fromisoformat(value.removesuffix(" UTC"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def to_moments(values: Iterable[object]) -> list[float]:
    """Return each of the times in seconds; what is no time has that of the one before it."""
    moments: list[float] = []
    for value in values:
        moment = to_time(value)
        before = moments[-1] if moments else 0.0
        moments.append(moment.timestamp() if moment else before)
    return moments


def to_time(value: object) -> datetime | None:
    """Return a time in UTC, or None if ``value`` is no time of a chat.

    A time before March 1973 is none: it is the zero of a program, or seconds since a begin.
    """
    if value is None:
        return None
    seconds = to_seconds(value)
    if seconds is None or seconds < _MIN_SECONDS:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def read_time(value: object, forms: Collection[str]) -> object:
    """Return a time, or None; ``forms`` are those of `strptime` in which it may be written.

    A time without a zone counts as UTC.
    """
    if to_seconds(value) is not None:
        return value
    for form in forms if isinstance(value, str) else ():
        with suppress(ValueError):
            return datetime.strptime(str(value).strip(), form).replace(tzinfo=UTC).isoformat()
    return None


def first_text(*values: object) -> str:
    """Return the first value that is text and not empty, or empty text."""
    for value in values:
        if isinstance(value, str) and value:
            return value
    return ""


def first_of(value: JsonObject, *keys: str) -> Any:
    """Return the first of the keys' values that is not None, or None."""
    for key in keys:
        if (found := value.get(key)) is not None:
            return found
    return None


def as_object(value: object) -> JsonObject:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def without(value: JsonObject, *keys: str) -> JsonObject:
    """Return the fields of an object other than these."""
    return {name: item for name, item in value.items() if name not in keys}
