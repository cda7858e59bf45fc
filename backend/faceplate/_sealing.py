"""Sealed text: handed to a client and taken back, unchanged and by the same user."""

import base64
import binascii
import hashlib
import hmac
from uuid import UUID

MAX_CHARS = 3_000
"""More than the longest sealed text needs, and quick to decode."""
_MAC_BYTES = 16


def seal(key: bytes, user_id: UUID | None, purpose: str, text: str) -> str:
    """Return ``text`` in URL-safe base64, which `unseal` accepts for this user and purpose."""
    content = text.encode()
    sealed = _mac(key, user_id, purpose, content) + content
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(key: bytes, user_id: UUID | None, purpose: str, sealed: object) -> str | None:
    """Return the text in ``sealed``, or None unless `seal` made it for this user and purpose."""
    if not isinstance(sealed, str) or len(sealed) > MAX_CHARS:
        return None
    try:
        decoded = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mac, content = decoded[:_MAC_BYTES], decoded[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, user_id, purpose, content)):
        return None
    return content.decode()


def _mac(key: bytes, user_id: UUID | None, purpose: str, content: bytes) -> bytes:
    # A purpose may hold any text of the caller: quoted, it has an end, and no lone surrogate.
    context = f"{purpose!r} ".encode()
    user = b"" if user_id is None else user_id.bytes
    return hashlib.blake2b(context + content, key=key, salt=user, digest_size=_MAC_BYTES).digest()
