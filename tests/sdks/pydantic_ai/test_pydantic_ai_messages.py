"""pydantic-ai's messages as faceplate's and back, in every version of it."""

from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel

from faceplate import Database, InvalidInput, User
from faceplate.integrations.openai import to_openai
from faceplate.integrations.pydantic_ai import from_pydantic_ai, to_pydantic_ai
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage


def call(id_: str = "call_1") -> ToolCallPart:
    return ToolCallPart("weather", {"city": "Oslo"}, id_)


def dumped(given: list[ModelMessage]) -> object:
    return ModelMessagesTypeAdapter.dump_python(given, mode="json")


async def test_a_chat_of_an_agent_goes_on_in_faceplate(db: Database, user: User) -> None:
    """Each run's new messages are appended, and the history is the next run's, to the letter."""
    agent = Agent(TestModel(), system_prompt="Be brief.")

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    chat = await db.run(user.id, conversations.create)
    said: list[ModelMessage] = []
    for text in ("Will it rain?", "And tomorrow?"):
        history = to_pydantic_ai(await db.run(user.id, messages.everything, chat.id))
        assert history == said
        result = await agent.run(text, message_history=history)
        said = result.all_messages()
        new = from_pydantic_ai(result.new_messages())
        await db.run(user.id, messages.append_many, chat.id, new)
    stored = await db.run(user.id, messages.history, chat.id)
    assert [message.role for message in stored] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant"),
    ]
    assert stored[0].content == "Will it rain?"
    assert stored[2].tool_results is not None
    assert stored[2].tool_results[0]["content"] == "rain in a"
    assert stored[1].model == "test"
    assert stored[1].input_tokens
    assert await db.run(user.id, messages.pending_tool_calls, chat.id) == []
    assert to_openai(stored)[-2]["content"] == "And tomorrow?"


async def test_messages_of_faceplate_are_pydantic_ais(db: Database, user: User) -> None:
    """A chat that other programs wrote goes on with an agent, tools included."""
    chat = await db.run(user.id, conversations.create)
    calls = [
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}},
        {"id": "b", "type": "custom", "custom": {"name": "do", "input": "it"}},
    ]
    results: list[dict[str, Any]] = [
        {"tool_call_id": "a", "content": "a tree"},
        {"tool_call_id": "b", "content": {"code": 3}, "is_error": True},
    ]
    rows = [
        NewMessage("system", "Be brief."),
        NewMessage("user", "What is there?"),
        NewMessage("assistant", "I look.", tool_calls=calls, model="m", input_tokens=3),
        NewMessage("tool", tool_results=results),
        NewMessage(None, "not said", body='{"kind": "request"}'),
        NewMessage("assistant", "A tree.", body='{"id": "of another program"}'),
    ]
    await db.run(user.id, messages.append_many, chat.id, rows)
    async with db.begin(user.id) as scope:
        await messages.append_draft(scope, chat.id)
    stored = await db.run(user.id, messages.everything, chat.id)
    found = to_pydantic_ai(stored)
    assert [type(message.parts[0]) for message in found] == [
        *(SystemPromptPart, UserPromptPart, TextPart, ToolReturnPart, TextPart),
    ]
    spoken, answered = found[2], found[3]
    assert isinstance(spoken, ModelResponse)
    assert (spoken.model_name, spoken.usage.input_tokens) == ("m", 3)
    assert spoken.timestamp == stored[2].created_at
    assert [part.args for part in spoken.parts[1:] if isinstance(part, ToolCallPart)] == [
        '{"at": 1}',
        "it",
    ]
    returns = [part for part in answered.parts if isinstance(part, ToolReturnPart)]
    assert [(part.tool_name, part.tool_call_id) for part in returns] == [("look", "a"), ("do", "b")]
    assert [part.content for part in returns] == ["a tree", 'Error: {"code": 3}']
    result = await Agent(TestModel()).run("And now?", message_history=found)
    assert result.new_messages()


def retry(**more: str) -> list[ModelMessage]:
    """A request as an older version has written it."""
    part = {"part_kind": "retry-prompt", "content": "wrong", "tool_call_id": "call_1", **more}
    return ModelMessagesTypeAdapter.validate_python([{"kind": "request", "parts": [part]}])


def test_a_request_shows_what_people_read_first() -> None:
    """What a request has beside it is in its body."""
    shown = from_pydantic_ai(
        [
            ModelRequest([SystemPromptPart("Be brief."), UserPromptPart("Hello\x00")]),
            ModelRequest([SystemPromptPart("Be brief.")]),
            ModelRequest([ToolReturnPart("weather", "rain", "call_1"), UserPromptPart("Go on")]),
            *retry(tool_name="weather"),
            *retry(),
            ModelRequest([]),
            ModelResponse([TextPart("One."), call(), call("call_2"), TextPart("Two.")]),
        ]
    )
    assert [(message.role, message.content) for message in shown] == [
        ("user", "Hello\ufffd"),
        ("system", "Be brief."),
        ("user", "Go on"),
        ("tool", ""),
        ("user", "wrong"),
        (None, ""),
        ("assistant", "One.\nTwo."),
    ]
    assert shown[3].tool_results == [{"tool_call_id": "call_1", "content": "wrong"}]
    assert [one["id"] for one in shown[6].tool_calls or ()] == ["call_1", "call_2"]


def test_messages_come_back_to_the_letter() -> None:
    given: list[ModelMessage] = [
        ModelRequest([UserPromptPart("a \ud800 b\x00")]),
        ModelResponse([ToolCallPart("look", {"n": 10**30, "z": 1, "a": 2}, "call_1")]),
    ]
    assert dumped(to_pydantic_ai(from_pydantic_ai(given))) == dumped(given)
    assert dumped(to_pydantic_ai(from_pydantic_ai(given[1:]))) == dumped(given[1:])


def test_a_message_of_a_later_version_is_named() -> None:
    """Its error does not show what it says."""
    body = '{"kind": "request", "parts": [{"part_kind": "from-the-future", "content": "secret"}]}'
    with pytest.raises(InvalidInput, match="version of pydantic-ai") as raised:
        to_pydantic_ai([NewMessage("user", "secret", body=body)])
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
