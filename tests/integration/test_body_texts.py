"""`_body_texts.read` returns the bodies that `messages.bodies` returns, or refuses to."""

from uuid import UUID, uuid4

import pytest
from tests.bodies import BODIES

from faceplate import Database, User
from faceplate.services import _body_texts, conversations, messages
from faceplate.services._body_texts import MOST_BYTES, MOST_RUNS, RUN
from faceplate.services.messages import NewMessage


async def joined(db: Database, user: User, chat: UUID, limit: int | None = None) -> str | None:
    texts = await db.run(user.id, _body_texts.read, chat, limit)
    return None if texts is None else ",".join(texts)


async def with_bodies(db: Database, user: User, *bodies: str) -> UUID:
    chat = await db.run(user.id, conversations.create)
    new = [NewMessage(body=body) for body in bodies]
    for start in range(0, len(new), 1_000):
        await db.run(user.id, messages.append_many, chat.id, new[start : start + 1_000])
    return chat.id


@pytest.mark.parametrize("count", [1, RUN - 1, RUN, RUN + 1, 3 * RUN])
async def test_every_body_is_there_once_and_in_order(db: Database, user: User, count: int) -> None:
    """Else a model gets a history with a gap, or one out of order."""
    bodies = [str(number) for number in range(count)]
    chat = await with_bodies(db, user, *bodies)
    assert await joined(db, user, chat) == ",".join(bodies)
    for limit in {1, count - 1, count, count + 1} - {0}:
        assert await joined(db, user, chat, limit) == ",".join(bodies[-limit:])


async def test_bodies_are_to_the_letter(db: Database, user: User) -> None:
    """Else an item of the SDK changes between two runs."""
    bodies = list(BODIES.values())
    chat = await with_bodies(db, user, *bodies)
    short = [body for body in bodies if len(body.encode()) <= MOST_BYTES]
    assert await joined(db, user, chat, len(bodies)) == ",".join(bodies)
    chat = await with_bodies(db, user, *short)
    assert await joined(db, user, chat) == ",".join(short)


async def test_removed_messages_leave_no_trace(db: Database, user: User) -> None:
    chat = await with_bodies(db, user, *map(str, range(3 * RUN)))
    for row in (await db.run(user.id, messages.everything, chat))[10 : 2 * RUN]:
        await db.run(user.id, messages.remove_one, chat, row.id)
    kept = [row.body for row in await db.run(user.id, messages.bodies, chat)]
    assert len(kept) == RUN + 10
    assert await joined(db, user, chat) == ",".join(str(body) for body in kept)


@pytest.mark.parametrize("limit", [None, 3])
async def test_a_message_without_a_body_is_not_left_out(
    db: Database, user: User, limit: int | None
) -> None:
    """Else the model never hears what the user said in another page."""
    chat = await with_bodies(db, user, "1", "2")
    await db.run(user.id, messages.append, chat, role="user", content="said in another page")
    for _ in range(2):
        assert await joined(db, user, chat, limit) is None


@pytest.mark.parametrize("limit", [None, 2])
async def test_a_branch_is_not_taken_for_the_path(
    db: Database, user: User, limit: int | None
) -> None:
    """Else the model reads the question that the user has edited away."""
    chat = await with_bodies(db, user, "1", "2")
    await db.run(user.id, messages.append, chat, body="3", after=1, branch=True)
    for leaf in (2, 3):
        _body_texts.refused_lately.clear()
        assert await joined(db, user, chat, limit) is None
        await db.run(user.id, conversations.switch, chat, leaf)  # which moves the head


async def test_what_the_server_should_not_join_is_read_row_by_row(db: Database, user: User) -> None:
    """Else one conversation takes the memory of the server."""
    long = f'"{"x" * MOST_BYTES}"'
    chat = await with_bodies(db, user, "1", long)
    assert await joined(db, user, chat, 2) == f"1,{long}"
    assert await joined(db, user, chat) is None
    bodies = ["1"] * (RUN * MOST_RUNS - 1)
    chat = await with_bodies(db, user, *bodies)
    assert await joined(db, user, chat) == ",".join(bodies)
    await db.run(user.id, messages.append, chat, body="2")
    assert await joined(db, user, chat) is None


async def test_others_conversations_have_no_bodies(
    db: Database, user: User, other_user: User
) -> None:
    chat = await with_bodies(db, user, "1")
    for limit in (None, 5):
        assert await joined(db, other_user, chat, limit) == ""
        assert await joined(db, user, uuid4(), limit) == ""


@pytest.mark.parametrize("limit", [None, 2])
async def test_what_comes_after_the_end_of_the_path_is_not_read(
    db: Database, user: User, limit: int | None
) -> None:
    """Else the model reads what the user has stepped back from."""
    chat = await with_bodies(db, user, "1", "2", "3")
    await db.run(user.id, conversations.switch, chat, 2)
    assert [row.body for row in await db.run(user.id, messages.bodies, chat)] == ["1", "2"]
    assert await joined(db, user, chat, limit) is None
