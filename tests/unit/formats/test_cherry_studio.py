"""Backups of Cherry Studio: blocks, the answers of several models, and the settings of topics."""

import json
import zipfile
from pathlib import Path
from typing import Any

from tests.chat_files import read_all, spoken, write
from tests.formats.cherry_studio import EXAMPLE, MESSAGES

OPENING = [("system", "You know trees."), ("user", "Which tree is taller?")]


def test_all_of_a_topic_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "data.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("cherry-studio", "topic-1", "Two trees")
    assert chat.updated_at is not None
    assert spoken(chat) == [
        *OPENING,
        ("assistant", ""),
        ("tool", "thirty metres"),
        ("assistant", "The oak.\n```python\nprint(30)\n```"),
        ("user", "And older?"),
        ("assistant", "Out of reach."),
    ]
    asked = chat.messages[2]
    assert (asked.tool_calls or [])[0]["function"]["name"] == "measure"
    assert (asked.model, asked.output_tokens) == ("model-one", 9)
    assert (chat.messages[6].metadata or {})["status"] == "failed"
    [picture] = json.loads(chat.messages[1].body or "")["attachments"]
    assert (picture["name"], picture["reference"]) == ("trees.png", "/files/f-1.png")


def test_the_answer_of_another_model_is_a_branch(tmp_path: Path) -> None:
    [chat], _ = read_all(write(tmp_path / "data.json", EXAMPLE))
    other = next(n for n, each in enumerate(chat.messages, 1) if "ash" in each.content)
    assert spoken(chat, other) == [*OPENING, ("assistant", "The ash, I guess.")]


def test_a_topic_without_messages_is_no_conversation(tmp_path: Path) -> None:
    """Else each assistant that was never asked is an empty chat."""
    topics = [*EXAMPLE["indexedDB"]["topics"], {"id": "topic-2", "messages": []}]
    tables = {**EXAMPLE["indexedDB"], "topics": topics}
    [_, chat], _ = read_all(write(tmp_path / "data.json", {**EXAMPLE, "indexedDB": tables}))
    assert chat.has_nothing


def test_without_a_mark_the_last_answer_is_shown(tmp_path: Path) -> None:
    messages = [{**message, "useful": False} for message in MESSAGES]
    tables = {**EXAMPLE["indexedDB"], "topics": [{"id": "topic-1", "messages": messages}]}
    [chat], _ = read_all(write(tmp_path / "data.json", {**EXAMPLE, "indexedDB": tables}))
    assert spoken(chat)[2:4] == [("assistant", "The ash, I guess."), ("user", "And older?")]


def test_a_backup_is_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "cherry-studio.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.json", json.dumps(EXAMPLE))
        archive.writestr("Data/Files/f-1.png", b"x")
    found, refusals = read_all(path)
    assert ([chat.source for chat in found], refusals) == (["cherry-studio"], [])


def test_older_messages_have_a_text_and_no_blocks(tmp_path: Path) -> None:
    said: list[Any] = [
        {"id": "a", "role": "user", "content": "Hi", "createdAt": "2024-12-01T00:00:00Z"},
        {"id": "b", "role": "assistant", "content": "Ho", "modelId": "m"},
    ]
    value = {"localStorage": {}, "indexedDB": {"topics": [{"id": "t", "messages": said}]}}
    [chat], refusals = read_all(write(tmp_path / "data.json", value))
    assert (spoken(chat), refusals) == ([("user", "Hi"), ("assistant", "Ho")], [])


def test_a_block_of_an_unknown_kind_is_reported(tmp_path: Path) -> None:
    said = [
        {"id": "a", "role": "user", "blocks": ["x"]},
        {"id": "b", "role": "user", "content": "H"},
    ]
    blocks = [{"id": "x", "messageId": "a", "type": "hologram", "content": "a drawn tree"}]
    tables = {"topics": [{"id": "t", "messages": said}], "message_blocks": blocks}
    [chat], [refusal] = read_all(write(tmp_path / "data.json", {"indexedDB": tables}))
    assert "part 1 was not understood" in refusal.reason
    assert "a drawn tree" in json.dumps(chat.messages[0].metadata)
