"""The decoder of JSON values, and the words for its errors."""

import json
from typing import Any, Final

from faceplate.importers.fields import REPEATED


def _make_object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in which the last value of a key counts, and no other one is lost."""
    made = dict(members)
    return made if len(made) == len(members) else {**_repeated(made, members), **made}


def _repeated(made: dict[str, Any], members: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of keys that come again with another value, each under a key of its own."""
    repeated: dict[str, list[Any]] = {}
    for key, value in members:
        if value and value != made[key]:
            repeated.setdefault(f"{key}{REPEATED}", []).append(value)
    return repeated


JSON: Final = json.JSONDecoder(object_pairs_hook=_make_object)


def explain(error: ValueError | RecursionError) -> str:
    """Return in words why a text cannot be decoded, without any of it."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.rstrip(': ')}"
    return "a number with too many digits"
