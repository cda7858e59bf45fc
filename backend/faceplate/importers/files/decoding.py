"""The decoder of JSON values, and the words for its errors."""

import json
from typing import Final

JSON: Final = json.JSONDecoder()


def explain(error: ValueError | RecursionError) -> str:
    """Return in words why a text cannot be decoded, without any of it."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.rstrip(': ')}"
    return "a number with too many digits"
