"""Exports of Le Chat: an order by time, references within sentences, and searches."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.le_chat import EXAMPLE, said


def test_all_of_a_chat_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "chat-1.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key) == ("le-chat", "chat-1")
    assert spoken(chat) == [
        ("user", "Which bridge is oldest?"),
        ("assistant", "I search."),
        ("tool", '[{"title": "Bridges of stone"}]'),
        ("assistant", "It is the one in the east , of stone."),
        ("user", "Draw it"),
        ("assistant", "Here it is."),
    ]
    assert chat.messages[1].model == "mistral-large"
    assert chat.asides["references"] == 1
    [file] = json.loads(chat.messages[0].body or "")["attachments"]
    assert (file["kind"], file["name"]) == ("image", "bridges.png")
    [picture] = json.loads(chat.messages[-1].body or "")["attachments"]
    assert picture["reference"] == "https://pictures.example/bridge.png"


def test_each_file_of_an_export_is_a_chat(tmp_path: Path) -> None:
    for number in (1, 2):
        listed: list[Any] = [
            said(f"{number}-b", 2, "assistant", "Ho", chatId=f"chat-{number}"),
            said(f"{number}-a", 1, "user", "Hi", chatId=f"chat-{number}"),
        ]
        write(tmp_path / f"chat-{number}.json", listed)
    found, refusals = read_all(tmp_path)
    assert refusals == []
    assert [chat.key for chat in found] == ["chat-1", "chat-2"]
    assert {tuple(spoken(chat)) for chat in found} == {(("user", "Hi"), ("assistant", "Ho"))}


def test_parents_are_branches_where_they_are_there(tmp_path: Path) -> None:
    listed = [
        said("c", 3, "assistant", "Two", parentId="a"),
        said("b", 2, "assistant", "One", parentId="a"),
        said("a", 1, "user", "Hi", parentId=None),
    ]
    [chat], refusals = read_all(write(tmp_path / "chat.json", listed))
    assert (spoken(chat, 2), spoken(chat, 3)) == (
        [("user", "Hi"), ("assistant", "One")],
        [("user", "Hi"), ("assistant", "Two")],
    )
    assert refusals == []


def test_a_message_without_a_parent_follows_the_one_before_it(tmp_path: Path) -> None:
    """Else all that was said before the program wrote parents is in branches nobody sees."""
    listed = [
        said("d", 4, "assistant", "Ho again", parentId="c"),
        said("c", 3, "user", "And now?", parentId=None),
        said("b", 2, "assistant", "Ho"),
        said("a", 1, "user", "Hi"),
    ]
    [chat], refusals = read_all(write(tmp_path / "chat.json", listed))
    assert [content for _, content in spoken(chat)] == ["Hi", "Ho", "And now?", "Ho again"]
    assert (chat.parents, refusals) == (None, [])


def test_a_chunk_of_an_unknown_kind_is_reported(tmp_path: Path) -> None:
    element = {"type": "custom_element", "text": "a drawn bridge"}
    listed = [said("a", 1, "user", "Draw"), said("b", 2, "assistant", "", element)]
    [chat], [refusal] = read_all(write(tmp_path / "chat.json", listed))
    assert "part 1 was not understood, with" in refusal.reason
    assert "a drawn bridge" in json.dumps(chat.messages[1].metadata)


@pytest.mark.parametrize("missing", [0, 1, 250])
def test_a_message_without_chunks_is_read_by_its_content(tmp_path: Path, missing: int) -> None:
    """Else one message of another version refuses the whole chat, or gives it another format."""
    roles = ("user", "assistant")
    listed = [
        said(f"m-{n}", 0, roles[n % 2], f"Bridge {n}", createdAt=f"2025-05-01T08:00:00.{n:03}Z")
        for n in range(300)
    ]
    del listed[missing]["contentChunks"]
    [chat], refusals = read_all(write(tmp_path / "chat.json", listed))
    assert ((chat.source, chat.key), refusals) == (("le-chat", "chat-1"), [])
    assert spoken(chat) == [(roles[n % 2], f"Bridge {n}") for n in range(300)]


def test_a_message_with_neither_is_reported(tmp_path: Path) -> None:
    odd = {**said("m-2", 2, "assistant", ""), "blocks": [{"text": "a drawn bridge"}]}
    del odd["contentChunks"], odd["content"]
    listed = [said("m-1", 1, "user", "Draw"), odd]
    [chat], [refusal] = read_all(write(tmp_path / "chat.json", listed))
    assert spoken(chat) == [("user", "Draw")]
    assert "of no format" in refusal.reason
