"""Whole conversations: each is there with all its messages, once, or nothing of it is."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import RFC_4122, UUID

import pytest
import sqlalchemy as sa
from tests.units import calls, results
from uuid6 import uuid7

from faceplate import Conflict, Database, InvalidInput, Scope, User
from faceplate.models import Message
from faceplate.services import chats, conversations, messages
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage
from faceplate.statement import Statement

loose: Any = NewMessage  # for what a type checker would refuse


class Parent(NamedTuple):
    position: int
    parent_position: int | None


PARENTS = Statement(
    Parent,
    sa.select(Message.position, Message.parent_position)
    .where(Message.conversation_id == sa.bindparam("conversation_id"))
    .order_by(Message.position),
)


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
    assert len(history) == len(turn)
    for index, message in enumerate(history):
        expected = turn[index]._replace(
            id=turn[index].id or message.id,
            metadata=turn[index].metadata or {},
            created_at=message.created_at,
        )
        assert tuple(getattr(message, name) for name in NewMessage._fields) == expected
        assert (message.position, message.parent_position) == (index + 1, None)
        assert (message.status, message.updated_at) == ("complete", message.created_at)


async def test_ids_that_are_made_are_uuids_in_the_order_of_their_messages(
    db: Database, user: User
) -> None:
    """Else they collide between two chats, or an index grows in a thousand places at once."""
    given = [chat(*"abcdefghij"), chat(*"abcdefghij")]
    await db.run(user.id, chats.store, given)
    ids = [[m.id for m in await db.run(user.id, messages.history, one.id)] for one in given]
    one, other = ids
    assert len({*one, *other}) == 20
    assert (one, other) == (sorted(one), sorted(other))
    assert {(id_.version, id_.variant) for id_ in one} == {(8, RFC_4122)}
    again = chat(*"abcdefghij")._replace(id=given[0].id)
    await db.run(user.id, conversations.delete, again.id)
    await db.run(user.id, chats.store, [again])
    assert [m.id for m in await db.run(user.id, messages.history, again.id)] == one


async def test_bodies_models_and_times_come_back(db: Database, user: User) -> None:
    """Else an import changes when something was said, or another program's words."""
    said, answered = datetime(2019, 5, 1, 12, tzinfo=UTC), datetime(2019, 5, 2, tzinfo=UTC)
    body = '{"b": 1e22, "a": "\\u0000\\ud800", "a": 123456789012345678901234567890}'
    turn = [
        NewMessage("user", "Hi", created_at=answered),
        NewMessage(body=body, created_at=said, model="m", input_tokens=3, output_tokens=0),
    ]
    id_ = conversations.id_of(user.id, source="other", key="7")
    given = NewChat(id_, "Oslo", turn, created_at=said, source="other", key="7", body=f"[{body}]")
    with pytest.raises(InvalidInput, match=r"must be conversations\.id_of"):
        await db.run(user.id, chats.store, [given._replace(id=uuid7())])
    await db.run(user.id, chats.store, [given])
    stored = await db.run(user.id, conversations.get, given.id)
    assert (stored.source, stored.key, stored.body) == ("other", "7", f"[{body}]")
    assert (stored.created_at, stored.updated_at) == (said, answered)
    first, second = await db.run(user.id, messages.history, given.id)
    assert (first.created_at, second.created_at) == (answered, said)
    assert (second.role, second.body, second.model) == (None, body, "m")
    assert (second.input_tokens, second.output_tokens) == (3, 0)
    assert second.updated_at > answered


async def test_what_has_no_time_is_of_now(db: Database, user: User) -> None:
    """Else a list that goes by activity does not show what has just come."""
    long_ago = datetime(2019, 5, 1, tzinfo=UTC)
    turn = [NewMessage("user", "Hi", created_at=long_ago), NewMessage("assistant", "Ho")]
    given = chat()._replace(messages=turn, created_at=long_ago)
    await db.run(user.id, chats.store, [given])
    stored = await db.run(user.id, conversations.get, given.id)
    first, second = await db.run(user.id, messages.history, given.id)
    assert first.created_at == stored.created_at == long_ago
    assert second.created_at == second.updated_at
    assert stored.updated_at >= second.created_at


def tree(parents: list[int | None], head: int | None = None) -> NewChat:
    """A chat whose messages say their positions."""
    said = [NewMessage("user", str(position)) for position in range(1, len(parents) + 1)]
    return NewChat(uuid7(), "a tree", said, parents=parents, head=head)


@pytest.mark.parametrize(
    ("given", "shown", "parents"),
    [
        (tree([None, None, None]), "123", [None, None, None]),
        (tree([1, 1, 2], 3), "123", [None, None, None]),
        (tree([None, None, 1, None]), "134", [None, None, 1, None]),
        (tree([None, None, 1, None], 2), "12", [None, None, 1, 3]),
        (tree([None, None, 1, 1], 3), "13", [None, None, 1, 1]),
        (tree([None, None, None], 1), "1", [None, None, 2]),
        (tree([None, None, 3, None]), "34", [None, None, 3, None]),
        (tree([None, 2], 1), "1", [None, 2]),
    ],
)
async def test_a_tree_is_stored_once_and_read_by_its_path(
    db: Database, user: User, given: NewChat, shown: str, parents: list[int | None]
) -> None:
    """Where the head was moved, the newest message has to say so: a page looks at its rows."""
    await db.run(user.id, chats.store, [given])
    stored = await db.run(user.id, conversations.get, given.id)
    assert stored.message_count == len(parents)
    assert stored.head == (None if given.head == len(parents) else given.head)
    history = await db.run(user.id, messages.history, given.id)
    assert "".join(message.content for message in history) == shown

    async def everything(scope: Scope) -> list[Parent]:
        return await scope.all(PARENTS, conversation_id=given.id)

    rows = await db.run(user.id, everything)
    assert rows == list(enumerate(parents, start=1))
    message = await db.run(user.id, messages.append, given.id, role="user", content="+")
    assert message.position == len(parents) + 1
    history = await db.run(user.id, messages.history, given.id)
    assert "".join(message.content for message in history) == f"{shown}+"


@pytest.mark.parametrize(
    ("parents", "head", "field"),
    [
        ([None], None, "chats.parents"),
        ([None, 3], None, "chats.parents"),
        ([2, None], None, "chats.parents"),
        ([None, 0], None, "chats.parents"),
        ([None, True], None, "chats.parents"),
        ([None, "1"], None, "chats.parents"),
        ([None, None], 0, "chats.head"),
        ([None, None], 3, "chats.head"),
        ([None, None], "1", "chats.head"),
    ],
)
async def test_what_is_no_tree_is_refused(
    db: Database, user: User, parents: Any, head: Any, field: str
) -> None:
    flaw = chat("a", "b")._replace(parents=parents, head=head)
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, chats.store, [flaw])
    assert refusal.value.field == field
    assert await titles(db, user) == []


async def test_tool_calls_match_along_each_path(db: Database, user: User) -> None:
    """Over the whole list, the second branch would answer a call that is answered."""
    turn = [
        NewMessage("assistant", tool_calls=calls("call_1")),
        NewMessage("tool", "4 degrees", tool_results=results("call_1")),
        NewMessage("tool", "rain", tool_results=results("call_1")),
    ]
    good = chat()._replace(messages=turn, parents=[None, None, 1])
    assert await db.run(user.id, chats.store, [good]) == [good.id]
    for parents in ([None, None, None], [None, None, 3]):
        flaw = chat()._replace(messages=turn, parents=parents)
        with pytest.raises(InvalidInput, match="matches no pending call"):
            await db.run(user.id, chats.store, [flaw])


async def test_a_tree_of_any_size_is_stored_in_its_order(db: Database, user: User) -> None:
    """Its parents are in other parts of what is sent."""
    size = 5_000
    parents = [None if n % 50 else 1 + n * 7 % max(n, 1) for n in range(size)]
    said = [NewMessage("user", "x" * 300) for _ in parents]
    given = chat()._replace(messages=said, parents=parents)
    await db.run(user.id, chats.store, [given])
    end, expected = size, []
    while end:
        expected.append(end)
        parent = parents[end - 1]
        end = end - 1 if parent is None else parent if parent < end else 0

    async def read(scope: Scope) -> list[int]:
        return [message.position async for message in messages.walk(scope, given.id)]

    assert await db.run(user.id, read) == expected[::-1]


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
        (NewChat(uuid7(), "a", [], source="a"), "chats.key"),
        (NewChat(uuid7(), "a", [], key="1"), "chats.key"),
        (NewChat(uuid7(), "a", [], source=" ", key="1"), "conversations.source"),
        (NewChat(uuid7(), "a", [], body="{"), "conversations.body"),
        (NewChat(uuid7(), "a", [], created_at=datetime(2024, 1, 1)), "conversations.created_at"),  # noqa: DTZ001 - the call must refuse it
        (NewChat("7", "a", []), "conversations.id"),  # type: ignore[arg-type]  # the call must refuse it
        (NewChat([], "a", []), "conversations.id"),  # type: ignore[arg-type]  # the call must refuse it
        (NewChat(uuid7(), "a", 7), "chats.messages"),  # type: ignore[arg-type]  # the call must refuse it
        (NewChat(uuid7(), "a", ["x"]), "chats.messages"),  # type: ignore[list-item]  # the call must refuse it
        (NewChat(uuid7(), "a", [], parents=7), "chats.parents"),  # type: ignore[arg-type]  # the call must refuse it
        (NewChat(uuid7(), "a", [], ids=7), "chats.ids"),  # type: ignore[arg-type]  # the call must refuse it
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
                (NewMessage(body="{"), "body"),
                (NewMessage(body="\x00"), "body"),
                (NewMessage("user", created_at=datetime(2024, 1, 1)), "created_at"),  # noqa: DTZ001 - the call must refuse it
                (NewMessage("user", model=" "), "model"),
                (NewMessage("user", input_tokens=-1), "input_tokens"),
            ]
        ),
    ],
)
async def test_a_flaw_is_refused_by_name_and_nothing_is_stored(
    db: Database, user: User, flaw: NewChat, field: str
) -> None:
    """Else a user who repairs a file does not know where, and half of it is stored."""
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
