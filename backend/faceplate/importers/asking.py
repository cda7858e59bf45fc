"""The questions to the formats about a value: whether it is a chat, or one message of a chat."""

from faceplate.column_types import JsonObject
from faceplate.importers.files.spilled import is_large, opening
from faceplate.importers.formats import FORMATS, Format


def ask_formats(value: JsonObject) -> Format | None:
    """Return the format that has the most features in a value, or None."""
    if is_large(value) and (format_ := ask_formats(opening(value))):
        return format_
    fitting = [(format_.fits(value), format_) for format_ in FORMATS.values()]
    features, format_ = max(fitting, key=lambda each: each[0])  # the first of equals
    return format_ if features else None


def joined_id(value: JsonObject) -> str | None:
    """Return the id of the chat to which a value belongs that is one message, or None.

    It is "" if no format knows it.
    """
    ids = (format_.joins(value) for format_ in FORMATS.values())
    return max((id_ for id_ in ids if id_ is not None), key=bool, default=None)
