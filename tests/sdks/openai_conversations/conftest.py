"""The API on loopback, and OpenAI's clients for it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from tests.sdks.openai_conversations.serving import Serving, serving, sign_in

from faceplate import Database, User
from faceplate.integrations.openai_conversations import application


@pytest.fixture
def serving_api() -> Serving:
    """``async with serving_api(app) as url:``."""
    return serving


@pytest.fixture
async def url(db: Database) -> AsyncIterator[str]:
    """The API over the shared database."""
    async with serving(application(db, sign_in)) as served:
        yield served


Client = Callable[..., AsyncOpenAI]


@pytest.fixture
async def client_for(url: str) -> AsyncIterator[Client]:
    """Make OpenAI's client for a token, or for a user's id."""
    clients: list[AsyncOpenAI] = []

    def make(token: object, **options: Any) -> AsyncOpenAI:
        given = {"base_url": f"{url}/v1", "max_retries": 0, **options}
        clients.append(AsyncOpenAI(api_key=str(token), **given))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


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
