"""Jan's threads: their titles and messages from two files, and what older versions write."""

import json
from pathlib import Path
from typing import Any

from tests.chat_files import path, read_all, spoken, write
from tests.formats.jan import EXAMPLE, MESSAGES, THREAD, said, text

from faceplate.services.messages import NewMessage


def write_folder(folder: Path, *messages: Any) -> Path:
    """Write a folder of threads as Jan has it."""
    inner = folder / "threads" / THREAD["id"]
    inner.mkdir(parents=True)
    write(inner / "thread.json", THREAD)
    (inner / "messages.jsonl").write_text("\n".join(map(json.dumps, messages)), encoding="utf-8")
    return folder / "threads"


def read_messages(tmp_path: Path, *messages: Any) -> list[NewMessage]:
    [chat], refusals = read_all(write(tmp_path / "messages.json", list(messages)))
    assert refusals == []
    assert chat.source == "jan"
    return path(chat)


def test_all_of_a_thread_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [thread, chat], refusals = read_all(write(tmp_path / "thread.json", EXAMPLE))
    assert refusals == []
    assert {thread.source, chat.source} == {"jan"}
    assert (thread.key, thread.title, thread.messages) == ("thread-1", "Two beds", [])
    assert thread.created_at is not None
    assert thread.created_at.isoformat() == "2025-01-02T03:04:00+00:00"
    assert chat.key == "thread-1"
    assert spoken(chat) == [
        ("user", "Which bed is larger?\n\n[beds.txt]\n```\nNorth: nine rows.\n```"),
        ("assistant", "I measure."),
        ("tool", "seven rows"),
        ("assistant", "The northern one."),
    ]
    question, asked, result, _ = path(chat)
    files = json.loads(question.body or "")["attachments"]
    assert [(file["kind"], file.get("name"), file.get("reference")) for file in files] == [
        ("image", None, "https://example.com/beds.png"),
        ("file", "beds.txt", None),
    ]
    [call] = asked.tool_calls or []
    assert (call["id"], call["function"]) == (
        "t-1",
        {"name": "measure", "arguments": '{"place": "south"}'},
    )
    assert result.tool_results == [{"tool_call_id": "t-1", "content": "seven rows"}]
    assert (asked.model, asked.input_tokens, asked.output_tokens) == ("gardener-1", 12, 40)
    assert "reasoning" in (asked.metadata or {})["asides"]
    assert question.created_at is not None
    assert question.created_at.isoformat() == "2025-01-02T03:04:01+00:00"


def test_a_thread_is_read_before_its_messages(tmp_path: Path) -> None:
    """Else the conversation is named by its first message, before its title is known."""
    chats, refusals = read_all(write_folder(tmp_path, *MESSAGES))
    assert refusals == []
    assert [(chat.key, chat.title, len(chat.messages)) for chat in chats] == [
        ("thread-1", "Two beds", 0),
        ("thread-1", "Which bed is larger?", 4),
    ]


def test_calls_of_an_older_version_are_in_the_metadata(tmp_path: Path) -> None:
    call: dict[str, Any] = {
        "tool": {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        "state": "completed",
        "response": {"content": [{"type": "text", "text": "nine rows"}], "error": ""},
    }
    failed = {**call, "tool": {**call["tool"], "id": "t-2"}, "response": {"error": "No rows"}}
    answer = said("b", "assistant", text("Nine."), metadata={"tool_calls": [call, failed]})
    question = said("a", "user", text("How many?"))
    messages = read_messages(tmp_path, question, answer)
    assert [(each.role, each.content) for each in messages] == [
        ("user", "How many?"),
        ("assistant", ""),
        ("tool", "nine rows"),
        ("assistant", ""),
        ("tool", "No rows"),
        ("assistant", "Nine."),
    ]
    assert (messages[2].tool_results or [])[0]["tool_call_id"] == "t-1"
    assert (messages[4].tool_results or [])[0]["tool_call_id"] == "t-2"


def test_thoughts_of_an_older_version_are_in_the_text(tmp_path: Path) -> None:
    question = said("a", "user", text("Is <think> a tag?"))
    answer = said("b", "assistant", text("<think>\nHm.\n</think>\n\nYes.\n<think>Sure."))
    asked, answered = read_messages(tmp_path, question, answer)
    assert (asked.content, answered.content) == ("Is <think> a tag?", "Yes.\n<think>Sure.")
    assert (answered.metadata or {})["asides"]["reasoning"] == [{"text": "Hm."}]


def test_replies_that_did_not_complete_say_so(tmp_path: Path) -> None:
    messages = read_messages(
        tmp_path,
        said("a", "user", text("How many?")),
        said("b", "assistant", text("Ni"), status="stopped"),
        said("c", "assistant", text("No water"), status="error", error_code="unknown"),
    )
    statuses = [(message.metadata or {}).get("status") for message in messages]
    assert statuses == [None, "interrupted", "failed"]


def test_messages_of_assistants_are_not_its(tmp_path: Path) -> None:
    message = said("a", "user", text("Hi"), status="completed", assistant_id="asst_1")
    chats, _ = read_all(write(tmp_path / "messages.json", [message]))
    assert [chat.source for chat in chats] == ["assistants"]
