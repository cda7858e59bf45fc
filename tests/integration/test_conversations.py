"""Conversations: listed by their last activity, changed, and deleted with what is in them."""

from typing import Any

import pytest
from uuid6 import uuid7

from faceplate import Conflict, Database, InvalidInput, NotFound, User
from faceplate.services import conversations, messages


async def test_a_conversation_comes_back_as_it_was_made(db: Database, user: User) -> None:
    plain = await db.run(user.id, conversations.create)
    assert (plain.title, plain.metadata, plain.message_count) == ("New Chat", {}, 0)
    named = await db.run(user.id, conversations.create, title="Oslo", metadata={"pinned": True})
    assert (named.title, named.metadata) == ("Oslo", {"pinned": True})
    for conversation in (plain, named):
        assert await db.run(user.id, conversations.get, conversation.id) == conversation


async def test_a_repeated_create_makes_one_conversation(db: Database, user: User) -> None:
    given: dict[str, Any] = {"id": uuid7(), "title": "Oslo", "metadata": {"pinned": True}}
    first = await db.run(user.id, conversations.create, **given)
    assert await db.run(user.id, conversations.create, **given) == first
    others: list[dict[str, Any]] = [{"title": "Bergen"}, {"metadata": {}}]
    for other in others:
        with pytest.raises(Conflict, match="id exists already") as conflict:
            await db.run(user.id, conversations.create, **given | other)
        assert conflict.value.constraint == "pk_conversations"
    assert (await db.run(user.id, conversations.page)).items == [first]


async def test_the_conversation_with_the_newest_activity_is_listed_first(
    db: Database, user: User
) -> None:
    made = [await db.run(user.id, conversations.create, title=title) for title in "abc"]

    async def titles() -> str:
        return "".join(row.title for row in (await db.run(user.id, conversations.page)).items)

    assert await titles() == "cba"
    await db.run(user.id, messages.append, made[0].id, role="user", content="hello")
    assert await titles() == "acb"
    await db.run(user.id, messages.append_many, made[1].id, [messages.NewMessage("user")] * 2)
    assert await titles() == "bac"
    await db.run(user.id, conversations.rename, made[2].id, "C")
    await db.run(user.id, conversations.replace_metadata, made[0].id, {"pinned": True})
    assert await titles() == "baC"
    moved = await db.run(user.id, conversations.get, made[0].id)
    assert moved.updated_at > made[0].updated_at


async def test_title_and_metadata_are_replaced(db: Database, user: User) -> None:
    made = await db.run(user.id, conversations.create, metadata={"pinned": True})
    renamed = await db.run(user.id, conversations.rename, made.id, "Oslo")
    assert renamed == made._replace(title="Oslo")
    replaced = await db.run(user.id, conversations.replace_metadata, made.id, {"tags": ["a"]})
    assert replaced == renamed._replace(metadata={"tags": ["a"]})
    assert await db.run(user.id, conversations.get, made.id) == replaced


async def test_a_deleted_conversation_takes_its_messages_along_and_no_others(
    db: Database, user: User
) -> None:
    leaving, staying = [await db.run(user.id, conversations.create) for _ in range(2)]
    for conversation in (leaving, staying):
        await db.run(user.id, messages.append, conversation.id, role="user", content="hello")
    await db.run(user.id, conversations.delete, leaving.id)
    with pytest.raises(NotFound):
        await db.run(user.id, messages.history, leaving.id)
    assert len(await db.run(user.id, messages.history, staying.id)) == 1


@pytest.mark.parametrize(
    ("unit", "given", "field"),
    [
        (conversations.create, {"title": "\t"}, "conversations.title"),
        (conversations.create, {"title": "a" * 256}, "conversations.title"),
        (conversations.create, {"title": None}, "conversations.title"),
        (conversations.create, {"metadata": []}, "conversations.metadata"),
        (conversations.create, {"id": "7"}, "conversations.id"),
        (conversations.get, {"conversation_id": "7"}, "conversations.id"),
        (conversations.page, {"limit": 0}, "limit"),
        (conversations.search, {"text": "a", "limit": 0}, "limit"),
        (conversations.search, {"text": " "}, "text"),
        (conversations.search, {"text": "a" * 256}, "text"),
        (conversations.search, {"text": None}, "text"),
        (conversations.search, {"text": "a", "cursor": "x"}, "cursor"),
        (conversations.rename, {"conversation_id": uuid7(), "title": ""}, "conversations.title"),
        (
            conversations.replace_metadata,
            {"conversation_id": uuid7(), "metadata": "{}"},
            "conversations.metadata",
        ),
        (conversations.delete, {"conversation_id": 7}, "conversations.id"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, user: User, unit: Any, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, unit, **given)
    assert refusal.value.field == field
    assert (await db.run(user.id, conversations.page)).items == []


async def test_a_search_finds_a_text_in_any_case_and_takes_it_literally(
    db: Database, user: User, other_user: User
) -> None:
    """Else a user looks for 100% and gets every chat, or gets another user's."""
    for title in ("Straße 100%", "straße 100", "Other", "a_b"):
        await db.run(user.id, conversations.create, title=title)
    await db.run(other_user.id, conversations.create, title="Straße 100%")

    async def search(text: str) -> list[str]:
        page = await db.run(user.id, conversations.search, text)
        return [row.title for row in page.items]

    assert await search("STRAßE") == ["straße 100", "Straße 100%"]
    assert await search("0%") == ["Straße 100%"]
    assert await search("a_b") == ["a_b"]
    assert await search("%") == ["Straße 100%"]
    assert await search("nowhere") == []


async def test_the_pages_of_a_search_follow_one_another(db: Database, user: User) -> None:
    titles = [f"{'found' if number % 2 else 'other'} {number}" for number in range(10)]
    for title in titles:
        await db.run(user.id, conversations.create, title=title)
    read, cursor = [], None
    while True:
        page = await db.run(user.id, conversations.search, "found", limit=2, cursor=cursor)
        read += [row.title for row in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert read == [title for title in reversed(titles) if "found" in title]
    first = await db.run(user.id, conversations.search, "found", limit=2)
    with pytest.raises(InvalidInput, match="not a cursor of this list"):
        await db.run(user.id, conversations.search, "other", cursor=first.next_cursor)


async def test_a_fork_is_made_once_and_is_no_other_conversation(db: Database, user: User) -> None:
    """Else the retry of a lost call copies twice, or a caller gets a chat that is no copy."""
    source, other = [await db.run(user.id, conversations.create) for _ in range(2)]
    turn = [messages.NewMessage("user", "a"), messages.NewMessage("assistant", "b")]
    await db.run(user.id, messages.append_many, source.id, turn)
    id_ = uuid7()
    fork = await db.run(user.id, conversations.fork, source.id, id=id_)
    await db.run(user.id, messages.append, id_, role="user", content="c")
    again = await db.run(user.id, conversations.fork, source.id, id=id_)
    assert (fork.message_count, again.message_count, again.id) == (2, 3, id_)
    await db.run(user.id, messages.append, source.id, role="user", content="d")
    assert await db.run(user.id, conversations.fork, source.id, id=id_) == again
    with pytest.raises(Conflict, match="exists already"):
        await db.run(user.id, conversations.fork, source.id, id=other.id)
    with pytest.raises(InvalidInput, match="the conversation itself"):
        await db.run(user.id, conversations.fork, source.id, id=source.id)


async def test_a_fork_of_nothing_is_no_other_conversation(db: Database, user: User) -> None:
    """Else a caller that mixes up two ids writes the fork's messages into another chat."""
    source, other = [await db.run(user.id, conversations.create) for _ in range(2)]
    fork = await db.run(user.id, conversations.fork, source.id)
    assert await db.run(user.id, conversations.fork, source.id, id=fork.id) == fork
    await db.run(user.id, messages.append, other.id, role="user", content="a")
    with pytest.raises(Conflict, match="exists already"):
        await db.run(user.id, conversations.fork, source.id, id=other.id)
