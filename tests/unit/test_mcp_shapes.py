"""A configuration that no client could use is refused, and so is one that holds a secret."""

import sys
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from faceplate import ConfigurationError, InvalidInput, Settings, encryption
from faceplate.services.mcp_shapes import check_config

URL = {"url": "https://example.com/mcp"}


@pytest.mark.parametrize(
    "config",
    [
        URL,
        {"type": "streamable-http"} | URL,
        {"url": "http://localhost:8080/sse?session=7#top"},
        {"url": "https://[::1]:8443/mcp"},
        {"command": "uvx", "cwd": "/srv", "envFile": ".env", "timeout": 30},
        URL | {"bearer_token_env_var": "WEATHER"},
    ],
)
def test_what_clients_write_is_accepted(config: dict[str, Any]) -> None:
    check_config(config)


@pytest.mark.parametrize(
    "name",
    [
        *("env", "headers", "Authorization", "bearer_token", "accessToken", "clientSecret"),
        *("api_key", "apiKey", "x-api-key", "password", "secrets", "http_headers"),
    ],
)
def test_what_is_called_like_a_secret_is_not_stored_in_the_clear(name: str) -> None:
    """It would stand in backups and in the output of every listing."""
    with pytest.raises(InvalidInput, match="give it in secrets instead") as refusal:
        check_config(URL | {name: "canary"})
    assert "canary" not in str(refusal.value)
    with pytest.raises(InvalidInput, match="the url must not hold") as refusal:
        check_config({"url": f"https://example.com/mcp?{name}=canary"})
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "https://", "https://example.com:99999", "https://example.com:port"),
        *("https://exa mple.com", " https://example.com", "https://example.com/\n", "https://[::1"),
        *(7, None, ["https://example.com"]),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: object) -> None:
    with pytest.raises(InvalidInput, match="needs an http or https url"):
        check_config({"url": url})


def test_without_the_package_secrets_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ImportError in a handler would not say that it is an extra of ours."""
    key = SecretStr(encryption.generate_key())
    settings = Settings(database_url=SecretStr("postgresql://localhost"), encryption_keys=(key,))
    row = (uuid4(), uuid4())
    encrypted = encryption.encrypt(settings, *row, {"pin": 1})
    monkeypatch.setitem(sys.modules, "cryptography", None)
    for attempt in (
        encryption.generate_key,
        lambda: encryption.encrypt(settings, *row, {"pin": 1}),
        lambda: encryption.decrypt(settings, *row, encrypted),
        lambda: encryption.reencrypt(settings, *row, encrypted),
    ):
        with pytest.raises(ConfigurationError, match=r"pip install 'faceplate\[encryption\]'"):
            attempt()
