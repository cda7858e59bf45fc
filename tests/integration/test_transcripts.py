"""Whole conversations are read in order while their reader takes their time."""

import pytest
from uuid6 import uuid7

from faceplate import Conversation, Database, NotFound, User, transcripts
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage


@pytest.fixture
async def conversation(db: Database, user: User) -> Conversation:
    return await db.run(user.id, conversations.create)


async def fill(db: Database, user: User, conversation: Conversation, *contents: str) -> None:
    batch = [NewMessage("user", content) for content in contents]
    await db.run(user.id, messages.append_many, conversation.id, batch)


async def read(db: Database, user: User, conversation: Conversation, after: int = 0) -> list[str]:
    reading = transcripts.read(db, user.id, conversation.id, after=after)
    return [message.content async for message in reading]


@pytest.mark.parametrize("length", [1, 99, 100, 101, 250])
async def test_every_message_is_read_once_and_in_order(
    db: Database, user: User, conversation: Conversation, length: int
) -> None:
    """Else an export lacks what stands where two pages meet, or has it twice."""
    texts = [str(number) for number in range(length)]
    await fill(db, user, conversation, *texts)
    assert await read(db, user, conversation) == texts
    assert await read(db, user, conversation, after=length // 2) == texts[length // 2 :]


async def test_a_reader_who_rests_holds_no_connection(
    db: Database, user: User, conversation: Conversation
) -> None:
    """Else twenty slow downloads stop everybody."""
    await fill(db, user, conversation, *["x"] * 150)
    async for _ in transcripts.read(db, user.id, conversation.id):
        assert db.pool().checked_out == 0


async def test_what_is_appended_meanwhile_is_read_and_what_is_removed_is_not(
    db: Database, user: User, conversation: Conversation
) -> None:
    await fill(db, user, conversation, *map(str, range(150)))
    reading = transcripts.read(db, user.id, conversation.id)
    found = [await anext(reading)]
    await db.run(user.id, messages.remove_after, conversation.id, 120)
    await fill(db, user, conversation, "new")
    found += [message async for message in reading]
    assert [message.content for message in found] == [*map(str, range(120)), "new"]


@pytest.mark.parametrize("change", ["a branch", "a first message", "a switch", "a shorter branch"])
async def test_a_transcript_stays_in_the_branch_that_it_reads(
    db: Database, user: User, conversation: Conversation, change: str
) -> None:
    """Else a transcript goes on in another branch, or ends early, and nothing says so."""
    texts = [str(number) for number in range(350)]
    await fill(db, user, conversation, *texts)
    where = {"a branch": 50, "a first message": 0, "a switch": 50, "a shorter branch": 150}
    reading = transcripts.read(db, user.id, conversation.id)
    found = [await anext(reading) for _ in range(100)]
    if change == "a switch":
        await db.run(user.id, conversations.switch, conversation.id, where[change])
    else:
        await db.run(
            user.id, messages.append, conversation.id,
            role="user", content="other", after=where[change], branch=True,
        )  # fmt: skip
    if change == "a shorter branch":  # one that goes through all that was read
        texts = [*texts[:150], "other"]
    found += [message async for message in reading]
    assert [message.content for message in found] == texts


async def test_no_conversation_is_not_found(
    db: Database, user: User, other_user: User, conversation: Conversation
) -> None:
    """An export that says nothing would pass for an empty conversation."""
    assert await read(db, user, conversation) == []
    for owner, id_ in ((user, uuid7()), (other_user, conversation.id)):
        with pytest.raises(NotFound):
            await anext(transcripts.read(db, owner.id, id_))


async def test_a_conversation_that_is_deleted_meanwhile_is_not_cut_short_in_silence(
    db: Database, user: User, conversation: Conversation
) -> None:
    await fill(db, user, conversation, *["x"] * 150)
    reading = transcripts.read(db, user.id, conversation.id)
    await anext(reading)
    await db.run(user.id, conversations.delete, conversation.id)
    with pytest.raises(NotFound):
        assert [message async for message in reading] == []
