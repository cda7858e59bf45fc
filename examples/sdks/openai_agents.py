"""An agent with a tool, whose chat is kept by faceplate. The model is scripted: no key, no network.

Run it with `python -m examples.sdks.openai_agents` after `faceplate server start` and
`faceplate migrate`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

from faceplate import Database
from faceplate.integrations.openai_agents import FaceplateSession
from faceplate.services import conversations, messages, users


@function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


class Scripted(Model):
    """Calls the tool, then answers; your agent has a model's name in its place."""

    async def get_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 - the SDK's name
        *_: Any,
        **__: Any,
    ) -> ModelResponse:
        del system_instructions
        output: Any
        if input[-1].get("type") == "function_call_output":
            said = f"Take a coat: {input[-1]['output']}."
            text = ResponseOutputText(text=said, type="output_text", annotations=[])
            output = ResponseOutputMessage(
                id="msg_1", content=[text], role="assistant", status="completed", type="message"
            )
        else:
            output = ResponseFunctionToolCall(
                call_id=f"call_{len(input)}",
                name="weather",
                arguments='{"city": "Oslo"}',
                type="function_call",
            )
        usage = Usage(requests=1, input_tokens=100, output_tokens=10, total_tokens=110)
        return ModelResponse(output=[output], usage=usage, response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


async def main() -> None:
    set_tracing_disabled(disabled=True)
    agent = Agent(name="Assistant", model=Scripted(), tools=[weather])
    async with Database() as db:
        user = await db.run_system(users.ensure, "the-sub-of-the-token")
        session = FaceplateSession(db, user.id, "support-42")
        for question in ("What do I wear tomorrow?", "And the day after?"):
            result = await Runner.run(agent, question, session=session)
            await session.store_run_usage(result, model="scripted")

        chat = await db.run(user.id, conversations.get, session.conversation_id)
        print(f"{chat.title}: {chat.message_count} messages")  # noqa: T201 - what an example shows
        for row in await db.run(user.id, messages.history, chat.id):
            said = row.content or row.tool_calls or row.tool_results
            print(f"  {row.role}: {said}")  # noqa: T201 - what an example shows


if __name__ == "__main__":
    asyncio.run(main())
