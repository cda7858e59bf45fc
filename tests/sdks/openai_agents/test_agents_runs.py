"""Runs of agents with a session of faceplate's: tools, streams, handoffs, approvals, usage."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, RunState, function_tool
from agents.memory import SessionSettings
from tests.sdks.openai_agents.scripted import ScriptedModel, agent, calls, says

from faceplate import Database, Message, User
from faceplate.integrations.openai_agents import FaceplateSession
from faceplate.services import messages, usage

SINCE = datetime.now(UTC) - timedelta(days=1)


@function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


def weather_agent(**fields: Any) -> Agent[Any]:
    script: list[Any] = [[calls("weather", "c1", city="Oslo")], [says("It rains.")]]
    return agent(*script, tools=[weather], **fields)


async def stored(db: Database, user: User, session: FaceplateSession) -> list[Message]:
    return await db.run(user.id, messages.everything, session.conversation_id)


def kinds(items: list[Any]) -> list[str]:
    return [item.get("role") or item["type"] for item in items]


TURN = ["user", "function_call", "function_call_output", "assistant"]


async def test_a_run_goes_on_where_the_one_before_it_ended(db: Database, user: User) -> None:
    await Runner.run(
        weather_agent(), "Will it rain?", session=FaceplateSession(db, user.id, "support")
    )
    session = FaceplateSession(db, user.id, "support")
    second: Any = agent([says("Take a coat.")])
    result = await Runner.run(second, "What do I wear?", session=session)
    assert result.final_output == "Take a coat."
    [given] = second.model.inputs
    assert kinds(given) == [*TURN, "user"]
    assert kinds(await session.get_items()) == [*TURN, "user", "assistant"]
    rows = await stored(db, user, session)
    assert [row.content for row in rows if row.role in {"user", "assistant"} and row.content] == [
        "Will it rain?",
        "It rains.",
        "What do I wear?",
        "Take a coat.",
    ]
    assert not await db.run(user.id, messages.pending_tool_calls, session.conversation_id)


async def test_a_streamed_run_is_stored(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    streamed = Runner.run_streamed(weather_agent(), "Will it rain?", session=session)
    async for _ in streamed.stream_events():
        pass
    await session.store_run_usage(streamed)
    assert kinds(await session.get_items()) == TURN
    [row] = (await db.run(user.id, usage.by_conversation, since=SINCE)).items
    assert (row.model, row.input_tokens, row.output_tokens) == ("scripted-1", 20, 10)


@pytest.mark.parametrize("times", [1, 2])
async def test_the_usage_of_a_run_is_stored_once(db: Database, user: User, times: int) -> None:
    session = FaceplateSession(db, user.id, "a")
    first = await Runner.run(weather_agent(), "Will it rain?", session=session)
    for _ in range(times):
        await session.store_run_usage(first)
    second = await Runner.run(agent([says("A coat.")]), "What do I wear?", session=session)
    for _ in range(times):
        await session.store_run_usage(second, model="another")
    rows = (await db.run(user.id, usage.by_conversation, since=SINCE)).items
    assert [(row.model, row.input_tokens, row.output_tokens) for row in rows] == [
        ("scripted-1", 20, 10),
        ("another", 10, 5),
    ]


async def test_usage_is_stored_with_a_session_that_the_run_did_not_have(
    db: Database, user: User
) -> None:
    result = await Runner.run(
        weather_agent(), "Will it rain?", session=FaceplateSession(db, user.id, "a")
    )
    await FaceplateSession(db, user.id, "a").store_run_usage(result)
    await FaceplateSession(db, user.id, "never used").store_run_usage(result)
    rows = (await db.run(user.id, usage.by_conversation, since=SINCE)).items
    assert sum(row.input_tokens for row in rows) == 20


async def test_the_settings_of_the_sdk_are_honoured(db: Database, user: User) -> None:
    settings = SessionSettings(limit=2)
    session = FaceplateSession(db, user.id, "a", session_settings=settings)
    await session.add_items([{"role": "user", "content": str(number)} for number in range(5)])
    one: Any = agent([says("a")], [says("b")])
    await Runner.run(one, "first", session=session)
    config = RunConfig(session_settings=SessionSettings(limit=1))
    await Runner.run(one, "second", session=session, run_config=config)
    said = [[item["content"] for item in given] for given in one.model.inputs]
    assert said[0] == ["3", "4", "first"]
    assert len(said[1]) == 2


async def test_a_handoff_is_stored(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    expert = Agent(name="Expert", model=ScriptedModel([says("Rain.")]))
    first = agent([calls("transfer_to_expert", "c1")], handoffs=[expert])
    await Runner.run(first, "Will it rain?", session=session)
    assert kinds(await session.get_items()) == TURN


async def test_a_run_that_waits_for_an_approval_goes_on(db: Database, user: User) -> None:
    @function_tool(needs_approval=True)
    def pay(amount: int) -> str:
        return f"paid {amount}"

    script: list[Any] = [[calls("pay", "c1", amount=5)], [says("Paid.")]]
    buyer = agent(*script, tools=[pay])
    session = FaceplateSession(db, user.id, "a")
    result = await Runner.run(buyer, "Pay 5", session=session)
    [interruption] = result.interruptions
    state = await RunState.from_json(buyer, result.to_state().to_json())
    state.approve(state.get_interruptions()[0])
    assert interruption.raw_item
    other = FaceplateSession(db, user.id, "a")
    ended = await Runner.run(buyer, state, session=other)
    await other.store_run_usage(ended)
    assert ended.final_output == "Paid."
    assert kinds(await session.get_items()) == TURN
    assert not await db.run(user.id, messages.pending_tool_calls, session.conversation_id)
    rows = (await db.run(user.id, usage.by_conversation, since=SINCE)).items
    assert sum(row.input_tokens for row in rows) in {10, 20}  # never more than was used
