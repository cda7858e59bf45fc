"""An agent with a tool, whose chat is kept by faceplate. The model is scripted: no key, no network.

Run it with `python -m examples.sdks.agent_framework` after `faceplate server start` and
`faceplate migrate`.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
)

from faceplate import Database
from faceplate.integrations.agent_framework import FaceplateHistoryProvider
from faceplate.services import messages, users


class Scripted(FunctionInvocationLayer[Any], BaseChatClient[Any]):
    """Calls the tool, then answers; your agent has a client of a provider in its place."""

    def _inner_get_response(
        self, *, messages: Sequence[Message], **_: Any
    ) -> Awaitable[ChatResponse]:
        if messages[-1].role == "tool":
            content = Content.from_text(f"Take a coat: {messages[-1].contents[0].result}.")
        else:
            call_id = f"call_{len(messages)}"
            content = Content.from_function_call(call_id, "weather", arguments={"city": "Oslo"})

        async def response() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", [content])])

        return response()


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


async def main() -> None:
    """Take two turns; the second one has the history of the first."""
    async with Database() as db:
        user = await db.run_system(users.ensure, "ada")
        history = FaceplateHistoryProvider(db, user.id)
        agent = Agent(Scripted(), tools=[weather], context_providers=[history])
        session = agent.create_session(session_id="the weather")
        for question in ("Will it rain?", "And tomorrow?"):
            await agent.run(question, session=session)
        chat_id = history.conversation_id("the weather")
        for message in await db.run(user.id, messages.history, chat_id):
            said = f"{message.role}: {message.content}"
            print(said)  # noqa: T201 - what an example shows


if __name__ == "__main__":
    asyncio.run(main())
