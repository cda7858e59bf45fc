"""What nobody has used for long is removed, in small steps, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from tests.commands import Run, interrupt, lines
from tests.databases import Operator, hurdle, outside, settings_of
from tests.units import conversation_of, message_of, nobodys, say

from faceplate import Conversation, Database, InvalidInput, Settings, User, erasure
from faceplate.erasure import Purge
from faceplate.services import archives, conversations, messages, retention, tasks, users

DAYS_90 = timedelta(days=90)
AGE = """
UPDATE faceplate.conversations SET updated_at = now() - make_interval(days => $2),
    active_hour = date_trunc('hour', now() - make_interval(days => $2), 'UTC')
WHERE id = $1
"""


Age = Callable[[UUID, int], Awaitable[None]]


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone: a purge goes through all users."""
    return settings_of(fresh_database_url)


@pytest.fixture
def age(operator: Operator) -> Age:
    """Let a conversation have been idle for so many days."""

    async def run(conversation_id: UUID, days: int) -> None:
        await operator.execute(AGE, conversation_id, days)

    return run


async def purge(db: Database, older_than: timedelta = DAYS_90) -> tuple[Purge, Purge]:
    found = await erasure.survey(db, older_than)
    return found, await erasure.purge(db, found.before)


async def lengths(db: Database, user: User) -> list[int]:
    """How long a user's conversations are, by their count and by their messages."""
    found = []
    for chat in (await db.run(user.id, conversations.page, limit=200)).items:
        async with db.begin(user.id) as scope:
            said = [message async for message in messages.walk(scope, chat.id)]
        assert [message.position for message in said] == [*range(1, chat.message_count + 1)]
        found.append(len(said))
    return sorted(found)


class TestPurge:
    async def test_what_was_idle_goes_and_the_rest_stays(
        self, db: Database, user: User, other_user: User, age: Age
    ) -> None:
        """Else data is kept for longer than was promised, or is lost before."""
        mine = await say(db, user.id, 1, 2, 3)
        theirs = await say(db, other_user.id, 4, 5)
        for chat, days in ((mine[0], 91), (mine[1], 89), (theirs[0], 400)):
            await age(chat.id, days)
        await db.run(user.id, tasks.create, title="as old as it may be")
        found, purged = await purge(db)
        assert found == purged
        assert purged[1:] == (2, {"conversations": 2, "messages": 5})
        assert (await lengths(db, user), await lengths(db, other_user)) == ([2, 3], [5])
        assert len((await db.run(user.id, tasks.page)).items) == 1
        _, again = await purge(db)
        assert again[1:] == (0, {"conversations": 0, "messages": 0})

    async def test_a_survey_changes_nothing(self, db: Database, user: User, age: Age) -> None:
        [chat] = await say(db, user.id, 3)
        await age(chat.id, 100)
        assert (await erasure.survey(db, DAYS_90))[1:] == (1, {"conversations": 1, "messages": 3})
        assert (await erasure.survey(db, timedelta(days=101)))[1:] == (
            0,
            {"conversations": 0, "messages": 0},
        )
        assert await lengths(db, user) == [3]

    async def test_long_and_many_ones_go_in_batches(
        self, db: Database, user: User, age: Age
    ) -> None:
        """Else one old conversation of a million messages is one transaction."""
        chats = await say(db, user.id, 2500, *[1] * 150, 900)
        for number, chat in enumerate(chats):
            await age(chat.id, 200 - number % 7)
        seen: list[int] = []
        found = await erasure.survey(db, DAYS_90)
        assert found[1:] == (1, {"conversations": 152, "messages": 3550})
        assert await erasure.purge(db, found.before, on_progress=seen.append) == found
        assert seen[-1] == 3702
        assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) <= 1100
        assert await lengths(db, user) == []

    async def test_every_user_is_reached_whatever_the_page(self, db: Database, age: Age) -> None:
        """Else the users of the last page keep what was promised to go."""
        made = [await db.run_system(users.create, subject_id=str(n)) for n in range(5)]
        for user in made:
            [chat] = await say(db, user.id, 1)
            await age(chat.id, 100)
        before = await db.run_system(retention.idle_since, DAYS_90)
        found: list[retention.Idle] = []
        while page := await db.run_system(
            retention.idle_users,
            before,
            limit=2,
            after=found[-1].user_id if found else retention.FIRST,
        ):
            assert len(page) <= 2
            found += page
        assert found == sorted(retention.Idle(user.id, 1, 1) for user in made)

    async def test_interrupted_it_goes_on_where_it_was(
        self, db: Database, user: User, age: Age
    ) -> None:
        for chat in await say(db, user.id, 700, 700, 700):
            await age(chat.id, 100)

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        found = await erasure.survey(db, DAYS_90)
        with pytest.raises(KeyboardInterrupt):
            await erasure.purge(db, found.before, on_progress=interrupt)
        assert await lengths(db, user) == [700, 700]
        _, purged = await purge(db)
        assert purged[1:] == (1, {"conversations": 2, "messages": 1400})

    @pytest.mark.parametrize("length", [3, 1200])
    async def test_what_is_used_meanwhile_stays(
        self, settings: Settings, db: Database, user: User, age: Age, length: int
    ) -> None:
        """Else a user who comes back sees their chat go while they write in it."""
        [chat] = await say(db, user.id, length)
        await age(chat.id, 100)
        found = await erasure.survey(db, DAYS_90)
        use = f"""UPDATE faceplate.conversations SET updated_at = now(),
            active_hour = date_trunc('hour', now(), 'UTC') WHERE id = '{chat.id}'"""
        async with hurdle(settings, use) as is_met:
            purging = asyncio.create_task(erasure.purge(db, found.before))
            await is_met()
        assert (await purging)[1:] == (0, {"conversations": 0, "messages": 0})
        assert await lengths(db, user) == [length]

    @pytest.mark.parametrize("left", [0, 3, 1000])
    async def test_a_conversation_that_counts_too_many_messages_goes(
        self, db: Database, user: User, operator: Operator, left: int
    ) -> None:
        """Else a purge never ends where a program's own SQL has removed messages."""
        [chat] = await say(db, user.id, 2100)
        delete = "DELETE FROM faceplate.messages WHERE conversation_id = $1 AND position > $2"
        await operator.execute(delete, chat.id, left)
        after, messages_removed = retention.EARLIEST, 0
        for _ in range(4):
            done = await db.run(user.id, retention.remove_conversations, after=after)
            messages_removed += done.messages
            if done.after is None:
                break
            after = done.after
        assert (done.after, messages_removed) == (None, left)
        assert (await db.run(user.id, archives.holdings))["conversations"] == 0

    @pytest.mark.parametrize("older_than", [timedelta(seconds=-1), timedelta(days=36_501)])
    async def test_a_time_that_is_none_is_refused(
        self, db: Database, older_than: timedelta
    ) -> None:
        with pytest.raises(InvalidInput, match="older_than: must be between"):
            await erasure.survey(db, older_than)


TREE = [(1, None), (2, None), (4, 2), (5, 5), (6, None), (7, 5), (9, None), (10, 6), (12, 4)]
"""Positions with their parents; 3, 8 and 11 were removed."""


async def plant(db: Database, user: User, head: int | None) -> Conversation:
    """Store the conversation of `TREE`."""
    own = nobodys()
    said = [
        message_of(own._replace(message_id=nobodys().message_id), position)._replace(
            parent_position=parent
        )
        for position, parent in TREE
    ]
    chat = conversation_of(own, len(said))._replace(head=head)
    assert await db.run(user.id, archives.restore_conversation, chat, [said])
    return chat


class TestBranches:
    @pytest.mark.parametrize("limit", range(1, len(TREE)))
    @pytest.mark.parametrize("head", [None, 5, 7, 10])
    async def test_a_tree_loses_its_last_messages_and_no_message_its_parent(
        self, db: Database, user: User, operator: Operator, limit: int, head: int | None
    ) -> None:
        """Else an orphan is left, or a path that ends nowhere, where a purge was interrupted."""
        chat = await plant(db, user, head)
        removed = await db.run(user.id, retention.remove_conversations, limit=limit)
        assert removed[:2] == (0, limit)
        left = TREE[:-limit]
        (before, _), (newest, parent) = [(1, None), *left][-2:]
        now = await db.run(user.id, conversations.get, chat.id)
        kept_head = head if head is not None and head < newest else None
        assert now == chat._replace(message_count=len(left), head=kept_head)

        query = "SELECT position, parent_position FROM faceplate.messages"
        order = "WHERE conversation_id = $1 ORDER BY position"
        stored = [tuple(row) for row in await operator.fetch(f"{query} {order}", chat.id)]
        mark = parent if kept_head is None else parent or before
        assert stored == [*left[:-1], (newest, mark)]

        more = await db.run(user.id, messages.append, chat.id, role="user", content="more")
        assert more.position == 13

    async def test_it_goes_whole_in_steps_of_any_length(
        self, db: Database, user: User, age: Age
    ) -> None:
        chat = await plant(db, user, 7)
        await age(chat.id, 100)
        counts = []
        while (await db.run(user.id, archives.holdings))["conversations"]:
            counts.append((await db.run(user.id, retention.remove_conversations, limit=4))[:2])
        assert counts == [(0, 4), (0, 4), (1, 1)]
        assert (await db.run(user.id, archives.holdings))["messages"] == 0


@pytest.mark.not_on_citus("a plan is that of a worker")
class TestPlans:
    async def test_an_index_leads_to_what_is_idle(
        self, db: Database, user: User, operator: Operator
    ) -> None:
        """Else each batch reads all conversations that there are."""
        asked = {
            retention.OLDEST.compiled.sql: [
                retention.LATEST, *retention.EARLIEST, user.id, 100,
            ],
            retention.IDLE_OF_USERS.compiled_across_users.sql: [[user.id], retention.LATEST],
        }  # fmt: skip
        await say(db, user.id, 1)
        await operator.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        for sql, values in asked.items():
            plan = await operator.fetch(f"EXPLAIN (COSTS OFF) {sql}", *values)
            text = "\n".join(row[0] for row in plan)
            assert "using ix_conversations_active_hour" in text
            assert "Seq Scan" not in text


class TestCommand:
    @pytest.fixture
    def environment(self, environment: dict[str, str], fresh_database_url: str) -> dict[str, str]:
        return environment | {"DATABASE_URL": fresh_database_url}

    @pytest.fixture
    def idle(self, settings: Settings) -> str:
        """The address of a user with an idle conversation of three messages, and another one."""

        async def make() -> None:
            async with Database(settings) as db, outside(settings) as operator:
                user = await db.run_system(users.create, subject_id="x", email="x@example.com")
                chat, _ = await say(db, user.id, 3, 1)
                await operator.execute(AGE, chat.id, 100)

        asyncio.run(make())
        return "x@example.com"

    def test_a_dry_run_says_what_would_go(self, faceplate: Run, idle: str) -> None:
        result = faceplate("purge", "--older-than", "90d", "--dry-run")
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr.startswith(
            "1 conversation with 3 messages of 1 user, without activity"
        )
        assert result.stderr.endswith("would be removed.\n")
        [line] = lines(faceplate("purge", "--older-than", "90d", "--dry-run", "--json").stdout)
        assert line["would_purge"]["messages"] == 3
        listed = lines(faceplate("conversations", "--user", idle, "--json").stdout)
        assert len(listed) == 2

    def test_it_removes_once(self, faceplate: Run, idle: str) -> None:
        result = faceplate("purge", "--older-than", "90d", "--yes")
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr.startswith(
            "1 conversation with 3 messages of 1 user, without activity"
        )
        [line] = lines(faceplate("purge", "--older-than", "90d", "--yes", "--json").stdout)
        assert line["purged"]["conversations"] == 0
        [left] = lines(faceplate("conversations", "--user", idle, "--json").stdout)
        assert left["conversation"]["message_count"] == 1

    def test_nobody_who_can_be_asked_means_no(self, faceplate: Run, idle: str) -> None:
        result = faceplate("purge", "--older-than", "90d")
        assert (result.returncode, result.stdout) == (2, "")
        assert "--yes is needed to remove conversations" in result.stderr
        assert len(lines(faceplate("conversations", "--user", idle, "--json").stdout)) == 2

    def test_somebody_is_asked(
        self, faceplate: Run, on_terminal: Callable[..., str], idle: str
    ) -> None:
        sent = on_terminal("purge", "--older-than", "90d", typed="n\n")
        assert "Remove 1 conversation with 3 messages of 1 user" in sent
        assert len(lines(faceplate("conversations", "--user", idle, "--json").stdout)) == 2
        sent = on_terminal("purge", "--older-than", "90d", typed="y\n")
        assert "removing" in sent
        assert len(lines(faceplate("conversations", "--user", idle, "--json").stdout)) == 1

    @pytest.mark.not_on_citus("it locks a row by its id alone")
    async def test_an_interrupt_says_how_to_go_on(
        self,
        settings: Settings,
        environment: dict[str, str],
        db: Database,
        user: User,
        age: Age,
    ) -> None:
        [chat] = await say(db, user.id, 3)
        await age(chat.id, 100)
        lock = f"SELECT FROM faceplate.conversations WHERE id = '{chat.id}' FOR UPDATE"
        async with hurdle(settings, lock) as is_met:
            arguments = ("purge", "--older-than", "90d", "--yes")
            code, stderr = await interrupt(environment, is_met, *arguments)
        assert code == 130
        assert stderr == (
            "removing: 0 of 4 rows\n"
            "interrupted: what was removed is gone; run it again to go on from there\n"
        )
        assert await lengths(db, user) == [3]
