"""A reply, stored while the model writes it, and shown when it is stored."""

from collections.abc import AsyncGenerator
from uuid import UUID

from faceplate import Message
from faceplate.integrations.fastapi import UserRunner
from faceplate.integrations.web import start_stream
from faceplate.services import messages

MAX_HISTORY = 50


async def model(history: list[Message]) -> AsyncGenerator[str, None]:
    """Yield the reply to a conversation. Call your model here, in place of the echo."""
    for word in f"You said: {history[-1].content}".split(" "):
        yield f"{word} "


async def begin(chat: UserRunner, conversation_id: UUID, text: str) -> AsyncGenerator[str, None]:
    """Store a question, begin the reply, and return its text.

    What is refused is raised here, before the response starts: it is answered with its own status.
    """
    history = await chat.run(
        messages.ask, conversation_id, role="user", content=text, limit=MAX_HISTORY
    )
    return await start_stream(_reply(chat, history))


async def _reply(chat: UserRunner, history: list[Message]) -> AsyncGenerator[str, None]:
    question = history[-1]
    async with chat.draft(
        question.conversation_id, after=question.position, save_every_s=0.1
    ) as draft:
        yield ""  # the response starts here, before the model has said anything
        async for text in draft.keep(model(history)):
            yield text
