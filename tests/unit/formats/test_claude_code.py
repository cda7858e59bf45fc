"""Claude Code's logs: sessions whose lines must become messages of the right thread."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.chat_files import read_all, spoken, write
from tests.formats.claude_code import (
    EXAMPLE,
    LINES,
    SESSION,
    answer,
    call,
    chats,
    line,
    result,
    text,
    user,
)

from faceplate.importers import Chat
from faceplate.importers.formats import claude_code
from faceplate.importers.opening import left_files
from faceplate.importers.shapes import best_format


def read_lines(tmp_path: Path, lines: list[dict[str, Any]]) -> list[Chat]:
    file = tmp_path / "session.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found, refusals = read_all(file)
    assert refusals == []
    return found


class TestExample:
    def test_a_session_is_read_whole(self, tmp_path: Path) -> None:
        chat, agent = read_lines(tmp_path, LINES)
        assert (chat.source, chat.key, chat.title) == (
            "claude-code",
            SESSION,
            "Beans and their files",
        )
        assert spoken(chat) == [
            ("user", "Read my notes\n\n[notes.md]\n```\nbuy beans\n```"),
            ("assistant", "I look twice."),
            ("tool", "notes.md"),
            ("assistant", ""),
            ("tool", "buy beans"),
            ("user", "Be brief"),
            ("assistant", "Buy beans."),
            ("user", "How many?"),
            ("assistant", "Two tins."),
            ("user", "Three rather"),
            ("assistant", "Three tins."),
            ("assistant", "So far it was about beans."),
            ("assistant", "<local-command-stdout>Compacted</local-command-stdout>"),
            ("user", "Go on"),
            ("assistant", "API Error: 529"),
        ]
        assert [message.content for message in chat.messages if message.content == "White ones."]
        assert (agent.key, agent.title) == (f"{SESSION}/ag1", "Look for peas")
        assert spoken(agent) == [("user", "Look for peas"), ("assistant", "No peas.")]

    def test_calls_and_results_are_linked(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, LINES)[0]
        calls = [call["id"] for message in chat.messages for call in message.tool_calls or ()]
        results = [
            (answered["tool_call_id"], answered["content"])
            for message in chat.messages
            for answered in message.tool_results or ()
        ]
        assert calls == ["t1", "t2"]
        assert results == [("t1", "notes.md"), ("t2", "buy beans")]

    def test_times_models_tokens_and_reasoning_are_kept(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, LINES)[0]
        looked, again = chat.messages[1], chat.messages[3]
        assert looked.created_at is not None
        assert looked.created_at.isoformat() == "2025-01-02T03:04:03+00:00"
        assert (looked.model, looked.input_tokens) == ("claude-x", None)
        assert (again.model, again.input_tokens, again.output_tokens) == ("claude-x", 43, 7)
        assert looked.metadata is not None
        assert looked.metadata["asides"] == {
            "reasoning": [{"thinking": "two calls", "signature": "c2ln"}]
        }
        assert chat.created_at is not None
        assert chat.created_at.isoformat() == "2025-01-02T03:04:01+00:00"

    def test_files_and_pictures_are_in_the_body(self, tmp_path: Path) -> None:
        body = read_lines(tmp_path, LINES)[0].messages[0].body
        assert body is not None
        picture, file = json.loads(body)["attachments"]
        assert picture["kind"] == "image/png"
        assert (file["name"], file["reference"]) == ("notes.md", "/home/me/notes.md")

    def test_who_wrote_what_is_told_apart(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, LINES)[0]
        about = {message.content: message.metadata or {} for message in chat.messages}
        assert about["So far it was about beans."]["role"] == "summary"
        assert about["<local-command-stdout>Compacted</local-command-stdout>"]["role"] == "program"
        assert about["API Error: 529"]["status"] == "failed"
        [caveat] = about["Read my notes\n\n[notes.md]\n```\nbuy beans\n```"]["hidden"]
        assert caveat["isMeta"]
        assert about["Two tins."]["source"]["gitBranch"] == "main"


class TestThreads:
    def test_a_rewound_question_is_a_branch(self, tmp_path: Path) -> None:
        [chat] = read_lines(
            tmp_path,
            [
                user("u1", None, "One?"),
                answer("a2", "u1", "m1", text("1")),
                user("u3", None, "Two?"),
                answer("a4", "u3", "m2", text("2")),
            ],
        )
        assert spoken(chat) == [("user", "Two?"), ("assistant", "2")]
        assert [message.content for message in chat.messages] == ["One?", "1", "Two?", "2"]

    def test_lines_without_links_follow_each_other(self, tmp_path: Path) -> None:
        lines = [
            user("u1", None, "Hi"),
            answer("a2", None, "m1", text("Ho")),
            user("u3", None, "And?"),
        ]
        [chat] = read_lines(tmp_path, lines)
        assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho"), ("user", "And?")]

    def test_what_follows_one_call_is_no_branch(self, tmp_path: Path) -> None:
        """Two calls at once: the second follows the first, as the first result does."""
        [chat] = read_lines(
            tmp_path,
            [
                user("u1", None, "Both"),
                answer("a2", "u1", "m1", call("t1", "ls")),
                answer("a3", "a2", "m1", call("t2", "pwd")),
                user("r4", "a2", result("t1", "x")),
                user("r5", "a3", result("t2", "/")),
                answer("a6", "r4", "m2", text("Done")),
            ],
        )
        assert chat.parents is None
        asked = chat.messages[1]
        assert [each["id"] for each in asked.tool_calls or ()] == ["t1", "t2"]
        assert [message.content for message in chat.messages[2:]] == ["x", "/", "Done"]

    def test_a_line_that_is_written_again_counts_once(self, tmp_path: Path) -> None:
        """A resumed session repeats lines by their ids, a compaction with new ones."""
        first, second = user("u1", None, "Hi"), answer("a2", "u1", "m1", text("Ho"))
        again = {**second, "uuid": "b9"}
        [chat] = read_lines(
            tmp_path, [first, second, first, second, again, user("u3", "b9", "And?")]
        )
        assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho"), ("user", "And?")]

    def test_a_block_that_is_written_twice_counts_once(self, tmp_path: Path) -> None:
        lines = [
            user("u1", None, "Hi"),
            answer("a2", "u1", "m1", text("Ho")),
            answer("a3", "a2", "m1", text("Ho")),
            answer("a4", "a3", "m1", text("ho")),
        ]
        [chat] = read_lines(tmp_path, lines)
        assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho\nho")]

    def test_each_session_of_a_file_is_a_chat(self, tmp_path: Path) -> None:
        other = [{**each, "sessionId": "s2"} for each in LINES if each.get("uuid") in {"u1", "a4"}]
        titles = [
            {"type": "ai-title", "aiTitle": "By the program", "sessionId": "s2"},
            {"type": "custom-title", "customTitle": "By the user", "sessionId": "s2"},
            {"type": "ai-title", "aiTitle": "By the program again", "sessionId": "s2"},
        ]
        found = read_lines(tmp_path, [*LINES, *other, *titles])
        assert [chat.key for chat in found] == [SESSION, f"{SESSION}/ag1", "s2"]
        assert found[2].title == "By the user"

    def test_a_command_is_no_title(self, tmp_path: Path) -> None:
        command = "<command-name>/model</command-name>"
        [chat] = read_lines(tmp_path, [user("u1", None, command), user("u2", "u1", "Go\non")])
        assert chat.title == "Go"

    def test_what_an_agent_says_while_it_works_is_its_own_chat(self, tmp_path: Path) -> None:
        said = {"type": "assistant", "uuid": "z1", "message": {"role": "assistant", "content": "x"}}
        data = {"type": "agent_progress", "agentId": "ag", "message": said}
        chat, agent = read_lines(
            tmp_path, [user("u1", None, "Hi"), line("progress", "p2", "u1", data=data)]
        )
        assert (spoken(chat), agent.key) == ([("user", "Hi")], f"{SESSION}/ag")
        assert spoken(agent) == [("assistant", "x")]

    def test_older_agents_are_told_apart_by_their_first_lines(self, tmp_path: Path) -> None:
        lines = [
            user("u1", None, "Hi"),
            user("x2", None, "Agent 1", isSidechain=True),
            user("y3", None, "Agent 2", isSidechain=True),
            answer("x4", "x2", "m1", text("1"), isSidechain=True),
            answer("y5", "y3", "m2", text("2"), isSidechain=True),
        ]
        found = read_lines(tmp_path, lines)
        assert [spoken(chat) for chat in found[1:]] == [
            [("user", "Agent 1"), ("assistant", "1")],
            [("user", "Agent 2"), ("assistant", "2")],
        ]


class TestForms:
    def test_a_document_of_lines_is_read(self, tmp_path: Path) -> None:
        lines = [
            {"type": "user", "message": {"role": "user", "content": "Hi"}},
            {"type": "assistant", "message": {"role": "assistant", "content": [text("Ho")]}},
        ]
        [chat], refusals = read_all(write(tmp_path / "session.json", {"loglines": lines}))
        assert (spoken(chat), refusals) == ([("user", "Hi"), ("assistant", "Ho")], [])

    def test_the_stream_of_a_headless_run_is_read(self, tmp_path: Path) -> None:
        lines: list[dict[str, Any]] = [
            {"type": "system", "subtype": "init", "session_id": "s1", "tools": ["Bash"]},
            {"type": "user", "session_id": "s1", "message": {"role": "user", "content": "Hi"}},
            {
                "type": "assistant",
                "session_id": "s1",
                "parent_tool_use_id": None,
                "message": {"role": "assistant", "content": [text("Ho")]},
            },
            {"type": "result", "subtype": "success", "session_id": "s1", "result": "Ho"},
        ]
        [chat] = read_lines(tmp_path, lines)
        assert (chat.key, spoken(chat)) == ("s1", [("user", "Hi"), ("assistant", "Ho")])

    def test_a_call_that_was_interrupted_is_text(self, tmp_path: Path) -> None:
        [chat] = read_lines(
            tmp_path, [user("u1", None, "Go"), answer("a2", "u1", "m1", call("t1", "ls\npwd"))]
        )
        assert spoken(chat)[-1] == ("assistant", '[Bash]\n```\n{"command": "ls\\npwd"}\n```')

    def test_a_line_of_an_unknown_type_is_reported(self, tmp_path: Path) -> None:
        file = tmp_path / "session.jsonl"
        lines = [user("u1", None, "Hi"), line("later", "x2", "u1", text="new words")]
        file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        [chat], [refusal] = read_all(file)
        assert spoken(chat) == [("user", "Hi")]
        assert "other_lines was not understood, with 9 characters" in refusal.reason

    @pytest.mark.parametrize(
        "lines",
        [
            [{"type": "summary", "summary": "Fix the build", "leafUuid": "x9"}],
            [{"type": "file-history-snapshot", "messageId": "x9", "snapshot": {"messageId": "x9"}}],
        ],
    )
    def test_a_log_in_which_nobody_speaks_is_no_conversation(
        self, tmp_path: Path, lines: list[dict[str, Any]]
    ) -> None:
        """Else an import of a folder of sessions has a refusal, or an empty chat, for most."""
        [chat] = read_lines(tmp_path, lines)
        assert (chat.source, chat.has_nothing) == ("claude-code", True)

    def test_what_is_unknown_in_such_a_log_is_kept_and_reported(self, tmp_path: Path) -> None:
        lines = [{"type": "later", "sessionId": SESSION, "text": "new words"}]
        lines.append({"type": "mode", "sessionId": SESSION, "mode": "plan"})
        file = tmp_path / "session.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        [chat], [refusal] = read_all(file)
        assert not chat.has_nothing
        assert "other_lines was not understood, with 9 characters" in refusal.reason

    def test_the_last_words_in_such_a_log_are_kept_and_counted(self, tmp_path: Path) -> None:
        """Else they are nowhere, if the log of the whole session is gone."""
        prompt = {"type": "last-prompt", "lastPrompt": "Fix it", "sessionId": "s9"}
        _, chat = read_lines(tmp_path, [user("u1", None, "Hi"), prompt, prompt])
        assert chat.metadata["source"] == {"lastPrompt": {"text": "Fix it"}}
        assert (chat.key, chat.title, chat.asides) == ("s9", "Fix it", {"lastPrompt": 1})

    def test_what_was_queued_in_such_a_log_is_read(self, tmp_path: Path) -> None:
        queued = {"type": "queue-operation", "content": "Be brief", "sessionId": SESSION}
        [chat] = read_lines(tmp_path, [{**queued, "operation": "enqueue"}])
        assert spoken(chat) == [("user", "Be brief")]

    def test_an_index_of_sessions_is_named_and_not_read(self, tmp_path: Path) -> None:
        read_lines(tmp_path, LINES)
        index = {"version": 1, "entries": [{"firstPrompt": "Hi"}], "originalPath": "/x"}
        write(tmp_path / "sessions-index.json", index)
        found, refusals = read_all(tmp_path)
        assert (len(found), refusals) == (2, [])
        assert left_files(tmp_path) == ["sessions-index.json"]

    def test_anthropics_messages_are_no_log(self) -> None:
        messages = [{"role": "user", "content": "Hi"}]
        assert claude_code.fits({"messages": messages}) == 0
        assert best_format(EXAMPLE) is claude_code.FORMAT


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_log_is_read(value: dict[str, Any]) -> None:
    """No shape of a log may stop the import."""
    assert all(chat.messages for chat in claude_code.read(value))
