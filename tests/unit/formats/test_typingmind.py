"""TypingMind exports: whole, in files of their own, and bare."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.typingmind import CHAT, EXAMPLE


@pytest.mark.parametrize("value", [EXAMPLE, [CHAT], CHAT])
def test_all_of_an_export_is_where_a_reader_finds_it(tmp_path: Path, value: Any) -> None:
    [chat], refusals = read_all(write(tmp_path / "chats.json", value))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("typingmind", "c-1", "Two beds")
    assert chat.created_at is not None
    assert chat.created_at.isoformat() == "2025-01-02T03:04:00+00:00"
    assert chat.updated_at is not None
    assert spoken(chat) == [
        ("system", "Answer briefly."),
        ("user", "Which bed is larger?\n\n[beds.txt]\n```\nNorth: nine rows.\n```"),
        ("assistant", "I measure."),
        ("tool", "seven rows"),
        ("assistant", "The northern one."),
    ]
    _, question, asked, result, answer = path(chat)
    files = json.loads(question.body or "")["attachments"]
    assert [(file["kind"], file.get("name"), file.get("reference")) for file in files] == [
        ("image", None, "https://example.com/beds.png"),
        ("text/plain", "beds.txt", None),
    ]
    assert (asked.tool_calls or [])[0]["id"] == "t-1"
    assert result.tool_results == [{"tool_call_id": "t-1", "content": "seven rows"}]
    assert (asked.model, asked.input_tokens, asked.output_tokens) == ("gardener-1", 12, 40)
    assert answer.model == "gardener-2"
    assert chat.metadata["source"]["folderID"] == "f-1"


def test_a_system_message_of_the_chat_follows_that_of_its_settings(tmp_path: Path) -> None:
    message = {"role": "system", "uuid": "s", "content": "Answer kindly."}
    value = {**CHAT, "messages": [message, *CHAT["messages"]]}
    [chat], _ = read_all(write(tmp_path / "chats.json", value))
    assert [text for role, text in spoken(chat) if role == "system"] == [
        "Answer briefly.",
        "Answer kindly.",
    ]


def test_the_chats_of_a_large_export_are_in_further_files(tmp_path: Path) -> None:
    parts = ["chunks/chats_part_1.json", "chunks/chats_part_2.json"]
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("data.json", json.dumps({"data": {"chats": {"chunks": parts}}}))
        for number, part in enumerate(parts):
            chats = [{**CHAT, "id": f"c-{number}", "chatID": f"c-{number}"}]
            archive.writestr(part, json.dumps(chats))
    found, _ = read_all(tmp_path / "export.zip")
    assert [chat.key for chat in found] == ["c-0", "c-1"]


def test_what_it_may_write_besides_is_reported(tmp_path: Path) -> None:
    message = {"role": "assistant", "uuid": "x", "responses": [{"content": "From another model"}]}
    value = {**CHAT, "messages": [*CHAT["messages"], message]}
    [chat], [refusal] = read_all(write(tmp_path / "chats.json", value))
    assert spoken(chat)[-1] == ("assistant", "The northern one.")
    assert "responses was not understood, with 18 characters" in refusal.reason
