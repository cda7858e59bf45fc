"""The API on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from faceplate.integrations.openai_conversations import application
from faceplate.integrations.web import lifespan

Serving = Callable[[Any], AbstractAsyncContextManager[str]]


def create_app() -> Starlette:
    """Return the API over the database of the environment, for a process of its own."""
    return application(lifespan(), sign_in)


async def sign_in(request: Request) -> UUID | str | None:
    """Tell the user by a token that is their id, or ``sub:`` and their subject."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    if token.startswith("sub:"):
        return token.removeprefix("sub:")
    try:
        return UUID(token)
    except ValueError:
        return None


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an application on loopback, in this event loop; yield its URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # without handlers of signals
    try:
        while not server.started:
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
