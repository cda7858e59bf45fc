"""The encryption of secrets: Fernet, with the keys of the settings.

The plaintext names its row, and `decrypt` refuses it for any other row. A ciphertext that is copied
into another row, of the same user or not, is therefore useless there. Fernet has no associated
data; it authenticates the plaintext, so a name inside it is as safe.
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


def encrypt(settings: Settings, user_id: UUID, config_id: UUID, secrets: JsonObject) -> bytes:
    """Return ``secrets`` of an MCP configuration, encrypted for its row.

    Raises ConfigurationError without a key.
    """
    return encrypt_for(settings, name_of(user_id, config_id), secrets)


def encrypt_for(settings: Settings, row: str, secrets: JsonObject) -> bytes:
    """Return ``secrets``, encrypted for the row that is called ``row``.

    Raises ConfigurationError without a key.
    """
    text = json.dumps({"for": row, "secrets": secrets})
    return _cipher(settings).encrypt(text.encode())


def decrypt(settings: Settings, user_id: UUID, config_id: UUID, encrypted: bytes) -> JsonObject:
    """Return the decrypted secrets of an MCP configuration. Raises the errors of `decrypt_for`."""
    return decrypt_for(settings, name_of(user_id, config_id), encrypted)


def decrypt_for(settings: Settings, row: str, encrypted: bytes) -> JsonObject:
    """Return the decrypted secrets of the row that is called ``row``.

    Raises ConfigurationError without a key; DatabaseError if none of the keys fits, or if they
    were encrypted for another row.
    """
    cipher = _cipher(settings)
    try:
        content = json.loads(cipher.decrypt(encrypted))
    except _fernet().InvalidToken:
        raise DatabaseError(
            "no key in FACEPLATE_ENCRYPTION_KEYS decrypts the stored secrets"
        ) from None
    if content.get("for") != row:
        raise DatabaseError("the stored secrets were encrypted for another row")
    secrets: JsonObject = content["secrets"]
    return secrets


def reencrypt(settings: Settings, user_id: UUID, config_id: UUID, encrypted: bytes) -> bytes:
    """Return the secrets encrypted with the first key.

    Raises the errors of `decrypt`.
    """
    secrets = decrypt(settings, user_id, config_id, encrypted)
    return encrypt(settings, user_id, config_id, secrets)


def generate_key() -> str:
    """Return a new key for FACEPLATE_ENCRYPTION_KEYS."""
    key: bytes = _fernet().Fernet.generate_key()
    return key.decode()


def name_of(user_id: UUID, config_id: UUID) -> str:
    """Return the name of the row of an MCP configuration, for `decrypt_for`."""
    return f"mcp_configs.secrets {user_id} {config_id}"


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
