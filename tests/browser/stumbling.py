"""The example chat with a model that fails in its first reply to a text, and then answers it.

It says why where the text is `WHY`.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from examples.chat.app import create_app as create_chat
from examples.chat.model import Echo, Model, ModelFailed, ToolCall
from fastapi import FastAPI

from faceplate import Message

WHY = "why"


def _stumbling() -> Model:
    stumbled: set[str] = set()

    async def model(history: Sequence[Message]) -> AsyncGenerator[str | ToolCall, None]:
        text = history[-1].content
        async with aclosing(Echo(0.0)(history)) as pieces:
            async for piece in pieces:
                yield piece
                if piece == " said:" and text not in stumbled:
                    stumbled.add(text)
                    if text == WHY:
                        raise ModelFailed("The model is gone.")
                    raise RuntimeError("the model is gone")

    return model


def create_app() -> FastAPI:
    return create_chat(model=_stumbling())
