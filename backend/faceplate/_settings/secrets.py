"""Secret values of settings: their text, and the keys among them."""

import base64
import binascii
import hashlib
from functools import lru_cache

from pydantic import SecretStr


def reveal(value: object) -> str:
    """Return ``value`` as text, out of its SecretStr if it is in one."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def is_key(key: SecretStr) -> bool:
    """Return whether ``key`` is 32 bytes in URL-safe base64."""
    try:
        return len(base64.urlsafe_b64decode(key.get_secret_value())) == 32
    except (binascii.Error, ValueError):
        return False


@lru_cache(maxsize=8)
def bytes_of(key: SecretStr) -> bytes:
    """Return the bytes of a key that `is_key` accepted."""
    return base64.urlsafe_b64decode(key.get_secret_value())


@lru_cache(maxsize=8)
def cursor_key_of(*secrets: object) -> bytes:
    """Return the key that seals cursors, derived from other secrets."""
    text = "".join(map(reveal, secrets))
    return hashlib.sha256(f"faceplate cursor {text}".encode()).digest()
