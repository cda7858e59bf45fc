"""The contract of the SDK's sessions, on one of the SDK's own and on faceplate's."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from agents import SQLiteSession
from agents.memory import Session, SessionSettings

from faceplate import Database, InvalidInput, User, export
from faceplate._driver.wire import Wire
from faceplate.integrations.openai_agents import SOURCE, FaceplateSession
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

HI: Any = {"role": "user", "content": "Will it rain in Oslo tomorrow?"}
CALL: Any = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
REPLY: Any = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Yes.", "annotations": []}],
}
TURN = [HI, CALL, OUTPUT, REPLY]

Make = Callable[..., Any]


@pytest.fixture(params=["theirs", "ours"])
async def make(
    request: pytest.FixtureRequest, db: Database, user: User, tmp_path: Path
) -> AsyncIterator[Make]:
    """Makes sessions by their ids, over one store."""
    opened: list[SQLiteSession] = []

    def theirs(session_id: str, **settings: Any) -> SQLiteSession:
        opened.append(SQLiteSession(session_id, tmp_path / "sessions.db", **settings))
        return opened[-1]

    def ours(session_id: str, **settings: Any) -> FaceplateSession:
        return FaceplateSession(db, user.id, session_id, **settings)

    yield theirs if request.param == "theirs" else ours
    for session in opened:
        session.close()


def numbered(count: int) -> list[Any]:
    return [{"role": "user", "content": str(number)} for number in range(count)]


async def test_it_is_a_session(make: Make) -> None:
    session = make("a")
    assert session.session_id == "a"
    assert session.session_settings.limit is None
    assert isinstance(session, Session)


async def test_items_come_back_in_order_and_to_the_letter(make: Make) -> None:
    await make("a").add_items(TURN[:1])
    await make("a").add_items(TURN[1:])
    assert json.dumps(await make("a").get_items()) == json.dumps(TURN)


async def test_a_session_that_nothing_was_added_to_is_empty(make: Make) -> None:
    session = make("a")
    await session.add_items([])
    assert await session.get_items() == []
    assert await session.get_items(5) == []
    assert await session.pop_item() is None
    await session.clear_session()


async def test_a_limit_gives_the_newest_items_in_order(make: Make) -> None:
    session = make("a", session_settings=SessionSettings(limit=3))
    items = numbered(10)
    await session.add_items(items)
    assert await session.get_items() == items[-3:]
    assert await session.get_items(limit=5) == items[-5:]
    assert await session.get_items(100) == items
    assert await session.get_items(limit=0) == []


async def test_pop_takes_the_newest_item_until_there_is_none(make: Make) -> None:
    session = make("a")
    await session.add_items(TURN)
    assert [await session.pop_item() for _ in range(5)] == [REPLY, OUTPUT, CALL, HI, None]
    await session.add_items(TURN)
    assert await session.get_items() == TURN


async def test_a_cleared_session_is_empty_and_goes_on(make: Make) -> None:
    session, other = make("a"), make("b")
    await session.add_items(TURN)
    await other.add_items([HI])
    await session.clear_session()
    assert await session.get_items() == []
    assert await other.get_items() == [HI]
    await session.add_items([REPLY])
    assert await session.get_items() == [REPLY]


IDS = ["", " ", "a/b", "ü😀", "a" * 5_000, "sha256:x", "'; DROP TABLE messages; --", "a\nb"]


@pytest.mark.parametrize("session_id", IDS, ids=range(len(IDS)))
async def test_any_text_is_a_session_id(make: Make, session_id: str) -> None:
    await make(session_id).add_items([HI])
    assert await make(session_id).get_items() == [HI]
    assert await make(session_id + "x").get_items() == []


@pytest.mark.parametrize("session_id", ["a\0b", "a\ud800"])
async def test_a_session_id_that_a_column_refuses_is_one_too(
    db: Database, user: User, session_id: str
) -> None:
    session = FaceplateSession(db, user.id, session_id)
    await session.add_items([HI])
    assert await FaceplateSession(db, user.id, session_id).get_items() == [HI]
    stored = await db.run(user.id, conversations.get, session.conversation_id)
    assert stored.parsed_body() == {"id": session_id}


async def test_a_session_id_is_text(db: Database, user: User) -> None:
    number: Any = 7
    with pytest.raises(InvalidInput):
        FaceplateSession(db, user.id, number)


ODD: list[Any] = [
    {"role": "user", "content": "NUL \0"},
    {"role": "user", "content": "alone \ud800"},
    {"role": "user", "content": "é \u2028 😀", "big": 2**100, "small": -(2**80), "f": 0.1},
    {"z": 1, "role": "user", "a": 2, "content": "order"},
    {"role": "user", "content": "9" * 40},
    {"role": "user", "content": ""},
    {"role": "critic", "content": "no"},
    {"type": "telepathy", "deep": {"a": [{"b": [None, True, 1.5]}]}},
    {},
    {"type": "function_call", "call_id": "", "name": "", "arguments": ""},
    {"type": "function_call_output", "call_id": "never made", "output": [1]},
    {"role": "user", "content": "long " * 300_000},
]


async def test_odd_items_come_back_to_the_letter(make: Make) -> None:
    session = make("odd")
    for item in ODD:
        await session.add_items([item])
    await session.add_items(ODD)
    assert json.dumps(await session.get_items()) == json.dumps(ODD + ODD)
    assert json.dumps([await session.pop_item() for _ in ODD]) == json.dumps(ODD[::-1])


async def test_thousands_of_items_are_added_at_once(make: Make) -> None:
    session = make("many")
    items = numbered(2_500)
    await session.add_items(items)
    await session.add_items([HI])
    assert await session.get_items() == [*items, HI]
    assert await session.get_items(limit=1_500) == [*items, HI][-1_500:]


async def test_all_items_are_added_or_none(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([HI])
    too_long: Any = {"role": "user", "content": "x" * 17_000_000}
    with pytest.raises(InvalidInput):
        await session.add_items([*numbered(2_000), too_long])
    no_json: Any = {"role": "user", "content": float("nan")}
    with pytest.raises(InvalidInput):
        await session.add_items([HI, no_json])
    no_json = {"role": "user", "content": object()}
    with pytest.raises(TypeError):
        await session.add_items([HI, no_json])
    assert await session.get_items() == [HI]


async def test_large_items_are_added_in_one_call(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    items: list[Any] = [{"role": "user", "content": str(n) * 6_000_000} for n in range(3)]
    await session.add_items(items)
    assert await session.get_items() == items


async def test_users_with_the_same_session_id_see_nothing_of_each_other(
    db: Database, user: User, other_user: User
) -> None:
    mine, theirs = (FaceplateSession(db, one.id, "same") for one in (user, other_user))
    await mine.add_items(TURN)
    assert await theirs.get_items() == []
    assert await theirs.pop_item() is None
    await theirs.clear_session()
    await theirs.add_items([HI])
    assert await mine.get_items() == TURN
    assert await theirs.get_items() == [HI]


async def test_what_is_added_at_once_is_whole_and_once(make: Make) -> None:
    async def add(writer: int) -> None:
        for number in range(5):
            text = f"{writer} {number}"
            pair = [{"role": "user", "content": f"{text} {half}"} for half in range(2)]
            await make("crowd").add_items(pair)

    await asyncio.gather(*map(add, range(8)))
    said = [item["content"] for item in await make("crowd").get_items()]
    assert len(said) == len(set(said)) == 80
    assert all(a[:-1] == b[:-1] for a, b in zip(said[::2], said[1::2], strict=True))
    for writer in range(8):
        own = [text for text in said if text.startswith(f"{writer} ")]
        assert own == sorted(own)


async def test_an_item_is_popped_once(make: Make) -> None:
    await make("a").add_items(numbered(20))
    popped = await asyncio.gather(*(make("a").pop_item() for _ in range(25)))
    said = [item["content"] for item in popped if item is not None]
    assert sorted(said, key=int) == [str(number) for number in range(20)]


# What faceplate and the session see of each other.


async def test_the_other_pages_show_what_the_sdk_adds(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "support-42")
    await session.add_items([HI])
    await session.add_items([CALL, OUTPUT, REPLY])

    chat = await db.run(user.id, conversations.get, session.conversation_id)
    assert (chat.source, chat.key, chat.title) == (SOURCE, "support-42", HI["content"])
    assert chat.id == conversations.id_of(user.id, source=SOURCE, key="support-42")
    [found] = (await db.run(user.id, conversations.search, "rain in oslo")).items
    assert found.id == chat.id

    rows = await db.run(user.id, messages.history, chat.id)
    assert [(row.role, row.content) for row in rows] == [
        ("user", HI["content"]),
        ("assistant", ""),
        ("tool", ""),
        ("assistant", "Yes."),
    ]
    assert rows[1].tool_calls == [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ]
    assert rows[2].tool_results == [{"tool_call_id": "c1", "content": "rain"}]
    page = await db.run(user.id, messages.page, chat.id, limit=2)
    assert page.items == rows[:2]
    assert [row.parsed_body() for row in rows] == TURN


async def test_an_export_has_what_was_said_and_the_items(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "support-42")
    await session.add_items(TURN)
    lines: list[bytes] = []
    await export.write(db, user.id, lines.append)
    rows = list(map(json.loads, lines))
    exported = [row["message"] for row in rows if "message" in row]
    assert [row["content"] for row in exported] == [HI["content"], "", "", "Yes."]
    assert [json.loads(row["body"]) for row in exported] == TURN


async def test_the_session_reads_what_faceplate_appends(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    chat = await db.run(user.id, conversations.open, source=SOURCE, key="a")
    assert chat.id == session.conversation_id
    weather = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    others = [
        NewMessage("system", "Be brief."),
        NewMessage("user", "Rain?"),
        NewMessage("assistant", "I look.", tool_calls=[weather, {**weather, "id": "c2"}]),
        NewMessage(
            "tool",
            tool_results=[
                {"tool_call_id": "c1", "content": "rain"},
                {"tool_call_id": "c2", "content": "sun"},
            ],
        ),
        NewMessage("assistant", ""),
        NewMessage("assistant", "Both.", body='{"attachments": []}'),
    ]
    await db.run(user.id, messages.append_many, chat.id, others)
    await session.add_items([HI])
    items: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": "I look."},
        CALL,
        {**CALL, "call_id": "c2"},
        OUTPUT,
        {**OUTPUT, "call_id": "c2", "output": "sun"},
        {"role": "assistant", "content": "Both."},
        HI,
    ]
    assert await session.get_items() == items
    for limit in range(1, 12):
        assert await session.get_items(limit=limit) == items[-limit:]
    for count in range(len(items), 0, -1):
        assert await session.pop_item() == items[count - 1]
        assert await session.get_items() == items[: count - 1]
    assert await session.pop_item() is None


async def test_a_products_own_rows_are_not_sent_to_the_model(db: Database, user: User) -> None:
    """Else a note without a role, which nobody says, is refused by the model's server."""
    session = FaceplateSession(db, user.id, "a")
    odd: list[Any] = [{"type": "note", "text": "an item"}, {}]
    await session.add_items([HI, *odd])
    note: dict[str, Any] = {
        "role": None,
        "content": "",
        "body": '{"type": "note", "text": "secret"}',
    }
    await db.run(user.id, messages.append, session.conversation_id, **note)
    said: dict[str, Any] = {"role": "user", "content": "Hi"}
    said["body"] = '{"role": "user", "content": "Hi", "n": 1}'
    await db.run(user.id, messages.append, session.conversation_id, **said)
    items = [HI, *odd, {"role": "user", "content": "Hi"}]
    assert await session.get_items() == items
    for limit in range(1, 6):
        assert await session.get_items(limit=limit) == items[-limit:]


async def test_a_draft_is_no_item_until_it_is_complete(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([HI])
    draft = await db.run(user.id, messages.append_draft, session.conversation_id)
    assert await session.get_items() == [HI]
    assert await session.get_items(limit=1) == [HI]
    await db.run(
        user.id,
        messages.save_draft,
        session.conversation_id,
        draft.id,
        content="Yes.",
        status="complete",
    )
    assert await session.get_items() == [HI, {"role": "assistant", "content": "Yes."}]


async def test_pop_leaves_what_is_no_item(db: Database, user: User) -> None:
    """Else it ends a reply that another request is writing, and takes the question with it."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([HI, REPLY])
    chat = session.conversation_id
    await db.run(user.id, messages.append, chat, role="user", content=" ")
    draft = await db.run(user.id, messages.append_draft, chat)
    assert await session.pop_item() == REPLY
    assert await session.get_items() == [HI]
    saved: Any = {"content": "Yes.", "status": "complete"}
    await db.run(user.id, messages.save_draft, chat, draft.id, **saved)
    rows = await db.run(user.id, messages.history, chat)
    assert [row.content for row in rows] == [HI["content"], " ", "Yes."]
    assert await session.get_items() == [HI, {"role": "assistant", "content": "Yes."}]


async def test_pop_leaves_other_branches(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([HI, HI, REPLY])
    chat = session.conversation_id
    asked = (await db.run(user.id, messages.history, chat))[1]
    again: Any = {"role": "assistant", "content": "No."}
    await db.run(user.id, messages.append, chat, **again, after=asked.position, branch=True)
    assert [await session.pop_item() for _ in range(2)] == [again, HI]
    assert await session.get_items() == [HI]
    chats = await db.run(user.id, conversations.get, chat)
    assert chats.message_count == 2


async def test_pop_leaves_the_rest_of_a_message_as_it_was(db: Database, user: User) -> None:
    """Else what it took is counted no more, and its links to other pages are broken."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([HI])
    chat = session.conversation_id
    calls: list[Any] = [
        {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "ls"}},
        {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
    ]
    looked = await db.run(
        user.id,
        messages.append,
        chat,
        role="assistant",
        content="I look.",
        tool_calls=calls,
        metadata={"of": "shop"},
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
        model="gpt-5",
        input_tokens=7,
        output_tokens=3,
    )
    results = [{"tool_call_id": id_, "content": "rain"} for id_ in ("c2", "c1")]
    await db.run(user.id, messages.append, chat, role="tool", tool_results=results)

    items = await session.get_items()
    for count in range(len(items), 2, -1):
        assert await session.pop_item() == items[count - 1]
        assert await session.get_items() == items[: count - 1]
        kept = await db.run(user.id, messages.get, chat, looked.id)
        had = calls[: min(count - 3, 2)] or None
        assert kept == looked._replace(tool_calls=had, updated_at=kept.updated_at)
    assert await session.pop_item() == items[1] == {"role": "assistant", "content": "I look."}
    assert await session.get_items() == [HI]


async def test_the_session_reads_the_path(db: Database, user: User) -> None:
    """An edited question begins a branch; the session goes on from there."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(TURN)
    first, *_ = await db.run(user.id, messages.history, session.conversation_id)
    edited = {"role": "user", "content": "And in Bergen?"}
    await db.run(
        user.id,
        messages.append,
        session.conversation_id,
        role="user",
        content="And in Bergen?",
        after=0,
        branch=True,
    )
    await session.add_items([REPLY])
    assert await session.get_items() == [edited, REPLY]
    assert await session.get_items(limit=1) == [REPLY]
    await db.run(user.id, conversations.switch, session.conversation_id, first.position + 3)
    assert await session.get_items() == TURN
    await session.clear_session()
    assert await session.get_items() == []
    chat = await db.run(user.id, conversations.get, session.conversation_id)
    assert (chat.message_count, chat.title) == (0, HI["content"])


@pytest.mark.pipelined
@pytest.mark.parametrize("limit", [None, 2])
async def test_a_history_takes_one_round_trip(
    db: Database, user: User, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each turn of an agent waits for the database more than once before it begins."""
    sent = 0
    write = Wire.write

    def count(wire: Wire, data: bytes) -> None:
        nonlocal sent
        sent += 1
        write(wire, data)

    said, new = FaceplateSession(db, user.id, "a"), FaceplateSession(db, user.id, "new")
    await said.add_items(TURN)
    await said.get_items(limit)  # which prepares the statement
    monkeypatch.setattr(Wire, "write", count)
    assert await said.get_items(limit) == (TURN if limit is None else TURN[-limit:])
    assert sent == 1
    assert await new.get_items(limit) == []
    assert sent == 2
    await db.run(user.id, messages.append, said.conversation_id, role="user", content="And?")
    for _ in range(2):  # the second time, it is known that another program has a part in it
        sent = 0
        items = await said.get_items(limit)
    assert items[-1] == {"role": "user", "content": "And?"}
    assert sent == 1


async def test_calls_match_their_outputs_in_later_calls(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([HI, CALL])
    pending = await db.run(user.id, messages.pending_tool_calls, session.conversation_id)
    assert [(call.id, call.name) for call in pending] == [("c1", "weather")]
    await session.add_items([CALL])  # its id is taken
    await session.add_items([OUTPUT])
    await session.add_items([OUTPUT, REPLY])  # a second one
    rows = await db.run(user.id, messages.history, session.conversation_id)
    assert [(row.role, row.content, bool(row.tool_calls or row.tool_results)) for row in rows] == [
        ("user", HI["content"], False),
        ("assistant", "", True),
        (None, "weather({})", False),
        ("tool", "", True),
        ("tool", "rain", False),
        ("assistant", "Yes.", False),
    ]
    assert await session.get_items() == [HI, CALL, CALL, OUTPUT, OUTPUT, REPLY]


TITLES = {
    "  Will  it rain?\nToday, I mean. ": "Will it rain?",
    "x" * 300: f"{'x' * 79}…",
    "\0": "\ufffd",
    "": "New Chat",
    " \n": "New Chat",
}


@pytest.mark.parametrize("said", TITLES)
async def test_the_title_is_what_the_user_says_first(db: Database, user: User, said: str) -> None:
    session = FaceplateSession(db, user.id, "a" + said[:5].strip("\0"))
    items: list[Any] = [{"role": "system", "content": "Be brief."}, {**HI, "content": said}]
    await session.add_items(items)
    chat = await db.run(user.id, conversations.get, session.conversation_id)
    assert chat.title == TITLES[said]


async def test_the_title_is_of_what_is_added_first(db: Database, user: User) -> None:
    """As the page says: a later call does not look whether there is a title yet."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items([REPLY])
    await session.add_items([HI])
    chat = await db.run(user.id, conversations.get, session.conversation_id)
    assert chat.title == "New Chat"


async def test_nothing_that_was_said_is_in_a_repr(db: Database, user: User) -> None:
    session = FaceplateSession(db, user.id, "alice@example.com")
    assert repr(session) == f"FaceplateSession(conversation_id={session.conversation_id})"


async def test_another_programs_result_of_a_stored_custom_call_is_that_of_a_custom_tool(
    db: Database, user: User
) -> None:
    """Else the model gets a function's output for a custom tool's call, and refuses the request."""
    session = FaceplateSession(db, user.id, "a")
    custom: Any = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "a"}
    results = [{"tool_call_id": "c1", "content": "rain"}]
    for call, kind in ((custom, "custom_tool_call_output"), (CALL, "function_call_output")):
        await session.add_items([call])
        await db.run(
            user.id, messages.append, session.conversation_id, role="tool", tool_results=results
        )
        output = (await session.get_items())[-1]
        assert output == {"type": kind, "call_id": "c1", "output": "rain"}
        assert await session.pop_item() == output
        assert await session.pop_item() == call


async def test_the_last_items_tell_the_output_of_a_custom_tool_whose_call_is_before_them(
    db: Database, user: User
) -> None:
    """Else a run that gets the last items only has a function's output for a custom tool's call."""
    session = FaceplateSession(db, user.id, "a")
    await session.add_items(
        [HI, {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "a"}]
    )
    results = [{"tool_call_id": "c1", "content": "rain"}]
    chat = session.conversation_id
    await db.run(user.id, messages.append, chat, role="tool", tool_results=results)
    whole = await session.get_items()
    assert whole[-1].get("type") == "custom_tool_call_output"
    for limit in (1, 2, 3):
        assert await session.get_items(limit=limit) == whole[-limit:]
    assert await session._get_compaction_snapshot(1) is None
    snapshot = await session._get_compaction_snapshot(2)
    assert snapshot is not None
    assert snapshot.items == whole[-2:]


async def test_a_call_whose_id_is_no_text_can_be_read(db: Database, user: User) -> None:
    """Else one item that a model has garbled makes the whole session unreadable."""
    session = FaceplateSession(db, user.id, "a")
    garbled: Any = {"type": "custom_tool_call", "call_id": ["c1"], "name": "sql", "input": "a"}
    await session.add_items([garbled])
    chat = session.conversation_id
    await db.run(user.id, messages.append, chat, role="user", content="Hi")
    assert await session.get_items() == [garbled, {"role": "user", "content": "Hi"}]
