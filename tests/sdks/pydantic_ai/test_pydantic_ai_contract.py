"""What pydantic-ai asks of a conversation store: its own store in memory is asked the same."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from faceplate import Database, User

pytest.importorskip("pydantic_ai.conversation_store")

from pydantic_ai import Agent, BinaryContent, Conversation, ConversationTypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from faceplate.integrations.pydantic_ai import FaceplateConversationStore


@pytest.fixture(params=["memory", "faceplate"])
def make_store(
    request: pytest.FixtureRequest, db: Database, user: User
) -> Callable[[], ConversationStore]:
    """Make stores over the same conversations, as two processes have them."""
    memory = InMemoryConversationStore()
    if request.param == "memory":
        return lambda: memory
    return lambda: FaceplateConversationStore(db, user.id)


@pytest.fixture
def store(make_store: Callable[[], ConversationStore]) -> ConversationStore:
    return make_store()


def asks(text: str) -> ModelRequest:
    return ModelRequest([UserPromptPart(text)])


def answers(text: str) -> ModelResponse:
    return ModelResponse([TextPart(text)])


def turn(number: int) -> list[ModelMessage]:
    return [asks(f"question {number}"), answers(f"answer {number}")]


def texts(messages: list[ModelMessage] | None) -> list[str]:
    return [str(message.parts[0].content) for message in messages or []]  # type: ignore[union-attr]


async def saved(store: ConversationStore, name: str = "trip", turns: int = 3) -> Conversation:
    messages = [message for number in range(turns) for message in turn(number)]
    conversation = Conversation(conversation_id=name, messages=messages)
    await store.save(conversation)
    return conversation


async def loaded(store: ConversationStore, name: str = "trip", **how: Any) -> Conversation:
    found = await store.load(name, **how)
    assert found is not None
    return found


async def test_what_was_saved_is_loaded(make_store: Callable[[], ConversationStore]) -> None:
    """A conversation goes on in another process, with its usage and what it waits for."""
    call = ToolCallPart("book", {"to": "Oslo"}, "call_1")
    requests = DeferredToolRequests(approvals=[call], metadata={"call_1": {"price": 3}})
    usage = RunUsage(requests=2, tool_calls=1, input_tokens=5, details={"cached": 1})
    conversation = Conversation(
        conversation_id="trip",
        messages=[asks("Where to?"), ModelResponse([call])],
        usage=usage,
        deferred_tool_requests=requests,
    )
    assert await make_store().load("trip") is None
    entries = await make_store().save(conversation)
    assert [entry.parent_id for entry in entries] == [None, entries[0].id]
    found = await loaded(make_store())
    assert found == conversation
    assert found.deferred_tool_requests == requests
    assert found.usage == usage
    assert await make_store().load_entries("trip") == entries
    assert found.new_message_index == 2


async def test_a_save_appends_what_is_new(store: ConversationStore) -> None:
    """No message is stored twice, and the entries keep their ids."""
    conversation = await saved(store, turns=1)
    before = await store.load_entries("trip") or []
    conversation.messages += turn(1)
    new = await store.save(conversation)
    assert texts([entry.message for entry in new]) == ["question 1", "answer 1"]
    assert new[0].parent_id == before[-1].id
    assert await store.load_entries("trip") == [*before, *new]
    assert await store.save(conversation) == []


async def test_a_writer_that_was_overtaken_is_refused(store: ConversationStore) -> None:
    """A turn of somebody else is never lost."""
    await saved(store, turns=1)
    mine, theirs = await loaded(store), await loaded(store)
    theirs.messages += turn(7)
    await store.save(theirs)
    mine.messages += turn(8)
    with pytest.raises(ConversationConflict):
        await store.save(mine)
    with pytest.raises(ConversationConflict):
        await store.save(Conversation(conversation_id="trip", messages=turn(9)))
    assert texts((await loaded(store)).messages)[2:] == ["question 7", "answer 7"]


async def test_of_two_saves_at_once_one_succeeds(
    make_store: Callable[[], ConversationStore],
) -> None:
    """Whether the conversation is new or was loaded by both."""
    for number in range(5):
        name = f"trip {number}"
        for fresh in (True, False):
            copies = [
                Conversation(conversation_id=name) if fresh else await loaded(make_store(), name)
                for _ in range(4)
            ]
            for at, copy in enumerate(copies):
                copy.messages += turn(at)
            results = await asyncio.gather(
                *(make_store().save(copy) for copy in copies), return_exceptions=True
            )
            refused = [result for result in results if isinstance(result, BaseException)]
            assert all(isinstance(error, ConversationConflict) for error in refused)
            assert len(refused) == 3
        assert len((await loaded(make_store(), name)).messages) == 4


async def test_a_rewritten_history_is_a_branch(store: ConversationStore) -> None:
    """The history that was left stays, and the conversation can go back to it."""
    conversation = await saved(store)
    left = await store.load_entries("trip") or []
    rewritten = Conversation(
        conversation_id="trip",
        messages=[*conversation.messages[:3], answers("another answer")],
        revision=conversation.revision,
    )
    new = await store.save(rewritten)
    assert [entry.parent_id for entry in new] == [left[2].id]
    record = await store.read_record("trip")
    assert record is not None
    assert record.branches == [left[-1].id]
    assert texts((await loaded(store)).messages)[2:] == ["question 1", "another answer"]
    back = await store.branch("trip", from_entry=left[-1].id, expected_revision=record.revision)
    assert back.messages == conversation.messages
    assert (await loaded(store)).messages == conversation.messages


@pytest.mark.parametrize("at", [0, 2, 5, 6])
async def test_a_branch_goes_on_from_an_earlier_message(store: ConversationStore, at: int) -> None:
    """Edit and regenerate: what comes after the message stays beside the new turn."""
    conversation = await saved(store)
    left = await store.load_entries("trip") or []
    branched = await store.branch("trip", at=at, expected_revision=conversation.revision)
    assert branched.messages == conversation.messages[:at]
    assert await loaded(store) == branched
    branched.messages += turn(9)
    await store.save(branched)
    expected = [*texts(conversation.messages)[:at], "question 9", "answer 9"]
    assert texts((await loaded(store)).messages) == expected
    record = await store.read_record("trip")
    assert record is not None
    assert record.branches == ([left[-1].id] if at < 6 else [])
    with pytest.raises(ConversationConflict):
        await store.branch("trip", at=1, expected_revision=conversation.revision)
    with pytest.raises(UserError):
        await store.branch("trip", at=99, expected_revision=record.revision)


async def test_a_fork_outlives_its_source(store: ConversationStore) -> None:
    """The fork has the entries up to its point, under their ids, and goes on alone."""
    conversation = await saved(store)
    entries = await store.load_entries("trip") or []
    fork = await store.fork("trip", at=4, new_conversation_id="other trip")
    whole = await store.fork("trip")
    assert fork.messages == conversation.messages[:4]
    assert await store.load_entries("other trip") == entries[:4]
    fork.messages += turn(9)
    await store.save(fork)
    assert len((await loaded(store)).messages) == 6
    await store.delete("trip")
    assert await store.load("trip") is None
    assert await store.load_entries(whole.conversation_id) == entries
    assert texts((await loaded(store, "other trip")).messages)[4:] == ["question 9", "answer 9"]
    record = await store.read_record("other trip")
    assert record is not None
    assert (record.forked_from, record.forked_at) == ("trip", entries[3].id)
    with pytest.raises(ConversationConflict):
        await store.fork("other trip", new_conversation_id=whole.conversation_id)
    with pytest.raises(UserError):
        await store.fork("trip")


async def test_a_fork_begins_in_a_branch_or_with_nothing(store: ConversationStore) -> None:
    conversation = await saved(store)
    entries = await store.load_entries("trip") or []
    branched = await store.branch("trip", at=2, expected_revision=conversation.revision)
    branched.messages += turn(9)
    await store.save(branched)
    fork = await store.fork("trip", from_entry=entries[4].id)
    assert await store.load_entries(fork.conversation_id) == entries[:5]
    empty = await store.fork("trip", at=0)
    assert await store.load_entries(empty.conversation_id) == []
    empty.messages += turn(1)
    await store.save(empty)
    assert texts((await loaded(store, empty.conversation_id)).messages) == texts(turn(1))


async def test_the_last_messages_are_loaded_and_appended_to(store: ConversationStore) -> None:
    """A window is no rewritten history, even if the conversation was serialized meanwhile."""
    await saved(store)
    entries = await store.load_entries("trip") or []
    assert await store.load_entries("trip", limit=2) == entries[-2:]
    assert await store.load_entries("trip", limit=99) == entries
    assert await store.load_entries("trip", limit=0) == []
    window = await loaded(store, limit=2)
    for copy in (window, None):
        again = copy or ConversationTypeAdapter.validate_json(
            ConversationTypeAdapter.dump_json(await loaded(store, limit=3))
        )
        again.messages += turn(9)
        await store.save(again)
    record = await store.read_record("trip")
    assert record is not None
    assert record.branches == []
    assert len((await loaded(store)).messages) == 10
    with pytest.raises(UserError):
        await store.load("trip", limit=-1)


async def test_a_scope_keeps_a_conversation_to_its_owner(store: ConversationStore) -> None:
    conversation = Conversation(conversation_id="trip", messages=turn(1))
    await store.save(conversation, scope="team")
    assert await store.load("trip", scope="others") is None
    with pytest.raises(ConversationConflict):
        await store.save(conversation, scope="others")
    with pytest.raises(UserError):
        await store.fork("trip", source_scope="others")
    await store.delete("trip", scope="others")
    assert (await loaded(store, scope="team")).messages == conversation.messages
    await store.delete("trip", scope="team")
    assert await store.load("trip") is None
    await store.delete("trip")


async def test_conversations_are_listed_the_last_saved_first(store: ConversationStore) -> None:
    for name in ("one", "two", "three"):
        await store.save(
            Conversation(conversation_id=name, messages=turn(1)),
            scope=None if name == "two" else "team",
        )
    one = await loaded(store, "one")
    await store.branch("one", at=1, expected_revision=one.revision)
    assert [one.conversation_id for one in await store.list_conversations()] == [
        "one",
        "three",
        "two",
    ]
    listed = await store.list_conversations(scope="team", limit=1)
    assert listed == [await store.read_record("one")]
    with pytest.raises(UserError):
        await store.list_conversations(limit=-1)


async def test_a_conversation_that_is_made_again_is_another(store: ConversationStore) -> None:
    """A copy from before the deletion cannot be saved over it."""
    before = await saved(store, turns=1)
    await store.delete("trip")
    with pytest.raises(ConversationConflict):
        await store.save(before)
    after = await saved(store, turns=2)
    assert after.revision != before.revision
    with pytest.raises(ConversationConflict):
        await store.save(before)


async def test_the_primitives_keep_what_they_are_given(
    make_store: Callable[[], ConversationStore],
) -> None:
    """Names of any shape, a tree of new entries, and a record to the letter."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    record = ConversationRecord(
        conversation_id="any \x00 name\ud800" * 500,
        head_id="leaf",
        usage=RunUsage(requests=1),
        scope="team",
        branches=["root"],
        revision="one",
        updated_at=moment,
    )
    messages = turn(1) + turn(2)
    names = ["root", "trunk", "twig", "leaf"]
    parents = [None, "root", "trunk", "trunk"]
    entries = [
        ConversationEntry(id=name, parent_id=parent, message=message)
        for name, parent, message in zip(names, parents, messages, strict=True)
    ]
    store = make_store()
    await store.write_record(record, new_entries=entries, expected_revision=None)
    store = make_store()
    assert await store.read_record(record.conversation_id) == record
    assert await store.read_history("leaf") == [entries[0], entries[1], entries[3]]
    assert await store.read_history("twig", limit=2) == entries[1:3]
    assert await store.read_entry("trunk") == entries[1]
    assert await store.read_history(None) == []
    moved = ConversationRecord(
        conversation_id=record.conversation_id,
        head_id="twig",
        revision="two",
        updated_at=moment - timedelta(days=9),
    )
    for wrong in (None, "two", ""):
        with pytest.raises(ConversationConflict):
            await store.write_record(moved, expected_revision=wrong)
    await store.write_record(moved, expected_revision="one")
    assert await make_store().read_record(record.conversation_id) == moved
    assert await store.read_records() == [moved]
    with pytest.raises(ConversationConflict):
        await store.delete_record(record.conversation_id, expected_revision="one")
    await store.delete_record(record.conversation_id, expected_revision="two")
    with pytest.raises(LookupError):
        await store.read_entry("trunk")
    with pytest.raises(LookupError):
        await make_store().read_history("leaf")


async def test_a_head_that_nobody_has_is_a_conflict(store: ConversationStore) -> None:
    """What a fork points at may have been deleted meanwhile; nothing is left behind."""
    record = ConversationRecord(conversation_id="fork", head_id="gone", forked_from="trip")
    with pytest.raises(ConversationConflict):
        await store.write_record(record, expected_revision=None)
    assert await store.load("fork") is None
    conversation = await saved(store, turns=1)
    assert conversation.revision is not None
    moved = ConversationRecord(conversation_id="trip", head_id="gone")
    with pytest.raises(ConversationConflict):
        await store.write_record(moved, expected_revision=conversation.revision)
    assert (await loaded(store)).revision == conversation.revision


async def test_messages_are_kept_to_the_letter(make_store: Callable[[], ConversationStore]) -> None:
    """Whatever is in them: as ``ModelMessagesTypeAdapter`` reads and writes them."""
    image = BinaryContent(b"\x89PNG\x00\xff", media_type="image/png")
    messages: list[ModelMessage] = [
        ModelRequest(
            [SystemPromptPart("Be\x00 brief. \ud83d"), UserPromptPart(["Look:", image])],
            instructions="never \ud800",
            metadata={"z": 10**30, "a": "\x00"},
        ),
        ModelResponse(
            [
                ThinkingPart("hm", signature="s"),
                TextPart("x" * 1_200_000),
                ToolCallPart("look", '{"at": 1, "at": 2}', "call_1"),
                ToolCallPart("look", {"at": 1}, "call_1"),
                ToolCallPart("", {}, "  "),
            ],
            model_name="m" * 300,
        ),
        ModelRequest(
            [
                ToolReturnPart("look", {"n": 10**25, "s": "\x00"}, "call_1"),
                ToolReturnPart("look", "again", "call_1"),
                UserPromptPart("and now?"),
            ]
        ),
        ModelRequest([ToolReturnPart("nobody", "asked", "call_9")]),
        ModelRequest([]),
        ModelResponse([]),
    ]
    conversation = Conversation(conversation_id="", messages=messages)
    await make_store().save(conversation)
    found = await loaded(make_store(), "")

    def dumped(given: list[ModelMessage]) -> Any:
        return ModelMessagesTypeAdapter.dump_python(given, mode="json")

    assert dumped(found.messages) == dumped(messages)


async def test_an_agent_takes_turns(make_store: Callable[[], ConversationStore]) -> None:
    """A run's result is saved and continued, with tools."""
    agent = Agent(TestModel())

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    for number in range(3):
        store = make_store()
        conversation = await store.load("trip") or Conversation(conversation_id="trip")
        result = await agent.run(f"question {number}", conversation=conversation)
        new = await store.save(result)
        assert [entry.message for entry in new] == result.new_messages()
    found = await loaded(make_store())
    assert found.messages == result.all_messages()
    assert found.usage.requests == 4
