"""The activity of conversations: the order of lists is exact, and an append changes no index."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from tests.databases import Operator, outside, settings_of
from uuid6 import uuid7

from faceplate import Database, InvalidInput, Scope, Settings, User
from faceplate.models import Conversation
from faceplate.services import chats, conversations, messages, users
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage
from faceplate.statement import Statement

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
INSERT = """
INSERT INTO faceplate.conversations (user_id, id, updated_at)
SELECT $1, id, moment FROM unnest($2::uuid[], $3::timestamptz[]) new (id, moment)
"""
WRONG = """
SELECT count(*) FROM faceplate.conversations
WHERE active_hour IS DISTINCT FROM date_trunc('hour', updated_at, 'UTC')
"""
NO_TRIGGER = pytest.mark.not_on_citus("it refuses the trigger that sets the hour, which units do")
STORED_AT = Statement(datetime, sa.select(Conversation.stored_at))


@pytest.fixture
async def operator(settings: Settings) -> AsyncIterator[Operator]:
    async with outside(settings) as connection:
        yield connection


async def listed(db: Database, user: User, limit: int, **asked: Any) -> list[UUID]:
    """The ids in the order of the list, read page by page."""
    ids: list[UUID] = []
    cursor = None
    while True:
        page = await db.run(user.id, conversations.page, limit=limit, cursor=cursor, **asked)
        ids += [row.id for row in page.items]
        if (cursor := page.next_cursor) is None:
            return ids


async def set_time(scope: Scope, conversation_id: UUID, moment: datetime) -> None:
    chat = await scope.session.get_one(Conversation, (scope.user_id, conversation_id))
    chat.updated_at = moment


async def set_time_in_sql(scope: Scope, conversation_id: UUID, moment: datetime) -> None:
    await scope.session.execute(
        sa.text("UPDATE faceplate.conversations SET updated_at = :moment WHERE id = :id"),
        {"moment": moment, "id": conversation_id},
    )


async def set_hour(scope: Scope, conversation_id: UUID, moment: datetime) -> None:
    await scope.session.execute(
        sa.update(Conversation)
        .where(Conversation.id == conversation_id)
        .values(updated_at=moment, active_hour=NOON - 1_000 * HOUR)
    )


@NO_TRIGGER
async def test_a_list_is_in_the_exact_order_of_activity(
    db: Database, user: User, operator: Operator
) -> None:
    """Else what was said last in an hour is not on top, or is on no page at all."""
    dice = Random(12)
    edges = [NOON - TICK, NOON, NOON + TICK, NOON + HOUR - TICK, NOON + HOUR]
    within = [NOON + dice.randrange(3_600_000_000) * TICK for _ in range(20)]
    long_ago = [datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), NOON - 300_000 * HOUR]
    moments = [*edges * 2, *within, *within[:3] * 3, *long_ago]
    dice.shuffle(moments)
    made = {uuid7(): moment for moment in moments}
    await operator.execute(INSERT, user.id, [*made], [*made.values()])
    expected = sorted(made, key=lambda id_: (made[id_], id_), reverse=True)
    for limit in (1, 2, 7, 50):
        assert await listed(db, user, limit) == expected
    await db.run(user.id, messages.append, expected[-1], role="user", content="hello")
    assert await listed(db, user, 3) == [expected[-1], *expected[:-1]]


@NO_TRIGGER
@pytest.mark.parametrize("setting", [set_time, set_time_in_sql, set_hour])
async def test_whatever_sets_the_time_moves_the_conversation(
    db: Database, user: User, operator: Operator, setting: Any
) -> None:
    """Else a unit that keeps a time of its own, or the program before, spoils the list."""
    made = [(await db.run(user.id, conversations.create)).id for _ in range(3)]
    await db.run(user.id, setting, made[2], NOON)
    assert await listed(db, user, 2) == [made[1], made[0], made[2]]
    await db.run(user.id, setting, made[2], datetime.now(UTC) + 2 * HOUR)
    assert await listed(db, user, 2) == [made[2], made[1], made[0]]
    assert await operator.fetchval(WRONG) == 0


async def test_a_list_of_one_source_has_no_other(db: Database, user: User) -> None:
    """Else a program that keeps its chats here shows those of another."""
    made = [
        (await db.run(user.id, conversations.open, source=source, key=f"{source} {number}")).id
        for number in range(3)
        for source in ("sheep", "goat")
    ]
    await db.run(user.id, conversations.create)
    assert await listed(db, user, 2, source="sheep") == made[-2::-2]
    assert await listed(db, user, 200, source="goat") == made[::-2]
    assert await listed(db, user, 2, source="cow") == []
    page = await db.run(user.id, conversations.page, source="sheep", limit=1)
    for other in (None, "goat"):
        with pytest.raises(InvalidInput, match="not a cursor of this list"):
            await db.run(user.id, conversations.page, source=other, cursor=page.next_cursor)


async def test_a_conversation_says_when_it_was_stored(db: Database, user: User) -> None:
    """Else nobody knows what an import of last night brought: its dates are those of its file."""
    chat = await db.run(user.id, conversations.create, created_at=NOON - 10_000 * HOUR)
    assert chat.updated_at == chat.created_at == NOON - 10_000 * HOUR
    [stored_at] = await db.run(user.id, Scope.all, STORED_AT)
    assert abs(stored_at - datetime.now(UTC)) < HOUR
    await db.run(user.id, messages.append, chat.id, role="user", content="hello")
    assert await db.run(user.id, Scope.all, STORED_AT) == [stored_at]


@pytest.mark.not_on_citus("the statistics are those of shards")
class TestHot:
    """What the statistics of a table say of its updates."""

    UPDATES = """
    SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'conversations'
    """

    async def appended(self, settings: Settings, user: User, ids: list[UUID]) -> tuple[int, int]:
        """Append to each conversation 20 times; return how many updates that took, and HOT ones."""
        async with outside(settings) as observer:
            before = await observer.fetchrow(self.UPDATES)
            async with Database(settings) as db:
                for number in range(20 * len(ids)):
                    chat_id = ids[number % len(ids)]
                    await db.run(user.id, messages.append, chat_id, role="user", content="hello")
            # The session has reported its updates when it is gone.
            while await observer.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            ):
                pass
            await observer.execute("SELECT pg_stat_clear_snapshot()")
            after = await observer.fetchrow(self.UPDATES)
        assert before is not None
        assert after is not None
        return after[0] - before[0], after[1] - before[1]

    async def test_appends_change_no_index(self, fresh_database_url: str) -> None:
        """Else each append writes to each index of conversations, and the log grows by that."""
        settings = settings_of(fresh_database_url)
        async with Database(settings) as db:
            user = await db.run_system(users.create, subject_id="me")
            ids = [(await db.run(user.id, conversations.create)).id for _ in range(25)]
        await self.appended(settings, user, ids)  # and the table is warm
        while True:
            began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
            updates, hot = await self.appended(settings, user, ids)
            if began == datetime.now(UTC).replace(minute=0, second=0, microsecond=0):
                break  # no hour began meanwhile: each conversation moves once in an hour
        assert updates == 20 * len(ids)
        assert hot >= 0.99 * updates


async def test_the_activity_is_the_newest_time_where_some_are_in_the_future(
    db: Database, user: User
) -> None:
    """Else a chat is not where its last message says, and a fork of it is purged before it."""
    soon = datetime.now(UTC) + HOUR
    said = [NewMessage("user", created_at=soon), NewMessage("assistant")]
    chat = await db.run(user.id, conversations.create)
    await db.run(user.id, messages.append_many, chat.id, said)
    fork = await db.run(user.id, conversations.fork, chat.id)
    begun = NewChat(uuid7(), "a", said[1:], created_at=soon)
    await db.run(user.id, chats.store, [NewChat(uuid7(), "a", said), begun])
    found = (await db.run(user.id, conversations.page)).items
    assert {chat.id, fork.id, begun.id} < {one.id for one in found}
    assert [one.updated_at for one in found] == [soon] * 4
