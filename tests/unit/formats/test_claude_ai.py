"""Claude.ai exports: blocks, artifacts, attachments and branches stay what they were."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.claude_ai import EXAMPLE, ROOT, chat, message, text

from faceplate.importers import Chat

PLACEHOLDER = "```\nThis block is not supported on your current device yet.\n```"


def read_one(tmp_path: Path, value: object) -> Chat:
    [[found], refusals] = read_all(write(tmp_path / "conversations.json", value))
    assert refusals == []
    return found


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    found = read_one(tmp_path, EXAMPLE)
    assert (found.source, found.key, found.title) == ("claude", "c-1", "Rye bread")
    assert found.created_at == datetime(2025, 3, 1, 8, tzinfo=UTC)
    assert found.updated_at == datetime(2025, 3, 1, 9, tzinfo=UTC)
    assert spoken(found) == [
        ("user", "How wet is this dough?\n\n[recipe.txt]\n```\nrye 500 g\nwater 400 g\n```"),
        ("assistant", "Let me look that up."),
        ("tool", "On rye\nhttps://rye.example\nEighty percent is usual."),
        ("assistant", "Eighty percent."),
        ("tool", "OK"),
        ("user", "Thanks"),
    ]
    asked, search, answer, artifact, made, _ = path(found)
    body = json.loads(asked.body or "")
    assert [each["name"] for each in body["attachments"]] == ["recipe.txt", "loaf.png"]
    assert search.tool_calls is not None
    assert search.tool_calls[0]["function"]["arguments"] == '{"query": "hydration rye"}'
    assert answer.tool_results is not None
    assert answer.tool_results[0]["tool_call_id"] == search.tool_calls[0]["id"]
    assert artifact.tool_calls is not None
    assert "# Bake on Sunday" in artifact.tool_calls[0]["function"]["arguments"]
    assert made.tool_results == [{"tool_call_id": "toolu_2", "content": "OK"}]
    assert search.created_at == datetime(2025, 3, 1, 8, 2, 0, 500_000, tzinfo=UTC)
    assert found.asides["reasoning"] == 1
    assert spoken(found, 7)[-1] == ("assistant", "Fairly wet.")


def test_the_chat_of_the_web_interface_ends_at_its_leaf(tmp_path: Path) -> None:
    value = chat(
        message("q", ROOT, "human", text("Hi")),
        message("r", "q", "assistant", text("Hello")),
        message("s", "q", "assistant", text("Good day"), stop_reason="user_canceled"),
        current_leaf_message_uuid="r",
        model="claude-x",
    )
    found = read_one(tmp_path, value)
    assert spoken(found) == [("user", "Hi"), ("assistant", "Hello")]
    assert [each.model for each in found.messages] == [None, "claude-x", "claude-x"]
    assert (found.messages[2].metadata or {})["status"] == "interrupted"


def test_an_edited_first_question_is_a_branch(tmp_path: Path) -> None:
    value = chat(
        message("q", ROOT, "human", text("One")),
        message("rr", ROOT, "human", text("Two")),
    )
    found = read_one(tmp_path, value)
    assert (spoken(found), spoken(found, 1)) == ([("user", "Two")], [("user", "One")])


def test_an_old_export_without_parents_keeps_the_order_of_the_list(tmp_path: Path) -> None:
    value = chat(
        {"uuid": "z", "sender": "human", "text": "One", "created_at": "2024-01-01T00:00:00Z"},
        {"uuid": "a", "sender": "assistant", "text": "Two", "parent_message_uuid": None},
    )
    assert spoken(read_one(tmp_path, [value])) == [("user", "One"), ("assistant", "Two")]


def test_messages_without_ids_keep_the_order_of_the_list(tmp_path: Path) -> None:
    """Their parents are nowhere; else each of them is a first message, and one is shown."""
    value = chat(
        {"sender": "human", "text": "One", "parent_message_uuid": ROOT},
        {"sender": "assistant", "text": "Two", "parent_message_uuid": "m-1"},
        {"sender": "human", "text": "Three", "parent_message_uuid": "m-2"},
    )
    said = [("user", "One"), ("assistant", "Two"), ("user", "Three")]
    assert spoken(read_one(tmp_path, [value])) == said


def test_what_follows_a_message_without_an_id_stays_behind_it(tmp_path: Path) -> None:
    """Else it is a first message, and what was before it is out of sight."""
    value = chat(
        message("q", ROOT, "human", text("One")),
        {**message("r", "q", "assistant", text("Two")), "uuid": None},
        message("s", "r", "human", text("Three")),
    )
    said = [("user", "One"), ("assistant", "Two"), ("user", "Three")]
    assert spoken(read_one(tmp_path, value)) == said


def test_the_text_of_an_attachment_is_read_in_camel_case(tmp_path: Path) -> None:
    file = {"file_name": "a.txt", "extractedContent": "rye"}
    value = chat(message("q", ROOT, "human", text("See"), attachments=[file]))
    assert spoken(read_one(tmp_path, value)) == [("user", "See\n\n[a.txt]\n```\nrye\n```")]


@pytest.mark.parametrize(
    ("blocks", "flat", "said"),
    [
        ([text("Yes")], "Yes", "Yes"),
        ([], "Only here", "Only here"),
        ([text("")], "Only here", "Only here"),
        (json.dumps([text("Yes")]), "Yes", "Yes"),
        ("[sic]", "[sic]", "[sic]"),
        ([text("Yes"), text("No")], f"Yes\n\n{PLACEHOLDER}\n\nNo", "Yes\nNo"),
        ([{"type": "document", "title": "a.pdf", "file_uuid": "f"}], PLACEHOLDER, "[a.pdf]"),
        ([{"type": "image", "file_uuid": "f"}], f"{PLACEHOLDER}\nSee", "See"),
    ],
)
def test_the_flat_text_counts_where_no_block_has_text(
    tmp_path: Path, blocks: Any, flat: str, said: str
) -> None:
    value = chat({**message("q", ROOT, "human"), "content": blocks, "text": flat})
    assert spoken(read_one(tmp_path, value)) == [("user", said)]


def test_a_turn_that_is_only_a_file_is_a_turn(tmp_path: Path) -> None:
    pasted = {"file_name": "", "file_type": "txt", "extracted_content": "long"}
    value = chat(
        message("q", ROOT, "human", files=[{"file_name": "loaf.png", "file_uuid": "f"}]),
        message("r", "q", "human", attachments=[pasted]),
    )
    said = [("user", "[loaf.png]"), ("user", "[txt]\n```\nlong\n```")]
    assert spoken(read_one(tmp_path, value)) == said


def test_calls_without_ids_and_results_are_kept(tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "name": "bash", "input": {"n": n}} for n in (1, 2, 3)
    ]
    results: list[dict[str, Any]] = [
        {"type": "tool_result", "name": "bash", "content": [{"type": "text", "text": f"r{n}"}]}
        for n in (1, 2)
    ]
    found = read_one(tmp_path, chat(message("q", ROOT, "assistant", *calls, *results)))
    asked, *answers = found.messages
    assert [each.content for each in answers] == ["r1", "r2"]
    ids = [call["id"] for call in asked.tool_calls or ()]
    assert ids == [(each.tool_results or [{}])[0]["tool_call_id"] for each in answers]
    assert asked.content == '[bash]\n```\n{"n": 3}\n```'  # nobody answered it


def test_thoughts_after_a_result_are_kept_once(tmp_path: Path) -> None:
    thought = {"type": "thinking", "thinking": "done"}
    blocks: list[dict[str, Any]] = [
        {"type": "tool_use", "name": "bash", "input": {}},
        {"type": "tool_result", "name": "bash", "content": "fine"},
    ]
    found = read_one(tmp_path, chat(message("q", ROOT, "assistant", *blocks, thought)))
    assert [each.role for each in found.messages] == ["assistant", "tool"]
    assert found.asides == {"reasoning": 1}


def test_an_unknown_block_is_reported(tmp_path: Path) -> None:
    value = chat(message("q", ROOT, "assistant", text("See"), {"type": "voice", "text": "spoken"}))
    [_, [refusal]] = read_all(write(tmp_path / "c.json", value))
    assert "part 2 was not understood" in refusal.reason
    assert "spoken" not in refusal.reason


def test_a_chat_without_messages_is_empty(tmp_path: Path) -> None:
    found = read_one(tmp_path, [chat(name="Nothing yet")])
    assert (found.title, found.messages) == ("Nothing yet", [])


def test_other_lists_of_chat_messages_are_not_taken(tmp_path: Path) -> None:
    value = {"chat_session": {}, "chat_messages": [{"message_id": 1, "role": "USER"}]}
    chats, _ = read_all(write(tmp_path / "c.json", value))
    assert [each.source for each in chats if each.source == "claude"] == []


def test_a_spoken_note_is_text(tmp_path: Path) -> None:
    note = {"type": "voice_note", "title": "Note", "text": "Buy plums", "citations": []}
    said = {"uuid": "m-1", "sender": "human", "text": "Buy plums", "content": [note]}
    found = read_one(tmp_path, [chat(chat_messages=[said])])
    assert spoken(found) == [("user", "Buy plums")]
