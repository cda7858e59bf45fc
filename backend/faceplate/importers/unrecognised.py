"""What the report says of a value in which no chat was found, without quoting any of it."""

from collections.abc import Iterator, Mapping
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Place, Refusal
from faceplate.importers.unread import find_text

_MAX_SHOWN_KEYS: Final = 6
_NO_FORMAT: Final = "of no format that can be read"
_MAX_KEY_CHARS: Final = 30  # a longer one may be content


def describe(value: Mapping[str, object]) -> str:
    """Return in words what a value is that no format reads, without its content."""
    shown = _keys(value)
    listed = value.get("messages")
    first = listed[0] if isinstance(listed, list) and listed else None
    if isinstance(first, dict) and len(value) == 1:
        return f"{_NO_FORMAT}; it is a list, and the keys of its first object are {_keys(first)}"
    if isinstance(first, dict):
        shown += f", and those of its first message {_keys(first)}"
    return f"{_NO_FORMAT}; its keys are {shown}"


def _keys(value: Mapping[str, object]) -> str:
    """Return the keys of an object that can be quoted."""
    keys = [key for key in value if key.isidentifier() and len(key) <= _MAX_KEY_CHARS]
    return ", ".join(sorted(keys)[:_MAX_SHOWN_KEYS]) or "none that can be quoted"


def report_beside(place: Place, rest: JsonObject) -> Iterator[Refusal]:
    """Yield a Refusal if there is text beside the chats that were found in an object."""
    chars = dict(find_text(rest))
    if chars:
        total, keys = sum(chars.values()), ", ".join(sorted(chars)[:_MAX_SHOWN_KEYS])
        reason = f"{total:,} characters of text beside its chats were not read, under {keys}"
        yield Refusal(place, reason)
