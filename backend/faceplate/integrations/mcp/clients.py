"""Sessions with the MCP servers that a user has configured, by the SDK ``mcp``.

It needs the ``mcp`` extra::

    async with open_session(db, user_id, "weather") as session:
        found = await session.call_tool("forecast", {"city": "Oslo"})

A configuration is that of `faceplate.services.mcp_configs`. Its secrets are decrypted for the
session alone: ``env`` is the environment of a command and ``headers`` are those of requests,
``url`` and ``args`` take the place of the ones in ``config``, and a placeholder ``${NAME}`` in
``config`` stands for the text ``NAME`` among the secrets or in their ``env``. The environment of
this process fills no placeholder.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from datetime import timedelta
from importlib import import_module
from subprocess import DEVNULL
from typing import Any, Final, NamedTuple, TextIO
from urllib.parse import unquote, urlsplit
from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.errors import ConfigurationError, Conflict, FaceplateError, UsageError
from faceplate.integrations.mcp._hidden_urls import hidden
from faceplate.integrations.mcp.tokens import FaceplateTokenStorage
from faceplate.scope import Scope, read_only
from faceplate.services import mcp_configs
from faceplate.services._mcp_shapes import checked_transport

try:
    import mcp
    from mcp import ClientSession, StdioServerParameters, stdio_client
    from mcp.client.auth import OAuthClientProvider
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "MCP clients need a package: pip install 'faceplate[mcp]'"
    ) from missing

__all__ = ["TRANSPORTS", "McpServerError", "SignIn", "open_session"]

TRANSPORTS: Final = frozenset({"stdio", "sse", "streamable_http"})
OPEN_TIMEOUT_S: Final = 30.0
CALL_TIMEOUT_S: Final = 60.0
STREAM_TIMEOUT_S: Final = 300.0
"""How long a server may send nothing on a stream."""

_IS_2: Final = hasattr(mcp, "Client")
_http: Any = import_module("httpx2" if _IS_2 else "httpx")  # the one that this SDK uses
_PLACEHOLDER = re.compile(r"\$\{([^{}]+)\}")

SignIn = Callable[[str, FaceplateTokenStorage], Any]
"""Returns the ``auth`` of the HTTP client for a server's URL, such as `OAuthClientProvider`."""


class McpServerError(FaceplateError):
    """The MCP server could not be reached, gave no session in time, or broke off.

    The message names the kind of failure, and nothing that was sent or received.
    """


class _Server(NamedTuple):
    """A configuration with its secrets, ready to connect."""

    transport: str
    config: JsonObject
    env: dict[str, str]
    headers: dict[str, str]
    is_url_secret: bool


@asynccontextmanager
async def open_session(
    db: Database,
    user_id: UUID,
    name: str,
    *,
    sign_in: SignIn | None = None,
    transports: Collection[str] = TRANSPORTS,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    call_timeout_s: float = CALL_TIMEOUT_S,
    errlog: TextIO | None = None,
) -> AsyncIterator[ClientSession]:
    """Open a session with the server that the user has configured as ``name``.

    The session is initialized when the block begins, within ``open_timeout_s``. A request without
    an answer within ``call_timeout_s`` fails. The end of the block ends the session, and the
    subprocess of a stdio server. No transaction is open meanwhile.

    A stdio server is a command that runs on this machine: where users write their own
    configurations, allow only the other ``transports``. ``errlog`` gets what a stdio server writes
    to stderr; by default that is dropped, since it may show secrets.

    For a server whose ``config`` says ``"auth": "oauth"``, ``sign_in`` returns the OAuth provider::

        def sign_in(url, storage):
            return OAuthClientProvider(url, metadata, storage, redirect_handler, callback_handler)

    Raises the errors of `Database.run`; NotFound without such a configuration; Conflict where it is
    disabled; UsageError where its transport is not allowed, or it needs a ``sign_in``; InvalidInput
    where config and secrets make no server; McpServerError. Errors of the block and of the
    session's requests are raised as they are.
    """
    failure: Exception | None = None
    limit: Any = call_timeout_s if _IS_2 else timedelta(seconds=call_timeout_s)
    try:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(open_timeout_s):
                transport = await _transport(
                    db, user_id, name, transports=transports, sign_in=sign_in, errlog=errlog
                )
                read, write, *_ = await stack.enter_async_context(transport)
                session = await stack.enter_async_context(ClientSession(read, write, limit))
                await session.initialize()
            try:
                yield session
            except Exception as error:  # noqa: BLE001 - raised below: the SDK would wrap it in groups
                failure = error
    except Exception as error:  # noqa: BLE001 - whatever it is, it may show what was sent
        failure = failure or _failure(error, open_timeout_s)
    if failure is not None:
        raise failure  # here, where no error of the SDK is its context


@read_only
async def _read(scope: Scope, name: str) -> tuple[JsonObject, JsonObject]:
    """Return the config and the secrets of an enabled configuration (a unit)."""
    found = await mcp_configs.by_name(scope, name)
    if not found.enabled:
        raise Conflict("the MCP configuration is disabled")
    return found.config, await mcp_configs.get_secrets(scope, found.id) if found.has_secrets else {}


async def _transport(
    db: Database,
    user_id: UUID,
    name: str,
    *,
    transports: Collection[str],
    sign_in: SignIn | None,
    errlog: TextIO | None,
) -> AbstractAsyncContextManager[Any]:
    server = _server(*await db.run(user_id, _read, name))
    if server.transport not in transports:
        raise UsageError(f"the transport {server.transport} is not allowed here")
    if server.transport == "stdio":
        parameters = StdioServerParameters(
            command=server.config["command"],
            args=server.config.get("args", []),
            env=server.env,
            cwd=server.config.get("cwd"),
        )
        return stdio_client(parameters, errlog=errlog or DEVNULL)  # type: ignore[arg-type]  # as a process takes it
    url: str = server.config["url"]
    auth = None
    method = server.config.get("auth")
    if (method.get("type") if isinstance(method, dict) else method) in {"oauth", "oauth2"}:
        auth = await _signed_in(FaceplateTokenStorage(db, user_id, url), sign_in)
    return _over_http(server, auth)


@asynccontextmanager
async def _over_http(server: _Server, auth: Any) -> AsyncIterator[Any]:
    url, client = _client_for(server, auth)
    factory: Any = lambda **_: client  # noqa: E731 - the SDK closes what it returns
    hosts = {urlsplit(url).hostname or "", _http.URL(url).raw_host.decode()}
    with hidden(hosts) if server.is_url_secret else nullcontext():
        if server.transport == "sse":
            async with sse_client(url, httpx_client_factory=factory) as streams:
                yield streams
        else:
            async with client, streamable_http_client(url, http_client=client) as streams:
                yield streams


async def _signed_in(storage: FaceplateTokenStorage, sign_in: SignIn | None) -> Any:
    if sign_in is None:
        raise UsageError("this MCP server asks for OAuth: pass sign_in to open_session")
    auth = sign_in(storage.server_url, storage)
    if isinstance(auth, OAuthClientProvider):
        auth.context.token_expiry_time = await storage.expires_at()
    return auth


def _server(config: JsonObject, secrets: JsonObject) -> _Server:
    """Return the configuration with its secrets. Raises InvalidInput if it makes no server."""
    env, headers = secrets.get("env", {}), secrets.get("headers", {})
    known = {name: value for name, value in (secrets | env).items() if isinstance(value, str)}
    whole: JsonObject = _filled(config, known)
    whole |= {name: secrets[name] for name in ("url", "args") if name in secrets}
    is_url_secret = whole.get("url") != config.get("url")
    return _Server(checked_transport(whole), whole, env, headers, is_url_secret)


def _filled(value: Any, known: dict[str, str]) -> Any:
    """Return ``value`` with the known placeholders filled in."""
    match value:
        case str():
            return _PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), value)
        case list():
            return [_filled(one, known) for one in value]
        case dict():
            return {name: _filled(one, known) for name, one in value.items()}
    return value


def _client_for(server: _Server, auth: Any) -> tuple[str, Any]:
    """Return the URL that the SDK is told, which has no password, and the HTTP client for it."""
    parts = urlsplit(server.config["url"])
    if parts.username is not None and auth is None:
        auth = _http.BasicAuth(unquote(parts.username), unquote(parts.password or ""))
    client = _http.AsyncClient(
        headers=server.headers,
        auth=auth,
        timeout=_http.Timeout(OPEN_TIMEOUT_S, read=STREAM_TIMEOUT_S),
        transport=_http.AsyncHTTPTransport(),  # else proxies of this process's environment count
    )
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), client


def _failure(error: BaseException, open_timeout_s: float) -> Exception:
    """Return the error to raise for what the SDK raised: ours, or the kind of its own."""
    found = list(_leaves(error))
    for leaf in found:
        if isinstance(leaf, FaceplateError):
            leaf.__context__ = None
            return leaf.with_traceback(None)  # the frames hold secrets
    if any(isinstance(leaf, TimeoutError) for leaf in found):
        return McpServerError(f"the MCP server gave no session within {open_timeout_s:g} s")
    kinds = sorted({_kind(leaf) for leaf in found})
    return McpServerError(f"the MCP server cannot be used: {', '.join(kinds)}")


def _kind(error: BaseException) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return type(error).__name__ if status is None else f"HTTP {status}"


def _leaves(error: BaseException) -> Any:
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in error.exceptions:
        yield from _leaves(member)
