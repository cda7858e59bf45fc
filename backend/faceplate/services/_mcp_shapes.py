"""Checks of the shape of an MCP server's configuration, as MCP clients write it."""

from typing import Any, cast
from urllib.parse import urlsplit

from faceplate.column_types import Json, JsonObject
from faceplate.errors import InvalidInput
from faceplate.models import McpConfig
from faceplate.services._mcp_secrets import find_secret

CONFIG = "mcp_configs.config"
SECRETS = "mcp_configs.secrets"
URL_TRANSPORTS = ("sse", "http", "streamable_http", "streamable-http")
TRANSPORTS = ("stdio", *URL_TRANSPORTS)

_secrets_rule = Json(dict, max_chars=65_536)
_secrets_rule.field = SECRETS


def check_config(config: JsonObject) -> None:
    """Raise InvalidInput unless ``config`` fits a server and has no secret.

    The error names the path of a secret, such as ``args[2]``, and never its value.
    """
    cast("Json", McpConfig.__table__.c.config.type).validate(config)
    checked_transport(config)
    if (path := find_secret(config)) is not None:
        raise InvalidInput(CONFIG, f"{path} may hold a secret: give it in secrets instead")


def checked_transport(config: JsonObject) -> str:
    """Return the transport that ``config`` is for: stdio, sse or streamable_http.

    Raises InvalidInput where another one is named, or its command or URL does not fit.
    """
    transport = config.get("transport", config.get("type"))
    if transport is None:
        transport = "stdio" if "command" in config else "streamable_http"
    if transport not in TRANSPORTS:
        raise InvalidInput(CONFIG, f"transport must be one of {', '.join(TRANSPORTS)}")
    if transport == "stdio":
        _check_command(config)
        return "stdio"
    _check_url(config)
    return "sse" if transport == "sse" else "streamable_http"


def check_secrets(secrets: JsonObject) -> None:
    """Raise InvalidInput unless ``secrets`` is an object of the right shape.

    Its env and headers hold text.
    """
    _secrets_rule.validate(secrets)
    for name in ("env", "headers"):
        values = secrets.get(name, {})
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise InvalidInput(SECRETS, f"{name} must be an object of texts")


def _check_command(config: JsonObject) -> None:
    command, args = config.get("command"), config.get("args", [])
    if "url" in config:
        raise InvalidInput(CONFIG, "a stdio server has a command, not a url")
    if not isinstance(command, str) or not command.strip():
        raise InvalidInput(CONFIG, "a stdio server needs a command")
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise InvalidInput(CONFIG, "args must be a list of texts")


def _check_url(config: JsonObject) -> None:
    url: Any = config.get("url")
    if "command" in config:
        raise InvalidInput(CONFIG, "only a stdio server has a command")
    try:
        parts = urlsplit(url if isinstance(url, str) and url.isprintable() else "")
        # Reading the port raises ValueError if it is invalid.
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or " " in url:
        raise InvalidInput(CONFIG, "a server that is not stdio needs an http or https url")
