"""Sessions of Continue: what was said, and not the prompts that repeat it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.continue_sessions import EXAMPLE


def test_all_of_a_session_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    """Else a prompt in it is taken for the chat, and the rest is not read."""
    [chat], refusals = read_all(write(tmp_path / "session.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("continue", EXAMPLE["sessionId"], "Two knots")
    assert spoken(chat) == [
        ("user", "Which knot holds?\n\n[knots.md]\n```\nA bowline, a reef knot\n```"),
        ("assistant", "I look."),
        ("tool", "A bowline"),
        ("assistant", "The bowline."),
    ]
    assert chat.created_at is not None
    assert chat.messages[1].output_tokens == 6
    assert chat.asides["reasoning"] == 2
    [file] = json.loads(chat.messages[0].body or "")["attachments"]
    assert (file["kind"], file["name"]) == ("context", "knots.md")


def test_the_list_of_sessions_is_no_chat(tmp_path: Path) -> None:
    """Else the import of the folder in which Continue has its sessions always has a refusal."""
    write(tmp_path / "session.json", EXAMPLE)
    about = {"sessionId": EXAMPLE["sessionId"], "title": "Two knots", "dateCreated": "1"}
    write(tmp_path / "sessions.json", [about])
    found, refusals = read_all(tmp_path)
    assert ([chat.title for chat in found], refusals) == (["Two knots"], [])


@pytest.mark.parametrize("history", [[], [{"message": {"role": "user"}}], [{"contextItems": []}]])
def test_other_histories_are_not_taken(tmp_path: Path, history: list[Any]) -> None:
    found, _ = read_all(write(tmp_path / "other.json", {"history": history}))
    assert [chat.source for chat in found if chat.source == "continue"] == []
