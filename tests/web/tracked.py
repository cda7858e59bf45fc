"""A service that fails in several ways under Sentry, and prints what Sentry would have sent.

``python -m tests.web.tracked`` initialises it by itself, as the quick start of Sentry does, or,
with an argument, imports the module of that name. It is a process of its own, since Sentry patches
the frameworks that it finds.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any
from unittest.mock import patch
from uuid import UUID

import httpx
import sentry_sdk
from asgi_lifespan import LifespanManager
from fastapi import Body, Depends, FastAPI, Header
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sqlalchemy import text as sql

from faceplate import Scope
from faceplate.integrations.fastapi import UserRunner, install, lifespan, runner_for
from faceplate.services import conversations, messages

CONTENT = "words that nobody else may read"
TOKEN = "token-of-a-session"
sent: list[Any] = []


class Keep(Transport):
    """Keeps what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        sent.extend(item.payload.json or repr(item.payload.get_bytes()) for item in envelope.items)


def subject(x_subject: Annotated[str, Header()]) -> str:
    return x_subject


Chat = Annotated[UserRunner, Depends(runner_for(subject))]
Text = Annotated[str, Body(embed=True)]
app = FastAPI(lifespan=lifespan())
install(app)


@app.post("/handler")
async def handler(text: Text, chat: Chat) -> None:
    conversation = await chat.run(conversations.create, title=text)
    await chat.run(messages.append, conversation.id, role="user", content=text)
    raise RuntimeError("the handler failed")


@app.post("/model")
async def model(text: Text, chat: Chat) -> None:
    async def words() -> AsyncGenerator[str, None]:
        yield text
        raise RuntimeError("the model failed")

    conversation = await chat.run(conversations.create)
    async with chat.draft(conversation.id) as draft:
        async for _ in draft.keep(words()):
            pass


@app.post("/database")
async def database(text: Text, chat: Chat) -> None:
    async def unit(scope: Scope, title: str) -> None:
        await scope.session.execute(sql("INSERT INTO nowhere VALUES (:title)"), {"title": title})

    await chat.run(unit, text)


@app.post("/missing")
async def missing(text: Text, chat: Chat) -> None:
    await chat.run(messages.append, UUID(int=1), role="user", content=text)


async def main() -> None:
    async with LifespanManager(app) as manager:
        transport = httpx.ASGITransport(manager.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            headers = {"x-subject": "ada", "authorization": f"Bearer {TOKEN}"}
            for path in ("handler", "model", "database", "missing"):
                await http.post(f"/{path}", json={"text": CONTENT}, headers=headers)
    sentry_sdk.flush()


if __name__ == "__main__":
    init = partial(sentry_sdk.init, transport=Keep, traces_sample_rate=1.0)
    with patch("sentry_sdk.init", init):
        if sys.argv[1:]:
            importlib.import_module(sys.argv[1])
        else:
            sentry_sdk.init(dsn="http://key@127.0.0.1:9/1")
    asyncio.run(main())
    sys.stdout.write(json.dumps(sent))
