"""Agent Framework's history over faceplate, beside its own in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    InMemoryHistoryProvider,
    Message,
)
from tests.ends import end_of
from tests.lossy import LOSSES, lossy_database

from faceplate import Database, Settings, User, export, was_committed
from faceplate.integrations.agent_framework import SOURCE, FaceplateHistoryProvider
from faceplate.integrations.openai import to_openai
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage


class InMemory(InMemoryHistoryProvider):
    """The framework's own, with the states that its sessions would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.states: dict[str | None, dict[str, Any]] = defaultdict(dict)

    async def get_messages(self, session_id: str | None, **_: Any) -> list[Message]:
        return await super().get_messages(session_id, state=self.states[session_id])

    async def save_messages(
        self, session_id: str | None, messages: Sequence[Message], **_: Any
    ) -> None:
        await super().save_messages(session_id, messages, state=self.states[session_id])


Provider = InMemory | FaceplateHistoryProvider


@pytest.fixture(params=["memory", "faceplate"])
def provider(request: pytest.FixtureRequest, db: Database, user: User) -> Provider:
    return InMemory() if request.param == "memory" else FaceplateHistoryProvider(db, user.id)


class Scripted(FunctionInvocationLayer[Any], BaseChatClient[Any]):
    """A model that calls a tool for each question, and answers what the tool says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[Message]] = []

    def _inner_get_response(
        self,
        *,
        messages: Sequence[Message],
        **_: Any,
    ) -> Awaitable[ChatResponse]:
        self.asked.append(list(messages))
        last = messages[-1]
        if last.role == "tool":
            contents = [Content.from_text(f"It says {last.contents[0].result}.")]
        else:
            call_id = f"call_{len(self.asked)}"
            contents = [Content.from_function_call(call_id, "weather", arguments={"city": "Oslo"})]

        async def response() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", contents)])

        return response()


def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


def dicts(found: Sequence[Message]) -> list[dict[str, Any]]:
    return [message.to_dict() for message in found]


async def test_messages_come_back_in_order_and_to_the_letter(provider: Provider) -> None:
    """Of any kind, with all that is beside their text."""
    assert await provider.get_messages("s") == []
    call = Content.from_function_call("call_1", "weather", arguments='{"a": 1, "a": 2}')
    result = Content.from_function_result("call_1", result="x\x00" + "y" * 1_100_000)
    image = Content.from_data(b"\x89PNG\x00", media_type="image/png")
    first = [
        Message("user", ["Hello \ud800", image], author_name="Ada", message_id="m1"),
        Message("assistant", ["hm", call, Content.from_text_reasoning(text="why")]),
        Message("tool", [result]),
    ]
    second = [
        Message("tool", [Content.from_function_result("nobody", result="asked")]),
        Message("critic", ["no role of ours"], additional_properties={"z": 10**30, "a": "\x00"}),
        Message("assistant", []),
    ]
    await provider.save_messages("s", first)
    await provider.save_messages("s", second)
    assert dicts(await provider.get_messages("s")) == dicts([*first, *second])


async def test_sessions_are_apart(provider: Provider) -> None:
    """Whatever they are called, and one without a name is a session as well."""
    names = ["s", "S", "", "s\x00", "s" * 5_000, "s" * 5_001, "sha256:s", "\ud800"]
    for name in names:
        await provider.save_messages(name, [Message("user", [repr(name[:3]) + str(len(name))])])
    for name in names:
        if name or isinstance(provider, InMemory):
            [found] = await provider.get_messages(name)
            assert found.text == repr(name[:3]) + str(len(name))
    await provider.save_messages("s", [])
    assert len(await provider.get_messages("s")) == 1


async def test_an_agent_goes_on_where_it_was(db: Database, user: User) -> None:
    """Another process reads what was said, and the product's pages show it."""
    asked: list[int] = []
    for _ in range(2):
        client = Scripted()
        provider = FaceplateHistoryProvider(db, user.id)
        agent = Agent(client, tools=[weather], context_providers=[provider])
        session = agent.create_session(session_id="trip")
        response = await agent.run("Will it rain?", session=session)
        assert response.text == "It says rain in Oslo."
        asked.append(len(client.asked[0]))
    assert asked == [1, 5]
    id_ = provider.conversation_id("trip")
    chat = await db.run(user.id, conversations.get, id_)
    assert (chat.source, chat.key, chat.title) == (SOURCE, "trip", "Will it rain?")
    history = await db.run(user.id, messages.history, id_)
    assert [message.role for message in history[:4]] == ["user", "assistant", "tool", "assistant"]
    assert (await db.run(user.id, messages.page, id_)).items == history
    assert to_openai(history)[2]["content"] == "rain in Oslo"
    assert await db.run(user.id, messages.pending_tool_calls, id_) == []
    [found] = (await db.run(user.id, conversations.search, "will it")).items
    assert found.id == id_
    lines: list[bytes] = []
    await export.write(db, user.id, lines.append)
    assert b"It says rain in Oslo." in b"".join(lines)


async def test_what_faceplate_appends_belongs_to_the_session(db: Database, user: User) -> None:
    """Text, calls and results in the framework's shape; what nobody said is left out."""
    provider = FaceplateHistoryProvider(db, user.id)
    await provider.save_messages("trip", [Message("user", ["Will it rain?"])])
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    rows = [
        NewMessage("assistant", "I look.", tool_calls=[call]),
        NewMessage("tool", tool_results=[{"tool_call_id": "a", "content": "rain"}]),
        NewMessage(None, body='{"of": "another program"}'),
        NewMessage("assistant", "Yes.", body='{"of": "another program"}'),
    ]
    id_ = provider.conversation_id("trip")
    await db.run(user.id, messages.append_many, id_, rows)
    async with db.begin(user.id) as scope:
        await messages.append_draft(scope, id_)
    found = await provider.get_messages("trip")
    assert [message.role for message in found] == ["user", "assistant", "tool", "assistant"]
    assert [content.type for content in found[1].contents] == ["text", "function_call"]
    assert (found[1].contents[1].name, found[1].contents[1].arguments) == ("look", "{}")
    assert (found[2].contents[0].call_id, found[2].contents[0].result) == ("a", "rain")


async def test_two_users_have_sessions_of_their_own(
    db: Database, user: User, other_user: User
) -> None:
    mine, theirs = (FaceplateHistoryProvider(db, one.id) for one in (user, other_user))
    await mine.save_messages("trip", [Message("user", ["Mine"])])
    assert await theirs.get_messages("trip") == []
    await theirs.save_messages("trip", [Message("user", ["Theirs"])])
    assert [message.text for message in await mine.get_messages("trip")] == ["Mine"]


async def test_runs_at_once_lose_nothing(db: Database, user: User) -> None:
    """Each batch stays together, the first ones included, which all make the session."""
    batches = [[Message("user", [f"{n}"]), Message("assistant", [f"{n}"])] for n in range(8)]
    await asyncio.gather(
        *(FaceplateHistoryProvider(db, user.id).save_messages("trip", batch) for batch in batches)
    )
    found = await FaceplateHistoryProvider(db, user.id).get_messages("trip")
    texts = [message.text for message in found]
    assert sorted(texts[::2]) == sorted(f"{n}" for n in range(8))
    assert texts[::2] == texts[1::2]


@pytest.mark.parametrize("what", LOSSES)
async def test_a_lost_connection_stores_a_turn_once(
    settings: Settings, user: User, what: str
) -> None:
    async with lossy_database(settings) as lossy:
        provider = FaceplateHistoryProvider(lossy.db, user.id)
        for number in range(3):
            lossy.lose(what)
            await provider.save_messages("trip", [Message("user", [str(number)])] * (number + 1))
            lossy.faults.clear()
        found = await provider.get_messages("trip")
        assert [message.text for message in found] == ["0", "1", "1", "2", "2", "2"]


async def test_a_cancelled_save_is_whole_or_nothing(settings: Settings, user: User) -> None:
    async with lossy_database(settings) as lossy:
        provider = FaceplateHistoryProvider(lossy.db, user.id)
        for number in range(12):
            batch = [Message("user", ["a"]), Message("assistant", ["b"])]
            saving = asyncio.ensure_future(provider.save_messages(str(number), batch))
            for _ in range(number):
                await asyncio.wait({saving}, timeout=0.002)
            saving.cancel()
            outcome = await end_of(saving)
            is_stored = not isinstance(outcome, BaseException) or was_committed(outcome)
            assert len(await provider.get_messages(str(number))) == (2 if is_stored else 0)


async def test_more_than_a_batch_is_saved_whole(db: Database, user: User) -> None:
    provider = FaceplateHistoryProvider(db, user.id)
    await provider.save_messages("long", [Message("user", [str(n)]) for n in range(2_300)])
    found = await provider.get_messages("long")
    assert [message.text for message in found] == [str(n) for n in range(2_300)]


async def test_what_a_compaction_has_excluded_is_not_read_where_so_asked(
    db: Database, user: User
) -> None:
    """Else a history that was shortened is sent to the model in full again."""
    excluded = Message("assistant", ["Rain."], additional_properties={"_excluded": True})
    kept = Message("user", ["And now?"], additional_properties={"_excluded": False})
    whole = FaceplateHistoryProvider(db, user.id)
    await whole.save_messages("a", [Message("user", ["Hi"]), excluded, kept])
    short = FaceplateHistoryProvider(db, user.id, skip_excluded=True)
    assert [message.text for message in await short.get_messages("a")] == ["Hi", "And now?"]
    assert len(await whole.get_messages("a")) == 3
