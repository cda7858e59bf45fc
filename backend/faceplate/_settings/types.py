"""The types of settings, with the rules that hold for a value of each."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, Secret, SecretStr
from pydantic_settings import NoDecode

from faceplate._settings.secrets import is_key
from faceplate._settings.tls_files import check_certificates
from faceplate.database_url import parse_url

PasswordFunction = Callable[[], str | Awaitable[str]]
Password = Secret[PasswordFunction] | SecretStr | PasswordFunction | str
"""Text, or a function that faceplate calls before each connection."""


def _check_url(value: SecretStr | str) -> SecretStr | str:
    if isinstance(value, SecretStr):
        parse_url(value.get_secret_value())
    return value


def _check_password(value: object) -> Password | None:
    """Hide text and functions alike: a function may be bound to a token."""
    match value:
        case None | SecretStr() | Secret():
            password: Password | None = value
        case str():
            password = SecretStr(value)
        case _ if callable(value):
            password = Secret(value)
        case _:
            raise ValueError("must be text, or a function that returns it")
    if isinstance(password, SecretStr) and not password.get_secret_value():
        raise ValueError("must not be empty")
    return password


def _check_seal_key(value: SecretStr) -> SecretStr:
    if not is_key(value):
        raise ValueError("is not 32 bytes in URL-safe base64")
    return value


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _split_urls(value: object) -> object:
    """Split at spaces, since a URL with several hosts has commas."""
    return tuple(map(SecretStr, value.split())) if isinstance(value, str) else value


def _check_urls(value: tuple[SecretStr | str, ...]) -> tuple[SecretStr | str, ...]:
    for number, url in enumerate(value, start=1):
        try:
            _check_url(url)
        except ValueError as problem:
            raise ValueError(f"URL {number}: {problem}") from None
    return value


def _check_keys(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for number, key in enumerate(value, start=1):
        if not is_key(key):
            raise ValueError(f"key {number} is not 32 bytes in URL-safe base64")
    return value


def _check_modules(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is not the name of a module")
    return value


def _check_ca_file(value: Path) -> Path:
    path = value.expanduser()
    check_certificates(str(path))
    return path


# A str is accepted and kept as a SecretStr; the annotation tells type checkers.
Url = Annotated[SecretStr | str, Field(union_mode="left_to_right"), AfterValidator(_check_url)]
Urls = Annotated[
    tuple[Annotated[SecretStr | str, Field(union_mode="left_to_right")], ...],
    NoDecode,
    BeforeValidator(_split_urls),
    AfterValidator(_check_urls),
]
OptionalPassword = Annotated[Password | None, PlainValidator(_check_password)]
SealKey = Annotated[SecretStr, AfterValidator(_check_seal_key)]
EncryptionKeys = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_keys)
]
ModuleNames = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_modules)
]
CaFile = Annotated[Path, AfterValidator(_check_ca_file)]
# The server counts its timeouts in milliseconds, in a signed 32-bit integer.
Seconds = Annotated[float, Field(ge=0, le=2_147_483, allow_inf_nan=False)]
PositiveSeconds = Annotated[Seconds, Field(gt=0)]
