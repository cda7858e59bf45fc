"""An agent with a tool, whose chat is kept by faceplate. The model is scripted: no key, no network.

Run it with `python -m examples.sdks.pydantic_ai` after `faceplate server start` and
`faceplate migrate`.
"""

import asyncio

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from faceplate import Database
from faceplate.integrations.pydantic_ai import from_pydantic_ai, to_pydantic_ai
from faceplate.services import conversations, messages, users


async def answer(said: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Call the tool, then answer; your agent has a model's name in its place."""
    last = said[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse([TextPart(f"Take a coat: {last.content}.")])
    return ModelResponse([ToolCallPart("weather", {"city": "Oslo"})])


agent = Agent(FunctionModel(answer))


@agent.tool_plain
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


async def main() -> None:
    """Take two turns; the second one has the history of the first."""
    async with Database() as db:
        user = await db.run_system(users.ensure, "ada")
        chat = await db.run(user.id, conversations.create, title="The weather")
        for question in ("Will it rain?", "And tomorrow?"):
            history = await db.run(user.id, messages.history, chat.id, limit=100)
            result = await agent.run(question, message_history=to_pydantic_ai(history))
            new = from_pydantic_ai(result.new_messages())
            await db.run(user.id, messages.append_many, chat.id, new)
        for message in await db.run(user.id, messages.history, chat.id):
            said = f"{message.role}: {message.content}"
            print(said)  # noqa: T201 - what an example shows


if __name__ == "__main__":
    asyncio.run(main())
