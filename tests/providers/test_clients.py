"""The official clients take what the converters make, and the other way round."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from tests.providers.histories import assistant, call, result, stored, tool, user
from tests.providers.loopback import Answer, Provider, provider
from tests.units import LONG_AGO

from faceplate import Database, InvalidInput, User
from faceplate.integrations.anthropic import from_anthropic, to_anthropic
from faceplate.integrations.openai import from_openai, to_openai
from faceplate.services import conversations, messages, usage
from faceplate.services.messages import NewMessage

CALLED = Answer("I look.", (("call_a", "weather", {"city": "Oslo"}), ("call_b", "news", {})))


class Client:
    """One of the two, asked in one way for all tests."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.openai = AsyncOpenAI(api_key="k", base_url=f"{url}/v1", timeout=5)
        self.anthropic = AsyncAnthropic(api_key="k", base_url=url, timeout=5)

    async def ask(self, history: Any) -> list[NewMessage]:
        if self.name == "openai":
            completions = self.openai.chat.completions
            return from_openai(await completions.create(model="m", messages=to_openai(history)))
        return from_anthropic(
            await self.anthropic.messages.create(model="m", max_tokens=9, **to_anthropic(history))
        )

    async def stream(self, history: Any, told: list[str]) -> list[NewMessage]:
        if self.name == "openai":
            async with self.openai.chat.completions.stream(
                model="m", messages=to_openai(history), stream_options={"include_usage": True}
            ) as stream:
                async for event in stream:
                    if event.type == "content.delta":
                        told.append(event.delta)  # noqa: PERF401 - as below
                return from_openai(await stream.get_final_completion())
        async with self.anthropic.messages.stream(
            model="m", max_tokens=9, **to_anthropic(history)
        ) as stream:
            async for text in stream.text_stream:
                told.append(text)  # noqa: PERF401 - what was told before it broke off counts
            return from_anthropic(await stream.get_final_message())


@pytest.fixture
async def loopback() -> AsyncIterator[Provider]:
    async with provider() as found:
        yield found


@pytest.fixture(params=["openai", "anthropic"])
async def client(request: pytest.FixtureRequest, loopback: Provider) -> AsyncIterator[Client]:
    found = Client(request.param, loopback.url)
    async with found.openai, found.anthropic:
        yield found


async def test_a_turn_is_stored_and_goes_on(
    db: Database, user: User, client: Client, loopback: Provider
) -> None:
    """Else the second request of a conversation with tools is refused, in production."""
    chat = await db.run(user.id, conversations.create)
    await db.run(user.id, messages.append, chat.id, role="user", content="What do I pack?")
    loopback.answers = [CALLED, Answer("A raincoat.")]
    for _ in range(2):
        history = await db.run(user.id, messages.history, chat.id, limit=50)
        await db.run(user.id, messages.append_many, chat.id, await client.ask(history))
        calls = await db.run(user.id, messages.pending_tool_calls, chat.id)
        results = [result(call.id, f"of {call.name}") for call in calls]
        if results:
            await db.run(user.id, messages.append, chat.id, role="tool", tool_results=results)
    history = await db.run(user.id, messages.history, chat.id, limit=50)
    assert [message.role for message in history] == ["user", "assistant", "tool", "assistant"]
    assert history[1].content == "I look."
    assert [function["function"]["name"] for function in history[1].tool_calls or ()] == [
        "weather",
        "news",
    ]
    assert history[-1].content == "A raincoat."
    (spent,) = (await db.run(user.id, usage.by_day, since=LONG_AGO)).items
    assert (spent.messages, spent.input_tokens, spent.output_tokens) == (2, 22, 10)


async def test_a_stream_is_what_the_whole_answer_is(client: Client, loopback: Provider) -> None:
    """Else a program that streams stores something else than one that waits."""
    history = [user("What do I pack?")]
    told: list[str] = []
    loopback.answers = [CALLED, CALLED]
    streamed = await client.stream(history, told)
    whole = await client.ask(history)
    assert "".join(told) == "I look."
    for message in streamed + whole:
        assert message.tool_calls is not None
    assert streamed == whole


@pytest.mark.parametrize("in_the_middle", ["is lost", "ends"])
async def test_half_an_answer_is_no_message(
    client: Client, loopback: Provider, in_the_middle: Any
) -> None:
    """Else a stream that a proxy ends is stored as complete: the clients take it for the whole."""
    loopback.answers = [Answer("Hello there", in_the_middle=in_the_middle)]
    told: list[str] = []
    with pytest.raises(Exception, match=r"broken off|[Cc]onnection") as failure:
        await client.stream([user("Hello")], told)
    assert "".join(told) == "Hello"
    assert isinstance(failure.value, InvalidInput) is (in_the_middle == "ends")


async def test_a_conversation_with_gaps_is_taken(client: Client, loopback: Provider) -> None:
    """Else a user whose reply broke off cannot go on."""
    loopback.answers = [Answer("Welcome back.")]
    history = [
        tool(result("gone")),
        stored(assistant("Half of a"), "interrupted"),
        user("Hello?"),
        assistant("", call("a")),
        stored(assistant(""), "failed"),
        user("Still there?"),
    ]
    (reply,) = await client.ask(history)
    assert reply.content == "Welcome back."
