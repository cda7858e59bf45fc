"""A configuration that no client could use is refused, and so is one that holds a secret."""

import sys
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from faceplate import ConfigurationError, InvalidInput, Settings, encryption
from faceplate.services._mcp_shapes import check_config

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


NAMES = [
    *("env", "headers", "Authorization", "bearer_token", "accessToken", "clientSecret", "auth"),
    *("api_key", "apiKey", "x-api-key", "APIKEY", "password", "secrets", "http_headers", "key"),
    *("sig", "signature", "pat", "pwd", "jwt", "passphrase", "credentials", "cookies", "bearer"),
    *("githubToken", "GITHUB_TOKEN", "x-functions-key", "privateKey", "db.password", "auth_token"),
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_called_like_a_secret_is_not_stored_in_the_clear(name: str) -> None:
    """It would stand in backups and in the output of every listing."""
    quoted = "".join(f"%{ord(character):02x}" for character in name)
    shapes: dict[str, dict[str, Any]] = {
        name: URL | {name: "canary"},
        f"a.b[1].{name}": URL | {"a": {"b": ["c", {name: "canary"}]}},
        "a.value": URL | {"a": {"name": name, "value": "canary"}},
        "url": {"url": f"https://example.com/mcp?page=1&{name}=canary"},
        "url ": {"url": f"https://example.com/mcp?{quoted}=canary"},
        "url  ": {"url": f"https://example.com/mcp#{name}=canary"},
        "url   ": {"url": f"https://example.com/a;{name}=canary/mcp"},
    }
    if name != "env":  # which hands a variable on
        shapes["args[0]"] = {"command": "npx", "args": [f"--{name}=canary"]}
        shapes["args[1]"] = {"command": "npx", "args": [f"--{name}", "canary"]}
    for path, config in shapes.items():
        with pytest.raises(InvalidInput, match="give it in secrets instead") as refusal:
            check_config(config)
        assert refusal.value.rule.startswith(f"{path.strip()} "), config
        assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    "config",
    [
        {"url": "https://canary@example.com/mcp"},
        {"url": "https://me:canary@example.com/mcp"},
        {"url": "https://example.com/api?code=canary"},
        {"command": "a", "args": ["run", "-e", "GITHUB_TOKEN=canary", "image"]},
        {"command": "a", "args": ["run", "-e=GITHUB_TOKEN=canary"]},
        {"command": "a", "args": ["--env", "API_KEY=canary"]},
        {"command": "a", "args": ["https://example.com", "--header", "Authorization: canary"]},
        {"command": "a", "args": ["-H", "X-Api-Key:canary"]},
        {"command": "a", "args": ["--header=Cookie: canary"]},
        {"command": "a", "args": ["Authorization: Bearer canary-1"]},
        {"command": "a", "args": ["Bearer canary-1"]},
        {"command": "a", "args": ["postgresql://me:canary@example.com/app"]},
        {"command": "a", "args": ["--url", "https://example.com/?token=canary"]},
        {"command": "a", "args": ["-Dapi.key=canary"]},
        {"command": "sh", "args": ["-c", "TOKEN=canary npx x"]},
        {"command": "sh", "args": ["-c", "npx x --api-key canary"]},
        {"command": "env", "args": ["K=canary", "npx", "x"]},
        {"command": "K=canary npx x"},
        {"command": "/usr/bin/env K=canary npx x"},
        {"command": "npx x --token canary"},
        URL | {"headers": {}},
        URL | {"env": {}},
        URL | {"auth": {"type": "basic", "password": "canary"}},
        URL | {"description": "Bearer canary-1"},
        URL | {"servers": ["https://me:canary@example.com"]},
        URL | {"credentials": {"user": "canary"}},
        URL | {"password": 1234},
        URL | {"tokens": ["canary"]},
        URL | {"variables": [{"key": "API_TOKEN", "value": "canary"}]},
    ],
)
def test_a_secret_of_another_shape_is_not_stored_in_the_clear(config: dict[str, Any]) -> None:
    """Each is a shape in which clients and their manuals write one."""
    with pytest.raises(InvalidInput, match="give it in secrets instead") as refusal:
        check_config(config)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    [
        *("author", "authors", "tokenizer", "max_tokens", "maxTokens", "keyboard", "keywords"),
        *("token_limit", "tokenEndpoint", "auth_type", "authorization_url", "secretary", "monkey"),
        *("public_key", "primary_key", "key_id", "keyName", "headerName", "passive", "path"),
        *("signature_version", "compat", "environment", "bearer_token_env_var", "passwordFile"),
        *("sortKey", "donkey", "cookiePolicy", "session", "design", "assign", "passthrough"),
    ],
)
def test_what_is_called_otherwise_is_accepted(name: str) -> None:
    """Else an ordinary configuration cannot be stored, and people are told that it is a secret."""
    check_config(URL | {name: "x", "inner": {name: [1, "x"]}})
    check_config({"url": f"https://example.com/a;{name}=x/mcp?{name}=x#{name}=x"})
    check_config({"command": "npx", "args": [f"--{name}", "x", f"--{name}=x", f"{name}=x"]})


@pytest.mark.parametrize(
    "config",
    [
        {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/home/me"]},
        {"command": "docker", "args": ["run", "-i", "--rm", "-e", "GITHUB_TOKEN", "ghcr.io/x/y"]},
        {"command": "docker", "args": ["run", "-e", "LOG_LEVEL=debug", "--env-file", ".env"]},
        {"command": "npx", "args": ["mcp-remote", "https://x.example/sse", "--port", "9000"]},
        {"command": "npx", "args": ["--header", "Authorization:${AUTH}", "--header", "Accept: a"]},
        {"command": "npx", "args": ["--header", "Authorization: Bearer ${input:token}"]},
        {"command": "npx", "args": ["--api-key", "${API_KEY}", "--token=$TOKEN", "--no-auth"]},
        {"command": "uvx", "args": ["--key", "/etc/tls/server.key", "--password-file", "pw.txt"]},
        {"command": "uvx", "args": ["--auth", "oauth", "--author", "Ada", "--max-tokens", "500"]},
        {"command": "uvx", "args": ["git+ssh://git@example.com/a/b.git", "--verbose"]},
        {"command": "uvx", "args": ["postgresql://reader@example.com/app"]},
        {"command": "uvx", "args": ["--token", "--verbose"]},
        {"url": "https://x.example/?api_key=${API_KEY}&profile=a&country_code=de"},
        URL | {"auth": "oauth", "oauth": {"clientId": "a", "scopes": ["b"], "redirectPort": 1}},
        URL | {"auth": {"type": "oauth", "token_url": "https://x.example/token"}},
        URL | {"auth": True, "token": None, "limits": {"max_tokens": 4096, "tokens": 10}},
        URL | {"inputs": [{"id": "token", "type": "promptString", "password": True}]},
        URL | {"description": "Basic usage of tokens: a key to it", "disabled": False},
    ],
)
def test_an_ordinary_shape_is_accepted(config: dict[str, Any]) -> None:
    check_config(config)


TOKENS = [
    "sk-proj-canary0123456789abcdefgh",
    "sk_live_canary0123456789abcd",
    "ghp_canary0123456789abcdefghijklmnopqrst",
    "github_pat_canary0123456789abcdefghijklmnop",
    "glpat-canary0123456789abcdef",
    "xoxb-123456789012-canary0123456789",
    "AKIACANARY0123456789",
    f"AIza{'canary7' * 5}",
    f"hf_{'canary7' * 5}",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl",
    "-----BEGIN EC PRIVATE KEY-----\ncanary",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_that_tells_itself_is_not_stored_in_the_clear(token: str) -> None:
    """It may be anywhere, and needs no name: in an argument, a path, the key of an object."""
    shapes: dict[str, dict[str, Any]] = {
        "args[0]": {"command": "npx", "args": [token]},
        "args[1]": {"command": "npx", "args": ["-k", f"x:{token}"]},
        "a.b[0]": URL | {"a": {"b": [token]}},
        "a.a key": URL | {"a": {token: "x"}},
    }
    if token.isprintable():
        shapes["url"] = {"url": f"https://example.com/{token}/mcp"}
    for path, config in shapes.items():
        with pytest.raises(InvalidInput) as refusal:
            check_config(config)
        assert refusal.value.rule.startswith(f"{path} "), config
        assert token not in str(refusal.value)


def test_a_name_in_other_letters_is_read_as_it_looks() -> None:
    with pytest.raises(InvalidInput, match="may hold a secret"):
        check_config(URL | {"\uff50\uff41ssword": "canary"})


@pytest.mark.parametrize(
    "text", ["sk-learn-server-for-everybody", "task-1234567890123456789012345"]
)
def test_a_name_that_begins_like_a_token_is_accepted(text: str) -> None:
    check_config({"command": "npx", "args": [text]})


def test_a_secret_that_has_no_name_is_not_told() -> None:
    """The documentation says so, and that such a URL belongs into the secrets."""
    check_config({"url": "https://example.com/mcp/canary/sse"})


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
