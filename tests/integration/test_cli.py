"""The ``faceplate`` command as a person or a script meets it: a process, its output, its code."""

import asyncio
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from tests.chat_files import DATA, chatgpt, node
from tests.commands import COMMAND, TRIP, Run, lines, write

from faceplate import Database, Settings, encryption
from faceplate.records import User
from faceplate.services import conversations, mcp_configs, users


@pytest.fixture
def email() -> str:
    return f"{secrets.token_hex(8)}@example.com"


def execute(url: str, statement: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(work())


class TestImport:
    def test_it_says_what_became_of_a_file(self, faceplate: Run, email: str, trip: Path) -> None:
        first = faceplate("import", trip, "--user", email)
        assert (first.returncode, first.stdout) == (0, "")
        assert first.stderr == "trip.jsonl: OpenAI chat messages\n1 new chat with 4 messages\n"
        again = faceplate("import", trip, "--user", email)
        assert again.returncode == 0
        assert again.stderr.endswith("\n0 new chats with 0 messages, 1 already there\n")

    def test_scripts_get_the_report_as_json(self, faceplate: Run, email: str, trip: Path) -> None:
        result = faceplate("import", trip, "--user", email, "--json")
        counts = {
            "imported": 1,
            "messages": 4,
            "skipped": 0,
            "refused": 0,
            "continued": 0,
            "asides": {},
            "empty": 0,
        }
        assert lines(result.stdout) == [{"report": {"format": "openai", **counts}}]
        assert result.stderr == ""

    def test_bad_lines_are_named_and_fail_the_command(
        self, faceplate: Run, email: str, tmp_path: Path
    ) -> None:
        """A script that saw 0 would delete the file, and the chats in its bad lines with it."""
        path = write(tmp_path / "chats.jsonl", TRIP, {"hunter2": 1}, TRIP)
        result = faceplate("import", path, "--user", email)
        assert result.returncode == 1
        assert result.stderr.splitlines()[1:] == [
            "line 2: of no format that can be read; its keys are hunter2",
            "1 new chat with 4 messages, 1 already there, 1 refused",
        ]
        result = faceplate("import", path, "--user", email, "--json")
        assert result.returncode == 1
        assert lines(result.stdout)[0] == {
            "refused": {
                "line": 2,
                "reason": "of no format that can be read; its keys are hunter2",
            }
        }

    def test_exports_are_recognised_and_shown(
        self, faceplate: Run, email: str, tmp_path: Path
    ) -> None:
        nodes = [
            node("q", None, "user", "Sum?"),
            node("c", "q", "assistant", "print(1 + 2)", recipient="python"),
            node("r", "c", "tool", "3", name="python"),
            node("a1", "r", "assistant", "Thirty"),
            node("a2", "r", "assistant", "Three"),
        ]
        path = write(tmp_path / "conversations.json", chatgpt(nodes))
        result = faceplate("import", path, "--user", email)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr.splitlines() == [
            "conversations.json: ChatGPT export",
            "1 new chat with 5 messages",
        ]
        [shown] = lines(faceplate("conversations", "--user", email, "--json").stdout)
        assert shown["conversation"]["message_count"] == 5
        printed = faceplate("show", shown["conversation"]["id"], "--user", email).stdout
        words = ["Sum?", "→ python", "print(1 + 2)", "← python", "3", "Three"]
        assert [word for word in words if word in printed] == words
        assert "Thirty" not in printed

    def test_the_format_can_be_said(self, faceplate: Run, email: str, trip: Path) -> None:
        result = faceplate("import", trip, "--user", email, "--format", "chatgpt")
        assert result.returncode == 1
        assert result.stderr.splitlines() == [
            "trip.jsonl: ChatGPT export",
            "line 1: mapping must be an object",
            "0 new chats with 0 messages, 1 refused",
        ]
        result = faceplate("import", trip, "--user", email, "--format", "gopher")
        assert result.returncode == 2
        assert "must be one of claude-code" in result.stderr

    def test_a_terminal_shows_how_far_it_is(
        self, on_terminal: Callable[..., str], email: str
    ) -> None:
        sent = on_terminal("import", DATA / "chats.jsonl", "--user", email)
        assert "importing" in sent
        assert sent.endswith("8 new chats with 32 messages\r\n")

    async def test_an_interrupt_ends_it_cleanly_and_keeps_what_was_stored(
        self,
        database_url: str,
        environment: dict[str, str],
        db: Database,
        user: User,
        tmp_path: Path,
    ) -> None:
        # The same chat twice: what stands before the second one is stored by itself.
        path = write(tmp_path / "chats.jsonl", TRIP, TRIP, {**TRIP, "id": "held"})
        held = conversations.id_of(user.id, source="openai", key="held")
        connection = await asyncpg.connect(database_url)
        try:
            pid = "SELECT pid FROM pg_locks WHERE NOT granted AND $1 = ANY(pg_blocking_pids(pid))"
            async with db.begin(user.id) as scope:
                # Our transaction holds the id of the second chat, so that its import waits here.
                await conversations.create(scope, id=held)
                ours = await scope.session.connection()
                our_pid = (await ours.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
                process = await asyncio.create_subprocess_exec(
                    *COMMAND, "import", path, "--user", str(user.email),
                    env=environment, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
                async with asyncio.timeout(60):
                    while await connection.fetchval(pid, our_pid) is None:
                        assert process.returncode is None
                process.send_signal(signal.SIGINT)
                _, stderr = await process.communicate()
        finally:
            await connection.close()
        assert process.returncode == 130
        assert b"Traceback" not in stderr
        assert re.search(rb"importing: [1-9][0-9,]* of [0-9,]+ bytes\n", stderr), stderr
        assert b"stored so far: 1 new chat with 4 messages\n" in stderr
        assert b"interrupted: what was imported is kept; run it again" in stderr
        page = await db.run(user.id, conversations.page)
        assert {conversation.message_count for conversation in page.items} == {4, 0}


class TestConversations:
    def test_they_are_listed_newest_first(self, faceplate: Run, email: str, tmp_path: Path) -> None:
        chats = [{**TRIP, "id": n, "title": f"Chat {n}"} for n in range(3)]
        faceplate("import", write(tmp_path / "chats.jsonl", *chats), "--user", email)
        result = faceplate("conversations", "--user", email)
        assert re.findall(r"Chat \d", result.stdout) == ["Chat 2", "Chat 1", "Chat 0"]
        assert max(map(len, result.stdout.splitlines())) <= 80

    def test_pages_follow_one_another(self, faceplate: Run, email: str, tmp_path: Path) -> None:
        chats = [{**TRIP, "id": n, "title": f"Chat {n}"} for n in range(3)]
        faceplate("import", write(tmp_path / "chats.jsonl", *chats), "--user", email)
        arguments = ("conversations", "--user", email, "--limit", 2)
        *first, end = lines(faceplate(*arguments, "--json").stdout)
        assert [line["conversation"]["title"] for line in first] == ["Chat 2", "Chat 1"]
        cursor = end["next_cursor"]
        [last] = lines(faceplate(*arguments, "--cursor", cursor, "--json").stdout)
        assert last["conversation"]["title"] == "Chat 0"
        UUID(last["conversation"]["id"])
        assert f"--cursor {cursor}" in faceplate(*arguments).stderr

    def test_none_is_no_error(self, faceplate: Run, user: User) -> None:
        result = faceplate("conversations", "--user", user.email)
        assert (result.returncode, result.stdout) == (0, "")
        assert result.stderr == "no conversations\n"

    def test_a_search_finds_by_the_title(self, faceplate: Run, email: str, tmp_path: Path) -> None:
        chats = [{**TRIP, "id": n, "title": f"Chat {n} {'Wien' * (n % 2)}"} for n in range(6)]
        faceplate("import", write(tmp_path / "chats.jsonl", *chats), "--user", email)
        result = faceplate("conversations", "--user", email, "--search", "wIEN", "--limit", 2)
        assert re.findall(r"Chat \d", result.stdout) == ["Chat 5", "Chat 3"]
        cursor = result.stderr.split()[-1]
        rest = faceplate("conversations", "--user", email, "--search", "wIEN", "--cursor", cursor)
        assert re.findall(r"Chat \d", rest.stdout) == ["Chat 1"]
        none = faceplate("conversations", "--user", email, "--search", "Graz")
        assert (none.returncode, none.stderr) == (0, "no conversations\n")


class TestUsers:
    def test_one_is_found_by_address_subject_and_id(self, faceplate: Run, user: User) -> None:
        assert user.email is not None
        for who in (user.email.upper(), user.subject_id, user.id):
            [line] = lines(faceplate("users", who, "--json").stdout)
            assert line["user"]["id"] == str(user.id)
        shown = faceplate("users", user.email).stdout
        assert user.email in shown
        assert str(user.id) in shown
        assert max(map(len, shown.splitlines())) <= 80

    def test_pages_follow_one_another(self, faceplate: Run, user: User, other_user: User) -> None:
        """Else an operator sees the newest users alone."""
        first = faceplate("users", "--limit", 1, "--json")
        line, end = lines(first.stdout)
        assert line["user"]["id"] == end["next_cursor"]
        assert f"--cursor {end['next_cursor']}" in faceplate("users", "--limit", 1).stderr
        seen, cursor = {line["user"]["id"]}, end["next_cursor"]
        while cursor is not None and not {str(user.id), str(other_user.id)} <= seen:
            *found, last = lines(
                faceplate("users", "--limit", 200, "--cursor", cursor, "--json").stdout
            )
            cursor = last.get("next_cursor")
            seen |= {each["user"]["id"] for each in [*found, last] if "user" in each}
        assert {str(user.id), str(other_user.id)} <= seen


class TestShow:
    @pytest.fixture
    def conversation_id(self, faceplate: Run, email: str, trip: Path) -> str:
        faceplate("import", trip, "--user", email)
        [line] = lines(faceplate("conversations", "--user", email, "--json").stdout)
        return str(line["conversation"]["id"])

    def test_a_pipe_gets_every_word_as_it_was_written(
        self, faceplate: Run, email: str, conversation_id: str
    ) -> None:
        result = faceplate("show", conversation_id, "--user", email)
        without_times = re.sub(r"  \d{4}-\d\d-\d\d \d\d:\d\d\n", "\n", result.stdout)
        heading, _, transcript = without_times.partition("\n\n")
        assert heading.splitlines()[0] == "To Vienna"
        assert transcript == (
            "user\nA train,\nplease\n\n"
            'assistant\n→ find_trains\n{\n  "to": "Wien"\n}\n\n'
            'tool\n← find_trains\n{\n  "leaves": "20:09"\n}\n\n'
            "assistant\n**20:09** <b>daily</b>\n"
        )

    def test_a_terminal_gets_markdown_rendered_and_nothing_left_out(
        self, on_terminal: Callable[..., str], email: str, conversation_id: str
    ) -> None:
        sent = on_terminal("show", conversation_id, "--user", email)
        assert "\x1b[1m20:09\x1b[0m <b>daily</b>" in sent
        assert "\x1b[1;32massistant" in sent

    def test_no_color_is_heeded(
        self, on_terminal: Callable[..., str], email: str, conversation_id: str
    ) -> None:
        sent = on_terminal("show", conversation_id, "--user", email, NO_COLOR="1")
        assert "assistant" in sent
        assert re.search(r"\x1b\[(\d+;)*(3|4|9)\d", sent) is None

    def test_stored_text_cannot_drive_the_terminal(
        self, on_terminal: Callable[..., str], faceplate: Run, email: str, tmp_path: Path
    ) -> None:
        """What somebody once pasted into a chat must not clear a screen or forge a prompt."""
        hostile = "\x1b]0;owned\x07\x1b[2J\x9b2J\r"
        call = {"id": hostile, "function": {"name": hostile, "arguments": hostile}}
        chat = {
            "id": "x",
            "title": f"title {hostile}",
            "messages": [
                {"role": "user", "content": hostile},
                {"role": "assistant", "content": hostile, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": hostile, "content": [{"type": hostile}]},
            ],
        }
        faceplate("import", write(tmp_path / "chats.jsonl", chat), "--user", email)
        [line] = lines(faceplate("conversations", "--user", email, "--json").stdout)
        for arguments in (["conversations"], ["show", line["conversation"]["id"]]):
            sent = on_terminal(*arguments, "--user", email)
            assert "title" in sent
            assert not {"\x07", "\x9b"} & set(sent)
            assert re.search(r"\x1b(?!\[[\d;]*m)", sent) is None

    def test_scripts_get_a_line_for_each_message(
        self, faceplate: Run, email: str, tmp_path: Path
    ) -> None:
        texts = [str(number) for number in range(250)]
        long = {"title": "Long", "messages": [{"role": "user", "content": t} for t in texts]}
        faceplate("import", write(tmp_path / "long.jsonl", long), "--user", email)
        [line] = lines(faceplate("conversations", "--user", email, "--json").stdout)
        result = faceplate("show", line["conversation"]["id"], "--user", email, "--json")
        head, *messages = lines(result.stdout)
        assert head == line
        assert [message["message"]["content"] for message in messages] == texts

    def test_somebody_elses_conversation_is_not_there(
        self, faceplate: Run, user: User, conversation_id: str
    ) -> None:
        theirs = faceplate("show", conversation_id, "--user", user.email)
        missing = faceplate("show", UUID(int=0), "--user", user.email)
        assert theirs.returncode == missing.returncode == 1
        assert theirs.stderr == missing.stderr == "error: conversation not found\n"
        assert theirs.stdout == ""


class TestDatabase:
    def test_check_is_well(self, faceplate: Run) -> None:
        result = faceplate("check")
        assert result.returncode == 0, result.stderr
        assert "PostgreSQL 1" in result.stdout
        [health] = lines(faceplate("check", "--json").stdout)
        assert (health["ok"], health["at_head"], health["reachable"]) == (True, True, True)
        layers = ["owner criterion", "composite keys", "row-level security"]
        assert (health["isolation"], health["gaps"], health["warnings"]) == (layers, [], [])
        assert ", ".join(layers) in result.stdout

    def test_a_gap_in_the_isolation_fails_the_check(
        self, faceplate: Run, fresh_database_url: str
    ) -> None:
        """A deployment that looked at the exit code alone would go on without that layer."""
        execute(fresh_database_url, "ALTER TABLE faceplate.tasks DISABLE ROW LEVEL SECURITY")
        result = faceplate("check", DATABASE_URL=fresh_database_url)
        assert result.returncode == 1
        assert "faceplate.tasks is without row-level security" in " ".join(result.stdout.split())
        [health] = lines(faceplate("check", "--json", DATABASE_URL=fresh_database_url).stdout)
        assert not health["ok"]
        assert len(health["gaps"]) == 1

    def test_a_warning_is_shown_and_passes_the_check(self, faceplate: Run) -> None:
        result = faceplate("check", FACEPLATE_ROW_LEVEL_SECURITY="false")
        assert result.returncode == 0
        assert "row_level_security is switched off" in result.stdout

    def test_an_empty_database_is_migrated_step_by_step(
        self, faceplate: Run, empty_database_url: str, email: str, trip: Path
    ) -> None:
        """Each command says what to do next, from an empty database to a stored chat."""
        empty = {"DATABASE_URL": empty_database_url}
        result = faceplate("import", trip, "--user", email, **empty)
        assert result.returncode == 1
        assert "run `faceplate migrate`" in result.stderr
        result = faceplate("check", **empty)
        assert result.returncode == 1
        assert "run `faceplate migrate`" in result.stdout
        result = faceplate("migrate", "--json", **empty)
        assert result.returncode == 0, result.stderr
        [went] = lines(result.stdout)
        assert went["from"] is None
        assert faceplate("check", **empty).returncode == 0
        assert faceplate("migrate", **empty).stderr.endswith(f"at {went['to']} already.\n")
        assert faceplate("import", trip, "--user", email, **empty).returncode == 0

    def test_the_sql_of_the_migrations_is_printed(self, faceplate: Run) -> None:
        result = faceplate("migrate", "--sql")
        assert result.returncode == 0, result.stderr
        assert "CREATE TABLE faceplate.messages" in result.stdout

    def test_an_unknown_revision_is_wrong_usage(self, faceplate: Run) -> None:
        result = faceplate("migrate", "--revision", "nowhere")
        assert result.returncode == 2
        assert result.stderr.startswith("error: Alembic refused:")
        assert "'nowhere'" in result.stderr

    def test_an_unreachable_server_is_one_line_without_the_password(
        self, faceplate: Run, tmp_path: Path
    ) -> None:
        url = f"postgresql://u:hunter2@/db?host={tmp_path}"
        unreachable = {"DATABASE_URL": url, "FACEPLATE_STARTUP_TIMEOUT_S": "0.1"}
        result = faceplate("check", **unreachable)
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        assert "hunter2" not in result.stderr
        result = faceplate("check", "--json", **unreachable)
        assert result.returncode == 1
        [health] = lines(result.stdout)
        assert (health["ok"], health["reachable"]) == (False, False)
        assert "hunter2" not in result.stdout


class TestSeed:
    @pytest.fixture
    def size(self) -> tuple[object, ...]:
        """A little data that is this test's alone."""
        seed = secrets.randbelow(10**9)
        return ("--users", 2, "--conversations", 3, "--messages", 10, "--seed", seed)

    def test_it_says_what_was_made_and_where_to_look(
        self, faceplate: Run, size: tuple[object, ...]
    ) -> None:
        result = faceplate("seed", *size)
        assert (result.returncode, result.stdout) == (0, "")
        made, look = result.stderr.splitlines()
        assert made == "6 new conversations with 60 messages, for 2 users."
        email = look.rpartition(" ")[2]
        listed = lines(faceplate("conversations", "--user", email, "--json").stdout)
        assert [line["conversation"]["message_count"] for line in listed] == [10, 10, 10]
        again = faceplate("seed", *size)
        assert again.stderr.startswith(
            "0 new conversations with 0 messages, 6 already there, for 2 users.\n"
        )

    def test_scripts_get_the_numbers_as_json(
        self, faceplate: Run, size: tuple[object, ...]
    ) -> None:
        result = faceplate("seed", *size, "--json")
        numbers = {"users": 2, "conversations": 6, "messages": 60, "skipped": 0}
        [line] = lines(result.stdout)
        assert (line["seeded"], result.stderr) == (numbers, "")
        assert faceplate("conversations", "--user", line["first_user"]).returncode == 0

    def test_a_terminal_shows_how_far_it_is(
        self, on_terminal: Callable[..., str], size: tuple[object, ...]
    ) -> None:
        sent = on_terminal("seed", *size)
        assert "seeding" in sent
        assert "6/6" in sent


class TestKeys:
    OLD = encryption.generate_key()

    @pytest.fixture
    def two_secrets(self, fresh_database_url: str) -> dict[str, str]:
        """The variables of a database of its own that holds secrets under the old key."""

        async def store() -> None:
            key = SecretStr(self.OLD)
            settings = Settings(database_url=SecretStr(fresh_database_url), encryption_keys=(key,))
            async with Database(settings) as db:
                for name in ("one", "two"):
                    user = await db.run_system(users.create, subject_id=name)
                    config = {"command": "uvx"}
                    await db.run(user.id, mcp_configs.put, name, config, secrets={"pin": "hunter2"})

        asyncio.run(store())
        return {"DATABASE_URL": fresh_database_url}

    def test_a_new_key_is_all_that_a_script_reads(self, faceplate: Run) -> None:
        result = faceplate("generate-key")
        key = result.stdout.removesuffix("\n")
        assert result.returncode == 0
        assert "rotate-keys" in result.stderr
        assert key not in result.stderr
        assert faceplate("check", FACEPLATE_ENCRYPTION_KEYS=key).returncode == 0
        [line] = lines(faceplate("generate-key", "--json").stdout)
        assert len(line["key"]) == len(key)
        assert line["key"] != key

    def test_rotated_secrets_need_the_new_key_alone(
        self, faceplate: Run, two_secrets: dict[str, str]
    ) -> None:
        """An operator who then removes the old key must not lose a user's secrets with it."""
        new = faceplate("generate-key").stdout.strip()
        both, alone = (
            two_secrets | {"FACEPLATE_ENCRYPTION_KEYS": keys} for keys in (f"{new},{self.OLD}", new)
        )
        assert faceplate("rotate-keys", **alone).returncode == 1
        result = faceplate("rotate-keys", **both)
        assert (result.returncode, result.stdout) == (0, "")
        assert "the secrets of 2 configurations" in result.stderr
        assert "remove the other keys" in result.stderr
        for again in (both, alone):
            result = faceplate("rotate-keys", "--json", **again)
            assert (lines(result.stdout), result.stderr) == ([{"rotated": 2}], "")
        old = two_secrets | {"FACEPLATE_ENCRYPTION_KEYS": self.OLD}
        assert faceplate("rotate-keys", **old).returncode == 1

    def test_a_key_that_is_missing_is_said_and_shows_no_secret(
        self, faceplate: Run, two_secrets: dict[str, str]
    ) -> None:
        wrong = encryption.generate_key()
        for keys, code, words in (
            ("", 2, "set FACEPLATE_ENCRYPTION_KEYS"),
            (wrong, 1, "MCP configuration "),
        ):
            result = faceplate("rotate-keys", **two_secrets, FACEPLATE_ENCRYPTION_KEYS=keys)
            assert (result.returncode, result.stdout) == (code, "")
            assert words in result.stderr
            for secret in (self.OLD, wrong, "hunter2"):
                assert secret not in result.stderr

    def test_a_terminal_shows_how_far_it_is(
        self, on_terminal: Callable[..., str], two_secrets: dict[str, str]
    ) -> None:
        sent = on_terminal("rotate-keys", **two_secrets, FACEPLATE_ENCRYPTION_KEYS=self.OLD)
        assert "rotating" in sent
        assert "2/2" in sent


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["import"],
            ["import", "missing.jsonl", "--user", "a@example.com"],
            ["show", "no-id", "--user", "a@example.com"],
            ["conversations"],
            ["conversations", "--user", "{user}", "--limit", "0"],
            ["conversations", "--user", "{user}", "--cursor", "x"],
            ["seed", "--users", "0"],
            ["export"],
            ["export", "--user", "{user}", "--output", "."],
            ["erase", "--yes"],
            ["erase", "--user", "{user}"],
            ["purge", "--yes"],
            ["purge", "--older-than", "90d"],
            ["purge", "--older-than", "90", "--yes"],
            ["purge", "--older-than", "23h", "--dry-run"],
            ["stats", "--busiest", "0"],
            ["nonsense"],
            ["server", "wipe"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage_is_said_and_exits_2(
        self, faceplate: Run, user: User, arguments: list[str]
    ) -> None:
        result = faceplate(*(argument.format(user=user.email) for argument in arguments))
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr

    def test_a_wrong_address_makes_no_user(self, faceplate: Run, trip: Path) -> None:
        assert faceplate("import", trip, "--user", "nobody").returncode == 2

    @pytest.mark.parametrize("command", ["conversations", "export", "erase --yes"])
    def test_a_subject_is_not_taken_for_a_user(self, faceplate: Run, command: str) -> None:
        result = faceplate(*command.split(), "--user", "idp|ada")
        assert (result.returncode, result.stdout) == (2, "")
        assert "`faceplate users SUBJECT` finds the id" in result.stderr

    def test_an_unknown_user_is_not_found(self, faceplate: Run) -> None:
        result = faceplate("conversations", "--user", "nobody@example.com")
        assert (result.returncode, result.stderr) == (1, "error: user not found\n")

    def test_wrong_settings_are_said_without_the_password(self, faceplate: Run) -> None:
        result = faceplate("check", DATABASE_URL="mysql://u:hunter2@localhost/db")
        assert result.returncode == 2
        assert "DATABASE_URL" in result.stderr
        assert "hunter2" not in result.stderr

    def test_help_says_what_each_command_does_and_the_exit_codes(self, faceplate: Run) -> None:
        result = faceplate("--help")
        assert result.returncode == 0
        assert "..." not in result.stdout.replace("[ARGS]...", "")
        words = "demo import conversations show check migrate seed generate-key rotate-keys server"
        words += " doctor stats export erase purge sweep"
        for word in words.split():
            assert word in result.stdout
        assert "Exit codes" in result.stdout
        for command in ("stats", "export", "erase", "purge"):
            assert "Exit codes" in faceplate(command, "--help").stdout

    def test_the_version_is_printed(self, faceplate: Run) -> None:
        result = faceplate("--version")
        assert (result.returncode, result.stdout) == (0, f"faceplate {version('faceplate')}\n")

    @pytest.mark.parametrize("option", ["--help", "-h", "--version"])
    def test_help_loads_neither_sqlalchemy_nor_rich(
        self, environment: dict[str, str], option: str
    ) -> None:
        """Else the shell waits a second for what a person looks up."""
        code = (
            "import atexit, sys; from faceplate.cli import main;"
            " atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
            f" sys.argv = ['faceplate', {option!r}]; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout
        slow = {"sqlalchemy", "asyncpg", "pydantic_settings", "alembic", "rich", "markdown_it"}
        assert slow & set(done.stderr.split()) == set()

    def test_a_shell_completes_the_commands_and_their_options(
        self, environment: dict[str, str]
    ) -> None:
        for words, expected in (("faceplate us", "users"), ("faceplate users --li", "--limit")):
            variables = {
                "_FACEPLATE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(words.count(" ")),
            }
            done = subprocess.run(
                [str(Path(sys.executable).with_name("faceplate"))],
                env=environment | variables,
                capture_output=True,
                text=True,
                check=False,
            )
            assert expected in done.stdout.split(), done.stderr

    def test_a_missing_extra_is_named(self, environment: dict[str, str]) -> None:
        code = "import sys; sys.modules['typer'] = None; from faceplate.cli import main; main()"
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 1
        assert result.stderr.endswith("pip install 'faceplate[cli]'\n")
        assert "Traceback" not in result.stderr


def test_the_demo_runs_from_nothing_again_and_to_the_end(
    environment: dict[str, str], faceplate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two minutes of a newcomer: no database, no URL, one command."""
    monkeypatch.delitem(environment, "DATABASE_URL")
    faceplate("server", "wipe", "--yes")  # another test may have started it
    first = subprocess.run(
        [*COMMAND, "demo"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert first.returncode == 0, first.stderr
    assert "starting the local PostgreSQL" in first.stderr
    assert "7 new chats with 37 messages" in first.stderr
    assert "Why is the orders page slow?" in first.stdout
    assert "← explain_query" in first.stdout
    assert "export DATABASE_URL=" in first.stdout
    assert "export FACEPLATE_OWNER_URL=" in first.stdout
    assert "\x1b" not in first.stdout + first.stderr

    again = faceplate("demo")
    assert again.returncode == 0, again.stderr
    assert "nothing was stored twice" in again.stderr
    assert again.stdout == first.stdout

    [status] = lines(faceplate("server", "status", "--json").stdout)
    assert status["running"]
    assert lines(faceplate("server", "start", "--json").stdout) == [status]
    said = dict(
        line.split(maxsplit=1) for line in faceplate("server", "status").stdout.splitlines()
    )
    assert said["DATABASE_URL"] == status["url"]
    assert said["FACEPLATE_OWNER_URL"] == status["owner_url"]
    assert lines(faceplate("server", "stop", "--json").stdout) == [{"stopped": True}]
    assert faceplate("server", "stop").stderr == "it was not running\n"
    assert faceplate("server", "status").returncode == 1
    [stopped] = lines(faceplate("server", "status", "--json").stdout)
    assert stopped == {
        "running": False,
        "directory": status["directory"],
        "databases": {status["database"]: str(Path.cwd())},
    }
    assert faceplate("server", "wipe").returncode == 2
    assert faceplate("server", "wipe", "--yes").returncode == 0
    assert not Path(status["directory"]).exists()


def test_the_demo_shows_a_file_of_ones_own(
    faceplate: Run, fresh_database_url: str, tmp_path: Path
) -> None:
    long = [{"role": "user", "content": f"Message {number}"} for number in range(25)]
    chats = [{"title": f"Chat {number}", "messages": long} for number in range(12)]
    path = write(tmp_path / "chats.jsonl", *chats)
    result = faceplate("demo", path, DATABASE_URL=fresh_database_url)
    assert result.returncode == 0, result.stderr
    assert "12 new chats with 300 messages" in result.stderr
    assert re.findall(r"Message \d+", result.stdout) == [f"Message {n}" for n in range(5, 25)]
    assert "and more: faceplate conversations" in result.stdout
    assert "all of them: faceplate show" in result.stdout
    assert 'psql "$DATABASE_URL"' in result.stdout
