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


def backup(*said: Any, blocks: Any = (), **tables: Any) -> dict[str, Any]:
    """A backup of one topic with these messages."""
    topics = [{"id": "t", "name": "Old trees", "messages": [*said]}]
    return {"indexedDB": {"topics": topics, "message_blocks": [*blocks], **tables}}


def test_the_files_of_older_messages_are_attachments(tmp_path: Path) -> None:
    """Else a question that is only a file is hidden, and the answer has none."""
    file = {"id": "f", "name": "f-1.pdf", "origin_name": "trees.pdf", "path": "/f-1.pdf"}
    pictures = ["https://pictures.example/oak.png"]
    value = backup(
        {"id": "a", "role": "user", "content": "", "files": [{**file, "type": "document"}]},
        {"id": "b", "role": "assistant", "content": "An oak"},
        {"id": "c", "role": "user", "content": "And this?", "images": pictures},
    )
    [chat], refusals = read_all(write(tmp_path / "data.json", value))
    assert refusals == []
    said = [("user", "[trees.pdf]"), ("assistant", "An oak"), ("user", "And this?")]
    assert (spoken(chat), chat.title) == (said, "Old trees")
    files = [json.loads(chat.messages[at].body or "")["attachments"][0] for at in (0, 2)]
    assert [(each["kind"], each["reference"]) for each in files] == [
        ("file", "/f-1.pdf"),
        ("image", pictures[0]),
    ]


def test_a_tool_that_says_that_it_failed_is_marked(tmp_path: Path) -> None:
    failure = {"isError": True, "content": [{"type": "text", "text": "No such tree"}]}
    blocks: list[Any] = [
        {"id": "x", "type": "tool", "toolId": "1", "toolName": "f", "content": failure},
        {"id": "y", "type": "tool", "toolId": "2", "toolName": "g"},
        {"id": "z", "type": "tool", "toolId": "3", "toolName": "h", "content": "Fine"},
    ]
    blocks[1]["metadata"] = {"rawMcpToolResponse": {"response": failure}}
    asked = {"id": "a", "role": "user", "content": "Which?"}
    value = backup(
        asked, {"id": "b", "role": "assistant", "blocks": ["x", "y", "z"]}, blocks=blocks
    )
    [chat], _ = read_all(write(tmp_path / "data.json", value))
    results = [message for message in chat.messages if message.tool_results]
    assert [(each.content, (each.metadata or {}).get("status")) for each in results] == [
        ("No such tree", "failed"),
        ("No such tree", "failed"),
        ("Fine", None),
    ]


def test_translations_beside_the_chats_are_reported(tmp_path: Path) -> None:
    """Else they are in no conversation, and the import says that it understood all."""
    history = [{"id": "h", "sourceText": "a tall oak", "targetText": "ein hoher Baum"}]
    value = backup({"id": "a", "role": "user", "content": "Hi"}, translate_history=history)
    [_], [refusal] = read_all(write(tmp_path / "data.json", value))
    assert "20 characters of text were not understood" in refusal.reason
