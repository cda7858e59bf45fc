"""What `messages.search` finds, in which order, and what it shows."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from faceplate import Database, Statement
from faceplate.errors import InvalidInput
from faceplate.records import FoundMessage, User
from faceplate.services import conversations, messages, search_statements
from faceplate.services.messages import NewConversation, NewMessage

TODAY = datetime.now(UTC)


async def chat_of(
    db: Database, user: User, *said: str, title: str = "Chat", age_days: int = 0
) -> None:
    moment = TODAY - timedelta(days=age_days)
    new = [NewMessage("user", text, created_at=moment) for text in said]
    opens = NewConversation(source="tests", key=title, title=title, created_at=moment)
    id_ = conversations.id_of(user.id, source="tests", key=title)
    await db.run(user.id, messages.append_many, id_, new, opens=opens)


async def find(db: Database, user: User, text: str, limit: int = 50) -> list[FoundMessage]:
    """Every page of a search."""
    found, cursor = [], None
    while True:
        page = await db.run(user.id, messages.search, text, limit=limit, cursor=cursor)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_search_finds_a_text_in_any_case_and_takes_it_literally(
    db: Database, user: User, other_user: User
) -> None:
    """Else a user looks for 100% and gets every message, or gets another user's."""
    await chat_of(db, user, "In der Straße 100%", "die straße 100", "Other", "a_b")
    await chat_of(db, other_user, "Straße 100%")
    excerpts = {
        text: [row.excerpt for row in await find(db, user, text)]
        for text in ("STRAßE", "0%", "a_b", "%", "nowhere")
    }
    assert excerpts == {
        "STRAßE": ["die straße 100", "In der Straße 100%"],
        "0%": ["In der Straße 100%"],
        "a_b": ["a_b"],
        "%": ["In der Straße 100%"],
        "nowhere": [],
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_the_newest_conversation_comes_first_and_of_each_the_newest_message(
    db: Database, user: User, limit: int
) -> None:
    """Else a page repeats messages, or leaves some out."""
    await chat_of(db, user, "plum 1", "fig", "plum 2", title="old", age_days=9)
    await chat_of(db, user, "fig", title="none", age_days=5)
    await chat_of(db, user, "plum 3", "plum 4", "plum 5", title="new", age_days=1)
    found = await find(db, user, "plum", limit)
    assert [(row.title, row.excerpt, row.position) for row in found] == [
        ("new", "plum 5", 3),
        ("new", "plum 4", 2),
        ("new", "plum 3", 1),
        ("old", "plum 2", 3),
        ("old", "plum 1", 1),
    ]


@pytest.mark.parametrize("change", ["append", "remove"])
async def test_a_conversation_that_a_page_has_begun_is_shown_to_its_end(
    db: Database, user: User, change: str
) -> None:
    """Else an agent that writes into the chat between two pages misses the rest of it."""
    await chat_of(db, user, "plum 1", "plum 2", title="old", age_days=9)
    await chat_of(db, user, *(f"plum {number}" for number in (3, 4, 5, 6)), title="new")
    new = conversations.id_of(user.id, source="tests", key="new")
    page = await db.run(user.id, messages.search, "plum", limit=1)
    shown = [row.excerpt for row in page.items]
    while page.next_cursor is not None:
        if change == "append":
            await db.run(user.id, messages.append, new, role="user", content="thanks")
        else:
            await db.run(user.id, messages.append, new, role="user", content="no")
            await db.run(user.id, messages.remove_last, new)
        page = await db.run(user.id, messages.search, "plum", limit=1, cursor=page.next_cursor)
        shown += [row.excerpt for row in page.items]
    assert shown == ["plum 6", "plum 5", "plum 4", "plum 3", "plum 2", "plum 1"]


async def test_a_branch_that_is_not_read_is_searched_too(db: Database, user: User) -> None:
    chat = await db.run(user.id, conversations.create)
    await db.run(user.id, messages.append, chat.id, role="user", content="A plum?")
    fig = NewMessage("user", "Or a fig?")
    await db.run(user.id, messages.append_many, chat.id, [fig], after=0, branch=True)
    [found] = await find(db, user, "plum")
    assert (found.conversation_id, found.position) == (chat.id, 1)
    [read] = await db.run(user.id, messages.history, chat.id)
    assert read.content == "Or a fig?"


async def test_what_is_shown_of_a_long_message_is_short_and_has_the_text(
    db: Database, user: User
) -> None:
    """Else a page of long messages is hundreds of megabytes."""
    await chat_of(db, user, "x" * 400_000 + " plum " + "y" * 400_000)
    [found] = await find(db, user, "PLUM")
    assert len(found.excerpt) == 300
    assert " plum " in found.excerpt
    assert "plum" not in repr(found)
    text = "q" * 255
    await chat_of(db, user, "x" * 200 + text, title="other")
    [found] = await find(db, user, text)
    assert text in found.excerpt


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"text": "a", "limit": 0}, "limit"),
        ({"text": "a", "limit": 201}, "limit"),
        ({"text": " "}, "text"),
        ({"text": "a" * 256}, "text"),
        ({"text": None}, "text"),
        ({"text": "a", "cursor": "x"}, "cursor"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, user: User, given: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, messages.search, **given)  # type: ignore[arg-type]  # what is refused
    assert refusal.value.field == field


async def test_a_cursor_is_of_one_text_and_one_list(db: Database, user: User) -> None:
    await chat_of(db, user, "plum", "plum")
    first = await db.run(user.id, messages.search, "plum", limit=1)
    for unit, text in ((messages.search, "fig"), (conversations.search, "plum")):
        with pytest.raises(InvalidInput, match="not a cursor of this list"):
            await db.run(user.id, unit, text, cursor=first.next_cursor)


FULL_CASES = "pg_unicode_fast"
"""A collation whose lower case may be longer, or depend on the place in a word."""


@pytest.mark.parametrize(
    ("content", "text", "shown"),
    [
        ("İ" * 400 + " kiwi", "KIWI", " kiwi"),
        ("ΟΔΟΣΑ", "ΟΔΟΣ", "ΟΔΟΣΑ"),
        ("ΟΔΟΣ", "οδοσ", "ΟΔΟΣ"),
        ("Straße", "STRASSE", None),
    ],
)
async def test_a_text_is_found_by_any_locales_lower_case(
    db: Database, user: User, content: str, text: str, shown: str | None
) -> None:
    """Else an excerpt is of another part of the message, or the start of a word is not found."""
    collations = sa.table("pg_collation", sa.column("collname"))
    is_known = Statement(int, sa.select(sa.func.count()).where(collations.c.collname == FULL_CASES))
    if not await db.run(user.id, lambda scope: scope.one(is_known)):
        pytest.skip("PostgreSQL has this collation since version 18")
    said = sa.collate(sa.literal(content), FULL_CASES)
    found = sa.select(search_statements.excerpt_of(said)).where(search_statements.has_text(said))
    excerpt = Statement(str, found)
    read = await db.run(user.id, lambda scope: scope.first(excerpt, text=text))
    assert read is None if shown is None else read is not None and read.endswith(shown)
