"""Tool calls: every answer has its call, and a crashed turn does not wedge the conversation."""

import asyncio
import logging
from typing import Any

import pytest
from tests.units import calls, results
from uuid6 import uuid7

from faceplate import Conversation, Database, InvalidInput, Message, Scope, User
from faceplate.column_types import JsonObject
from faceplate.integrations.openai import to_openai
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage


@pytest.fixture
async def conversation(db: Database, user: User) -> Conversation:
    return await db.run(user.id, conversations.create)


class Thread:
    """A conversation as an agent works on it."""

    def __init__(self, db: Database, user: User, conversation: Conversation) -> None:
        self.db, self.user_id, self.id = db, user.id, conversation.id

    async def call(self, *ids: str) -> Message:
        made = [call for id_ in ids for call in calls(id_)]
        return await self._append(role="assistant", tool_calls=made)

    async def answer(self, *ids: str, **given: Any) -> Message:
        answers = [result for id_ in ids for result in results(id_)]
        return await self._append(role="tool", tool_results=answers, **given)

    async def pending(self) -> list[str]:
        pending = await self.db.run(self.user_id, messages.pending_tool_calls, self.id)
        return [call.id for call in pending]

    async def _append(self, **given: Any) -> Message:
        return await self.db.run(self.user_id, messages.append, self.id, **given)


@pytest.fixture
def thread(db: Database, user: User, conversation: Conversation) -> Thread:
    return Thread(db, user, conversation)


async def test_a_call_waits_until_it_is_answered(db: Database, user: User, thread: Thread) -> None:
    assert await thread.pending() == []
    made = await thread.call("b", "a")
    (first, second) = await db.run(user.id, messages.pending_tool_calls, thread.id)
    assert first == ("a", "weather", made.id, made.position)
    assert second.id == "b"
    await thread.call("c")
    assert await thread.pending() == ["a", "b", "c"]
    await thread.answer("a", "c")
    assert await thread.pending() == ["b"]
    await thread.answer("b")
    assert await thread.pending() == []


@pytest.mark.parametrize("id_", ["never made", "answered", "elsewhere"])
async def test_a_result_without_a_waiting_call_is_refused(
    db: Database, user: User, thread: Thread, id_: str
) -> None:
    elsewhere = Thread(db, user, await db.run(user.id, conversations.create))
    await elsewhere.call("elsewhere")
    await thread.call("answered", "waiting")
    await thread.answer("answered")
    for ids in ((id_,), ("waiting", id_)):
        with pytest.raises(InvalidInput, match="matches no pending call") as refusal:
            await thread.answer(*ids)
        assert refusal.value.field == "messages.tool_results"
    assert await thread.pending() == ["waiting"]
    assert await elsewhere.pending() == ["elsewhere"]


async def test_a_crashed_turn_is_removed_or_answered(
    db: Database, user: User, thread: Thread
) -> None:
    await thread.call("a")
    await db.run(user.id, messages.remove_last, thread.id)
    assert await thread.pending() == []
    await thread.call("a")
    await thread.answer("a")
    await db.run(user.id, messages.remove_last, thread.id)
    assert await thread.pending() == ["a"]
    await thread.answer("a")
    assert await thread.pending() == []


async def test_a_call_is_pending_again_where_its_result_alone_was_removed(
    db: Database, user: User, thread: Thread
) -> None:
    """Else nobody can answer it, and no model takes the conversation."""
    await thread.call("a")
    await thread.answer("a")
    call, result = await db.run(user.id, messages.history, thread.id)
    await db.run(user.id, messages.remove_one, thread.id, result.id)
    assert await thread.pending() == ["a"]
    await thread.answer("a")
    await db.run(user.id, messages.remove_one, thread.id, call.id)
    assert await thread.pending() == []
    assert to_openai(await db.run(user.id, messages.history, thread.id)) == []


async def test_a_call_may_be_taken_out_of_its_message_and_none_put_in(
    db: Database, user: User, thread: Thread
) -> None:
    made = await thread.call("a", "b")

    async def replace(tool_calls: list[JsonObject] | None, content: str = "") -> None:
        await db.run(
            user.id,
            messages.replace,
            thread.id,
            made.id,
            role="assistant",
            tool_calls=tool_calls,
            content=content,
        )

    await replace(calls("b"))
    assert await thread.pending() == ["b"]
    for others in (calls("a"), calls("a") + calls("b")):
        with pytest.raises(InvalidInput, match="must have ids that they had"):
            await replace(others)
    await replace(None, "Never mind.")
    assert await thread.pending() == []


async def test_ids_that_a_model_counts_anew_each_turn_may_come_again(thread: Thread) -> None:
    for _ in range(2):
        await thread.call("call_0")
        with pytest.raises(InvalidInput, match="still pending"):
            await thread.call("call_0")
        await thread.answer("call_0")
    assert await thread.pending() == []


async def test_a_whole_turn_is_appended_at_once(db: Database, user: User, thread: Thread) -> None:
    turn = [
        NewMessage("assistant", tool_calls=calls("a")),
        NewMessage("tool", tool_results=results("a")),
        NewMessage("assistant", tool_calls=calls("a") + calls("b")),
    ]
    await db.run(user.id, messages.append_many, thread.id, turn)
    assert await thread.pending() == ["a", "b"]
    with pytest.raises(InvalidInput, match="matches no pending call"):
        await db.run(user.id, messages.append_many, thread.id, [turn[1], turn[1]])
    assert await thread.pending() == ["a", "b"]


async def test_an_answer_that_is_sent_again_is_the_same_answer(thread: Thread) -> None:
    await thread.call("a")
    id_ = uuid7()
    answer = await thread.answer("a", id=id_)
    assert await thread.answer("a", id=id_) == answer


async def test_of_answers_that_race_one_is_kept(db: Database, user: User, thread: Thread) -> None:
    all_have_begun = asyncio.Barrier(10)

    async def answer(scope: Scope, id_: str) -> Message:
        await all_have_begun.wait()
        return await messages.append(scope, thread.id, role="tool", tool_results=results(id_))

    for id_ in "abcd":  # on the first connections are cold, and one of them is far ahead
        await thread.call(id_)
        raced = await asyncio.gather(
            *(db.run(user.id, answer, id_) for _ in range(10)), return_exceptions=True
        )
        assert sum(isinstance(answer, Message) for answer in raced) == 1
        assert sum(isinstance(answer, InvalidInput) for answer in raced) == 9
    history = await db.run(user.id, messages.history, thread.id)
    assert [message.position for message in history] == list(range(1, 9))


@pytest.mark.parametrize(
    "call",
    [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "a", "function": {"name": "f", "arguments": "not even JSON"}},
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}},
        {"id": "a", "function": {"name": "f", "arguments": "{}"}, "extra": {"index": [0]}},
    ],
)
async def test_a_call_comes_back_as_the_model_made_it(
    db: Database, user: User, thread: Thread, call: dict[str, Any]
) -> None:
    message = await db.run(user.id, messages.append, thread.id, role="assistant", tool_calls=[call])
    assert message.tool_calls == [call]
    (pending,) = await db.run(user.id, messages.pending_tool_calls, thread.id)
    assert (pending.id, pending.name) == ("a", "f")


def call(**changes: Any) -> dict[str, Any]:
    return calls("a")[0] | changes


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"role": "assistant", "tool_calls": []}, "tool_calls"),
        ({"role": "assistant", "tool_calls": call()}, "tool_calls"),
        ({"role": "assistant", "tool_calls": ["a"]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(), call()]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(id="")]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(id=7)]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(type="magic")]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(type=["function"])]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(function=None)]}, "tool_calls"),
        ({"role": "assistant", "tool_calls": [call(function={"name": "f"})]}, "tool_calls"),
        (
            {"role": "assistant", "tool_calls": [call(function={"name": "f", "arguments": {}})]},
            "tool_calls",
        ),
        ({"role": "user", "tool_calls": calls("a")}, "tool_calls"),
        ({"role": "tool"}, "tool_results"),
        ({"role": "tool", "tool_results": []}, "tool_results"),
        ({"role": "tool", "tool_results": [{}]}, "tool_results"),
        ({"role": "tool", "tool_results": [{"tool_call_id": None}]}, "tool_results"),
        ({"role": "tool", "tool_results": [{"tool_call_id": ["a"]}]}, "tool_results"),
        ({"role": "tool", "tool_results": results("a") * 2}, "tool_results"),
        ({"role": "assistant", "tool_results": results("a")}, "tool_results"),
    ],
)
async def test_a_shape_that_no_model_understands_is_refused(
    db: Database, user: User, thread: Thread, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, messages.append, thread.id, **given)
    assert refusal.value.field == f"messages.{field}"
    assert await db.run(user.id, messages.history, thread.id) == []


async def test_the_log_has_names_and_counts_and_never_arguments(
    db: Database, user: User, thread: Thread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "faceplate")
    secret = {"name": "transfer", "arguments": '{"to": "canary"}'}
    made = [call(function=secret), call(id="b")]
    await db.run(user.id, messages.append, thread.id, role="assistant", tool_calls=made)
    answer = [{"tool_call_id": id_, "content": "canary"} for id_ in "ab"]
    await db.run(user.id, messages.append, thread.id, role="tool", tool_results=answer)
    assert "2 tool calls stored: transfer, weather" in caplog.messages
    assert "2 tool results stored" in caplog.messages
    assert "canary" not in caplog.text
