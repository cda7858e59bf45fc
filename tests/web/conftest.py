"""Applications called as a server calls them: over ASGI, with their lifespan."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from examples.chat.app import create_app
from examples.chat.settings import ChatSettings

from faceplate import Settings

Calling = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def calling() -> Calling:
    """``async with calling(app) as http:``. What the application raises is answered, as it is."""

    @asynccontextmanager
    async def called(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        async def with_state_of_its_own(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan":  # each request gets a copy, as servers give it one
                scope["state"] = scope["state"].copy()
            await app(scope, receive, send)

        served = LifespanManager(with_state_of_its_own, startup_timeout=30, shutdown_timeout=30)
        async with served as manager:
            transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://test", **options
            ) as http:
                yield http

    return called


@pytest.fixture
async def http(settings: Settings, calling: Calling) -> AsyncIterator[httpx.AsyncClient]:
    """The chat, as its user Ada calls it. Its replies come as fast as they can."""
    quick = ChatSettings(token_delay_s=0, save_every_s=0.001)
    async with calling(
        create_app(settings, chat_settings=quick), headers={"X-Demo-User": "ada"}
    ) as client:
        yield client
