"""An agent with a tool, whose messages have names."""

from collections.abc import Iterator, Sequence
from itertools import count

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel


async def answer(said: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """Call a tool for each question, and answer; name each by the question."""
    last = said[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse([TextPart(last.tool_call_id.replace("call", "answer"))])
    assert isinstance(last, UserPromptPart)
    call_id = str(last.content).replace("question", "call")
    return ModelResponse([ToolCallPart("weather", {"city": "Oslo"}, call_id)])


agent = Agent(FunctionModel(answer))


@agent.tool_plain
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


def unit(label: str, number: int) -> list[str]:
    """Return the names of what a run stores, all of it together."""
    return [f"{label}: {what} {number}" for what in ("question", "call", "result", "answer")]


def units(label: str) -> Iterator[list[str]]:
    return (unit(label, number) for number in count())


def names_of(said: Sequence[ModelMessage]) -> list[str]:
    return [_name_of(message) for message in said]


def _name_of(message: ModelMessage) -> str:
    part = message.parts[0]
    if isinstance(part, ToolReturnPart):
        return part.tool_call_id.replace("call", "result")
    if isinstance(part, ToolCallPart):
        return part.tool_call_id
    assert isinstance(part, UserPromptPart | TextPart)
    return str(part.content)
