"""ChatKit's store over faceplate: threads, items, attachments, users and lost connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ClientToolCallItem,
    FileAttachment,
    HiddenContextItem,
    InferenceOptions,
    ThreadItem,
    ThreadItemDoneEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
    UserMessageTextContent,
)
from tests.lossy import LOSSES, lossy_database
from uuid6 import uuid7

from faceplate import Conflict, Database, Settings, User, erasure, export
from faceplate.integrations.chatkit import ATTACHMENTS, SOURCE, FaceplateStore
from faceplate.integrations.openai import to_openai
from faceplate.services import conversations, documents, messages, users
from faceplate.services.messages import NewMessage

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(db: Database) -> FaceplateStore[UUID]:
    """The context of a call is the user's id."""
    return FaceplateStore(db, lambda context: context)


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def asked(text: str, *, id_: str = "msg_1", minute: int = 0, thread: str = "thr") -> ThreadItem:
    said = UserMessageTextContent(text=text)
    return UserMessageItem(
        id=id_,
        thread_id=thread,
        created_at=at(minute),
        content=[said],
        inference_options=InferenceOptions(),
    )


def answered(text: str, *, id_: str = "msg_2", minute: int = 1, thread: str = "thr") -> ThreadItem:
    said = AssistantMessageContent(text=text)
    return AssistantMessageItem(id=id_, thread_id=thread, created_at=at(minute), content=[said])


def thread_at(minute: int = 0, *, id_: str = "thr", title: str | None = None) -> ThreadMetadata:
    return ThreadMetadata(id=id_, created_at=at(minute), title=title)


def chat_of(user: User, thread_id: str = "thr") -> UUID:
    return conversations.id_of(user.id, source=SOURCE, key=thread_id)


async def ids(store: FaceplateStore[UUID], user: User, thread_id: str = "thr") -> list[str]:
    page = await store.load_thread_items(thread_id, None, 100, "asc", user.id)
    return [item.id for item in page.data]


async def test_items_come_back_to_the_letter(store: FaceplateStore[UUID], user: User) -> None:
    """Whatever is in them, also where the context of a server has no JSON of Unicode."""
    odd: dict[str, Any] = {"z": 10**30, "a": "\x00 \ud800", "list": [None, 1e300]}
    items = [
        asked("Hello\x00"),
        answered("x" * 1_200_000),
        HiddenContextItem(id="h", thread_id="thr", created_at=at(2), content=odd),
        ClientToolCallItem(
            id="t", thread_id="thr", created_at=at(3), call_id="c", name="f", arguments=odd
        ),
    ]
    for item in items:
        await store.add_thread_item("thr", item, user.id)
        assert await store.load_item("thr", item.id, user.id) == item
    page = await store.load_thread_items("thr", None, 10, "asc", user.id)
    assert page.data == items


async def test_items_and_threads_are_in_the_order_of_their_creation(
    store: FaceplateStore[UUID], user: User
) -> None:
    """Whenever they were stored; items of the same time as they were added. Pages go on.

    A thread that its first item makes is as old as this item.
    """
    minutes = [5, 1, 3, 3, 0]
    for number, minute in enumerate(minutes):
        await store.add_thread_item("thr", asked("a", id_=f"i{number}", minute=minute), user.id)
        await store.save_thread(thread_at(2 * minute, id_=f"t{minute}"), user.id)
    in_order = ["i4", "i1", "i2", "i3", "i0"]
    for order in ("asc", "desc"):
        found: list[str] = []
        after = None
        while True:
            page = await store.load_thread_items("thr", after, 2, order, user.id)
            found += [item.id for item in page.data]
            after = page.after
            assert page.has_more == (after is not None)
            if after is None:
                break
        assert found == (in_order if order == "asc" else in_order[::-1])
    threads = await store.load_threads(3, None, "asc", user.id)
    assert [thread.id for thread in threads.data] == ["t0", "t1", "thr"]
    rest = await store.load_threads(3, threads.after, "asc", user.id)
    assert [thread.id for thread in rest.data] == ["t3", "t5"]
    assert (rest.has_more, rest.after) == (False, None)
    with pytest.raises(NotFoundError):
        await store.load_threads(3, "nowhere", "asc", user.id)
    with pytest.raises(NotFoundError):
        await store.load_thread_items("thr", "nowhere", 3, "asc", user.id)


async def test_an_item_is_replaced_and_removed_in_its_place(
    store: FaceplateStore[UUID], user: User
) -> None:
    """What follows it stays; a second removal does nothing."""
    for number in range(4):
        item = asked(str(number), id_=f"i{number}", minute=number)
        await store.add_thread_item("thr", item, user.id)
    new = asked("new", id_="i1", minute=1)
    await store.save_item("thr", new, user.id)
    assert await store.load_item("thr", "i1", user.id) == new
    for _ in range(2):
        await store.delete_thread_item("thr", "i2", user.id)
    assert await ids(store, user) == ["i0", "i1", "i3"]
    await store.save_item("thr", asked("one more", id_="i4", minute=4), user.id)
    assert await ids(store, user) == ["i0", "i1", "i3", "i4"]
    with pytest.raises(NotFoundError):
        await store.load_item("thr", "i2", user.id)
    history = await store._db.run(user.id, messages.history, chat_of(user))
    assert [message.content for message in history] == ["0", "new", "3", "one more"]


async def test_an_item_is_added_once(store: FaceplateStore[UUID], user: User) -> None:
    """A client that sends it again finds it; another item under its id is refused."""
    for _ in range(2):
        await store.add_thread_item("thr", asked("a"), user.id)
    assert await ids(store, user) == ["msg_1"]
    with pytest.raises(Conflict):
        await store.add_thread_item("thr", asked("b"), user.id)


async def test_faceplate_shows_a_thread(
    store: FaceplateStore[UUID], user: User, db: Database
) -> None:
    """History, page, search and export have it, under a title until it gets one."""
    await store.save_thread(thread_at(), user.id)
    await store.add_thread_item("thr", asked("Will it  rain?"), user.id)
    await store.add_thread_item("thr", answered("Yes."), user.id)
    hidden = HiddenContextItem(id="h", thread_id="thr", created_at=at(2), content="secret")
    await store.add_thread_item("thr", hidden, user.id)
    chat = await db.run(user.id, conversations.get, chat_of(user))
    assert (chat.key, chat.title, chat.created_at) == ("thr", "Will it rain?", NOON)
    assert (await store.load_thread("thr", user.id)).title is None
    history = await db.run(user.id, messages.history, chat.id)
    assert [(message.role, message.content) for message in history] == [
        ("user", "Will it  rain?"),
        ("assistant", "Yes."),
        (None, ""),
    ]
    assert (await db.run(user.id, messages.page, chat.id)).items == history
    assert [said["role"] for said in to_openai(history)] == ["user", "assistant"]
    await store.save_thread(thread_at(title="Rain"), user.id)
    [found] = (await db.run(user.id, conversations.search, "rain")).items
    assert found.title == "Rain"
    await db.run(user.id, conversations.rename, chat.id, "Snow")
    renamed = await store.load_thread("thr", user.id)
    assert renamed.title == "Snow"
    await store.save_thread(renamed, user.id)
    assert await store.load_thread("thr", user.id) == thread_at(title="Snow")
    lines: list[bytes] = []
    await export.write(db, user.id, lines.append)
    assert b"Will it  rain?" in b"".join(lines)


async def test_what_faceplate_appends_belongs_to_the_thread(
    store: FaceplateStore[UUID], user: User, db: Database
) -> None:
    """The reader sees what was said; calls and results are hidden context."""
    await store.add_thread_item("thr", asked("Hello"), user.id)
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    results = [{"tool_call_id": "a", "content": "rain"}]
    chat = chat_of(user)
    await db.run(user.id, messages.append, chat, role="user", content="Will it rain?")
    await db.run(user.id, messages.append, chat, role="assistant", tool_calls=[call])
    await db.run(user.id, messages.append, chat, role="tool", tool_results=results)
    said = await db.run(user.id, messages.append, chat, role="assistant", content="Yes.")
    async with db.begin(user.id) as scope:
        await messages.append_draft(scope, chat)
    page = await store.load_thread_items("thr", None, 10, "asc", user.id)
    assert [item.type for item in page.data] == [
        *("user_message", "user_message", "hidden_context_item", "hidden_context_item"),
        "assistant_message",
    ]
    last = page.data[-1]
    assert isinstance(last, AssistantMessageItem)
    assert (last.content[0].text, last.thread_id, last.created_at) == (
        "Yes.",
        "thr",
        said.created_at,
    )
    assert await store.load_item("thr", last.id, user.id) == last
    await store.delete_thread_item("thr", last.id, user.id)
    assert len(await ids(store, user)) == 4
    opened = await db.run(user.id, conversations.open, source=SOURCE, key="other", title="Other")
    thread = await store.load_thread("other", user.id)
    assert (thread.title, thread.created_at) == ("Other", opened.created_at)


async def test_a_replaced_item_keeps_what_others_store_with_it(
    store: FaceplateStore[UUID], user: User, db: Database
) -> None:
    """Else a change in ChatKit takes the product's marks away, and makes a call unanswered."""
    chat = chat_of(user)
    await db.run(user.id, conversations.open, source=SOURCE, key="thr")
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    results = [{"tool_call_id": "a", "content": "rain"}]
    turn = [
        NewMessage("user", "Rain?", metadata={"pinned": True}),
        NewMessage("assistant", "I look.", [call], metadata={"trace": 1}),
        NewMessage("tool", tool_results=results, metadata={"trace": 2}),
    ]
    before = await db.run(user.id, messages.append_many, chat, turn)
    page = await store.load_thread_items("thr", None, 9, "asc", user.id)
    for item in page.data:
        await store.save_item("thr", item, user.id)
    assert (await store.load_thread_items("thr", None, 9, "asc", user.id)).data == page.data
    history = await db.run(user.id, messages.history, chat)
    unchanged = [
        row._replace(body=None, updated_at=old.updated_at)
        for row, old in zip(history, before, strict=True)
    ]
    assert unchanged == before

    said = answered("I looked.", id_=str(before[1].id))
    await store.save_item("thr", said, user.id)
    row = (await db.run(user.id, messages.history, chat))[1]
    assert (row.content, row.tool_calls, row.metadata) == ("I looked.", [call], {"trace": 1})
    await store.save_item("thr", asked("I?", id_=str(before[1].id)), user.id)
    row = (await db.run(user.id, messages.history, chat))[1]
    assert (row.role, row.tool_calls, row.metadata) == ("user", None, {"trace": 1})


async def test_the_path_that_is_read_is_the_thread(
    store: FaceplateStore[UUID], user: User, db: Database
) -> None:
    """A reply that was regenerated elsewhere takes the place of the one before."""
    await store.add_thread_item("thr", asked("Where to?"), user.id)
    await store.add_thread_item("thr", answered("To Oslo."), user.id)
    chat = chat_of(user)
    await db.run(
        user.id, messages.append, chat, role="assistant", content="Bergen", after=1, branch=True
    )
    assert len(await ids(store, user)) == 2
    assert "msg_2" not in await ids(store, user)
    await db.run(user.id, conversations.switch, chat, 2)
    assert await ids(store, user) == ["msg_1", "msg_2"]


async def test_attachments_are_documents(
    store: FaceplateStore[UUID], user: User, other_user: User, db: Database
) -> None:
    file = FileAttachment(id="atc_1", name="a.txt", mime_type="text/plain")
    with pytest.raises(NotFoundError):
        await store.load_attachment("atc_1", user.id)
    await store.save_attachment(file, user.id)
    await store.save_attachment(file.model_copy(update={"name": "b.txt"}), user.id)
    assert (await store.load_attachment("atc_1", user.id)).name == "b.txt"
    found = await db.run(user.id, documents.get, ATTACHMENTS, "atc_1")
    assert json.loads(found.body)["name"] == "b.txt"
    with pytest.raises(NotFoundError):
        await store.load_attachment("atc_1", other_user.id)
    for _ in range(2):
        await store.delete_attachment("atc_1", user.id)
    with pytest.raises(NotFoundError):
        await store.load_attachment("atc_1", user.id)


async def test_two_users_have_threads_of_their_own(
    store: FaceplateStore[UUID], user: User, other_user: User
) -> None:
    """Under the same names; nothing of the other is read, changed or removed."""
    await store.save_thread(thread_at(title="Mine"), user.id)
    await store.add_thread_item("thr", asked("Mine"), user.id)
    with pytest.raises(NotFoundError):
        await store.load_thread("thr", other_user.id)
    with pytest.raises(NotFoundError):
        await store.load_item("thr", "msg_1", other_user.id)
    assert (await store.load_thread_items("thr", None, 9, "asc", other_user.id)).data == []
    assert (await store.load_threads(9, None, "desc", other_user.id)).data == []
    await store.delete_thread_item("thr", "msg_1", other_user.id)
    await store.delete_thread("thr", other_user.id)
    await store.add_thread_item("thr", asked("Theirs"), other_user.id)
    await store.delete_thread("thr", other_user.id)
    assert await store.load_item("thr", "msg_1", user.id) == asked("Mine")
    await store.delete_thread("thr", user.id)
    with pytest.raises(NotFoundError):
        await store.load_thread("thr", user.id)


async def test_a_subject_is_a_user(db: Database) -> None:
    """The application may have no more than the identity provider's ``sub``."""
    store: FaceplateStore[str] = FaceplateStore(db, lambda context: f"sub of {context}")
    await store.save_thread(thread_at(), "Ada")
    found = await db.run_system(users.by_subject, "sub of Ada")
    assert await db.run(found.id, conversations.get, chat_of(found))
    assert (await store.load_thread("thr", "Ada")).id == "thr"
    with pytest.raises(NotFoundError):
        await store.load_thread("thr", "Bob")


@pytest.mark.parametrize("call", ["save_thread", "add", "save", "attach", "load"])
async def test_a_user_who_was_erased_begins_anew(
    db: Database, settings: Settings, call: str
) -> None:
    """Else the process refuses all that they write until it ends."""
    subject = f"{uuid7()}"
    store: FaceplateStore[str] = FaceplateStore(db, lambda context: context)
    await store.add_thread_item("thr", asked("secret"), subject)
    await erasure.erase(db, (await db.run_system(users.by_subject, subject)).id)
    file = FileAttachment(id="atc_1", name="a.txt", mime_type="text/plain")
    if call == "save_thread":
        await store.save_thread(thread_at(), subject)
    elif call == "add":
        await store.add_thread_item("thr", asked("new"), subject)
    elif call == "save":
        await store.save_item("thr", asked("new"), subject)
    elif call == "attach":
        await store.save_attachment(file, subject)
        assert await store.load_attachment("atc_1", subject) == file
    else:
        async with Database(settings) as elsewhere:
            other: FaceplateStore[str] = FaceplateStore(elsewhere, lambda context: context)
            await other.save_thread(thread_at(), subject)
        assert await store.load_thread("thr", subject) == thread_at()
    page = await store.load_thread_items("thr", None, 9, "asc", subject)
    assert page.data == ([asked("new")] if call in ("add", "save") else [])


async def test_names_may_be_of_any_shape(store: FaceplateStore[UUID], user: User) -> None:
    """A client sends them, so that none may be an error of the server."""
    names = ["", "a\x00b", "x" * 5_000, "sha256:x", str(user.id), "Ä" * 1_500]
    for name in names:
        await store.save_thread(thread_at(id_=name), user.id)
        await store.add_thread_item(name, asked(name, id_=name, thread=name), user.id)
        file = FileAttachment(id=name, name="a", mime_type="b")
        await store.save_attachment(file, user.id)
    for name in names:
        assert await store.load_thread(name, user.id) == thread_at(id_=name)
        assert await store.load_item(name, name, user.id) == asked(name, id_=name, thread=name)
        assert (await store.load_attachment(name, user.id)).id == name
    with pytest.raises(NotFoundError):
        await store.load_thread("c\x00", user.id)
    assert len((await store.load_threads(-1, None, "asc", user.id)).data) == 1


@pytest.mark.parametrize("what", LOSSES)
async def test_a_lost_connection_stores_an_item_once(
    settings: Settings, user: User, what: str
) -> None:
    """Each call is retried, and takes effect once."""
    async with lossy_database(settings) as lossy:
        store: FaceplateStore[UUID] = FaceplateStore(lossy.db, lambda context: context)
        calls = [
            store.save_thread(thread_at(), user.id),
            store.add_thread_item("thr", asked("a"), user.id),
            store.add_thread_item("thr", answered("b"), user.id),
            store.save_item("thr", answered("c"), user.id),
            store.save_item("thr", answered("d", id_="msg_3", minute=3), user.id),
            store.delete_thread_item("thr", "msg_1", user.id),
        ]
        for call in calls:
            lossy.lose(what)
            await call
            lossy.faults.clear()
        page = await store.load_thread_items("thr", None, 9, "asc", user.id)
        assert page.data == [answered("c"), answered("d", id_="msg_3", minute=3)]


async def test_items_that_are_added_at_once_are_all_there(
    store: FaceplateStore[UUID], user: User
) -> None:
    """The first ones make the thread, in one of several processes."""
    items = [asked(str(n), id_=f"i{n}", minute=n) for n in range(10)]
    await asyncio.gather(*(store.add_thread_item("thr", item, user.id) for item in items * 2))
    assert await ids(store, user) == [f"i{n}" for n in range(10)]


async def test_a_cancelled_call_leaves_whole_items(settings: Settings, user: User) -> None:
    async with lossy_database(settings) as lossy:
        store: FaceplateStore[UUID] = FaceplateStore(lossy.db, lambda context: context)
        for number in range(10):
            item = asked("a", id_=f"i{number}", minute=number)
            adding = asyncio.ensure_future(store.add_thread_item("thr", item, user.id))
            for _ in range(number):
                await asyncio.wait({adding}, timeout=0.002)
            adding.cancel()
            await asyncio.gather(adding, return_exceptions=True)
            await store.add_thread_item("thr", item, user.id)
        assert await ids(store, user) == [f"i{n}" for n in range(10)]


class Echo(ChatKitServer[UUID]):
    """A server whose model says what it was asked."""

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: UUID
    ) -> AsyncIterator[ThreadStreamEvent]:
        assert input_user_message is not None
        text = input_user_message.content[0].text
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(),  # noqa: DTZ005 - as ChatKit does
                content=[AssistantMessageContent(text=f"You said: {text}")],
            )
        )


async def test_a_server_takes_turns(store: FaceplateStore[UUID], user: User) -> None:
    """ChatKit's server runs on the store, with the times without a zone that it makes."""
    server = Echo(store)
    asked_for: dict[str, Any] = {
        "input": {
            "content": [{"type": "input_text", "text": "Hello"}],
            "attachments": [],
            "inference_options": {},
        }
    }
    kind = "threads.create"
    for _ in range(2):
        request = json.dumps({"type": kind, "params": asked_for})
        result = await server.process(request, user.id)
        assert isinstance(result, StreamingResult)
        events = [json.loads(event.removeprefix(b"data: ")) async for event in result]
        assert not [event for event in events if event["type"] == "error"]
        if kind == "threads.create":
            asked_for["thread_id"] = events[0]["thread"]["id"]
        kind = "threads.add_user_message"
    thread_id = asked_for["thread_id"]
    page = await store.load_thread_items(thread_id, None, 9, "asc", user.id)
    assert [item.type for item in page.data] == ["user_message", "assistant_message"] * 2
    assert isinstance(page.data[3], AssistantMessageItem)
    assert page.data[3].content[0].text == "You said: Hello"
