"""Whole conversations: each is there with all its messages, once, or nothing of it is."""

from itertools import islice
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from tests.units import calls, results
from uuid6 import uuid7

from faceplate import Conflict, Database, InvalidInput, Scope, User
from faceplate.services import chats, conversations, messages
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage

loose: Any = NewMessage  # for what a type checker would refuse


def chat(*contents: str, title: str = "a chat") -> NewChat:
    return NewChat(uuid7(), title, [NewMessage("user", content) for content in contents])


async def titles(db: Database, user: User) -> list[str]:
    return [row.title for row in (await db.run(user.id, conversations.page)).items]


async def test_chats_come_back_as_they_were_stored(db: Database, user: User) -> None:
    """Else an import changes what somebody has said."""
    turn = [
        NewMessage("system", " Grüße, 世界 🙂\n", metadata={"a": [1, 2.5, None]}),
        NewMessage("assistant", tool_calls=calls("call_1"), id=uuid7()),
        NewMessage("tool", "4 degrees", tool_results=results("call_1"), metadata={}),
    ]
    given = NewChat(uuid7(), "Oslo", turn, {"model": "m"})
    other = chat()
    assert await db.run(user.id, chats.store, [given, other]) == [given.id, other.id]
    stored = await db.run(user.id, conversations.get, given.id)
    assert (stored.title, stored.metadata, stored.message_count) == ("Oslo", {"model": "m"}, 3)
    history = await db.run(user.id, messages.history, given.id)
    for index, (message, id_) in enumerate(zip(history, chats.message_ids(given.id), strict=False)):
        expected = turn[index]._replace(
            id=turn[index].id or id_, metadata=turn[index].metadata or {}
        )
        assert tuple(getattr(message, name) for name in NewMessage._fields) == expected
        assert (message.position, message.status) == (index + 1, "complete")


async def test_ids_that_are_made_are_uuids_in_the_order_of_their_messages() -> None:
    """Else they collide between two chats, or an index grows in a thousand places at once."""
    one, other = (list(islice(chats.message_ids(uuid7()), 1_000)) for _ in range(2))
    assert len({*one, *other}) == 2_000
    assert one == sorted(one)
    assert {(id_.version, id_.variant) for id_ in one} == {(8, RFC_4122)}


async def test_a_conversation_that_was_stored_goes_on(db: Database, user: User) -> None:
    """Else the first append after an import collides with what was imported."""
    given = chat("a", "b")
    await db.run(user.id, chats.store, [given])
    message = await db.run(user.id, messages.append, given.id, role="user", content="c")
    assert message.position == 3


async def test_what_is_there_already_is_left_as_it_is(db: Database, user: User) -> None:
    """Else a retried import undoes what its user has done since."""
    first, second = chat("a"), chat("b")
    assert await db.run(user.id, chats.store, [first]) == [first.id]
    await db.run(user.id, messages.append, first.id, role="user", content="more")
    again = first._replace(title="another title", messages=[])
    assert await db.run(user.id, chats.store, [again, second]) == [second.id]
    assert await db.run(user.id, chats.store, [first, second]) == []
    history = await db.run(user.id, messages.history, first.id)
    assert [message.content for message in history] == ["a", "more"]


async def test_the_last_one_stored_is_the_first_in_the_list(db: Database, user: User) -> None:
    """Else an imported list stands in no order that anybody knows."""
    names = [str(number) for number in range(30)]
    await db.run(user.id, chats.store, [chat("x", title=name) for name in names[:20]])
    await db.run(user.id, chats.store, [chat("x", title=name) for name in names[20:]])
    assert await titles(db, user) == names[::-1]


@pytest.mark.parametrize(
    ("flaw", "field"),
    [
        (NewChat(uuid7(), " ", []), "conversations.title"),
        (NewChat(uuid7(), "a" * 256, []), "conversations.title"),
        (NewChat(uuid7(), "a", [], {"a": float("nan")}), "conversations.metadata"),
        (NewChat("7", "a", []), "conversations.id"),  # type: ignore[arg-type]  # the point
        *(
            (NewChat(uuid7(), "a", [NewMessage("user", "x"), message]), f"messages.{name}")
            for message, name in [
                (NewMessage("narrator"), "role"),
                (NewMessage("user", "\x00"), "content"),
                (NewMessage("user", "\ud800"), "content"),
                (NewMessage("user", "x" * 1_000_001), "content"),
                (loose("user", 7), "content"),
                (loose("user", metadata=[]), "metadata"),
                (NewMessage("user", metadata={"a": 2**70}), "metadata"),
                (loose("user", id="7"), "id"),
                (NewMessage("user", tool_calls=calls("call_1")), "tool_calls"),
                (NewMessage("assistant", tool_calls=[{"id": "a"}]), "tool_calls"),
                (NewMessage("tool", "x"), "tool_results"),
                (NewMessage("tool", tool_results=results("call_1")), "tool_results"),
            ]
        ),
    ],
)
async def test_a_flaw_is_refused_by_name_and_nothing_is_stored(
    db: Database, user: User, flaw: NewChat, field: str
) -> None:
    """Else whoever repairs a file does not know where, and half of it is there."""
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, chats.store, [chat("a"), flaw, chat("b")])
    assert refusal.value.field.startswith(field)
    assert await titles(db, user) == []


async def test_a_flaw_far_behind_leaves_nothing_either(db: Database, user: User) -> None:
    """By then most of the messages were sent: else they would stay, and look like a chat."""
    long = [NewMessage("user", "x" * 500)] * 3_000
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, chats.store, [chat()._replace(messages=[*long, NewMessage("")])])
    assert refusal.value.field == "messages.role"
    assert await titles(db, user) == []


async def test_ids_must_be_distinct(db: Database, user: User) -> None:
    """Else a message is lost, or two chats become one."""
    one, message = chat("a"), NewMessage("user", id=uuid7())
    with pytest.raises(InvalidInput, match="distinct"):
        await db.run(user.id, chats.store, [one, one])
    with pytest.raises(Conflict):
        await db.run(user.id, chats.store, [one._replace(messages=[message, message])])
    with pytest.raises(InvalidInput, match="at most 1,000; 1,001"):
        await db.run(user.id, chats.store, [one] * 1_001)
    assert await db.run(user.id, chats.store, []) == []


async def test_a_chat_of_any_length_stands_in_its_order(db: Database, user: User) -> None:
    """It is sent in many parts, and no part may get before another."""
    texts = [f"{number} {'x' * (number % 700)}" for number in range(5_000)]
    given = chat(*texts)
    await db.run(user.id, chats.store, [chat("before"), given, chat("behind")])

    async def read(scope: Scope, id_: UUID) -> list[str]:
        return [message.content async for message in messages.walk(scope, id_)]

    assert await db.run(user.id, read, given.id) == texts
