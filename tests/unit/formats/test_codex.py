"""Codex CLI's logs: what is said twice in them must be read once, and nothing be lost."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.chat_files import read_all, spoken, write
from tests.formats.codex import (
    BARE_LINES,
    DOCUMENT,
    EXAMPLE,
    ITEMS,
    LINES,
    META,
    PATCH,
    SESSION,
    call,
    chats,
    event,
    line,
    output,
    said,
)

from faceplate.importers import Chat
from faceplate.importers.formats import codex
from faceplate.importers.shapes import best_format

TALK = [
    ("developer", "Ask before you write."),
    ("user", "List my files"),
    ("assistant", ""),
    ("tool", "notes.md"),
    ("assistant", ""),
    ("tool", "Done!"),
    ("assistant", "There is notes.md."),
]


def lines_file(tmp_path: Path, lines: Iterable[object]) -> Path:
    file = tmp_path / "rollout-2025-10-01T00-00-00-x.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def read_lines(tmp_path: Path, lines: Iterable[object]) -> Chat:
    [chat], refusals = read_all(lines_file(tmp_path, lines))
    assert refusals == []
    return chat


def items(*payloads: dict[str, Any]) -> list[dict[str, Any]]:
    return [line("session_meta", META), *(line("response_item", item) for item in payloads)]


SNAPSHOT = {"type": "ghost_snapshot", "ghost_commit": {"id": "c0ffee"}}
TURN = line("turn_context", {"model": "gpt-5-codex", "cwd": "/x"})


@pytest.mark.parametrize("lines", [[], [TURN], [line("response_item", SNAPSHOT)]])
def test_a_log_in_which_nobody_speaks_is_no_conversation(tmp_path: Path, lines: list[Any]) -> None:
    """Else each session that was opened and not used is an empty chat."""
    chat = read_lines(tmp_path, [line("session_meta", META), *lines])
    assert (chat.key, chat.has_nothing) == (META["id"], True)


def test_reasoning_without_an_answer_is_refused(tmp_path: Path) -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    found, [refusal] = read_all(lines_file(tmp_path, items(SNAPSHOT, thought)))
    assert (found, refusal.reason) == ([], "none of its 1 messages has text")


class TestExample:
    def test_a_session_is_read_whole(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, LINES)
        assert (chat.source, chat.key, chat.title) == ("codex", SESSION, "Files and beans")
        assert spoken(chat) == [
            *TALK,
            ("user", "Show it"),
            ("assistant", ""),
            ("tool", "beans"),
            ("assistant", "It says beans."),
            ("assistant", "So far: files."),
        ]
        contents = [message.content for message in chat.messages]
        assert "Delete it" in contents, "a turn that was taken back is a branch"

    def test_calls_times_models_and_tokens_are_kept(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, LINES)
        calls = [call for message in chat.messages for call in message.tool_calls or ()]
        assert [each["id"] for each in calls] == ["c1", "c2", "c3"]
        assert calls[1]["custom"] == {"name": "apply_patch", "input": PATCH}
        answer = next(each for each in chat.messages if each.content == "There is notes.md.")
        assert (answer.model, answer.input_tokens, answer.output_tokens) == ("gpt-x", 120, 9)
        assert answer.created_at is not None
        assert answer.created_at.isoformat() == "2025-10-01T00:00:09+00:00"
        assert chat.created_at is not None
        assert chat.created_at.isoformat() == "2025-10-01T00:00:00+00:00"

    def test_what_is_beside_the_text_is_kept(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, LINES)
        about = {message.content: message.metadata or {} for message in chat.messages}
        assert "<cwd>" in json.dumps(about["List my files"]["hidden"])
        assert about["It says beans."]["status"] == "interrupted"
        assert about["So far: files."]["role"] == "summary"
        called = next(message for message in chat.messages if message.tool_calls)
        assert "One call is enough." in json.dumps(called.metadata)
        assert chat.metadata["source"]["session_meta"]["cwd"] == "/home/me"


class TestAges:
    def test_lines_without_times_are_read(self, tmp_path: Path) -> None:
        chat = read_lines(tmp_path, BARE_LINES)
        assert (chat.source, chat.key, spoken(chat)) == ("codex", SESSION, TALK)
        assert chat.created_at is not None
        assert chat.created_at.isoformat() == "2025-06-01T00:00:00+00:00"

    def test_a_document_is_read(self, tmp_path: Path) -> None:
        [chat], refusals = read_all(write(tmp_path / "rollout.json", DOCUMENT))
        assert (chat.key, spoken(chat), refusals) == (SESSION, TALK, [])

    def test_an_output_was_an_object_once(self, tmp_path: Path) -> None:
        answered = {"type": "function_call_output", "call_id": "c1"}
        result = {**answered, "output": {"content": "notes.md", "success": True}}
        chat = read_lines(tmp_path, items(said("user", "Hi"), call("c1", "ls"), result))
        assert spoken(chat)[-1] == ("tool", "notes.md")

    @pytest.mark.parametrize("kind", ["function_call_output", "custom_tool_call_output"])
    def test_the_output_of_a_command_is_shown_without_its_wrapping(
        self, tmp_path: Path, kind: str
    ) -> None:
        told = json.dumps({"output": "a\nb", "metadata": {"exit_code": 0}})
        answered = {**output("c1", told), "type": kind}
        chat = read_lines(tmp_path, items(said("user", "Hi"), call("c1", "ls"), answered))
        assert spoken(chat)[-1] == ("tool", "a\nb")
        assert "exit_code" in json.dumps(chat.messages[-1].metadata)

    def test_sessions_in_one_file_are_told_apart(self, tmp_path: Path) -> None:
        other = line("session_meta", {**META, "id": "other", "forked_from_id": "parent"})
        parent = line("session_meta", {**META, "id": "parent"})
        more = [line("response_item", said("user", text)) for text in ("One", "Two", "Three")]
        file = lines_file(
            tmp_path, [line("session_meta", META), more[0], other, more[1], parent, more[2]]
        )
        found, refusals = read_all(file)
        assert refusals == []
        assert [(chat.key, spoken(chat)) for chat in found] == [
            (SESSION, [("user", "One")]),
            ("other", [("user", "Two"), ("user", "Three")]),
        ]


class TestCopies:
    def test_a_session_of_events_alone_is_read(self, tmp_path: Path) -> None:
        told = {"type": "UserMessage", "content": [{"type": "text", "text": "Hi"}]}
        answered = {"type": "AgentMessage", "content": [{"type": "Text", "text": "Ho"}]}
        lines = [
            line("session_meta", META),
            line("event_msg", event("item_completed", item=told)),
            line("event_msg", event("item_completed", item=answered)),
        ]
        assert spoken(read_lines(tmp_path, lines)) == [("user", "Hi"), ("assistant", "Ho")]

    def test_what_is_said_twice_is_read_twice(self, tmp_path: Path) -> None:
        lines = [
            *items(said("user", "Go on"), said("assistant", "Yes"), said("user", "Go on")),
            line("event_msg", event("user_message", message="Go on")),
            line("event_msg", event("user_message", message="Go\non")),
            line("event_msg", event("agent_message", message="No")),
        ]
        assert spoken(read_lines(tmp_path, lines)) == [
            ("user", "Go on"),
            ("assistant", "Yes"),
            ("user", "Go on"),
            ("assistant", "No"),
        ]

    def test_what_the_user_typed_is_never_hidden(self, tmp_path: Path) -> None:
        typed = "# AGENTS.md: what is it?"
        lines = [
            *items(said("user", typed)),
            line("event_msg", event("user_message", message=typed)),
        ]
        assert spoken(read_lines(tmp_path, lines)) == [("user", typed)]

    def test_what_only_an_event_says_is_kept(self, tmp_path: Path) -> None:
        """Else a plan, a goal or a search that no item repeats is dropped without a word."""
        steps = [{"step": "Sow beans", "status": "pending"}]
        plan = event("plan_update", explanation="One row first", plan=steps)
        done = [{**steps[0], "status": "completed"}]
        searched = {"id": "w1", "type": "WebSearch", "query": "beans in rows"}
        told = [
            plan,
            event("thread_goal_updated", goal={"objective": "A row of beans", "status": "active"}),
            event("web_search_end", call_id="w2", query="when to sow"),
            event("item_completed", item=searched),
            event("task_complete", last_agent_message="Sown.", turn_id="1"),
        ]
        again = event("plan_update", explanation="One row first", plan=done)
        lines = [line("event_msg", each) for each in (*told, again)]
        chat = read_lines(tmp_path, [*items(said("user", "Sow")), *lines])
        assert chat.metadata["source"]["other_lines"] == told

    def test_what_an_item_says_as_well_is_not_kept_twice(self, tmp_path: Path) -> None:
        steps = [{"step": "Sow beans", "status": "pending"}]
        arguments = json.dumps({"explanation": "One row\nfirst", "plan": steps})
        given = {**call("c1", ""), "name": "update_plan", "arguments": arguments}
        change = {"/b.txt": {"type": "add", "content": "beans\n"}}
        told = [
            event("plan_update", explanation="One row\nfirst", plan=steps),
            event("web_search_end", call_id="w2", query="when to sow"),
            event("item_completed", item={"id": "p", "type": "FileChange", "changes": change}),
            event("task_complete", last_agent_message="Sown.", turn_id="1"),
            event("agent_message", message="Sown."),
        ]
        patched = {"type": "custom_tool_call", "name": "apply_patch", "input": PATCH}
        searched = {"type": "web_search_call", "action": {"query": "when to sow"}}
        lines = [line("event_msg", each) for each in told]
        written = items(said("user", "Sow"), given, searched, {**patched, "call_id": "c2"})
        chat = read_lines(tmp_path, [*written[:2], *lines, *written[2:]])
        assert "other_lines" not in chat.metadata["source"]

    def test_pictures_are_attachments(self, tmp_path: Path) -> None:
        picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
        drawn = {"type": "image_generation_call", "id": "i1", "result": "iVBOR", "status": "done"}
        chat = read_lines(
            tmp_path,
            items({"type": "message", "role": "user", "content": [picture]}, drawn),
        )
        assert [bool(message.body) for message in chat.messages] == [True, True]

    def test_a_line_of_an_unknown_type_is_reported(self, tmp_path: Path) -> None:
        lines = [*items(said("user", "Hi")), line("event_msg", event("later", message="new"))]
        [chat], [refusal] = read_all(lines_file(tmp_path, lines))
        assert spoken(chat) == [("user", "Hi")]
        assert "other_lines was not understood, with 3 characters" in refusal.reason


class TestRecognition:
    @pytest.mark.parametrize("value", [EXAMPLE, {"messages": BARE_LINES}, DOCUMENT])
    def test_logs_are_recognised(self, value: dict[str, Any]) -> None:
        assert best_format(value) is codex.FORMAT

    def test_response_items_are_no_log(self) -> None:
        assert codex.fits({"messages": ITEMS}) == codex.fits({"items": ITEMS}) == 0


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_log_is_read(value: dict[str, Any]) -> None:
    """No shape of a log may stop the import."""
    [chat] = codex.read(value)
    assert chat.id == SESSION
