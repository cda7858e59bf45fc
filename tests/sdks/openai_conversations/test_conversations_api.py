"""OpenAI's own client works against the API, and faceplate's units see the same chats."""

import json
from typing import Any
from uuid import UUID

import httpx
import openai
import pytest
from tests.units import calls, results
from uuid6 import uuid7

from faceplate import Database, User, exporters
from faceplate.integrations.openai_conversations import conversation_id
from faceplate.services import conversations, messages, users
from faceplate.services.messages import NewConversation, NewMessage

HELLO: Any = {"type": "message", "role": "user", "content": "Hello!"}


def _uuid(id_: str) -> UUID:
    return UUID(id_.removeprefix("conv_"))


def said(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"{number}"}


def text_of(item: Any) -> str:
    return str(item.content[0].text)


async def texts(client: Any, id_: str, **given: Any) -> list[str]:
    return [text_of(item) async for item in client.conversations.items.list(id_, **given)]


async def filled(client: Any, count: int) -> str:
    """Make a conversation of so many items; return its id."""
    chat = await client.conversations.create()
    for start in range(0, count, 20):
        items = [said(number) for number in range(start, min(start + 20, count))]
        await client.conversations.items.create(chat.id, items=items)
    return chat.id


# Conversations


async def test_a_conversation_is_made_read_changed_and_deleted(client: Any) -> None:
    made = await client.conversations.create(metadata={"topic": "demo"}, items=[HELLO])
    assert (made.object, made.metadata) == ("conversation", {"topic": "demo"})
    assert made.id.startswith("conv_")
    assert await client.conversations.retrieve(made.id) == made
    changed = await client.conversations.update(made.id, metadata={"topic": "other"})
    assert changed.metadata == {"topic": "other"}
    assert await client.conversations.retrieve(made.id) == changed
    assert await texts(client, made.id) == ["Hello!"]
    deleted = await client.conversations.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (made.id, True, "conversation.deleted")
    for gone in (client.conversations.retrieve, client.conversations.delete):
        with pytest.raises(openai.NotFoundError, match=f"'{made.id}' not found"):
            await gone(made.id)


async def test_a_conversation_has_the_title_of_what_was_said_first(
    client: Any, db: Database, user: User
) -> None:
    """Else the product's list shows nothing but New Chat."""
    long = "How do I\nget to Bergen? " * 10
    made = await client.conversations.create()
    await client.conversations.items.create(made.id, items=[{"role": "user", "content": long}])
    await client.conversations.items.create(made.id, items=[HELLO])
    await client.conversations.create(items=[{"role": "system", "content": "Be brief."}, HELLO])
    page = await db.run(user.id, conversations.page, source="openai")
    assert [chat.title for chat in page.items] == ["Hello!", " ".join(long.split())[:80]]


async def test_the_programs_own_metadata_is_left_alone(
    client: Any, db: Database, user: User
) -> None:
    """Else a page of the product loses what it keeps, or the client gets what it cannot read."""
    own = {"pinned": True, "tags": ["a"], "topic": "old", "long": "a" * 513}
    chat = await db.run(user.id, conversations.create, metadata=own)
    id_ = conversation_id(chat.id)
    assert (await client.conversations.retrieve(id_)).metadata == {"topic": "old"}
    assert (await client.conversations.update(id_, metadata={"x": "y"})).metadata == {"x": "y"}
    left = (await db.run(user.id, conversations.get, chat.id)).metadata
    assert left == {"pinned": True, "tags": ["a"], "long": "a" * 513, "x": "y"}
    assert (await client.conversations.update(id_, metadata=None)).metadata == {}


async def test_a_conversation_from_openai_keeps_its_id(
    client: Any, db: Database, user: User
) -> None:
    """Else the ids that a product has stored lead nowhere after the move."""
    theirs = "conv_689667905b048191b4740501625afd940c7533ace33a2dab"
    id_ = conversations.id_of(user.id, source="openai", key=theirs)
    await db.run(
        user.id,
        messages.append,
        id_,
        role="user",
        content="moved",
        opens=NewConversation("openai", theirs),
    )
    assert (await client.conversations.retrieve(theirs)).id == theirs
    assert await texts(client, theirs) == await texts(client, conversation_id(id_)) == ["moved"]


# Items


async def test_items_are_listed_a_page_at_a_time(client: Any) -> None:
    id_ = await filled(client, 45)
    expected = [f"{number}" for number in range(45)]
    assert await texts(client, id_) == expected[::-1]
    assert await texts(client, id_, order="asc", limit=7) == expected
    first = await client.conversations.items.list(id_)
    assert (len(first.data), first.has_more, first.last_id) == (20, True, first.data[-1].id)
    whole = await client.conversations.items.list(id_, limit=100, order="asc")
    assert (len(whole.data), whole.has_more) == (45, False)
    after = await client.conversations.items.list(id_, after=whole.data[40].id, order="asc")
    assert [text_of(item) for item in after.data] == expected[41:]
    before = await client.conversations.items.list(id_, after=whole.data[2].id)
    assert [text_of(item) for item in before.data] == ["1", "0"]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_page_that_is_full_to_the_last_item_says_that_there_is_no_more(
    client: Any, order: Any
) -> None:
    id_ = await filled(client, 6)
    page = await client.conversations.items.list(id_, limit=6, order=order)
    assert (len(page.data), page.has_more) == (6, False)
    page = await client.conversations.items.list(id_, limit=5, order=order)
    assert (len(page.data), page.has_more) == (5, True)


async def test_an_empty_conversation_has_no_items(client: Any) -> None:
    made = await client.conversations.create(items=[])
    page = await client.conversations.items.list(made.id)
    assert (page.data, page.has_more) == ([], False)
    assert await texts(client, made.id) == []
    added = await client.conversations.items.create(made.id, items=[])
    assert added.data == []


async def test_an_item_is_answered_as_openai_answers_it(client: Any) -> None:
    chat = await client.conversations.create()
    image = {"type": "input_image", "image_url": "https://example.com/a.png"}
    items: list[Any] = [
        HELLO,
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": [{"type": "input_text", "text": "Look:"}, image]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "reasoning", "id": "rs_0a", "summary": [], "encrypted_content": "gAAA"},
    ]
    added = await client.conversations.items.create(chat.id, items=items)
    question, answer, look, call, output, thought = added.data
    assert added.first_id == question.id
    assert added.last_id == thought.id == "rs_0a"
    assert question.to_dict() == {
        "id": question.id,
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hello!"}],
        "status": "completed",
    }
    assert answer.to_dict()["content"] == [
        {"type": "output_text", "text": "Hi.", "annotations": []}
    ]
    assert look.to_dict()["content"][1] == image | {"detail": "auto"}
    assert [item.id.split("_")[0] for item in added.data] == [
        "msg",
        "msg",
        "msg",
        "fc",
        "fco",
        "rs",
    ]
    assert call.to_dict() == items[3] | {"id": call.id, "status": "completed"}
    assert output.to_dict() == items[4] | {"id": output.id, "status": "completed"}
    assert thought.to_dict() == items[5]
    listed = await client.conversations.items.list(chat.id, order="asc")
    assert listed.data == added.data
    for item in added.data:
        one = await client.conversations.items.retrieve(item.id, conversation_id=chat.id)
        assert one == item


ODD: list[dict[str, Any]] = [
    {"z": 1, "type": "unheard_of", "a": {"y": [1.5, None, True], "b": 2**70}, "id": "uo_1"},
    {"role": "user", "content": "NUL \0 and a half \ud83d of a pair"},
    {"type": "function_call", "call_id": "\0", "name": "", "arguments": "\ud800"},
    {"type": "function_call_output", "call_id": "never made", "output": [{"type": "input_text"}]},
    {"type": "function_call_output", "call_id": None, "output": None},
    {"role": "critic", "content": [{"type": "refusal", "refusal": "No."}]},
    {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "a" * 300}]},
]


async def test_an_item_is_kept_to_the_letter(
    client: Any, http: httpx.AsyncClient, db: Database, user: User
) -> None:
    chat = await client.conversations.create()
    sent = json.dumps({"items": ODD})
    added = await http.post(f"/conversations/{chat.id}/items", content=sent)
    assert added.status_code == 200, added.text
    listed = await http.get(f"/conversations/{chat.id}/items", params={"order": "asc"})
    assert json.loads(listed.content)["data"] == json.loads(added.content)["data"]
    for given, item in zip(ODD, json.loads(listed.content)["data"], strict=True):
        for name, value in given.items():
            if name != "content":
                assert item[name] == value
    assert json.loads(listed.content)["data"][1]["content"][0]["text"] == ODD[1]["content"]
    stored = await db.run(user.id, messages.history, _uuid(chat.id))
    assert [list(json.loads(str(row.body))) for row in stored] == [list(item) for item in ODD]


async def test_ids_that_are_none_are_not_taken_for_ids(client: Any) -> None:
    """Else the Agents SDK, with another model than OpenAI's, cannot append its second message."""
    chat = await client.conversations.create()
    items: list[Any] = [{**HELLO, "id": id_} for id_ in ("__fake_id__", "__fake_id__", "a/b", "")]
    added = await client.conversations.items.create(chat.id, items=items)
    assert len({item.id for item in added.data}) == 4
    for item in added.data:
        assert item.id.startswith("msg_")
        await client.conversations.items.delete(item.id, conversation_id=chat.id)
    assert await texts(client, chat.id) == []


async def test_one_item_is_deleted_and_the_others_stay(client: Any) -> None:
    id_ = await filled(client, 5)
    page = await client.conversations.items.list(id_, order="asc")
    for index, left in ((2, "0134"), (0, "134"), (4, "13")):
        item_id = page.data[index].id
        told = await client.conversations.items.delete(item_id, conversation_id=id_)
        assert told == await client.conversations.retrieve(id_)
        assert "".join(await texts(client, id_, order="asc")) == left
        for gone in (client.conversations.items.retrieve, client.conversations.items.delete):
            with pytest.raises(openai.NotFoundError, match=f"'{item_id}' not found"):
                await gone(item_id, conversation_id=id_)
        with pytest.raises(openai.NotFoundError, match=f"'{item_id}' not found"):
            await client.conversations.items.list(id_, after=item_id)


# faceplate's own chats, and those of other programs


async def test_a_chat_of_the_product_is_seen_and_continued(
    client: Any, db: Database, user: User
) -> None:
    chat = await db.run(user.id, conversations.create, title="Weather")
    turn = [
        NewMessage("user", "Will it rain?"),
        NewMessage("assistant", "Let me see.", tool_calls=calls("c1") + calls("c2")),
        NewMessage("tool", tool_results=results("c1") + results("c2")),
        NewMessage("assistant", "Yes."),
    ]
    await db.run(user.id, messages.append_many, chat.id, turn)
    id_ = conversation_id(chat.id)
    items = (await client.conversations.items.list(id_, order="asc")).data
    kinds = ["message"] * 2 + ["function_call"] * 2 + ["function_call_output"] * 2 + ["message"]
    assert [item.type for item in items] == kinds
    assert len({item.id for item in items}) == 7
    for item in items:
        assert await client.conversations.items.retrieve(item.id, conversation_id=id_) == item
    for order, expected in (("asc", items), ("desc", items[::-1])):
        for limit in (1, 2, 3, 4):
            listed = client.conversations.items.list(id_, order=order, limit=limit)
            assert [item async for item in listed] == expected
    await client.conversations.items.create(id_, items=[HELLO])
    history = await db.run(user.id, messages.history, chat.id)
    assert (len(history), history[-1].content) == (5, "Hello!")


async def test_an_output_of_a_custom_tool_keeps_its_id(
    client: Any, db: Database, user: User
) -> None:
    """Else what a list has shown cannot be read, followed or removed."""
    chat = await db.run(user.id, conversations.create)
    custom = {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    turn = [
        NewMessage("assistant", tool_calls=[*calls("c1"), custom]),
        NewMessage("tool", tool_results=results("c1") + results("c2")),
        NewMessage("user", "And now?"),
    ]
    await db.run(user.id, messages.append_many, chat.id, turn)
    id_ = conversation_id(chat.id)
    items = (await client.conversations.items.list(id_, order="asc")).data
    kinds = ["function_call", "custom_tool_call"]
    kinds += [f"{kind}_output" for kind in kinds]
    assert [item.type for item in items] == [*kinds, "message"]
    assert items[3].id.startswith("ctco_")
    for item in items:
        assert await client.conversations.items.retrieve(item.id, conversation_id=id_) == item
    rest = await client.conversations.items.list(id_, order="asc", after=items[3].id)
    assert rest.data == items[4:]
    await client.conversations.items.delete(items[3].id, conversation_id=id_)
    assert (await client.conversations.items.list(id_, order="asc")).data == items[:3] + items[4:]


@pytest.mark.parametrize("is_item", [False, True])
async def test_an_output_of_a_custom_tool_is_the_same_on_every_page(
    client: Any, db: Database, user: User, *, is_item: bool
) -> None:
    """Else a reader of pages takes it for a function's, under an id that leads nowhere."""
    chat = await db.run(user.id, conversations.create)
    id_ = conversation_id(chat.id)
    custom = {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    await db.run(user.id, messages.append, chat.id, role="assistant", tool_calls=calls("c1"))
    await db.run(user.id, messages.append, chat.id, role="tool", tool_results=results("c1"))
    if is_item:
        call: Any = {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "a"}
        await client.conversations.items.create(id_, items=[call])
    else:
        await db.run(user.id, messages.append, chat.id, role="assistant", tool_calls=[custom])
    turn = [NewMessage("tool", tool_results=results("c1")), NewMessage("user", "And now?")]
    await db.run(user.id, messages.append_many, chat.id, turn)
    whole = (await client.conversations.items.list(id_, order="asc")).data
    assert [item.type for item in whole][3] == "custom_tool_call_output"
    for order, expected in (("asc", whole), ("desc", whole[::-1])):
        for limit in (1, 2, 3):
            listed = client.conversations.items.list(id_, order=order, limit=limit)
            assert [item async for item in listed] == expected


async def test_a_page_that_begins_within_a_message_tells_custom_outputs(
    client: Any, db: Database, user: User
) -> None:
    """Else the second output is a function's, under an id that leads nowhere."""
    chat = await db.run(user.id, conversations.create)
    id_ = conversation_id(chat.id)
    ids = ("c1", "c2", "c3")
    custom = [
        {"id": id_, "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}} for id_ in ids
    ]
    await db.run(user.id, messages.append, chat.id, role="assistant", tool_calls=custom)
    found = [result for id_ in ids for result in results(id_)]
    await db.run(user.id, messages.append, chat.id, role="tool", tool_results=found)
    whole = (await client.conversations.items.list(id_, order="asc")).data
    for order, expected in (("asc", whole), ("desc", whole[::-1])):
        for limit in (1, 2):
            listed = client.conversations.items.list(id_, order=order, limit=limit)
            assert [item async for item in listed] == expected


async def test_one_item_of_a_message_with_several_is_deleted(
    client: Any, db: Database, user: User
) -> None:
    """Else the text goes with the call, or the call cannot be taken back."""
    chat = await db.run(user.id, conversations.create)
    turn = [NewMessage("assistant", "Let me see.", tool_calls=calls("c1") + calls("c2"))]
    turn += [NewMessage("tool", tool_results=results("c1") + results("c2"))]
    await db.run(user.id, messages.append_many, chat.id, turn)
    id_ = conversation_id(chat.id)
    items = (await client.conversations.items.list(id_, order="asc")).data
    gone: set[str] = set()
    for index in (4, 1, 0, 3, 2):
        await client.conversations.items.delete(items[index].id, conversation_id=id_)
        gone.add(items[index].id)
        left = (await client.conversations.items.list(id_, order="asc")).data
        expected = [
            item.call_id if hasattr(item, "call_id") else "text"
            for item in items
            if item.id not in gone
        ]
        assert [getattr(item, "call_id", "text") for item in left] == expected
    assert await db.run(user.id, messages.history, chat.id) == []


async def test_a_reply_that_is_being_written_is_no_item_yet(
    client: Any, db: Database, user: User
) -> None:
    id_ = await filled(client, 3)
    draft = await db.run(user.id, messages.append_draft, _uuid(id_))
    assert await texts(client, id_, order="asc") == ["0", "1", "2"]
    assert await texts(client, id_, limit=1) == ["2", "1", "0"]
    await db.run(
        user.id,
        messages.save_draft,
        _uuid(id_),
        draft.id,
        content="Ber",
        status="interrupted",
    )
    [item] = (await client.conversations.items.list(id_, limit=1)).data
    assert (text_of(item), item.role, item.status) == ("Ber", "assistant", "incomplete")


async def test_items_of_another_program_are_found_by_their_ids(
    client: Any, db: Database, user: User
) -> None:
    """Else what the Agents SDK has stored cannot be removed here."""
    chat = await db.run(user.id, conversations.open, source="openai-agents", key="s")
    for number in range(130):
        body = json.dumps({**HELLO, "id": f"msg_{number}", "content": f"{number}"})
        await db.run(user.id, messages.append, chat.id, role="user", content="", body=body)
    id_ = conversation_id(chat.id)
    expected = [f"{number}" for number in range(130)]
    assert await texts(client, id_, order="asc", limit=50) == expected
    one = await client.conversations.items.retrieve("msg_7", conversation_id=id_)
    assert (one.id, text_of(one)) == ("msg_7", "7")
    page = await client.conversations.items.list(id_, after="msg_7")
    assert [item.id for item in page.data] == [f"msg_{number}" for number in range(6, -1, -1)]
    await client.conversations.items.delete("msg_7", conversation_id=id_)
    expected.remove("7")
    assert await texts(client, id_, order="asc") == expected


async def test_the_objects_of_other_programs_are_not_shown_as_items(
    client: Any, db: Database, user: User
) -> None:
    """Else a client reads what ChatKit hides, and a message without its text."""
    chat = await db.run(user.id, conversations.create)
    framework = {"type": "message", "role": "user", "contents": [{"type": "text", "text": "Hi"}]}
    hidden = {"type": "hidden_context_item", "id": "h", "content": "secret"}
    look = {"type": "message", "role": "assistant", "contents": [{"call_id": "c1"}, "secret"]}
    turn = [
        NewMessage("user", "Hi", body=json.dumps(framework)),
        NewMessage(None, body=json.dumps(hidden)),
        NewMessage("assistant", "secret", calls("c1"), body=json.dumps(look)),
    ]
    await db.run(user.id, messages.append_many, chat.id, turn)
    id_ = conversation_id(chat.id)
    odd: Any = {"type": "unheard_of", "thought": "hm"}
    added = await client.conversations.items.create(id_, items=[odd, {**odd, "id": "uo_1"}])
    items = (await client.conversations.items.list(id_, order="asc")).data
    kinds = ["message", "message", "function_call", "unheard_of", "unheard_of"]
    assert [item.type for item in items] == kinds
    assert text_of(items[0]) == "Hi"
    assert items[3:] == added.data
    for item in items:
        assert await client.conversations.items.retrieve(item.id, conversation_id=id_) == item
    with pytest.raises(openai.NotFoundError):
        await client.conversations.items.retrieve("h", conversation_id=id_)

    # What was deleted is nowhere any more; what is left keeps its id.
    await client.conversations.items.delete(items[1].id, conversation_id=id_)
    left = await client.conversations.items.list(id_, order="asc")
    assert left.data == [items[0], *items[2:]]
    rows = await db.run(user.id, messages.everything, chat.id)
    assert (rows[2].content, rows[2].body) == ("", None)


async def test_only_the_path_that_is_read_is_listed(client: Any, db: Database, user: User) -> None:
    id_ = await filled(client, 4)
    branch: Any = {"role": "user", "content": "other", "after": 2, "branch": True}
    await db.run(user.id, messages.append, _uuid(id_), **branch)
    assert await texts(client, id_, order="asc") == ["0", "1", "other"]
    assert await texts(client, id_, limit=1) == ["other", "1", "0"]
    page = await client.conversations.items.list(id_, order="asc")
    await client.conversations.items.delete(page.data[1].id, conversation_id=id_)
    assert await texts(client, id_, order="asc") == ["0", "other"]
    await db.run(user.id, conversations.switch, _uuid(id_), 4)
    assert await texts(client, id_, order="asc") == ["0", "2", "3"]


async def test_what_the_client_says_is_in_every_view(client: Any, db: Database, user: User) -> None:
    """Else a chat of this API is missing from the product's pages."""
    made = await client.conversations.create(items=[HELLO])
    turn: list[Any] = [
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Take a coat."}]},
    ]
    await client.conversations.items.create(made.id, items=turn)
    id_ = _uuid(made.id)
    history = await db.run(user.id, messages.history, id_)
    assert [row.role for row in history] == ["user", "assistant", "tool", "assistant"]
    assert [row.content for row in history if row.content] == ["Hello!", "Take a coat."]
    assert history[1].tool_calls == [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ]
    assert history[2].tool_results == [{"tool_call_id": "c1", "content": "rain"}]
    assert (await db.run(user.id, messages.page, id_)).items == history
    found = await db.run(user.id, conversations.search, "hello")
    assert [chat.id for chat in found.items] == [id_]
    assert (found.items[0].source, found.items[0].message_count) == ("openai", 4)
    written: list[bytes] = []
    await exporters.write(db, user.id, written.append, format="markdown", conversation_id=id_)
    assert all(text in b"".join(written) for text in (b"Hello!", b"weather", b"Take a coat."))


# Who may see what


async def test_two_users_see_nothing_of_each_other(
    client: Any, client_for: Any, other_user: User
) -> None:
    made = await client.conversations.create(items=[{**HELLO, "id": "msg_mine"}])
    other = client_for(other_user.id)
    items = other.conversations.items
    for attempt in (
        other.conversations.retrieve(made.id),
        other.conversations.update(made.id, metadata={"a": "b"}),
        other.conversations.delete(made.id),
        items.list(made.id),
        items.create(made.id, items=[HELLO]),
        items.retrieve("msg_mine", conversation_id=made.id),
        items.delete("msg_mine", conversation_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError, match=f"Conversation with id '{made.id}' not"):
            await attempt
    assert await texts(client, made.id) == ["Hello!"]


async def test_a_subject_is_a_user_who_may_be_new(client_for: Any) -> None:
    subject = f"sub:{uuid7()}"
    one, again = client_for(subject), client_for(subject)
    made = await one.conversations.create()
    assert (await again.conversations.retrieve(made.id)).id == made.id
    with pytest.raises(openai.NotFoundError):
        await client_for(f"sub:{uuid7()}").conversations.retrieve(made.id)


async def test_a_user_who_was_deleted_may_come_back(client_for: Any, db: Database) -> None:
    """Else the process answers them with errors until it ends."""
    subject = f"{uuid7()}"
    client = client_for(f"sub:{subject}")
    made = await client.conversations.create(items=[HELLO])
    gone = await db.run_system(users.by_subject, subject)
    await db.run_system(users.delete, gone.id)
    again = await client.conversations.create(items=[HELLO])
    assert again.id != made.id
    assert await texts(client, again.id) == ["Hello!"]
    with pytest.raises(openai.NotFoundError, match=f"'{made.id}' not found"):
        await client.conversations.retrieve(made.id)


async def test_a_user_who_came_back_elsewhere_is_found(client_for: Any, db: Database) -> None:
    """Else their new chats are missing where another process has made them."""
    subject = f"{uuid7()}"
    client = client_for(f"sub:{subject}")
    await client.conversations.create()
    gone = await db.run_system(users.by_subject, subject)
    await db.run_system(users.delete, gone.id)
    user = await db.run_system(users.ensure, subject)
    chat = await db.run(user.id, conversations.create)
    id_ = conversation_id(chat.id)
    await client.conversations.items.create(id_, items=[HELLO])
    assert await texts(client, id_) == ["Hello!"]


async def test_whoever_is_not_signed_in_is_refused(client_for: Any) -> None:
    with pytest.raises(openai.AuthenticationError) as refusal:
        await client_for("nobody").conversations.create()
    assert refusal.value.code == "invalid_api_key"
    assert refusal.value.request_id is not None
