"""An agent that runs until its process is killed."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import count
from typing import Any
from uuid import UUID

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

SESSION = "killed"


class Scripted(FunctionInvocationLayer[Any], BaseChatClient[Any]):
    """A model that calls a tool for each question, and answers; it names each by the question."""

    def _inner_get_response(
        self, *, messages: Sequence[Message], **_: Any
    ) -> Awaitable[ChatResponse]:
        last = messages[-1]
        if last.role == "tool":
            name = str(last.contents[0].call_id).replace("call", "answer")
            content = Content.from_text(name)
        else:
            name = last.text.replace("question", "call")
            content = Content.from_function_call(name, "weather", arguments={"city": "Oslo"})

        async def response() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", [content])])

        return response()


def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


def unit(label: str, number: int) -> list[str]:
    """Return the names of what a run stores, all of it together."""
    return [f"{label}: {what} {number}" for what in ("question", "call", "result", "answer")]


def units(label: str) -> Iterator[list[str]]:
    return (unit(label, number) for number in count())


def name_of(message: Message) -> str:
    content = message.contents[0]
    if content.type == "function_result":
        return str(content.call_id).replace("call", "result")
    return str(content.call_id if content.type == "function_call" else content.text)


async def run(history: FaceplateHistoryProvider, label: str, number: int) -> None:
    agent = Agent(Scripted(), tools=[weather], context_providers=[history])
    session = agent.create_session(session_id=SESSION)
    await agent.run(unit(label, number)[0], session=session)


async def write(db: Database, owner: str, label: str, acknowledge: Callable[[], None]) -> None:
    history = FaceplateHistoryProvider(db, UUID(owner))
    for number in count():
        await run(history, label, number)
        acknowledge()
