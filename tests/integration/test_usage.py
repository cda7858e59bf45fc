"""Usage: the tokens that messages took, summed by day and model, and by conversation and model."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from uuid6 import uuid7

from faceplate import Database, InvalidInput, NotFound, User
from faceplate.records import ConversationUsage, DailyUsage
from faceplate.services import conversations, messages, usage
from faceplate.services.messages import NewMessage

MONDAY, TUESDAY = date(2026, 3, 2), date(2026, 3, 3)
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LARGEST = 2**31 - 1


def reply(
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    *,
    model: str | None = None,
    at: datetime = NOON,
) -> NewMessage:
    return NewMessage(
        "assistant",
        "a reply",
        created_at=at,
        model=model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )


async def chat_of(db: Database, user: User, *replies: NewMessage) -> UUID:
    """Store replies in a conversation of their own; return its id."""
    chat = await db.run(user.id, conversations.create)
    await db.run(user.id, messages.append_many, chat.id, replies)
    return chat.id


async def days(db: Database, user: User, **given: Any) -> list[DailyUsage]:
    page = await db.run(user.id, usage.by_day, **{"since": SINCE, **given})
    assert page.next_cursor is None
    return page.items


async def by_conversation(db: Database, user: User, **given: Any) -> list[ConversationUsage]:
    page = await db.run(user.id, usage.by_conversation, **{"since": SINCE, **given})
    assert page.next_cursor is None
    return page.items


async def test_tokens_are_summed_by_day_and_model(db: Database, user: User) -> None:
    """Else a bill is wrong: those without tokens cost nothing, and one number alone counts."""
    first = await chat_of(db, user, reply(10, 1, model="b"), reply(20, 2, model="b"), reply())
    next_day = NOON + timedelta(days=1)
    second = await chat_of(db, user, reply(5, model="a"), reply(None, 7), reply(0, 9, at=next_day))
    third = [DailyUsage(MONDAY, "b", 2, 30, 3)]
    assert await days(db, user) == [
        DailyUsage(MONDAY, None, 1, 0, 7),
        DailyUsage(MONDAY, "a", 1, 5, 0),
        *third,
        DailyUsage(TUESDAY, None, 1, 0, 9),
    ]
    assert await days(db, user, conversation_id=first) == third
    assert await by_conversation(db, user) == [
        ConversationUsage(first, "b", 2, 30, 3),
        ConversationUsage(second, None, 2, 0, 16),
        ConversationUsage(second, "a", 1, 5, 0),
    ]


async def test_a_day_begins_at_midnight_in_utc(db: Database, user: User) -> None:
    """Else the days of a bill depend on where the server or the session is."""
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    before = midnight - timedelta(microseconds=1)
    in_tokyo = datetime(2026, 3, 3, 8, 59, tzinfo=timezone(timedelta(hours=9)))  # still Monday
    times = (before, in_tokyo, midnight)
    await chat_of(db, user, *(reply(10**n, 0, at=at) for n, at in enumerate(times)))
    assert await days(db, user) == [
        DailyUsage(MONDAY, None, 2, 11, 0),
        DailyUsage(TUESDAY, None, 1, 100, 0),
    ]
    assert await days(db, user, until=midnight) == [DailyUsage(MONDAY, None, 2, 11, 0)]
    assert await days(db, user, since=midnight) == [DailyUsage(TUESDAY, None, 1, 100, 0)]
    [found] = await by_conversation(db, user, since=before, until=midnight)
    assert (found.messages, found.input_tokens) == (1, 1)


async def test_without_an_end_the_last_day_counts(db: Database, user: User) -> None:
    """Else what another program dates with the greatest day that it knows is in no sum."""
    last = datetime(9999, 12, 31, 12, tzinfo=UTC)
    id_ = await chat_of(db, user, reply(1, 2, at=last))
    assert await days(db, user) == [DailyUsage(last.date(), None, 1, 1, 2)]
    assert await by_conversation(db, user) == [ConversationUsage(id_, None, 1, 1, 2)]
    assert await days(db, user, until=last) == []
    assert await by_conversation(db, user, until=last) == []


@pytest.mark.parametrize("day", [date.min, date.max])
async def test_pages_go_on_within_the_first_and_the_last_day(
    db: Database, user: User, day: date
) -> None:
    """Else the sums of a day without a date begin again for ever, or the rest of them is lost."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    await chat_of(db, user, *(reply(1, model=model, at=noon) for model in "abc"))
    cursor, models = None, []
    for _ in range(3):
        page = await db.run(user.id, usage.by_day, since=noon, limit=1, cursor=cursor)
        models += [row.model for row in page.items]
        cursor = page.next_cursor
    assert (models, cursor) == (["a", "b", "c"], None)


async def test_sums_go_beyond_what_an_integer_holds(db: Database, user: User) -> None:
    chat = await chat_of(db, user, *[reply(LARGEST, LARGEST)] * 3)
    assert await days(db, user) == [DailyUsage(MONDAY, None, 3, 3 * LARGEST, 3 * LARGEST)]
    [found] = await by_conversation(db, user)
    assert found == ConversationUsage(chat, None, 3, 3 * LARGEST, 3 * LARGEST)


async def test_every_branch_counts_and_what_is_removed_does_not(db: Database, user: User) -> None:
    """A reply that was regenerated has cost as much as the one that is read."""
    chat = await chat_of(db, user, reply(1, 0), reply(10, 0))
    given: dict[str, Any] = {"role": "assistant", "created_at": NOON, "output_tokens": 0}
    other = await db.run(
        user.id, messages.append, chat, input_tokens=100, after=1, branch=True, **given
    )
    assert await days(db, user) == [DailyUsage(MONDAY, None, 3, 111, 0)]
    await db.run(user.id, messages.remove, chat, other.id)
    assert await days(db, user) == [DailyUsage(MONDAY, None, 2, 11, 0)]


async def test_a_fork_costs_nothing_until_it_goes_on(db: Database, user: User) -> None:
    """Else each fork bills the messages that it copied once more."""
    chat = await chat_of(db, user, reply(1, 0), reply(10, 0))
    fork = await db.run(user.id, conversations.fork, chat)
    assert await days(db, user) == [DailyUsage(MONDAY, None, 2, 11, 0)]
    await db.run(
        user.id, messages.append, fork.id, role="assistant", created_at=NOON, input_tokens=100
    )
    assert await days(db, user) == [DailyUsage(MONDAY, None, 3, 111, 0)]
    assert await days(db, user, conversation_id=fork.id) == await days(db, user)
    await db.run(user.id, conversations.delete, chat)
    assert await days(db, user) == [DailyUsage(MONDAY, None, 3, 111, 0)]


async def test_a_draft_that_was_forked_counts_once(db: Database, user: User) -> None:
    """Else a fork of a reply that is being written counts what it took so far for a second time."""
    chat = await db.run(user.id, conversations.create)
    draft = await db.run(user.id, messages.append_draft, chat.id)
    for status, tokens in (("streaming", 3), ("complete", 5)):
        saved: dict[str, Any] = {"content": "a", "status": status, "output_tokens": tokens}
        await db.run(user.id, messages.save_draft, chat.id, draft.id, **saved)
        if status == "streaming":
            await db.run(user.id, conversations.fork, chat.id)
    [row] = await days(db, user)
    assert (row.messages, row.output_tokens) == (1, 5)


async def test_a_draft_counts_when_its_tokens_are_known(db: Database, user: User) -> None:
    chat = await db.run(user.id, conversations.create)
    draft = await db.run(user.id, messages.append_draft, chat.id, model="a")
    assert await days(db, user) == []
    done: dict[str, Any] = {"content": "a", "status": "complete"}
    done |= {"input_tokens": 3, "output_tokens": 4}
    await db.run(user.id, messages.save_draft, chat.id, draft.id, **done)
    assert [row[1:] for row in await days(db, user)] == [("a", 1, 3, 4)]


async def test_nobody_elses_tokens_count(db: Database, user: User, other_user: User) -> None:
    chat = await chat_of(db, other_user, reply(1, 1))
    assert await days(db, user) == []
    assert await by_conversation(db, user) == []
    for conversation_id in (chat, uuid7()):
        with pytest.raises(NotFound, match="conversation not found"):
            await days(db, user, conversation_id=conversation_id)
    empty = await db.run(user.id, conversations.create)
    assert await days(db, user, conversation_id=empty.id) == []


async def test_pages_of_days_have_each_row_once(db: Database, user: User) -> None:
    """The longest name of a model fits into a cursor, in any script."""
    names = [None, "a", "a b", "🜁" * 255]
    times = [NOON + timedelta(days=n) for n in range(3)]
    said = [reply(1, 1, model=name, at=at) for at in times for name in names]
    chat = await chat_of(db, user, *said)
    everything = await days(db, user)
    assert len(everything) == len(said)
    for conversation_id in (None, chat):
        found, cursor = [], None
        for _ in said:
            page = await db.run(
                user.id,
                usage.by_day,
                since=SINCE,
                conversation_id=conversation_id,
                limit=1,
                cursor=cursor,
            )
            found += page.items
            cursor = page.next_cursor
        assert (found, cursor) == (everything, None)


async def test_pages_of_conversations_begin_with_the_most_tokens(db: Database, user: User) -> None:
    sums = [1, 3, 3, 2]
    for number in sums:
        await chat_of(db, user, reply(number), reply(number, model="🜁" * 255))
    everything = await by_conversation(db, user)
    assert [row.input_tokens for row in everything] == [3, 3, 3, 3, 2, 2, 1, 1]
    found, cursor = [], None
    for _ in everything:
        page = await db.run(user.id, usage.by_conversation, since=SINCE, limit=1, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
    assert (found, cursor) == (everything, None)


@pytest.mark.parametrize("unit", [usage.by_day, usage.by_conversation])
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"cursor": "next"}, "cursor"),
        ({"since": NOON.replace(tzinfo=None)}, "since"),
        ({"until": NOON.replace(tzinfo=None)}, "until"),
        ({"since": None}, "since"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, user: User, unit: Any, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, unit, **{"since": SINCE, **given})
    assert refusal.value.field == field
