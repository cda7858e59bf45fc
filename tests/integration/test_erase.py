"""A user is erased: all of theirs, nothing of anybody else's, and it is shown."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url
from tests.commands import Run, interrupt, lines
from tests.databases import hurdle, outside, settings_of
from tests.units import OWNED, SETTLED, everything_of, nobodys, rows, say, settle_in

from faceplate import Database, NotErased, NotFound, Settings, Unauthorized, User, erasure, export
from faceplate.erasure import Erased
from faceplate.services import conversations, messages, retention, tasks, users

NOTHING = dict.fromkeys(("users", *sorted(OWNED)), 0)


def erased(*, user: bool = True, **counts: int) -> Erased:
    return Erased(rows(**counts), user, left=NOTHING, unproven={})


KEPT = """
CREATE SCHEMA kept;
CREATE TABLE kept.parents (author uuid REFERENCES faceplate.users ON DELETE CASCADE, id int,
    PRIMARY KEY (author, id));
CREATE TABLE kept.children (whose uuid, parent int,
    FOREIGN KEY (whose, parent) REFERENCES kept.parents ON DELETE CASCADE);
CREATE TABLE kept.conditions (is_gone bool DEFAULT false, "Who" uuid);
CREATE POLICY mine ON kept.conditions USING (NOT is_gone
    AND "Who" = nullif(current_setting('faceplate.user_id', true), '')::uuid);
CREATE TABLE kept.named (user_id uuid);
CREATE TABLE kept.digits (user_id char(32));
CREATE TABLE kept.counts (user_id int);
CREATE TABLE kept.numbers (user_id int);
CREATE POLICY of_user ON kept.numbers USING (user_id = 1);
CREATE TABLE kept.open (id int);
CREATE POLICY of_user ON kept.open USING (true);
INSERT INTO kept.parents VALUES ('{0}', 1), ('{1}', 1);
INSERT INTO kept.children VALUES ('{0}', 1), ('{1}', 1);
INSERT INTO kept.conditions ("Who") VALUES ('{0}'), ('{1}');
INSERT INTO kept.named VALUES ('{0}'), ('{1}');
INSERT INTO kept.digits VALUES (replace('{0}', '-', '')), (replace('{1}', '-', ''));
CREATE DOMAIN kept.id AS uuid;
CREATE DOMAIN kept.user_id AS kept.id;
CREATE TABLE kept.domains (user_id kept.user_id);
CREATE TABLE kept.inserts (by_whom uuid);
CREATE POLICY mine ON kept.inserts FOR INSERT
    WITH CHECK (by_whom = nullif(current_setting('faceplate.user_id', true), '')::uuid);
CREATE TABLE kept.months (author uuid, month int) PARTITION BY LIST (month);
CREATE TABLE kept.may PARTITION OF kept.months FOR VALUES IN (5);
CREATE TABLE kept.june PARTITION OF kept.months FOR VALUES IN (6);
CREATE POLICY of_user ON kept.may
    USING (author = nullif(current_setting('faceplate.user_id', true), '')::uuid);
CREATE TABLE kept.spelt (user_id text);
INSERT INTO kept.domains VALUES ('{0}'), ('{1}');
INSERT INTO kept.inserts VALUES ('{0}'), ('{1}');
INSERT INTO kept.months VALUES ('{0}', 5), ('{1}', 5);
INSERT INTO kept.spelt VALUES ('urn:uuid:' || upper('{0}')), ('{{' || '{1}' || '}}');
CREATE MATERIALIZED VIEW kept.copies AS SELECT user_id FROM kept.named;
"""
ROLE_HERE_ALONE = pytest.mark.not_on_citus("a role that another database makes is on one node")
CLOSED = """
CREATE SCHEMA closed;
CREATE TABLE closed.secret (user_id uuid REFERENCES faceplate.users);
CREATE TABLE closed.other (user_id uuid);
CREATE TABLE closed.counts (user_id int);
CREATE TABLE closed.hidden (user_id uuid REFERENCES faceplate.users);
ALTER TABLE closed.hidden ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA closed, faceplate TO {0};
GRANT SELECT ON closed.hidden TO {0};
GRANT SELECT ON ALL TABLES IN SCHEMA faceplate TO {0};
"""


class TestErase:
    async def test_nothing_is_left_and_nobody_else_loses_anything(self, keyed: Database) -> None:
        """Else a user who was promised to be forgotten is not, or another one is too."""
        own, other = await settle_in(keyed), await settle_in(keyed)
        before = await everything_of(keyed, other.user_id)
        assert await erasure.erase(keyed, own.user_id) == erased()._replace(rows=SETTLED)
        assert await erasure.remains(keyed, own.user_id) == NOTHING
        assert await everything_of(keyed, other.user_id) == before
        with pytest.raises(NotFound):
            await keyed.run_system(users.get, own.user_id)

    async def test_once_more_finds_nothing(self, keyed: Database) -> None:
        own = await settle_in(keyed)
        await erasure.erase(keyed, own.user_id)
        assert await erasure.erase(keyed, own.user_id) == erased(user=False)
        assert await erasure.remains(keyed, own.user_id) == NOTHING

    async def test_much_goes_in_many_batches(self, db: Database, user: User) -> None:
        """Else a large user's erasure is one transaction that others wait for."""
        await say(db, user.id, 3, 2500, 0, 700, 600)
        for number in range(3):
            await db.run(user.id, tasks.create, title=str(number))
        seen: list[int] = []
        assert await erasure.erase(db, user.id, on_progress=seen.append) == erased(
            conversations=5, messages=3803, tasks=3
        )
        assert seen == sorted({*seen})
        assert len(seen) >= 4
        assert max(later - earlier for earlier, later in zip([0, *seen], seen, strict=False)) < 1100

    async def test_interrupted_it_goes_on_where_it_was(self, db: Database, user: User) -> None:
        """Else what was begun cannot be finished, or the user cannot be found for it."""
        await say(db, user.id, 700, 700, 700)

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await erasure.erase(db, user.id, on_progress=interrupt)
        assert (await erasure.remains(db, user.id))["conversations"] == 2
        assert await erasure.erase(db, user.id) == erased(conversations=2, messages=1400)
        assert await erasure.remains(db, user.id) == NOTHING

    async def test_what_is_written_meanwhile_goes_too(
        self, settings: Settings, db: Database, user: User
    ) -> None:
        """Else a user who writes while being erased has something left that nobody looks for."""
        await say(db, user.id, 3)
        id_ = nobodys().conversation_id
        insert = f"INSERT INTO faceplate.conversations (user_id, id) VALUES ('{user.id}', '{id_}')"
        async with hurdle(settings, insert) as is_met:
            erasing = asyncio.create_task(erasure.erase(db, user.id))
            await is_met()  # all that can be seen is gone: the user's own row waits
        assert await erasing == erased(conversations=1, messages=3)
        assert await erasure.remains(db, user.id) == NOTHING

    async def test_who_writes_later_is_refused(self, db: Database, user: User) -> None:
        chat = await db.run(user.id, conversations.create)
        await erasure.erase(db, user.id)
        with pytest.raises(NotFound, match="the user does not exist"):
            await db.run(user.id, tasks.create, title="later")
        with pytest.raises(NotFound, match="the user does not exist"):
            await db.run(user.id, conversations.create)
        with pytest.raises(NotFound):
            await db.run(user.id, messages.append, chat.id, role="user", content="later")
        assert await erasure.remains(db, user.id) == NOTHING


class TestRemains:
    async def test_a_table_that_was_added_is_asked_as_well(self, fresh_database_url: str) -> None:
        """Else a table that came later keeps what the report says is gone."""
        settings = settings_of(fresh_database_url)
        async with Database(settings) as db, outside(settings) as operator:
            user = await db.run_system(users.create, subject_id="somebody")
            await operator.execute(
                'CREATE TABLE faceplate."Odd "":one" (user_id uuid);'
                "CREATE TABLE faceplate.texts (user_id text);"
                "CREATE TABLE faceplate.parted (user_id uuid) PARTITION BY HASH (user_id);"
                "CREATE TABLE faceplate.part PARTITION OF faceplate.parted"
                " FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
                "CREATE VIEW faceplate.view AS SELECT user_id FROM faceplate.tasks"
            )
            for table in ('"Odd "":one"', "texts", "parted"):
                await operator.execute(
                    f"INSERT INTO faceplate.{table} VALUES ('{user.id}'), (gen_random_uuid())"
                )
            with pytest.raises(NotErased, match=r'left: 1 in faceplate[.]Odd ":one, 1 in') as told:
                await erasure.erase(db, user.id)
            left = await erasure.remains(db, user.id)
        assert left == NOTHING | {
            'faceplate.Odd ":one': 1,
            "faceplate.texts": 1,
            "faceplate.parted": 1,
        }
        assert told.value.left == left

    async def test_tables_of_any_schema_are_asked_without_a_model(
        self, fresh_database_url: str
    ) -> None:
        """Else the user is told that all is gone, while a table of the project's keeps it."""
        settings = settings_of(fresh_database_url)
        async with Database(settings) as db, outside(settings) as operator:
            user, other = [await db.run_system(users.ensure, name) for name in ("ada", "bob")]
            await operator.execute(KEPT.format(user.id, other.id))
            before = await erasure.remains(db, user.id)
            with pytest.raises(NotErased) as told:
                await erasure.erase(db, user.id)
            assert await erasure.remains(db, other.id) == before
            assert told.value.user
            assert told.value.unproven == {
                "kept.numbers": "no column of it holds a user's id: user_id is of type integer",
                "kept.open": "no column of it holds a user's id: its policy has none",
            }
            assert await export.left_out(db) == [
                *("kept.children", "kept.conditions", "kept.inserts", "kept.may", "kept.numbers"),
                *("kept.open", "kept.parents"),
            ]
        counted = {name: rows for name, rows in before.items() if name.startswith("kept.")}
        assert counted == {
            "kept.children": 1,
            "kept.conditions": 1,
            "kept.copies": 1,
            "kept.digits": 1,
            "kept.domains": 1,
            "kept.inserts": 1,
            "kept.may": 1,
            "kept.named": 1,
            "kept.parents": 1,
            "kept.spelt": 1,
        }
        left = {name: rows for name, rows in told.value.left.items() if rows}
        assert left == {
            "kept.conditions": 1,
            "kept.copies": 1,
            "kept.digits": 1,
            "kept.domains": 1,
            "kept.inserts": 1,
            "kept.may": 1,
            "kept.named": 1,
            "kept.spelt": 1,
        }

    @ROLE_HERE_ALONE
    async def test_a_table_that_cannot_be_looked_into_is_named(
        self, fresh_database_url: str, server_url: str
    ) -> None:
        """Else no row is found in it, and it is reported as empty."""
        name, password = f"reader_{secrets.token_hex(6)}", secrets.token_hex()
        url = make_url(fresh_database_url).set(username=name, password=password)
        settings = settings_of(url.render_as_string(hide_password=False), row_level_security=False)
        async with (
            outside(settings_of(server_url)) as admin,
            outside(settings_of(fresh_database_url)) as owner,
        ):
            await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            try:
                await owner.execute(CLOSED.format(name))
                async with Database(settings) as db:
                    unproven = await erasure.unproven(db)
            finally:
                await owner.execute(
                    "DROP SCHEMA closed CASCADE;"
                    f"REVOKE ALL ON ALL TABLES IN SCHEMA faceplate FROM {name};"
                    f"REVOKE ALL ON SCHEMA faceplate FROM {name}"
                )
                await admin.execute(f"DROP ROLE {name}")
        assert unproven == {
            "closed.hidden": f"row-level security hides its rows from {name}:"
            " connect as the owner of the table",
            "closed.other": f"{name} may not read it: GRANT SELECT ON closed.other TO {name}",
            "closed.secret": f"{name} may not read it: GRANT SELECT ON closed.secret TO {name}",
        }

    async def test_every_row_is_counted(self, keyed: Database) -> None:
        """Else zeros would prove nothing."""
        own = await settle_in(keyed)
        assert await erasure.remains(keyed, own.user_id) == SETTLED | {"users": 1}

    @ROLE_HERE_ALONE
    async def test_who_would_not_see_the_rows_is_told_so(
        self, database_url: str, server_url: str, user: User
    ) -> None:
        """Else a role under a policy sees nothing, and reports that there is nothing."""
        name, password = f"reader_{secrets.token_hex(6)}", secrets.token_hex()
        async with (
            outside(settings_of(server_url)) as admin,
            outside(settings_of(database_url)) as owner,
        ):
            await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
            try:
                await owner.execute(
                    f"GRANT USAGE ON SCHEMA faceplate TO {name};"
                    f"GRANT SELECT ON ALL TABLES IN SCHEMA faceplate TO {name}"
                )
                url = make_url(database_url).set(username=name, password=password)
                settings = settings_of(
                    url.render_as_string(hide_password=False), row_level_security=False
                )
                async with Database(settings) as db:
                    with pytest.raises(Unauthorized):
                        await erasure.remains(db, user.id)
            finally:
                await owner.execute(
                    f"REVOKE ALL ON ALL TABLES IN SCHEMA faceplate FROM {name};"
                    f"REVOKE ALL ON SCHEMA faceplate FROM {name}"
                )
                await admin.execute(f"DROP ROLE {name}")


class TestBatches:
    async def test_a_long_conversation_is_in_order_at_every_step(
        self, db: Database, user: User
    ) -> None:
        """Else a reader meets gaps, or a position that was another message's."""
        await say(db, user.id, 7)
        [chat] = (await db.run(user.id, conversations.page)).items
        removed = await db.run(user.id, retention.remove_conversations, limit=3)
        assert removed[:2] == (0, 3)
        said = await db.run(user.id, messages.history, chat.id)
        assert [message.content for message in said] == ["0", "1", "2", "3"]
        now = await db.run(user.id, conversations.get, chat.id)
        assert now == chat._replace(message_count=4)
        message = await db.run(user.id, messages.append, chat.id, role="user", content="more")
        assert message.position == 8

    @pytest.mark.parametrize("limit", [0, 1001, True, "1"])
    async def test_a_limit_that_is_none_is_refused(
        self, db: Database, user: User, limit: int
    ) -> None:
        for call in (
            db.run(user.id, retention.remove_conversations, limit=limit),
            db.run(user.id, retention.remove_rows, "tasks", limit=limit),
            db.run_system(retention.idle_users, retention.LATEST, limit=limit),
        ):
            with pytest.raises(ValueError, match="limit: must be a whole number"):
                await call

    async def test_only_tables_of_rows_are_taken(self, db: Database, user: User) -> None:
        with pytest.raises(ValueError, match="table: must be one of tasks, mcp_configs"):
            await db.run(user.id, retention.remove_rows, "users")


class TestCommand:
    def test_it_shows_each_table_and_that_nothing_is_left(
        self, faceplate: Run, user: User, trip: Path
    ) -> None:
        faceplate("import", trip, "--user", user.email)
        result = faceplate("erase", "--user", user.email, "--yes")
        assert result.returncode == 0, result.stderr
        assert result.stderr.startswith(
            f"{user.email} is erased, with 1 conversation with 4 messages, 0 tasks,"
            " 0 MCP configurations"
        )
        assert [line.split() for line in result.stdout.splitlines()[1:]] == [
            [table, "0"] for table in NOTHING
        ]
        again = faceplate("erase", "--user", user.email, "--yes")
        assert (again.returncode, again.stderr) == (1, "error: user not found\n")
        by_id = faceplate("erase", "--user", user.id, "--yes", "--json")
        assert by_id.returncode == 0
        [report] = lines(by_id.stdout)
        assert report["left"] == NOTHING
        assert not report["erased"]["user"]

    def test_what_was_exported_first_brings_everything_back(
        self, faceplate: Run, user: User, tmp_path: Path, trip: Path
    ) -> None:
        """Else an erasure that was a mistake is one for ever."""
        path = tmp_path / "mine.jsonl"
        faceplate("import", trip, "--user", user.email)
        before = faceplate("export", "--user", user.email).stdout.splitlines()
        arguments = ("erase", "--user", user.id, "--yes", "--export-to", path, "--json")
        [report] = lines(faceplate(*arguments).stdout)
        assert report["erased"] == {
            "user_id": str(user.id),
            "user": True,
            **rows(conversations=1, messages=4),
        }
        assert report["exported"]["messages"] == 4
        assert report["left"] == NOTHING
        assert faceplate("import", path, "--user", user.email).returncode == 0
        after = faceplate("export", "--user", user.id).stdout.splitlines()
        assert after[1:] == before[1:]

    def test_without_an_archive_nothing_is_erased(
        self, faceplate: Run, user: User, tmp_path: Path
    ) -> None:
        """Else what could not be written is gone all the same."""
        path = tmp_path / "mine.jsonl"
        path.write_text("precious")
        for target, code in ((path, 2), (tmp_path / "missing" / "mine.jsonl", 1)):
            result = faceplate("erase", "--user", user.email, "--yes", "--export-to", target)
            assert (result.returncode, result.stdout) == (code, "")
        assert path.read_text() == "precious"
        assert faceplate("conversations", "--user", user.email).returncode == 0

    def test_a_row_that_is_left_fails_the_command(
        self, faceplate: Run, fresh_database_url: str, trip: Path
    ) -> None:
        """A script that saw 0 would tell the user that all is gone."""
        there = {"DATABASE_URL": fresh_database_url}
        email = nobodys().email
        faceplate("import", trip, "--user", email, **there)
        _, owner, *_ = lines(faceplate("export", "--user", email, **there).stdout)
        keep = f"INSERT INTO faceplate.kept VALUES ('{owner['user']['id']}')"

        async def add() -> None:
            async with outside(settings_of(fresh_database_url)) as operator:
                await operator.execute(f"CREATE TABLE faceplate.kept (user_id uuid); {keep}")
                await operator.execute(
                    f"CREATE TABLE visits AS SELECT '{owner['user']['id']}'::uuid AS user_id"
                )

        asyncio.run(add())
        result = faceplate("erase", "--user", email, "--yes", **there)
        assert result.returncode == 1
        assert ["faceplate.kept", "1"] in [line.split() for line in result.stdout.splitlines()]
        assert f"{email} is not erased as a whole" in result.stderr
        assert "is erased" not in result.stderr
        assert "rows are left: 1 in faceplate.kept, 1 in public.visits." in result.stderr
        again = faceplate("erase", "--user", owner["user"]["id"], "--yes", **there)
        assert again.returncode == 1
        assert "There is no such user, but rows are left: 1 in faceplate.kept" in again.stderr

    def test_nobody_who_can_be_asked_means_no(self, faceplate: Run, user: User) -> None:
        result = faceplate("erase", "--user", user.email)
        assert (result.returncode, result.stdout) == (2, "")
        assert "--yes is needed to erase a user" in result.stderr
        assert faceplate("conversations", "--user", user.email).returncode == 0

    def test_the_address_has_to_be_typed(
        self, faceplate: Run, on_terminal: Callable[..., str], user: User
    ) -> None:
        """Else a habit of typing y erases the wrong user."""
        sent = on_terminal("erase", "--user", user.email, typed="y\n")
        assert f"{user.email} has 0 conversations" in sent
        assert "nothing was erased" in sent
        assert faceplate("conversations", "--user", user.email).returncode == 0
        sent = on_terminal("erase", "--user", user.id, typed=f"{user.email}\n")
        assert f"{user.email} is erased" in sent
        assert faceplate("conversations", "--user", user.email).returncode == 1

    async def test_an_interrupt_keeps_what_was_not_reached_and_says_how_to_go_on(
        self, settings: Settings, environment: dict[str, str], db: Database, user: User
    ) -> None:
        await say(db, user.id, 3)
        lock = f"SELECT FROM faceplate.conversations WHERE user_id = '{user.id}' FOR UPDATE"
        async with hurdle(settings, lock) as is_met:
            arguments = ("erase", "--user", str(user.email), "--yes")
            code, stderr = await interrupt(environment, is_met, *arguments)
        assert code == 130
        assert stderr == (
            "erasing: 0 of 4 rows\n"
            "interrupted: what was erased is gone; run it again to go on from there\n"
        )
        assert (await erasure.remains(db, user.id))["messages"] == 3
        assert (await erasure.erase(db, user.id)).rows["messages"] == 3
