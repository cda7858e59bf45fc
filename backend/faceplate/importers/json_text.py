"""The JSON in text fields, as the rows of databases and data sets have it."""

import json

from faceplate.column_types import JsonObject


def decode_fields(value: JsonObject) -> JsonObject | None:
    """Return an object with the objects and lists that its texts are; None if there is none."""
    decoded = {key: inner for key, field in value.items() if (inner := _decode(field)) is not None}
    return {**value, **decoded} if decoded else None


def _decode(field: object) -> object:
    if not isinstance(field, str) or field.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.loads(field)
    except (ValueError, RecursionError):
        return None
