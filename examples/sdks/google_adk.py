"""An agent of Google ADK whose sessions are conversations of faceplate.

    pip install 'faceplate[google-adk,embedded,cli]'
    faceplate server start && faceplate migrate
    python -m examples.sdks.google_adk

The model is scripted, so that it runs offline; give the agent the name of a model instead.
"""

import asyncio
from collections.abc import AsyncGenerator

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.genai import types

from faceplate import Database
from faceplate.integrations.google_adk import SOURCE, FaceplateSessionService
from faceplate.services import conversations, messages, users

APP, SUBJECT = "weather", "the-sub-of-the-token"


class ScriptedModel(BaseLlm):
    """Asks the tool, then says what it has learned."""

    async def generate_content_async(
        self,
        llm_request: LlmRequest,
        stream: bool = False,  # noqa: ARG002, FBT001, FBT002 - as the SDK calls it
    ) -> AsyncGenerator[LlmResponse, None]:
        last = llm_request.contents[-1].parts or []
        if any(part.function_response for part in last):
            part = types.Part(text="It rains in Oslo until noon.")
        else:
            part = types.Part.from_function_call(name="forecast", args={"city": "Oslo"})
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def forecast(city: str) -> dict[str, str]:
    """Return the weather of today in a city."""
    return {"city": city, "rain": "until noon"}


async def main() -> None:
    agent = LlmAgent(
        name="forecaster",
        model=ScriptedModel(model="scripted"),
        tools=[forecast],
        output_key="last_answer",
    )
    async with Database() as db:
        service = FaceplateSessionService(db)
        runner = Runner(app_name=APP, agent=agent, session_service=service)
        session = await service.create_session(
            app_name=APP, user_id=SUBJECT, state={"user:city": "Oslo"}
        )
        question = types.Content(role="user", parts=[types.Part(text="Will it rain?")])
        async for _ in runner.run_async(
            user_id=SUBJECT, session_id=session.id, new_message=question
        ):
            pass

        kept = await service.get_session(app_name=APP, user_id=SUBJECT, session_id=session.id)
        print("state:", kept.state if kept else None)  # noqa: T201 - a program

        # The same chat, as the product's own pages read it
        user = await db.run_system(users.by_subject, SUBJECT)
        [chat] = (await db.run(user.id, conversations.page, source=SOURCE, limit=1)).items
        print("title:", chat.title)  # noqa: T201 - a program
        for message in await db.run(user.id, messages.history, chat.id):
            tools = [call["function"]["name"] for call in message.tool_calls or ()]
            print(f"{message.role}: {message.content or tools}")  # noqa: T201 - a program


if __name__ == "__main__":
    asyncio.run(main())
