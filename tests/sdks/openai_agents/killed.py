"""A program whose agent runs until it is killed; it says what was acknowledged."""

import asyncio
import sys
from typing import Any
from uuid import UUID

from agents import Runner, function_tool, set_tracing_disabled
from pydantic import SecretStr
from tests.sdks.openai_agents.scripted import agent, calls, says

from faceplate import Database, Settings
from faceplate.integrations.openai_agents import FaceplateSession


@function_tool
async def weather(city: str) -> str:
    """Tell the weather of a city."""
    await asyncio.sleep(0)
    return f"rain in {city}"


class Telling(FaceplateSession):
    async def add_items(self, items: list[Any], **given: Any) -> None:
        await super().add_items(items, **given)
        print(len(items), flush=True)  # noqa: T201 - what the parent reads


async def run(url: str, user_id: str, first: int) -> None:
    set_tracing_disabled(disabled=True)
    async with Database(Settings(database_url=SecretStr(url))) as db:
        for number in range(first, first + 1_000):
            session = Telling(db, UUID(user_id), "killed")
            ask = calls("weather", f"c{number}", city="Oslo")
            script: list[Any] = [[ask], [says(f"Answer {number}")]]
            question = f"Question {number}"
            await Runner.run(agent(*script, tools=[weather]), question, session=session)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
