"""Canonical JSON, and the values of files under the name that readers know them by."""

import json
import re
from typing import Any, Final

from faceplate.importers.chats import Unreadable
from faceplate.importers.files import LIST_KEYS, Value, read_values

__all__ = ["LIST_KEYS", "Value", "encode", "read_values"]

# An escape that is not itself escaped: in JSON, "\\\\u0000" is a backslash and five characters.
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def encode(value: Any) -> bytes:
    """Return a value as canonical JSON.

    Raises Unreadable if PostgreSQL cannot store it.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, sort_keys=True)
        encoded = text.encode()
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except UnicodeEncodeError:
        raise Unreadable("text that is not Unicode: a lone surrogate") from None
    except ValueError:
        raise Unreadable("a number that is NaN or infinite") from None
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise Unreadable("text with a NUL character")
    return encoded
