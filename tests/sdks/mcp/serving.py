"""Servers of the SDK's own to connect to: as a subprocess, and on a port of the loopback."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import mcp
import pytest
import uvicorn

IS_2 = hasattr(mcp, "Client")
# A server inherits no PYTHONPATH, in which the SDK is found here.
PROGRAM = (
    f"import runpy, sys; sys.path[:] = {sys.path}; runpy.run_path({__file__!r}, {{}}, '__main__')"
)
# What mcp 1 does under newer versions of what it needs, and when a connection fails.
WARNINGS_OF_1 = (
    []
    if IS_2
    else [
        pytest.mark.filterwarnings(f"ignore:{words}")
        for words in (
            "Field 'lifespan' has an incomplete definition",
            "Unclosed <MemoryObject:ResourceWarning",
            "Exception ignored in. <function MemoryObject",
        )
    ]
)
STDIO: dict[str, Any] = {"command": sys.executable, "args": ["-c", PROGRAM]}

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def weather_server() -> Any:
    """A server with a tool that answers, and one that says what its environment holds."""
    if IS_2:
        from mcp.server.mcpserver import MCPServer

        server: Any = MCPServer("weather")
    else:
        from mcp.server.fastmcp import FastMCP

        server = FastMCP("weather")

    @server.tool()
    def forecast(city: str) -> str:
        return f"rain in {city}"

    @server.tool()
    def environment(name: str) -> str:
        return os.environ.get(name, "unset")

    @server.tool()
    def arguments() -> str:
        return " ".join(sys.argv[1:])

    @server.tool()
    async def hang() -> str:
        await asyncio.sleep(60)
        return "late"

    @server.tool()
    def end() -> str:
        os._exit(3)

    return server


def http_client(headers: dict[str, str]) -> Any:
    """An HTTP client of the kind that the SDK uses."""
    http = import_module("httpx2" if IS_2 else "httpx")
    return http.AsyncClient(headers=headers, timeout=30)


@asynccontextmanager
async def served(app: Asgi) -> AsyncIterator[str]:
    """Serve an application on a free port of the loopback; yield its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


class Gate:
    """An application that lets only who knows the header, or the path, through to another one."""

    def __init__(self, app: Asgi, *, header: str | None = None, prefix: str = "") -> None:
        self.app = app
        self.header = header
        self.prefix = prefix
        self.endpoint = "/messages/"
        """Where an SSE server says that messages go, relative to where it is."""
        self.seen: list[dict[str, str]] = []
        self.targets: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.seen.append(headers)
        self.targets.append(f"{scope['path']}?{scope['query_string'].decode()}")
        path = scope["path"].removeprefix(self.prefix)
        is_known = scope["path"].startswith(self.prefix) or path.startswith(self.endpoint)
        if not is_known or (self.header and headers.get("authorization") != self.header):
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"canary-body"})
            return

        async def send_elsewhere(message: Any) -> None:
            if body := message.get("body"):
                body = body.replace(b"data: /messages/", f"data: {self.endpoint}".encode())
                message = {**message, "body": body}
            await send(message)

        await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, send_elsewhere)


if __name__ == "__main__":
    sys.stderr.write("canary-stderr\n")
    weather_server().run()
