"""`faceplate stats`: what it says of the tables is so, and what is an estimate says that it is."""

import pytest
from tests.commands import Run, lines
from tests.databases import Operator, settings_of
from tests.units import OWNED, rows, say

from faceplate import Database, DatabaseError, InvalidInput, Settings, User
from faceplate._operations import stats
from faceplate.services import tasks, users

TABLES = {"users", *OWNED}


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone."""
    return settings_of(fresh_database_url)


async def test_rows_are_counted_on_request(db: Database, user: User) -> None:
    """Else a number that is wrong passes for one that was counted."""
    await say(db, user.id, 3, 4)
    await db.run(user.id, tasks.create, title="one")
    found = await stats.collect(db, exact=True)
    there = rows(messages=7, conversations=2, tasks=1) | {"users": 1}
    assert {table.name: table.rows for table in found.tables} == there
    assert all(table.rows_are_exact for table in found.tables)


async def test_rows_are_estimated_as_the_planner_does(
    db: Database, user: User, operator: Operator
) -> None:
    """Else an operator waits for a count, or is shown what was true at the last ANALYZE."""
    await say(db, user.id, 500)
    await operator.execute("ANALYZE faceplate.messages")
    found = {table.name: table for table in (await stats.collect(db)).tables}
    assert found["messages"].rows == 500
    assert not found["messages"].rows_are_exact
    assert found["messages"].analyzed_at is not None
    await say(db, user.id, 1500)
    [messages] = [t for t in (await stats.collect(db)).tables if t.name == "messages"]
    assert 1500 < messages.rows < 2500


async def test_bytes_add_up_to_what_the_server_says(
    db: Database, user: User, operator: Operator
) -> None:
    """Else the disk fills with what no line of the report has."""
    await say(db, user.id, 300)
    found = (await stats.collect(db)).tables
    assert {table.name for table in found} == TABLES
    for table in found:
        total = table.heap_bytes + table.toast_bytes + table.index_bytes
        size = "SELECT pg_total_relation_size($1::text::regclass)"
        assert total == await operator.fetchval(size, f"faceplate.{table.name}")


async def test_dead_rows_and_vacuums_are_seen(db: Database, user: User, operator: Operator) -> None:
    """Else a table that is never vacuumed grows unseen."""
    await say(db, user.id, 40)
    await operator.execute("DELETE FROM faceplate.messages")
    await operator.execute("SELECT pg_stat_force_next_flush()")
    dead = {table.name: table for table in (await stats.collect(db)).tables}["messages"]
    assert (dead.dead_rows, dead.vacuumed_at) == (40, None)
    await operator.execute("VACUUM faceplate.messages")
    clean = {table.name: table for table in (await stats.collect(db)).tables}["messages"]
    assert clean.dead_rows == 0
    assert clean.vacuumed_at is not None


async def test_growth_goes_by_when_rows_were_stored(
    db: Database, user: User, operator: Operator
) -> None:
    """Else nobody sees how soon the disk is full, as chats from elsewhere have old dates."""
    await say(db, user.id, 10)
    await operator.execute(
        "UPDATE faceplate.messages SET created_at = '1999-01-01',"
        " updated_at = now() - make_interval(days => position * 4)"
    )
    found = {growth.table: growth for growth in (await stats.collect(db)).growth}
    assert found["messages"] == stats.Growth("messages", day=0, week=1, month=7, sampled=1)
    assert found["conversations"][1:4] == (1, 1, 1)


async def test_growth_of_a_large_table_is_told_from_a_part_of_it(
    db: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the report reads a table of a terabyte."""
    await say(db, user.id, 2000, 2000)
    pages = 10
    monkeypatch.setattr(stats, "SAMPLE_PAGES", pages)
    found = {growth.table: growth for growth in (await stats.collect(db)).growth}
    assert 0 < found["messages"].sampled < 0.5
    assert found["conversations"].sampled == 1


async def test_the_busiest_users_come_first(db: Database, user: User, other_user: User) -> None:
    """Else an operator who asks what fills the disk looks at the wrong user."""
    await say(db, user.id, 1, 1)
    await say(db, other_user.id, 3)
    mine = stats.BusyUser(user.id, user.email, conversations=2, messages=2)
    theirs = stats.BusyUser(other_user.id, other_user.email, conversations=1, messages=3)
    found = await stats.collect(db)
    assert (found.busiest, found.busiest_are_exact) == ([theirs, mine], True)
    assert (await stats.collect(db, busiest=1)).busiest == [theirs]


async def test_of_many_conversations_the_statistics_say_whom_to_look_at(
    db: Database, user: User, other_user: User, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the report reads all conversations that there are; what it says of one user is exact."""
    for number in range(20):
        once = await db.run_system(users.create, subject_id=str(number))
        await say(db, once.id, 1)
    await say(db, user.id, 300)
    await say(db, other_user.id, 100)
    await operator.execute("ANALYZE faceplate.messages")
    await say(db, user.id, 1)
    monkeypatch.setattr(stats, "FEW_CONVERSATIONS", -1)
    found = await stats.collect(db, busiest=2)
    assert [(busy.user_id, busy.messages) for busy in found.busiest] == [
        (user.id, 301),
        (other_user.id, 100),
    ]
    assert not found.busiest_are_exact
    assert (await stats.collect(db, busiest=2, exact=True)).busiest_are_exact


async def test_what_is_wrong_with_an_index_is_said(
    db: Database, user: User, operator: Operator
) -> None:
    """Else writes pay for an index that nobody reads, or that is mostly empty."""
    await say(db, user.id, *[1000] * 30)
    await operator.execute("CREATE INDEX unread ON faceplate.messages (role, id)")
    await operator.execute("DELETE FROM faceplate.messages WHERE position % 50 > 0")
    await operator.execute("VACUUM ANALYZE faceplate.messages")
    found = {index.name: index for index in (await stats.collect(db)).indexes}
    assert found["unread"].is_unused
    assert found["unread"].is_valid
    assert found["unread"].times_ideal is not None
    assert found["unread"].times_ideal > 10
    await operator.execute("REINDEX INDEX faceplate.unread")
    # By itself a server counts some seconds later, and reads a small table without its index.
    await operator.execute(
        "SET enable_seqscan = off;"
        f"SELECT FROM faceplate.conversations WHERE user_id = '{user.id}' AND id = '{user.id}';"
        "SELECT pg_stat_force_next_flush()"
    )
    found = {index.name: index for index in (await stats.collect(db)).indexes}
    assert found["unread"].times_ideal is None  # too small to be worth a word
    assert not found["pk_messages"].is_unused
    assert any(index.scans for index in found.values() if index.table == "conversations")
    assert [index.name for index in found.values() if index.table == "tasks"]


async def test_a_fresh_index_is_near_its_ideal(
    db: Database, user: User, operator: Operator
) -> None:
    """Else every index looks as if it had to be made anew, and none is."""
    await say(db, user.id, *[1000] * 30)
    await operator.execute("REINDEX TABLE faceplate.messages")
    await operator.execute("VACUUM ANALYZE faceplate.messages")
    found = {index.name: index for index in (await stats.collect(db)).indexes}
    for name in ("pk_messages", "uq_messages_user_id_conversation_id_position"):
        assert 0.5 < (found[name].times_ideal or 0) < 1.3


@pytest.mark.parametrize("busiest", [0, 101])
async def test_a_number_that_is_none_is_refused(db: Database, busiest: int) -> None:
    with pytest.raises(InvalidInput, match="busiest: must be a whole number"):
        await stats.collect(db, busiest=busiest)


async def test_a_database_that_was_never_migrated_says_so(empty_database_url: str) -> None:
    async with Database(empty_database_url) as db:
        with pytest.raises(DatabaseError, match="run `faceplate migrate`"):
            await stats.collect(db)


class TestCommand:
    @pytest.fixture
    def environment(self, environment: dict[str, str], fresh_database_url: str) -> dict[str, str]:
        return environment | {"DATABASE_URL": fresh_database_url}

    def test_a_page_for_a_person(self, faceplate: Run, trip: object) -> None:
        faceplate("import", trip, "--user", "x@example.com")
        result = faceplate("stats")
        assert (result.returncode, result.stderr) == (0, "")
        assert max(map(len, result.stdout.splitlines())) <= 80
        words = result.stdout.split()
        for word in ("~4", "x@example.com", "pk_messages", "conversations", "never"):
            assert word in words
        assert ["messages", "4", "4", "4"] in [x.split() for x in result.stdout.splitlines()]
        exact = faceplate("stats", "--exact").stdout.splitlines()
        assert exact[2].split()[:2] == ["messages", "4"]

    def test_a_line_for_a_script(self, faceplate: Run, trip: object) -> None:
        faceplate("import", trip, "--user", "x@example.com")
        result = faceplate("stats", "--json", "--exact", "--busiest", "1")
        [line] = lines(result.stdout)
        found = line["stats"]
        assert {table["name"]: table["rows"] for table in found["tables"]}["messages"] == 4
        [busy] = found["busiest"]
        assert (busy["email"], busy["messages"]) == ("x@example.com", 4)
        assert {table["table"]: table["day"] for table in found["growth"]}["messages"] == 4
        assert all(index["is_valid"] for index in found["indexes"])
