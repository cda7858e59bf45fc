"""A chat over OpenAI's Conversations API, served by faceplate: python examples/sdks/...

It needs DATABASE_URL (or faceplate's local server), and neither OpenAI nor the network: the client
calls the application in this process, and the model is a function.
"""

import asyncio
from uuid import UUID

import httpx2
from openai import AsyncOpenAI
from starlette.requests import Request

from faceplate import Database
from faceplate.integrations.openai_conversations import application
from faceplate.services import conversations, messages, users

TOKENS = {"token-of-ada": "ada"}


async def sign_in(request: Request) -> UUID | str | None:
    """Return the subject of a token; a real application verifies a signature."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    return TOKENS.get(token)


def ask_model(question: str) -> str:
    """Answer, in place of a model."""
    return f"You asked: {question} I cannot know."


async def main() -> None:
    async with Database() as db:
        transport = httpx2.ASGITransport(application(db, sign_in))
        async with AsyncOpenAI(
            api_key="token-of-ada",
            base_url="http://chat.example.com/v1",
            http_client=httpx2.AsyncClient(transport=transport),
        ) as client:
            chat = await client.conversations.create(metadata={"topic": "weather"})
            for question in ("Will it rain?", "And tomorrow?"):
                await client.conversations.items.create(
                    chat.id,
                    items=[
                        {"role": "user", "content": question},
                        {"role": "assistant", "content": ask_model(question)},
                    ],
                )
        ada = await db.run_system(users.by_subject, "ada")
        page = await db.run(ada.id, conversations.page, source="openai", limit=1)
        print(page.items[0].title)  # noqa: T201 - the example's output
        for message in await db.run(ada.id, messages.history, page.items[0].id):
            print(f"{message.role}: {message.content}")  # noqa: T201 - the example's output


if __name__ == "__main__":
    asyncio.run(main())
