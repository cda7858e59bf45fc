"""What the adapters of other programs ask of the core: order of creation, ends of paths, forks."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from faceplate import Database, NotFound, Scope, User
from faceplate.services import _by_creation, _ends, _forking, conversations, messages

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def chat_at(db: Database, user: User, key: str, minutes: int = 0) -> UUID:
    moment = NOON + timedelta(minutes=minutes)
    opened = await db.run(
        user.id, conversations.open, source="shop", key=key, created_at=moment, body='{"a": 1}'
    )
    return opened.id


async def say(db: Database, user: User, chat: UUID, text: str, minutes: int) -> UUID:
    moment = NOON + timedelta(minutes=minutes)
    said = await db.run(
        user.id, messages.append, chat, role="user", content=text, created_at=moment
    )
    return said.id


@pytest.mark.parametrize("descending", [False, True])
async def test_what_is_listed_by_creation_goes_on_after_any_row(
    db: Database, user: User, other_user: User, *, descending: bool
) -> None:
    """Whenever it was stored, of one source and one user, without drafts."""
    chats = [await chat_at(db, user, f"{n}", minutes) for n, minutes in enumerate((3, 1, 2))]
    await db.run(user.id, conversations.create)
    await chat_at(db, other_user, "0")
    said = [await say(db, user, chats[0], "a", minutes) for minutes in (2, 1, 1, 0)]
    async with db.begin(user.id) as scope:
        await messages.append_draft(scope, chats[0])
    expected_chats = [chats[1], chats[2], chats[0]]
    expected_said = [said[3], said[1], said[2], said[0]]
    if descending:
        expected_chats.reverse()
        expected_said.reverse()
    listed: list[UUID] = []
    while rows := await db.run(
        user.id,
        _by_creation.list_conversations,
        "shop",
        after=listed[-1] if listed else None,
        limit=1,
        descending=descending,
    ):
        listed += [row.id for row in rows]
    assert listed == expected_chats
    read: list[UUID] = []
    while found := await db.run(
        user.id,
        _by_creation.list_messages,
        chats[0],
        after=read[-1] if read else None,
        limit=1,
        descending=descending,
    ):
        read += [row.id for row in found]
    assert read == expected_said
    with pytest.raises(NotFound):
        await db.run(
            user.id,
            _by_creation.list_messages,
            chats[0],
            after=user.id,
            limit=1,
            descending=descending,
        )


async def test_the_end_of_a_path_is_known_with_its_conversation(db: Database, user: User) -> None:
    """Also where the conversation was switched, and where it is empty."""
    chat = await chat_at(db, user, "0")

    async def end(scope: Scope) -> UUID | None:
        row = await scope.one(_ends.GET, id=chat)
        assert await scope.one(_ends.LOCK, id=chat) == row
        assert await scope.all(_ends.OF_SOURCE, source="shop") == [row]
        return row.end_id

    assert await db.run(user.id, end) is None
    said = [await say(db, user, chat, "a", n) for n in range(3)]
    assert await db.run(user.id, end) == said[2]
    await db.run(user.id, conversations.switch, chat, 2)
    assert await db.run(user.id, end) == said[1]
    await db.run(user.id, messages.remove_last, chat)
    assert await db.run(user.id, end) == said[0]


async def test_a_fork_may_have_a_name_at_its_source(
    db: Database, user: User, other_user: User
) -> None:
    """A second one under the name is told from the first; a message is found in either."""
    chat = await chat_at(db, user, "0")
    said = await say(db, user, chat, "a", 0)
    new_id = conversations.id_of(user.id, source="shop", key="fork")

    async def fork(scope: Scope) -> object:
        return await _forking.fork(scope, chat, 1, None, new_id, source="shop", key="fork")

    async def find(scope: Scope) -> UUID | None:
        return await scope.first(_ends.FIND, id=said)

    assert await db.run(user.id, fork) is not None
    assert await db.run(user.id, fork) is None
    made = await db.run(user.id, conversations.get, new_id)
    assert (made.source, made.key, made.body) == ("shop", "fork", '{"a": 1}')
    await db.run(user.id, conversations.delete, chat)
    assert await db.run(user.id, find) == new_id
    assert await db.run(other_user.id, find) is None
