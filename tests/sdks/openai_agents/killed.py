"""An agent that runs until its process is killed."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from uuid import UUID

from agents import Runner, function_tool, set_tracing_disabled
from tests.sdks.openai_agents.scripted import agent, calls, says

from faceplate import Database
from faceplate.integrations.openai_agents import FaceplateSession

SESSION = "killed"


@function_tool
async def weather(city: str) -> str:
    """Tell the weather of a city."""
    await asyncio.sleep(0)
    return f"rain in {city}"


class Telling(FaceplateSession):
    """Calls ``acknowledge`` when items are stored."""

    acknowledge: Callable[[], None]

    async def add_items(self, items: list[Any], **given: Any) -> None:
        await super().add_items(items, **given)
        self.acknowledge()


def run_units(label: str, number: int) -> list[list[str]]:
    """Return the names of what a run stores: what it stores together is a list."""
    question, call, result, answer = (
        f"{label}: {what} {number}" for what in ("question", "call", "result", "answer")
    )
    return [[question], [call, result], [answer]]


def units(label: str) -> Iterator[list[str]]:
    return (unit for number in count() for unit in run_units(label, number))


def name_of(item: Any) -> str:
    """Return the name of an item that a run has stored."""
    if item.get("type") == "function_call":
        return str(item["call_id"])
    if item.get("type") == "function_call_output":
        return str(item["call_id"]).replace("call", "result")
    content = item["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


async def run(session: FaceplateSession, label: str, number: int) -> None:
    [question], [call, _], [answer] = run_units(label, number)
    script: list[Any] = [[calls("weather", call, city="Oslo")], [says(answer)]]
    await Runner.run(agent(*script, tools=[weather]), question, session=session)


async def write(db: Database, owner: str, label: str, acknowledge: Callable[[], None]) -> None:
    set_tracing_disabled(disabled=True)
    for number in count():
        session = Telling(db, UUID(owner), SESSION)
        session.acknowledge = acknowledge
        await run(session, label, number)
