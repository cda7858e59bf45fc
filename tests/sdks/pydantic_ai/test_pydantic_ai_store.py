"""The conversation store beside faceplate's own units, two users, and lost connections."""

import asyncio

import pytest
from tests.ends import end_of
from tests.lossy import LOSSES, lossy_database

from faceplate import CommitOutcomeUnknown, Database, Settings, User, export, was_committed
from faceplate.integrations.openai import to_openai
from faceplate.services import conversations, messages

pytest.importorskip("pydantic_ai.conversation_store")

from pydantic_ai import Agent, Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.test import TestModel

from faceplate.integrations.pydantic_ai import SOURCE, FaceplateConversationStore


def asked(text: str = "Where to?", name: str = "trip") -> Conversation:
    said = [ModelRequest([UserPromptPart(text)]), ModelResponse([TextPart("To Oslo.")])]
    return Conversation(conversation_id=name, messages=said)


async def text_of(store: FaceplateConversationStore, name: str = "trip") -> list[str]:
    found = await store.load(name)
    return [] if found is None else [str(m.parts[0].content) for m in found.messages]


async def test_faceplate_shows_what_pydantic_ai_has_saved(db: Database, user: User) -> None:
    """The product's pages, its search and its export have the chat."""
    agent = Agent(TestModel())

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    store = FaceplateConversationStore(db, user.id)
    conversation = Conversation(conversation_id="trip")
    await store.save(await agent.run("Will it  rain in Oslo?", conversation=conversation))
    chat = await db.run(user.id, conversations.get, store.conversation_id("trip"))
    assert (chat.source, chat.key, chat.title) == (SOURCE, "trip", "Will it rain in Oslo?")
    history = await db.run(user.id, messages.history, chat.id)
    assert [message.role for message in history] == ["user", "assistant", "tool", "assistant"]
    assert (await db.run(user.id, messages.page, chat.id)).items == history
    assert to_openai(history)[2]["content"] == "rain in a"
    assert await db.run(user.id, messages.pending_tool_calls, chat.id) == []
    [found] = (await db.run(user.id, conversations.search, "rain in")).items
    assert found.id == chat.id
    lines: list[bytes] = []
    await export.write(db, user.id, lines.append)
    assert b"rain in a" in b"".join(lines)


async def test_what_faceplate_appends_belongs_to_the_history(db: Database, user: User) -> None:
    """The next run reads it, and a save from before it is refused."""
    store = FaceplateConversationStore(db, user.id)
    first = asked()
    await store.save(first)
    id_ = store.conversation_id("trip")
    mine = await db.run(user.id, messages.append, id_, role="user", content="By train?")
    with pytest.raises(ConversationConflict):
        await store.save(asked())
    first.messages += asked("Stale").messages
    with pytest.raises(ConversationConflict):
        await store.save(first)
    assert await text_of(store) == ["Where to?", "To Oslo.", "By train?"]
    found = await store.load("trip")
    assert found is not None
    entries = await store.load_entries("trip") or []
    assert entries[-1].id == str(mine.id)
    found.messages.append(ModelResponse([TextPart("Yes.")]))
    await store.save(found)
    assert await text_of(FaceplateConversationStore(db, user.id)) == [
        *("Where to?", "To Oslo.", "By train?", "Yes."),
    ]
    await db.run(user.id, messages.remove_last, id_)
    await db.run(user.id, conversations.switch, id_, 1)
    assert await text_of(store) == ["Where to?"]
    with pytest.raises(ConversationConflict):
        await store.save(found)


async def test_a_conversation_that_faceplate_opened_is_loaded(db: Database, user: User) -> None:
    chat = await db.run(user.id, conversations.open, source=SOURCE, key="trip")
    store = FaceplateConversationStore(db, user.id)
    assert await text_of(store) == []
    await db.run(user.id, messages.append, chat.id, role="user", content="Where to?")
    found = await store.load("trip")
    assert found is not None
    found.messages.append(ModelResponse([TextPart("To Oslo.")]))
    await store.save(found)
    assert await text_of(store) == ["Where to?", "To Oslo."]
    assert [one.conversation_id for one in await store.list_conversations()] == ["trip"]


async def test_a_branch_is_one_of_faceplates(db: Database, user: User) -> None:
    """What was left is an alternative that a reader finds beside the new turn."""
    store = FaceplateConversationStore(db, user.id)
    first = asked()
    await store.save(first)
    branched = await store.branch("trip", at=1, expected_revision=first.revision)
    branched.messages.append(ModelResponse([TextPart("To Bergen.")]))
    await store.save(branched)
    id_ = store.conversation_id("trip")
    alternatives = await db.run(user.id, messages.branches, id_, 2)
    assert [(branch.position, branch.is_on_path) for branch in alternatives] == [
        (2, False),
        (3, True),
    ]
    await db.run(user.id, conversations.switch, id_, 2)
    assert await text_of(store) == ["Where to?", "To Oslo."]


async def test_two_users_share_no_names(db: Database, user: User, other_user: User) -> None:
    """The same ids are other conversations, and nothing of the other is reached by an id."""
    mine, theirs = (FaceplateConversationStore(db, one.id) for one in (user, other_user))
    entries = await mine.save(asked())
    assert await theirs.load("trip") is None
    assert await theirs.list_conversations() == []
    with pytest.raises(LookupError):
        await theirs.read_entry(entries[-1].id)
    with pytest.raises(LookupError):
        await theirs.read_history(entries[-1].id)
    await theirs.save(asked("Theirs"))
    await theirs.delete("trip")
    assert await text_of(mine) == ["Where to?", "To Oslo."]


@pytest.mark.parametrize("what", LOSSES)
async def test_a_lost_connection_stores_a_turn_once(
    settings: Settings, user: User, what: str
) -> None:
    """A save, a branch, a fork and a deletion are retried, and take effect once."""
    async with lossy_database(settings) as lossy:
        store = FaceplateConversationStore(lossy.db, user.id)
        first = asked()
        lossy.lose(what)
        await store.save(first)
        first.messages += asked("And then?").messages
        lossy.lose(what)
        await store.save(first)
        lossy.lose(what)
        fork = await store.fork("trip", at=3, new_conversation_id="other")
        lossy.lose(what)
        await store.branch("trip", at=2, expected_revision=first.revision)
        assert await text_of(store) == ["Where to?", "To Oslo."]
        assert await text_of(store, "other") == ["Where to?", "To Oslo.", "And then?"]
        lossy.lose(what)
        await store.delete("trip")
        assert await store.load("trip") is None
        assert await store.load("other") == fork
        assert lossy.faults.planned == 0


@pytest.mark.parametrize("committed", [True, False])
async def test_a_save_in_doubt_is_whole_or_nothing(
    settings: Settings, user: User, *, committed: bool
) -> None:
    """The caller is told, loads the conversation again and goes on."""
    async with lossy_database(settings) as lossy:
        store = FaceplateConversationStore(lossy.db, user.id)
        lossy.faults.fail_commit(committed=committed)
        with pytest.raises(CommitOutcomeUnknown):
            await store.save(asked())
        lossy.faults.clear()
        assert await text_of(store) == (["Where to?", "To Oslo."] if committed else [])
        found = await store.load("trip") or asked()
        await store.save(found)
        assert await text_of(store) == ["Where to?", "To Oslo."]


async def test_a_cancelled_save_is_whole_or_nothing(settings: Settings, user: User) -> None:
    """Wherever it is cancelled, and ``was_committed`` knows which."""
    async with lossy_database(settings) as lossy:
        store = FaceplateConversationStore(lossy.db, user.id)
        for number in range(12):
            name = f"trip {number}"
            saving = asyncio.ensure_future(store.save(asked(name=name)))
            for _ in range(number):
                await asyncio.wait({saving}, timeout=0.002)
            saving.cancel()
            outcome = await end_of(saving)
            is_stored = not isinstance(outcome, BaseException) or was_committed(outcome)
            assert len(await text_of(store, name)) == (2 if is_stored else 0)


async def test_errors_show_nothing_of_what_was_said(db: Database, user: User) -> None:
    store = FaceplateConversationStore(db, user.id)
    await store.save(asked("a secret"))
    with pytest.raises(ConversationConflict) as raised:
        await store.save(asked("a secret"))
    assert "secret" not in f"{raised.value}{raised.value.__cause__}{store!r}"
