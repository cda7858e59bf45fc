"""Messages: an acknowledged one is there exactly once, in its place, and the order never lies."""

import json
import logging
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, text
from tests.units import calls, results
from uuid6 import uuid7

from faceplate import (
    Conflict,
    Conversation,
    Database,
    InvalidInput,
    Message,
    NotFound,
    Scope,
    Settings,
    Statement,
    User,
    models,
)
from faceplate.services import chats, conversations, messages, tasks
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage


@pytest.fixture
async def conversation(db: Database, user: User) -> Conversation:
    return await db.run(user.id, conversations.create)


loose: Any = NewMessage  # for what a type checker would refuse


async def fill(db: Database, user: User, conversation: Conversation, text: str) -> list[Message]:
    """Append one message for each character."""
    batch = [NewMessage("user", character) for character in text]
    return await db.run(user.id, messages.append_many, conversation.id, batch)


async def read(db: Database, user: User, conversation: Conversation) -> str:
    """What `fill` has written, after a look at the positions and the count."""
    history = await db.run(user.id, messages.history, conversation.id, limit=200)
    positions = [message.position for message in history]
    assert positions == sorted({*positions})
    now = await db.run(user.id, conversations.get, conversation.id)
    assert now.message_count == len(history)
    return "".join(message.content for message in history)


async def walked(scope: Scope, conversation: Conversation) -> list[Message]:
    return [message async for message in messages.walk(scope, conversation.id)]


async def test_a_message_comes_back_as_it_was_appended(
    db: Database, user: User, conversation: Conversation
) -> None:
    given: dict[str, Any] = {
        "role": "assistant",
        "content": " Grüße, 世界 🙂\n",
        "tool_calls": calls("call_1"),
        "metadata": {"model": "m", "tokens": [1, 2.5, None]},
    }
    message = await db.run(user.id, messages.append, conversation.id, **given)
    assert {name: getattr(message, name) for name in given} == given
    assert (message.position, message.conversation_id) == (1, conversation.id)
    assert await db.run(user.id, messages.get, conversation.id, message.id) == message
    assert await db.run(user.id, messages.history, conversation.id) == [message]


async def test_messages_appended_together_stand_in_their_order(
    db: Database, user: User, conversation: Conversation
) -> None:
    await fill(db, user, conversation, "a")
    batch = [
        NewMessage("system", "b"),
        NewMessage("assistant", "c", tool_calls=calls("call_1"), metadata={"a": {"b": [1]}}),
        NewMessage("tool", "d", tool_results=results("call_1")),
    ]
    stored = await db.run(user.id, messages.append_many, conversation.id, batch)
    assert [message.position for message in stored] == [2, 3, 4]
    for message, given in zip(stored, batch, strict=True):
        expected = given._replace(
            id=message.id, metadata=given.metadata or {}, created_at=message.created_at
        )
        assert tuple(getattr(message, name) for name in NewMessage._fields) == expected
    assert await read(db, user, conversation) == "abcd"


@pytest.mark.parametrize(
    ("flaw", "field"),
    [
        (NewMessage("narrator"), "messages.role"),
        (NewMessage("user", "\x00"), "messages.content"),
        (NewMessage("user", tool_calls=calls("call_1")), "messages.tool_calls"),
        (NewMessage("user", metadata={"a": float("nan")}), "messages.metadata"),
        (NewMessage("tool", tool_results=results("call_1")), "messages.tool_results"),
    ],
)
async def test_messages_appended_together_are_kept_all_or_none(
    db: Database, user: User, conversation: Conversation, flaw: NewMessage, field: str
) -> None:
    await fill(db, user, conversation, "a")
    batch = [NewMessage("user", "b"), flaw, NewMessage("user", "c")]
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, messages.append_many, conversation.id, batch)
    assert refusal.value.field == field
    assert await read(db, user, conversation) == "a"


async def test_a_repeated_append_answers_with_what_is_stored(
    db: Database, user: User, conversation: Conversation
) -> None:
    given: dict[str, Any] = {"role": "user", "content": "a", "metadata": {"a": 1}, "id": uuid7()}
    first = await db.run(user.id, messages.append, conversation.id, **given)
    await fill(db, user, conversation, "b")
    assert await db.run(user.id, messages.append, conversation.id, **given) == first
    for other in ({"role": "system"}, {"content": "A"}, {"metadata": {"a": 2}}):
        with pytest.raises(Conflict, match="other content") as conflict:
            await db.run(user.id, messages.append, conversation.id, **given | other)
        assert conflict.value.constraint == "pk_messages"
    assert await read(db, user, conversation) == "ab"
    await fill(db, user, conversation, "c")
    assert await read(db, user, conversation) == "abc"


async def test_a_repeated_batch_answers_with_what_is_stored(
    db: Database, user: User, conversation: Conversation
) -> None:
    batch = [
        NewMessage("assistant", "a", tool_calls=calls("call_1"), id=uuid7()),
        NewMessage("tool", "b", tool_results=results("call_1"), id=uuid7()),
    ]
    first = await db.run(user.id, messages.append_many, conversation.id, batch)
    assert await db.run(user.id, messages.append_many, conversation.id, batch) == first
    with pytest.raises(Conflict):
        await db.run(
            user.id,
            messages.append_many,
            conversation.id,
            [batch[0]._replace(content="A"), batch[1]],
        )
    assert await read(db, user, conversation) == "ab"


@pytest.mark.parametrize("known_first", [True, False])
async def test_a_batch_of_which_some_is_stored_leaves_no_gap(
    db: Database, user: User, conversation: Conversation, *, known_first: bool
) -> None:
    known = NewMessage("user", "a", id=uuid7())
    await db.run(user.id, messages.append_many, conversation.id, [known])
    batch = [known, NewMessage("user", "b")]
    with pytest.raises(Conflict, match="exist already"):
        await db.run(
            user.id, messages.append_many, conversation.id, batch if known_first else batch[::-1]
        )
    await fill(db, user, conversation, "c")
    assert await read(db, user, conversation) == "ac"


async def test_one_id_may_stand_in_two_conversations(
    db: Database, user: User, conversation: Conversation
) -> None:
    other = await db.run(user.id, conversations.create)
    id_ = uuid7()
    for where, content in ((conversation, "a"), (other, "b")):
        await db.run(user.id, messages.append, where.id, role="user", content=content, id=id_)
    assert (await db.run(user.id, messages.get, conversation.id, id_)).content == "a"
    assert (await db.run(user.id, messages.get, other.id, id_)).content == "b"


async def test_history_is_read_backwards_page_by_page(
    db: Database, user: User, conversation: Conversation
) -> None:
    written = await fill(db, user, conversation, "abcdefgh")
    assert await db.run(user.id, messages.history, conversation.id, limit=3) == written[5:]
    assert await db.run(user.id, messages.before, conversation.id, 6, limit=3) == written[2:5]
    assert await db.run(user.id, messages.before, conversation.id, 3, limit=3) == written[:2]
    assert await db.run(user.id, messages.before, conversation.id, 1, limit=3) == []


async def test_the_order_is_that_of_positions_whatever_the_ids_are(
    db: Database, user: User, conversation: Conversation
) -> None:
    """Ids come from many clocks; a history ordered by them would answer before it asks."""
    ids = sorted((uuid7() for _ in range(4)), reverse=True)
    batch = [NewMessage("user", str(number), id=id_) for number, id_ in enumerate(ids)]
    written = await db.run(user.id, messages.append_many, conversation.id, batch)
    assert [message.id for message in written] == ids
    assert await db.run(user.id, messages.history, conversation.id) == written
    assert await db.run(user.id, messages.before, conversation.id, 4, limit=2) == written[1:3]
    assert await db.run(user.id, walked, conversation) == written


async def test_an_empty_conversation_has_an_empty_history(
    db: Database, user: User, conversation: Conversation
) -> None:
    assert await db.run(user.id, messages.history, conversation.id) == []
    assert await db.run(user.id, walked, conversation) == []


async def test_a_long_conversation_is_walked_in_order_without_holding_it_all(
    db: Database, user: User, conversation: Conversation
) -> None:
    written = await fill(db, user, conversation, "x" * 450)
    assert await db.run(user.id, walked, conversation) == written

    async with db.begin(user.id) as scope:
        assert await anext(messages.walk(scope, conversation.id)) == written[0]
        left = "SELECT count(*) FROM pg_cursors WHERE name LIKE 'faceplate%'"
        assert await scope.session.scalar(text(left)) == 1  # the rest is still with the server


async def test_two_walks_can_go_on_in_one_transaction(
    db: Database, user: User, conversation: Conversation
) -> None:
    written = await fill(db, user, conversation, "abc")
    async with db.begin(user.id) as scope:
        one, other = (messages.walk(scope, conversation.id) for _ in range(2))
        assert [(await anext(one), await anext(other)) for _ in written] == [
            (message, message) for message in written
        ]


@pytest.mark.parametrize(
    ("position", "left"), [(0, ""), (1, "a"), (3, "abc"), (4, "abcd"), (2**40, "abcd")]
)
async def test_what_comes_after_a_position_is_removed_and_written_anew(
    db: Database, user: User, conversation: Conversation, position: int, left: str
) -> None:
    await fill(db, user, conversation, "abcd")
    removed = await db.run(user.id, messages.remove_after, conversation.id, position)
    assert removed == 4 - len(left)
    assert await read(db, user, conversation) == left
    await fill(db, user, conversation, "XY")
    assert await read(db, user, conversation) == f"{left}XY"


async def test_the_last_message_is_removed_until_there_is_none(
    db: Database, user: User, conversation: Conversation
) -> None:
    written = await fill(db, user, conversation, "ab")
    assert await db.run(user.id, messages.remove_last, conversation.id) == written[1]
    assert await read(db, user, conversation) == "a"
    await fill(db, user, conversation, "B")
    assert await read(db, user, conversation) == "aB"
    for _ in range(2):
        await db.run(user.id, messages.remove_last, conversation.id)
    with pytest.raises(NotFound, match=r"message not found$"):
        await db.run(user.id, messages.remove_last, conversation.id)
    assert await read(db, user, conversation) == ""


async def test_one_message_is_removed_and_what_follows_it_stays(
    db: Database, user: User, conversation: Conversation
) -> None:
    written = await fill(db, user, conversation, "abcd")
    for index, left in ((1, "acd"), (0, "cd"), (3, "c"), (2, "")):
        removed = await db.run(user.id, messages.remove_one, conversation.id, written[index].id)
        assert removed == written[index]
        assert await read(db, user, conversation) == left
        with pytest.raises(NotFound, match=r"message not found$"):
            await db.run(user.id, messages.remove_one, conversation.id, removed.id)
    await fill(db, user, conversation, "E")
    [last] = await db.run(user.id, messages.history, conversation.id)
    assert last.position == 5


async def test_removing_one_message_touches_no_other_row(
    db: Database, user: User, conversation: Conversation
) -> None:
    """Else a removal would take as long as the conversation is, and caches of messages age."""
    written = await fill(db, user, conversation, "abcd")
    await db.run(user.id, messages.remove_one, conversation.id, written[1].id)
    assert await db.run(user.id, messages.history, conversation.id) == [written[0], *written[2:]]


async def test_content_of_none_is_empty(
    db: Database, user: User, conversation: Conversation
) -> None:
    """Else what OpenAI's models answer beside tool calls cannot be stored as it came."""
    turn: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": calls("a")}
    id_ = uuid7()
    one = await db.run(user.id, messages.append, conversation.id, id=id_, **turn)
    assert await db.run(user.id, messages.append, conversation.id, id=id_, **turn) == one
    (two,) = await db.run(
        user.id, messages.append_many, conversation.id, [NewMessage("user", None)]
    )
    other = NewChat(uuid7(), "a", [NewMessage("user", content=None)])
    await db.run(user.id, chats.store, [other])
    stored = await db.run(user.id, messages.history, conversation.id)
    stored += await db.run(user.id, messages.history, other.id)
    assert [message.content for message in stored] == ["", "", ""]
    assert stored[:2] == [one, two]


async def test_a_parameter_of_a_units_own_follows_its_column(db: Database, user: User) -> None:
    """Else a forgotten value of a new unit reaches the server, or a filter that may be left out
    cannot be written."""
    loosely = bindparam("title", type_=models.Task.title.type.optional())
    rename = Statement(int, sa.update(models.Task).values(title=bindparam("title")))
    count = Statement(
        int,
        sa.select(sa.func.count())
        .select_from(models.Task)
        .where(loosely.is_(None) | (models.Task.title == loosely)),
    )

    async def unit(scope: Scope) -> int:
        await tasks.create(scope, title="a")
        assert await scope.one(count, title="b") == 0
        with pytest.raises(InvalidInput, match=r"tasks\.title: is required"):
            await scope.execute(rename, title=None)
        return await scope.one(count, title=None)

    assert await db.run(user.id, unit) == 1


@pytest.mark.parametrize(
    ("unit", "given", "field"),
    [
        (messages.append, {"role": "narrator"}, "messages.role"),
        (messages.append, {"role": None}, "messages.role"),
        (messages.append, {"role": "user", "content": "a" * 1_000_001}, "messages.content"),
        (messages.append, {"role": "user", "metadata": []}, "messages.metadata"),
        (messages.append, {"role": "user", "id": "7"}, "messages.id"),
        (messages.append, {"conversation_id": "7", "role": "user"}, "messages.conversation_id"),
        (messages.append_many, {"messages": []}, "messages"),
        (messages.append_many, {"messages": [NewMessage("user")] * 1_001}, "messages"),
        (messages.append_many, {"messages": [NewMessage("user", id=uuid7())] * 2}, "messages.id"),
        (
            messages.append_many,
            {"messages": [NewMessage("user", "a" * 1_000_000)] * 11},
            "messages.content",
        ),
        (messages.append_many, {"messages": [loose("user", metadata=[])]}, "messages.metadata"),
        (messages.append_many, {"messages": [loose("user", id="7")]}, "messages.id"),
        (messages.append_many, {"messages": [loose(None)]}, "messages.role"),
        (messages.get, {"message_id": "7"}, "messages.id"),
        (messages.history, {"limit": 1_001}, "limit"),
        (messages.before, {"position": -1}, "position"),
        (messages.before, {"position": 1, "limit": 0}, "limit"),
        (messages.pending_tool_calls, {"conversation_id": "7"}, "messages.conversation_id"),
        (messages.remove_after, {"position": -1}, "position"),
        (messages.remove_after, {"position": True}, "position"),
        (messages.remove_last, {"conversation_id": 7}, "conversations.id"),
        (messages.remove_one, {"message_id": "7"}, "message_id"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, user: User, unit: Any, given: dict[str, Any], field: str
) -> None:
    conversation = await db.run(user.id, conversations.create)
    await fill(db, user, conversation, "a")
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, unit, **{"conversation_id": conversation.id} | given)
    assert refusal.value.field == field
    assert await read(db, user, conversation) == "a"


async def test_walking_refuses_what_is_no_id(db: Database, user: User) -> None:
    async with db.begin(user.id) as scope:
        with pytest.raises(InvalidInput, match="must be a UUID"):
            await anext(messages.walk(scope, "7"))  # type: ignore[arg-type]  # the call must refuse it


async def test_no_log_repeats_what_was_written(
    settings: Settings, caplog: pytest.LogCaptureFixture, user: User
) -> None:
    """A chat with personal data in it would lie in everybody's log files."""
    caplog.set_level(logging.DEBUG)
    chatty = Settings(database_url=settings.database_url, log_sql=True, slow_statement_s=1e-9)
    async with Database(chatty) as db:
        conversation = await db.run(user.id, conversations.create, title="canary")
        batch = [NewMessage("user", "canary", metadata={"canary": "canary"}, id=uuid7())]
        for changed in ("canary", "canary bird"):
            batch = [batch[0]._replace(content=changed)]
            with pytest.raises(Conflict) if " " in changed else pytest.MonkeyPatch.context():
                await db.run(user.id, messages.append_many, conversation.id, batch)
        with pytest.raises(InvalidInput):
            await db.run(user.id, messages.append, conversation.id, role="canary")
    assert "INSERT INTO" in caplog.text
    assert "canary" not in caplog.text


async def test_large_messages_are_walked_a_few_at_a_time(
    db: Database, user: User, conversation: Conversation
) -> None:
    """Else a conversation of large bodies takes the memory of a thousand of them."""
    body = json.dumps("x" * 1_000_000)
    for _ in range(24):
        await db.run(user.id, messages.append, conversation.id, body=body)
    async with db.begin(user.id) as scope:
        walk = messages.walk(scope, conversation.id)
        for _ in range(17):
            assert (await anext(walk)).body == body
        cursors = "SELECT name FROM pg_cursors WHERE name LIKE 'faceplate%'"
        name = await scope.session.scalar(text(cursors))
        rest = await scope.session.execute(text(f"FETCH ALL FROM {name}"))
        assert (
            len(rest.all()) == 24 - 16 - 3
        )  # sixteen at first, then what 4,000,000 characters hold
