"""Sessions of Gemini CLI: as an object, as lines with steps back, and the log of prompts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.gemini_cli import ABOUT, ANSWER, LINES, PROMPT, said

OPENING = [
    ("user", "Which pond is deeper?"),
    ("assistant", "I look."),
    ("tool", "four metres"),
    ("assistant", "The upper one."),
]


def write_lines(tmp_path: Path, lines: list[Any]) -> Path:
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_step_back_is_a_branch(tmp_path: Path) -> None:
    [chat], refusals = read_all(write_lines(tmp_path, LINES))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("gemini-cli", "session-1", "Two ponds")
    assert chat.updated_at is not None
    assert chat.updated_at.isoformat() == "2025-08-01T10:06:00+00:00"
    assert spoken(chat)[:-1] == [*OPENING, ("user", "And warmer?")]
    other = next(n for n, each in enumerate(chat.messages, 1) if each.content == "And colder?")
    assert spoken(chat, other) == [*OPENING, ("user", "And colder?")]


def test_a_line_of_the_same_message_replaces_it(tmp_path: Path) -> None:
    [chat], _ = read_all(write_lines(tmp_path, LINES))
    answer = chat.messages[1]
    assert (answer.content, answer.model) == ("I look.", "gemini-2.5-pro")
    assert (answer.input_tokens, answer.output_tokens) == (90, 7)
    assert answer.tool_calls
    assert answer.tool_calls[0]["function"] == {"name": "look", "arguments": '{"pond": "upper"}'}
    assert chat.asides["reasoning"] == 1


def test_what_a_later_line_replaces_is_kept_beside_it(tmp_path: Path) -> None:
    """Else a long output is lost when the program puts a remark in its place."""
    old = json.loads(json.dumps(ANSWER))
    [call] = old["toolCalls"]
    call["result"][0]["functionResponse"]["response"] = {"output": "[masked]"}
    for lines in ([*LINES, old, old], [*LINES[:4], {"$set": {"messages": [LINES[1], old]}}]):
        [chat], refusals = read_all(write_lines(tmp_path, lines))
        assert refusals == []
        result = chat.messages[2]
        assert result.tool_results == [{"tool_call_id": "look-1", "content": "[masked]"}]
        [earlier] = (result.metadata or {})["asides"]["earlier versions"]
        assert earlier["content"] == "four metres"
        assert chat.asides["earlier versions"] == chat.asides["reasoning"] == 1


def test_an_older_session_is_one_object(tmp_path: Path) -> None:
    messages = [LINES[1], ANSWER, LINES[4]]
    [chat], refusals = read_all(write(tmp_path / "x.json", {**ABOUT, "messages": messages}))
    assert (refusals, spoken(chat), chat.parents) == ([], OPENING, None)


def test_all_messages_may_be_set_anew(tmp_path: Path) -> None:
    whole = [LINES[1], said("ccc", "gemini", "The lower one."), said("g", "user", "Why?")]
    lines = [*LINES[:5], {"$set": {"messages": whole}}, said("h", "gemini", "It rains there.")]
    [chat], refusals = read_all(write_lines(tmp_path, lines))
    assert refusals == []
    assert [text for _, text in spoken(chat)] == [
        "Which pond is deeper?",
        "The lower one.",
        "Why?",
        "It rains there.",
    ]


def test_sessions_in_one_file_are_told_apart(tmp_path: Path) -> None:
    other = [{**ABOUT, "sessionId": "session-2"}, said("a", "user", "Hi")]
    chats, refusals = read_all(write_lines(tmp_path, [*LINES, *other]))
    assert ([chat.key for chat in chats], refusals) == (["session-1", "session-2"], [])


def test_the_log_has_the_prompts_of_each_session(tmp_path: Path) -> None:
    prompts = [PROMPT, {**PROMPT, "sessionId": "session-2", "message": "Hi"}]
    chats, refusals = read_all(write(tmp_path / "logs.json", prompts))
    assert refusals == []
    assert [spoken(chat) for chat in chats] == [[OPENING[0]], [("user", "Hi")]]
    assert chats[0].key == "prompts of session-1"


def test_a_saved_checkpoint_is_a_list_of_contents(tmp_path: Path) -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Which pond is deeper?"}]},
        {"role": "model", "parts": [{"text": "The upper one."}]},
    ]
    for value in (contents, {"history": contents, "authType": "oauth-personal"}):
        [chat], refusals = read_all(write(tmp_path / "checkpoint-ponds.json", value))
        assert (refusals, chat.source, spoken(chat)) == ([], "gemini", [OPENING[0], OPENING[3]])


@pytest.mark.parametrize("lines", [[ABOUT], [{**ABOUT, "messages": []}]])
def test_a_session_without_messages_is_no_conversation(tmp_path: Path, lines: list[Any]) -> None:
    """Else each session that was opened and not used is an empty chat."""
    lines = [{**lines[0], "summary": None, "kind": "main"}]
    [chat], refusals = read_all(write_lines(tmp_path, lines))
    assert (chat.key, chat.has_nothing, refusals) == ("session-1", True, [])
