"""The API on loopback, and OpenAI's clients for it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from openai import AsyncOpenAI
from starlette.requests import Request

from faceplate import Database, User
from faceplate.integrations.openai_conversations import application

Serving = Callable[[Any], AbstractAsyncContextManager[str]]


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


@pytest.fixture
async def url(db: Database) -> AsyncIterator[str]:
    """The API over the shared database."""
    async with serving(application(db, sign_in)) as served:
        yield served


Client = Callable[..., AsyncOpenAI]


@pytest.fixture
async def client_for(url: str) -> AsyncIterator[Client]:
    """Make OpenAI's client for a token, or for a user's id."""
    async with AsyncExitStack() as stack:
        clients: list[AsyncOpenAI] = []

        def make(token: object, **options: Any) -> AsyncOpenAI:
            given = {"base_url": f"{url}/v1", "max_retries": 0, **options}
            client = AsyncOpenAI(api_key=str(token), **given)
            clients.append(client)
            return client

        yield make
        for client in clients:
            await client.close()
        await stack.aclose()


@pytest.fixture
def client(client_for: Client, user: User) -> AsyncOpenAI:
    """OpenAI's client, signed in as the user."""
    return client_for(user.id)


@pytest.fixture
async def http(url: str, user: User) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client, for what OpenAI's never sends."""
    headers = {"Authorization": f"Bearer {user.id}"}
    async with httpx.AsyncClient(base_url=f"{url}/v1", headers=headers) as client:
        yield client
