"""Secrets at rest: Fernet (AES-128-CBC and HMAC-SHA256) under the keys of the settings.

The user's id is encrypted with the secrets, so that a ciphertext copied into another user's row
does not open there.
"""

import json
from types import ModuleType
from typing import TYPE_CHECKING
from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.config import Settings
from faceplate.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


def encrypt(settings: Settings, user_id: UUID, secrets: JsonObject) -> bytes:
    """Return ``secrets`` of a user, encrypted. Raises ConfigurationError without a key."""
    text = json.dumps({"user_id": str(user_id), "secrets": secrets})
    return _cipher(settings).encrypt(text.encode())


def decrypt(settings: Settings, user_id: UUID, encrypted: bytes) -> JsonObject:
    """Return what was encrypted for this user.

    Raises ConfigurationError without a key, DatabaseError where no key of ours made it.
    """
    content = json.loads(_open(settings, encrypted))
    if content["user_id"] != str(user_id):
        raise DatabaseError("the stored secrets were encrypted for another user")
    secrets: JsonObject = content["secrets"]
    return secrets


def reencrypt(settings: Settings, encrypted: bytes) -> bytes:
    """Return the same secrets under the first key. Raises as `decrypt`."""
    return _cipher(settings).encrypt(_open(settings, encrypted))


def generate_key() -> str:
    """Return a new key for FACEPLATE_ENCRYPTION_KEYS."""
    key: bytes = _fernet().Fernet.generate_key()
    return key.decode()


def _open(settings: Settings, encrypted: bytes) -> bytes:
    cipher = _cipher(settings)
    try:
        return cipher.decrypt(encrypted)
    except _fernet().InvalidToken:
        raise DatabaseError(
            "no key in FACEPLATE_ENCRYPTION_KEYS opens the stored secrets"
        ) from None


def _cipher(settings: Settings) -> "MultiFernet":
    if not settings.encryption_keys:
        raise ConfigurationError(
            "secrets need a key: set FACEPLATE_ENCRYPTION_KEYS to what `faceplate generate-key`"
            " prints"
        )
    fernet = _fernet()
    cipher: MultiFernet = fernet.MultiFernet(
        [fernet.Fernet(key.get_secret_value()) for key in settings.encryption_keys]
    )
    return cipher


def _fernet() -> ModuleType:
    try:
        from cryptography import fernet  # noqa: PLC0415 - an extra, needed only here
    except ImportError:
        raise ConfigurationError(
            "secrets need a package: pip install 'faceplate[encryption]'"
        ) from None
    return fernet
