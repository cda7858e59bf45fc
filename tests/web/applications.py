"""Applications that the tests run in processes of their own, and a model that never ends."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from examples.chat.app import create_app
from examples.chat.model import ToolCall
from fastapi import FastAPI

from faceplate import Message

CROWD = {f"user{number}": f"User {number}" for number in range(50)}
HALF = "half of a reply"


async def half(_history: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
    """Say half of a reply, and then never another word."""
    for piece in ("half ", "of ", "a ", "reply"):
        yield piece
    await asyncio.Event().wait()


def crowd() -> FastAPI:
    return create_app(people=CROWD)


def unfinished() -> FastAPI:
    return create_app(model=half)
