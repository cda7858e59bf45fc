"""Sessions with configured servers, over each transport, against servers of the SDK's own."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import socket
import sys
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl
from tests.sdks.mcp.serving import IS_2, STDIO, WARNINGS_OF_1, Gate, served, weather_server

from faceplate import Conflict, Database, InvalidInput, NotFound, UsageError, User
from faceplate._tracebacks import linked_errors
from faceplate.integrations.mcp._hidden_urls import hidden
from faceplate.integrations.mcp.clients import McpServerError, open_session
from faceplate.integrations.mcp.tokens import FaceplateTokenStorage
from faceplate.services import mcp_configs

pytestmark = WARNINGS_OF_1
BEARER = "Bearer canary-header"
FORECAST = ("forecast", {"city": "Oslo"})


def said(result: Any) -> str:
    """The text of a tool's result."""
    return "".join(part.text for part in result.content)


async def put(db: Database, user: User, config: dict[str, Any], **secrets: Any) -> None:
    await db.run(user.id, mcp_configs.put, "weather", config, secrets=secrets or None)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged on the side of the client: the server is another program."""
    ours = (record for record in caplog.records if not record.name.startswith("uvicorn"))
    return "\n".join(f"{record.name} {record.getMessage()} {record.exc_text}" for record in ours)


def shows_canary(error: BaseException) -> bool:
    """Whether what an error tracker sends of an error holds a secret: its frames' locals, too."""
    for linked in linked_errors(error):
        if "canary" in "".join(traceback.format_exception(linked)) + repr(vars(linked)):
            return True
        for frame, _ in traceback.walk_tb(linked.__traceback__):
            if "faceplate" in str(frame.f_globals.get("__name__")) and "canary" in repr(
                frame.f_locals
            ):
                return True
    return False


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Has mcp 1 warn of what it leaves open while the test's filters are in force."""
    yield
    if not IS_2:
        gc.collect()


@pytest.fixture
async def http() -> AsyncIterator[tuple[str, Gate]]:
    """A streamable HTTP server that asks for a header."""
    gate = Gate(weather_server().streamable_http_app(), header=BEARER)
    async with served(gate) as address:
        yield address, gate


@pytest.fixture
async def sse() -> AsyncIterator[tuple[str, Gate]]:
    """An SSE server that asks for a header."""
    gate = Gate(weather_server().sse_app(), header=BEARER)
    async with served(gate) as address:
        yield address, gate


async def test_a_stdio_server_gets_its_environment_and_arguments(db: Database, user: User) -> None:
    config = {**STDIO, "args": [*STDIO["args"], "--key", "${KEY}", "${HOME}"]}
    await put(db, user, config, env={"TOKEN": "canary"}, KEY="canary-key")
    async with open_session(db, user.id, "weather") as session:
        assert {tool.name for tool in (await session.list_tools()).tools} >= {"forecast"}
        assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
        assert said(await session.call_tool("environment", {"name": "TOKEN"})) == "canary"
        assert said(await session.call_tool("arguments", {})) == "--key canary-key ${HOME}"


async def test_the_environment_of_this_process_stays_here(
    db: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who writes configurations must not read the service's own secrets."""
    monkeypatch.setenv("SERVICE_PASSWORD", "canary")
    config = {**STDIO, "args": [*STDIO["args"], "${SERVICE_PASSWORD}"]}
    await put(db, user, config)
    async with open_session(db, user.id, "weather") as session:
        found = await session.call_tool("environment", {"name": "SERVICE_PASSWORD"})
        assert said(found) == "unset"
        assert said(await session.call_tool("arguments", {})) == "${SERVICE_PASSWORD}"


async def test_what_a_stdio_server_writes_to_stderr_is_dropped_or_collected(
    db: Database, user: User, capfd: pytest.CaptureFixture[str]
) -> None:
    await put(db, user, STDIO)
    async with open_session(db, user.id, "weather") as session:
        await session.call_tool(*FORECAST)
    assert "canary" not in "".join(capfd.readouterr())
    with tempfile.TemporaryFile("w+") as errlog:
        async with open_session(db, user.id, "weather", errlog=errlog) as session:
            await session.call_tool(*FORECAST)
        errlog.seek(0)
        assert "canary-stderr" in errlog.read()


async def test_a_streamable_http_server_gets_its_headers(
    db: Database, user: User, http: tuple[str, Gate], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address, gate = http
    await put(db, user, {"url": f"{address}/mcp"}, headers={"Authorization": BEARER})
    async with open_session(db, user.id, "weather") as session:
        assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
    assert {headers["authorization"] for headers in gate.seen} == {BEARER}
    assert "canary" not in logged(caplog)


async def test_an_sse_server_gets_its_headers(
    db: Database, user: User, sse: tuple[str, Gate], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address, _ = sse
    config = {"transport": "sse", "url": f"{address}/sse"}
    await put(db, user, config, headers={"Authorization": BEARER})
    async with open_session(db, user.id, "weather") as session:
        assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
    assert "canary" not in logged(caplog)


@pytest.mark.parametrize("transport", ["sse", "streamable_http"])
async def test_a_url_that_is_secret_shows_in_no_log(
    db: Database, user: User, caplog: pytest.LogCaptureFixture, transport: str
) -> None:
    """The HTTP client logs every URL, so every reader of the logs would see a key in one."""
    caplog.set_level(logging.INFO)
    server = weather_server()
    app = server.sse_app() if transport == "sse" else server.streamable_http_app()
    gate = Gate(app, prefix="/canary-path")
    path = "sse" if transport == "sse" else "mcp"
    async with served(gate) as address:
        known = {"transport": transport, "url": f"{address}/somewhere"}
        await put(db, user, known, url=f"{address}/canary-path/{path}?key=canary-query")
        async with open_session(db, user.id, "weather") as session:
            assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
        filled = {"transport": transport, "url": f"{address}/${{PLACE}}/{path}?key=${{KEY}}"}
        await put(db, user, filled, PLACE="canary-path", KEY="canary-query")
        async with open_session(db, user.id, "weather") as session:
            assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
    assert f"/canary-path/{path}?key=canary-query" in gate.targets
    assert "canary" not in logged(caplog)


ENDPOINTS = ["messages/", "/canary-path/messages/", "{address}/canary-path/messages/"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_what_an_sse_server_names_below_a_secret_url_shows_in_no_log(
    db: Database, user: User, caplog: pytest.LogCaptureFixture, endpoint: str
) -> None:
    """It is as secret, and one that is relative is below the whole URL."""
    caplog.set_level(logging.DEBUG)
    gate = Gate(weather_server().sse_app(), prefix="/canary-path")
    async with served(gate) as address:
        gate.endpoint = endpoint.format(address=address)
        config = {"transport": "sse", "url": f"{address}/somewhere"}
        await put(db, user, config, url=f"{address}/canary-path/sse?key=canary-query")
        async with open_session(db, user.id, "weather") as session:
            assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
    assert [target for target in gate.targets if target.startswith("/canary-path/messages/")]
    assert "canary" not in logged(caplog)
    assert f"POST {address}/…" in logged(caplog)


async def test_a_secret_url_that_fails_shows_in_no_log(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK logs errors with their tracebacks, and the HTTP client's say which URL failed."""
    caplog.set_level(logging.DEBUG)
    gate = Gate(weather_server().sse_app(), prefix="/canary-path")
    gate.endpoint = "canary-nowhere/"
    async with served(gate) as address:
        config = {"transport": "sse", "url": address}
        await put(db, user, config, url=f"{address}/canary-path/sse")
        with pytest.raises(McpServerError) as caught:
            async with open_session(db, user.id, "weather", open_timeout_s=3):
                pytest.fail("it opened")
    assert not shows_canary(caught.value)
    assert any(target.startswith("/canary-path/canary-nowhere/") for target in gate.targets)
    assert "404" in logged(caplog)
    assert "canary" not in logged(caplog)
    assert "canary" not in str([record.exc_info for record in caplog.records])


async def test_a_sign_in_at_a_secret_url_shows_in_no_log(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """OAuth asks for the server's metadata at paths that hold the one of the server."""
    caplog.set_level(logging.DEBUG)
    metadata = OAuthClientMetadata(redirect_uris=[AnyUrl("http://localhost/callback")])

    def sign_in(url: str, storage: FaceplateTokenStorage) -> OAuthClientProvider:
        return OAuthClientProvider(url, metadata, storage)

    gate = Gate(weather_server().streamable_http_app(), header=BEARER)
    async with served(gate) as address:
        config = {"url": address, "auth": "oauth"}
        await put(db, user, config, url=f"{address}/canary-path/mcp")
        with pytest.raises(McpServerError):
            async with open_session(db, user.id, "weather", sign_in=sign_in, open_timeout_s=20):
                pytest.fail("it opened")
    assert any(".well-known" in target and "canary-path" in target for target in gate.targets)
    assert "canary-path" not in logged(caplog)


def test_other_logs_are_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    """Those of other servers, and all where no session with a secret URL is open."""
    caplog.set_level(logging.INFO)
    http, other = logging.getLogger("httpx"), logging.getLogger("other")
    with hidden({"secret.example"}):
        http.info("GET %s", "https://secret.example/canary?a=b")
        http.info("GET %s", "https://a:canary@SECRET.example:8000/canary")
        http.info("GET %s", "https://other.example/shown")
        other.info("GET %s", "https://secret.example/shown")
    http.info("GET %s", "https://secret.example/shown")
    assert [record.getMessage() for record in caplog.records] == [
        "GET https://secret.example/…",
        "GET https://SECRET.example:8000/…",
        "GET https://other.example/shown",
        "GET https://secret.example/shown",
        "GET https://secret.example/shown",
    ]


async def test_a_password_in_a_secret_url_signs_in(db: Database, user: User) -> None:
    gate = Gate(weather_server().streamable_http_app(), header="Basic YWRhOmNhbmFyeSE=")
    async with served(gate) as address:
        url = f"{address}/mcp".replace("://", "://ada:canary%21@")
        await put(db, user, {"url": address}, url=url)
        async with open_session(db, user.id, "weather") as session:
            assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"


async def test_a_disabled_configuration_is_refused(db: Database, user: User) -> None:
    await put(db, user, STDIO)
    found = await db.run(user.id, mcp_configs.by_name, "weather")
    await db.run(user.id, mcp_configs.disable, found.id)
    with pytest.raises(Conflict, match="disabled"):
        async with open_session(db, user.id, "weather"):
            pytest.fail("it opened")


async def test_another_users_configuration_is_not_found(
    db: Database, user: User, other_user: User
) -> None:
    await put(db, user, STDIO)
    with pytest.raises(NotFound):
        async with open_session(db, other_user.id, "weather"):
            pytest.fail("it opened")


async def test_a_service_can_allow_only_remote_servers(db: Database, user: User) -> None:
    """Else the writer of a configuration runs commands on the service's machine."""
    await put(db, user, STDIO, env={"TOKEN": "canary"})
    with pytest.raises(UsageError, match="stdio is not allowed") as caught:
        async with open_session(db, user.id, "weather", transports={"sse", "streamable_http"}):
            pytest.fail("it opened")
    assert not shows_canary(caught.value)


async def test_secrets_that_make_no_server_are_refused(db: Database, user: User) -> None:
    await put(db, user, {"url": "https://example.com"}, url="canary", headers={"A": "canary"})
    with pytest.raises(InvalidInput, match="http or https url") as caught:
        async with open_session(db, user.id, "weather"):
            pytest.fail("it opened")
    assert not shows_canary(caught.value)


async def test_a_server_that_refuses_the_secret_shows_none(
    db: Database, user: User, http: tuple[str, Gate], caplog: pytest.LogCaptureFixture
) -> None:
    address, _ = http
    await put(db, user, {"url": f"{address}/mcp"}, headers={"Authorization": "Bearer canary-old"})
    with pytest.raises(McpServerError) as caught:
        async with open_session(db, user.id, "weather", open_timeout_s=10):
            pytest.fail("it opened")
    assert not shows_canary(caught.value)
    assert "canary" not in logged(caplog)


@pytest.mark.parametrize("transport", ["sse", "streamable_http"])
async def test_a_server_that_is_not_there_shows_no_secret(
    db: Database, user: User, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        config = {"transport": transport, "url": url}
        await put(db, user, config, headers={"Authorization": "canary"}, url=f"{url}canary")
        with pytest.raises(McpServerError, match=r"cannot be used|no session") as caught:
            async with open_session(db, user.id, "weather", open_timeout_s=10):
                pytest.fail("it opened")
    assert not shows_canary(caught.value)
    assert "canary" not in logged(caplog)


async def test_a_command_that_is_not_there_shows_no_secret(db: Database, user: User) -> None:
    await put(db, user, {"command": "/nowhere/server"}, env={"TOKEN": "canary"}, args=["canary"])
    with pytest.raises(McpServerError, match="FileNotFoundError") as caught:
        async with open_session(db, user.id, "weather"):
            pytest.fail("it opened")
    assert not shows_canary(caught.value)


async def test_a_server_that_says_nothing_is_given_up(db: Database, user: User) -> None:
    """Else a dead server would hold up the turn of a chat, and its user, for ever."""
    config = {"command": sys.executable, "args": ["-c", "import time; time.sleep(60)"]}
    await put(db, user, config, env={"TOKEN": "canary"})
    with pytest.raises(McpServerError, match=r"no session within 0\.5 s") as caught:
        async with open_session(db, user.id, "weather", open_timeout_s=0.5):
            pytest.fail("it opened")
    assert not shows_canary(caught.value)


async def test_a_call_without_an_answer_fails_and_the_session_goes_on(
    db: Database, user: User
) -> None:
    await put(db, user, STDIO)
    async with open_session(db, user.id, "weather", call_timeout_s=8) as session:
        with pytest.raises(Exception, match=r"(?i)timed out|timeout"):
            await session.call_tool("hang", {})
        assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"


async def test_a_server_that_dies_ends_the_session_with_an_error(db: Database, user: User) -> None:
    await put(db, user, STDIO, env={"TOKEN": "canary"})
    with pytest.raises(Exception, match=r"(?i)closed|cannot be used"):
        async with open_session(db, user.id, "weather", call_timeout_s=20) as session:
            await session.call_tool("end", {})


async def test_an_error_of_the_block_is_raised_as_it_is(db: Database, user: User) -> None:
    """Else an except clause around the block would not catch it."""
    await put(db, user, STDIO)
    with pytest.raises(KeyError, match="mine"):
        async with open_session(db, user.id, "weather"):
            raise KeyError("mine")


async def test_a_cancelled_block_ends_the_server(db: Database, user: User) -> None:
    await put(db, user, STDIO)
    opened = asyncio.Event()

    async def hold() -> None:
        async with open_session(db, user.id, "weather"):
            opened.set()
            await asyncio.sleep(60)

    holding = asyncio.create_task(hold())
    await opened.wait()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert _children() == []


def _children() -> list[str]:
    """The processes that this one has started and that still run a server of this module."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            command = (process / "cmdline").read_text()
            if parent == str(os.getpid()) and "serving.py" in command:
                found.append(command)
    return found


async def test_two_sessions_at_once_have_their_own_secrets(
    db: Database, user: User, other_user: User
) -> None:
    await put(db, user, STDIO, env={"TOKEN": "mine"})
    await put(db, other_user, STDIO, env={"TOKEN": "theirs"})

    async def token(owner: User) -> str:
        async with open_session(db, owner.id, "weather") as session:
            return said(await session.call_tool("environment", {"name": "TOKEN"}))

    mine, theirs = await asyncio.gather(token(user), token(other_user))
    assert (mine, theirs) == ("mine", "theirs")


async def test_a_server_with_oauth_needs_a_sign_in(db: Database, user: User) -> None:
    await put(db, user, {"url": "https://example.com/mcp", "auth": "oauth"})
    with pytest.raises(UsageError, match="sign_in"):
        async with open_session(db, user.id, "weather"):
            pytest.fail("it opened")


async def test_a_storage_is_made_for_the_url_of_the_server(db: Database, user: User) -> None:
    given: list[tuple[str, FaceplateTokenStorage]] = []

    def sign_in(url: str, storage: FaceplateTokenStorage) -> Any:
        given.append((url, storage))

    gate = Gate(weather_server().streamable_http_app())
    async with served(gate) as address:
        await put(db, user, {"url": f"{address}/mcp", "auth": {"type": "oauth"}})
        async with open_session(db, user.id, "weather", sign_in=sign_in) as session:
            assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
    [(url, storage)] = given
    assert url == storage.server_url == f"{address}/mcp"


class TokenServer:
    """An application that asks for the newest token, and gives one for a refresh token."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.newest = 0
        self.refreshed: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/token":
            await Gate(self.app, header=f"Bearer a{self.newest}")(scope, receive, send)
            return
        form = parse_qs((await receive())["body"].decode())
        self.refreshed += form["refresh_token"]
        self.newest += 1
        answer = {
            "access_token": f"a{self.newest}",
            "token_type": "Bearer",
            "refresh_token": f"r{self.newest}",
            "expires_in": 3600,
        }
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def test_an_expired_token_is_refreshed_and_kept(db: Database, user: User) -> None:
    """Else a user has to sign in again after each restart of the service."""
    metadata = OAuthClientMetadata(redirect_uris=[AnyUrl("http://localhost/callback")])
    client = OAuthClientInformationFull(
        client_id="c", redirect_uris=[AnyUrl("http://localhost/callback")]
    )

    def sign_in(url: str, storage: FaceplateTokenStorage) -> OAuthClientProvider:
        return OAuthClientProvider(url, metadata, storage)

    tokens = TokenServer(weather_server().streamable_http_app())
    async with served(tokens) as address:
        url = f"{address}/mcp"
        storage = FaceplateTokenStorage(db, user.id, url)
        await storage.set_client_info(client)
        expired = OAuthToken(access_token="old", refresh_token="r0", expires_in=-5)
        await storage.set_tokens(expired)
        await put(db, user, {"url": url, "auth": "oauth"})
        for _ in range(2):  # the second session finds what the first one has stored
            async with open_session(db, user.id, "weather", sign_in=sign_in) as session:
                assert said(await session.call_tool(*FORECAST)) == "rain in Oslo"
    assert tokens.refreshed == ["r0"]
    stored = await storage.get_tokens()
    assert stored is not None
    assert (stored.access_token, stored.refresh_token) == ("a1", "r1")
    assert await storage.get_client_info() == client


async def test_a_user_who_has_to_sign_in_is_told_without_a_secret(db: Database, user: User) -> None:
    metadata = OAuthClientMetadata(redirect_uris=[AnyUrl("http://localhost/callback")])

    def sign_in(url: str, storage: FaceplateTokenStorage) -> OAuthClientProvider:
        return OAuthClientProvider(url, metadata, storage)

    gate = Gate(weather_server().streamable_http_app(), header=BEARER)
    async with served(gate) as address:
        await put(db, user, {"url": f"{address}/mcp", "auth": "oauth"})
        stale = OAuthToken(access_token="canary-stale")
        await FaceplateTokenStorage(db, user.id, f"{address}/mcp").set_tokens(stale)
        with pytest.raises(McpServerError) as caught:
            async with open_session(db, user.id, "weather", sign_in=sign_in, open_timeout_s=20):
                pytest.fail("it opened")
    assert not shows_canary(caught.value)
