"""The format of a value, which is remembered for plain chats by their shapes."""

from itertools import pairwise
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.asking import ask_formats
from faceplate.importers.fields import first_text
from faceplate.importers.formats import Format

_MAX_REMEMBERED_SHAPES: Final = 1_000
_MAX_SHAPE_MESSAGES: Final = 100


def best_format(value: JsonObject) -> Format | None:
    """Return the format that fits a value best, or None if none does."""
    shape = _plain_shape(value)
    if shape is None:
        return ask_formats(value)
    if shape not in _remembered:
        if len(_remembered) == _MAX_REMEMBERED_SHAPES:
            _remembered.clear()
        _remembered[shape] = ask_formats(value)
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
